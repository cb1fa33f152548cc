//! Training from the outside: optimisers against torch, freezing, the loop, checkpoints.

mod accumulation;
mod boundary;
#[path = "../common/mod.rs"]
mod common;
mod determinism;
mod feature_cache;
mod feature_file;
mod fit;
mod freezing;
mod frozen;
mod gradient_checkpointing;
mod model;
mod optimizers;
mod plans;
mod precision;
