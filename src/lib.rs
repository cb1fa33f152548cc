//! Transfer learning in pure Rust.
#![forbid(unsafe_code)]
