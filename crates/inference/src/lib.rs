//! Inference plans: a forward pass, recorded once, as a list of steps over planned memory.
//!
//! [`Plan::compile`] runs a network once on an example and reads the ops that it used. Batch norms are folded into the
//! convolutions before them; bias, residual, ReLU and GELU are applied while a product is in registers; weights are packed
//! once, and convolutions with stride 1 are computed by Winograd's algorithm where that is faster. Branches that are put together
//! write into their places. Memory is planned by lifetime and kept from run to run. Images go through one by one (a few at
//! a time if they are small), so that what a step writes is still in the cache when the next one reads it; dense layers
//! take the whole batch.
//!
//! [`TextPlan`] is the encoder of a model of text: Q, K and V are one product, and padding costs nothing.
//!
//! In f32 the numbers are those of the pass to about 1e-6 of the largest; rounding differs. In bf16 and int8
//! ([`PlanOptions::precision`]) they are off by about a hundredth.

mod forms;
mod lower;
mod memory;
mod plan;
mod step;
mod text;
mod weight;

pub use plan::{Plan, PlanOptions, StepProfile};
pub use text::TextPlan;
pub use ukulele_kernels::gemm::Precision;
