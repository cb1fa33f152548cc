//! Reverse-mode differentiation on an explicit tape.
//!
//! A [`Value`] is a tensor that may know how it was made. Calling `x.relu()?` runs the [`Op`] and, only if something
//! trainable lies behind `x`, records it on the [`Tape`]. The order of recording is a topological order of the graph,
//! so [`Tape::backward`] walks it once from the end; each record and what it kept is freed on the way.
//!
//! ```
//! use ukulele_autograd::{Tape, Tensor};
//! let tape = Tape::new();
//! let x = tape.leaf("x", Tensor::from_vec(&[3], vec![-1., 2., 3.])?);
//! let loss = x.relu()?.mul(&x)?.sum()?;          // Σ max(x, 0)·x
//! let gradients = tape.backward(&loss)?;
//! assert_eq!(gradients.of(&x).unwrap().to_vec(), [0., 4., 6.]);
//! # Ok::<(), ukulele_autograd::Error>(())
//! ```
#![forbid(unsafe_code)]

mod audit;
mod data;
pub mod gradcheck;
mod gradient;
mod graph;
mod op;
pub mod ops;
mod profile;
mod tape;
mod value;

pub use audit::Unreached;
pub use data::{Data, Short};
pub use gradient::{Gradient, Product};
pub use graph::{Graph, GraphInput, GraphNode};
pub use op::{Keeps, Kept, Op, Slots};
pub use ops::attention::AttentionOptions;
pub use ops::batch_norm_train::{BatchNormOptions, BatchStatistics};
pub use ops::conv2d::Conv2dOptions;
pub use ops::cross_entropy::CrossEntropy;
pub use ops::dropout::Dropout;
pub use ops::gelu::Gelu;
pub use ops::max_pool2d::Pool2d;
pub use profile::{Cost, OpProfile, Way, Work};
pub use tape::{Gradients, NodeId, Tape};
pub use ukulele_kernels::gemm::Precision;
pub use ukulele_tensor::{Element, Error, Result, Tensor};
pub use value::Value;
