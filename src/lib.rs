//! Transfer learning in pure Rust: take pretrained weights out of the file they are distributed in, run them, fine-tune
//! them on a small data set, and hand them back in files that the rest of the world loads.
//!
//! This package re-exports the library crates; ARCHITECTURE.md is the map.
#![forbid(unsafe_code)]

pub use ukulele_data as data;
pub use ukulele_training as training;
pub use weights_import;

pub use ukulele_autograd::{self as autograd, Tape};
pub use ukulele_inference::{Plan, PlanOptions, Precision, TextPlan};
pub use ukulele_layers::*;
pub use ukulele_models::*;
pub use ukulele_training::{AdamW, Classifier, FrozenTrunk, Model, Network, Optimizer, Planned, Sgd};
pub use weights_import::{Dialect, Report, Weights};

/// The README's code is compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
