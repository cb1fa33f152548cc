//! The simplest possible loops, generic over the element: what the fast kernels must agree with, and what f64 runs.

pub mod conv;
pub mod gemm;
