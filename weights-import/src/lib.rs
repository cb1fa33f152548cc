//! Any weights file to named tensors
#![forbid(unsafe_code)]
