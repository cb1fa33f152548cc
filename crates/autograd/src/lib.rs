//! Reverse-mode differentiation on an explicit tape
#![forbid(unsafe_code)]
