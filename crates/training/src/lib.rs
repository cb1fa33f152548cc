//! Training: optimisers, schedules, the fit loop, metrics, checkpoints.
//!
//! [`fit`] runs it all: it asks for the batches of each epoch, takes [`loss_and_gradients`] of them, clips
//! ([`clip_norm`]), lets an [`Optimizer`] step at the rate of a [`Schedule`], validates, and keeps the best state. A model
//! takes part by being a [`Classifier`]: a trunk that makes features, and a head that makes logits of them. With the trunk
//! frozen, [`Features`] and [`HeadOnly`] run it once instead of every epoch, and a [`FeatureCache`] keeps on disk what it said;
//! with its first groups of layers frozen, [`BoundaryValues`] and [`AboveBoundary`] do the same at the boundary.
//! What does not learn runs as a plan, if there is enough of it ([`Planned`], [`FrozenTrunk`]). A [`Model`] is what it begins
//! with and what remains: a network with its labels, tokenizer and preprocessing.
#![forbid(unsafe_code)]

mod adam;
mod boundary;
mod clip;
mod error;
mod evaluate;
mod feature_cache;
mod fit;
mod frozen;
mod groups;
mod intervals;
mod metrics;
mod model;
mod optimizer;
mod schedule;
mod sgd;
mod task;
mod trunk;

pub use adam::{Adam, AdamW};
pub use boundary::{AboveBoundary, Boundary, BoundaryValues};
pub use clip::clip_norm;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, argmax, evaluate, evaluate_with, predict};
pub use feature_cache::{Cached, DataKey, FeatureCache};
pub use fit::{Batches, Control, Ending, Epoch, Event, FitOptions, History, Score, Step, fit, loss_and_gradients};
pub use frozen::{Features, HeadOnly};
pub use groups::{Group, Groups};
pub use intervals::{Interval, mean_interval, paired_difference, wilson};
pub use metrics::{ClassScore, Confusion, class_weights_balanced};
pub use model::{Model, Network, TextInput, check_writable};
pub use optimizer::Optimizer;
pub use schedule::{Decline, Schedule};
pub use sgd::Sgd;
pub use task::{Classifier, Labelled, TrunkPlan};
pub use trunk::{FrozenTrunk, Planned};
pub use ukulele_autograd::CrossEntropy;
