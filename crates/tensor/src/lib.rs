//! Tensors: a shape, strides, and pooled memory.
//!
//! A [`Tensor`] is a plain value. Views ([`Tensor::permute`], [`Tensor::narrow`], ...) share memory; nothing is ever
//! written through a view: a write ([`Tensor::memory_mut`]) copies first if the memory is shared. Images have the shape
//! (N, C, H, W), and their memory is channels-last: the strides say so, and nothing else has to know.
//!
//! ```
//! use ukulele_tensor::Tensor;
//! let x = Tensor::from_vec(&[2, 3], vec![1., 2., 3., 4., 5., 6.])?;
//! assert_eq!(x.transpose(0, 1)?.to_vec(), [1., 4., 2., 5., 3., 6.]);
//! # Ok::<(), ukulele_tensor::Error>(())
//! ```
#![forbid(unsafe_code)]

mod buffer;
mod concat;
mod create;
mod error;
mod shape;
mod tensor;
mod views;

/// Tensor memory: how much is live, pooled, and was at its peak.
pub mod memory {
    pub use crate::buffer::{Usage, reset_peak, trim, usage};
}

pub use error::{Error, Result};
pub use shape::{MAX_RANK, Shape, broadcast};
pub use tensor::Tensor;
pub use ukulele_kernels::Element;
