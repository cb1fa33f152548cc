//! The binary uke
#![forbid(unsafe_code)]
