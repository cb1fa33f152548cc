//! Tensors: shapes, strides, pooled buffers
#![forbid(unsafe_code)]
