//! Layers: parameters with names, and the pass that runs them.
//!
//! A layer is a plain struct whose **field names are checkpoint names**: the weight that a file calls
//! `layer1.0.conv1.weight` is reached by the fields `layer1`, `0`, `conv1`, `weight`. [`module!`] lists the fields, and
//! [`Module::each`] walks them; loading, saving, freezing and optimising all go through that one walk.
//!
//! `forward` takes `&self` and a [`Pass`]. The pass is ONE forward pass: whether it trains, the tape it records on, its
//! randomness, and the statistics that batch norm layers want to have changed. There is no global mode.
//!
//! ```
//! use ukulele_layers::{Init, Linear, Module, Pass, Tensor};
//! let mut layer = Linear::new(4, 3, &mut Init::new(0));
//! layer.freeze(|name| name == "bias");
//! let mut pass = Pass::train(7);
//! let x = Tensor::ones(&[2, 4])?;
//! let loss = layer.forward(&x.into(), &mut pass)?.cross_entropy(&[0, 2])?;
//! let gradients = pass.backward(&loss)?;
//! assert!(gradients.of(&layer.weight).is_some() && gradients.of(layer.bias.as_ref().unwrap()).is_none());
//! # Ok::<(), ukulele_layers::Error>(())
//! ```
#![forbid(unsafe_code)]

mod attention;
mod batch_norm;
mod conv;
mod dropout;
mod embedding;
mod init;
mod layer_norm;
mod linear;
mod module;
mod param;
mod pass;
mod pool;
mod sequential;

pub use attention::{MultiHeadAttention, attend};
pub use batch_norm::BatchNorm2d;
pub use conv::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use init::Init;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use module::{Module, ModuleId, join};
pub use param::{Param, ParamId, Role};
pub use pass::{Gradients, Pass};
pub use pool::{AdaptiveAvgPool2d, AvgPool2d, MaxPool2d};
pub use sequential::{Layer, Sequential};
pub use ukulele_autograd::{Conv2dOptions, Cost, Error, Gelu, OpProfile, Pool2d, Precision, Result, Tensor, Value};
