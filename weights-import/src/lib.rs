//! Weights files to named tensors, and into models.
//!
//! [`open`] finds a file's format from its content and reads its index; a tensor is read when it is asked for. A
//! [`Dialect`] knows how a source names and shapes the tensors of an architecture, and the numeric choices ([`Knobs`])
//! that go with its weights. [`load`] brings both into a model and returns a [`Report`] of everything it did; the caller
//! says what may be missing. [`save_safetensors`], [`save_npz`] and [`save_pytorch`] write weights so that a crash leaves
//! the old file or the new one.
//!
//! ```
//! use ukulele_tensor::Tensor;
//! use weights_import::{Dialect, Dtype, Slot};
//!
//! let folder = std::env::temp_dir().join(format!("weights-import-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let path = folder.join("model.safetensors");
//! let weight = Tensor::from_vec(&[2, 3], vec![0., 1., 2., 3., 4., 5.])?;
//! weights_import::save_safetensors(&path, &[("linear.weight".into(), &weight)], &[], Dtype::F32)?;
//!
//! let weights = weights_import::open(&path)?; // format found by content
//! assert_eq!(weights.format(), "safetensors");
//! assert_eq!(weights.get("linear.weight")?.to_vec(), weight.to_vec());
//!
//! // A model of two tensors; the file has one of them.
//! let (mut weight, mut bias) = (Tensor::zeros(&[2, 3])?, Tensor::zeros(&[2])?);
//! let slots = vec![
//!     Slot { name: "linear.weight".into(), tensor: &mut weight },
//!     Slot { name: "linear.bias".into(), tensor: &mut bias },
//! ];
//! let report = weights_import::load(slots, &weights, &Dialect::plain())?;
//! assert_eq!(report.missing, ["linear.bias"]);
//! report.only_missing(&["linear.bias"])?; // without this permission it is an error
//! assert_eq!(weight.to_vec()[5], 5.);
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way of the data
//!
//! bytes ([`Source`]) -> index ([`Reader`], one file in `formats/` each) -> [`Weights`] -> names and axes ([`Dialect`],
//! one table in `dialects/` each) -> slots ([`load`]) -> [`Report`]. The doctor ([`examine`] and its like) says what
//! smells on the way.
//!
//! Nothing in a file is trusted: no length is believed before it is compared with the bytes that are there, and no
//! mistake of a file panics.
#![forbid(unsafe_code)]

mod atomic;
mod crc32c;
mod dialect;
mod dialects;
mod doctor;
mod dtype;
mod error;
mod formats;
mod guess;
mod guess_images;
mod hdf5;
mod json;
mod keras_sequential;
mod leveldb;
mod load;
mod near;
mod pattern;
mod pickle;
mod protobuf;
mod quantised;
mod reader;
mod report;
mod save;
mod save_sharded;
mod snappy;
mod unpack;
mod weights;
mod zip;

pub use atomic::{NewFile, atomic_write};
pub use dialect::{Dialect, Gelu, How, Knobs, MakeMappings, Mapping, Named, Rule, Table};
pub use doctor::{Finding, Statistics, examine, examine_colours, examine_names, examine_norms};
pub use dtype::Dtype;
pub use error::{Error, Result};
pub use guess::{
    Architecture, Bert, Block, CifarResNet, Inception, ResNet, ResNetV2, TextFamily, Vgg, guess, guess_from,
};
pub use keras_sequential::{KerasLayer, KerasSequential};
pub use load::{Options, Slot, load, load_with, read};
pub use reader::{Entry, Links, Raw, Reader, Source};
pub use report::{Misshapen, Report};
pub use save::{
    safetensors_head, save_npy, save_npz, save_pytorch, save_safetensors, write_npz, write_pytorch, write_safetensors,
};
pub use save_sharded::save_safetensors_sharded;
pub use unpack::unpack;
pub use weights::{Weights, from_bytes, from_source, open};
