//! The simplest possible loops, generic over the element: what the fast kernels must agree with, and what f64 runs.

#![allow(clippy::needless_range_loop, reason = "indices read like the formula")]

pub mod attention;
pub mod conv;
pub mod elementwise;
pub mod embedding;
pub mod gemm;
pub mod norm;
pub mod optim;
pub mod pool;
pub mod reduce;
pub mod softmax;
pub mod strided;
