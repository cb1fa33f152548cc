//! Numeric kernels: slices in, slices out; and the [`arena`] that large buffers come from.
//!
//! Every public kernel is generic over the [`Element`] type (f32 or f64). For f32 it picks the widest instruction set
//! of the machine at run time ([`isa`]); for f64 it runs the naive twin in [`naive`], which is also the reference that
//! the fast kernels are tested against. Algorithms are written once over the [`simd::Simd`] trait.
//!
//! Results do not depend on the number of threads: work is cut into pieces of fixed size and sums are taken in a fixed
//! order. Sizes that do not fit are a bug of the caller and panic at the door of the kernel; shapes that come from users
//! are checked one floor up, in the tensor and autograd crates.

#[macro_use]
pub mod isa;
#[macro_use]
mod lanes;
pub mod arena;
pub mod attention;
pub mod conv;
pub mod element;
pub mod elementwise;
pub mod embedding;
pub mod gemm;
pub mod machine;
pub mod math;
pub mod naive;
pub mod norm;
pub mod numbers;
pub mod optim;
pub mod pool;
pub mod random;
pub mod reduce;
pub mod simd;
pub mod softmax;
pub mod strided;
mod team;

/// The product of sizes of `what`.
///
/// # Panics
/// If it does not fit `usize`: what wraps around would let writes go beyond the end.
fn product<const N: usize>(sizes: [usize; N], what: &dyn std::fmt::Debug) -> usize {
    sizes.into_iter().try_fold(1, usize::checked_mul).unwrap_or_else(|| panic!("{what:?} is larger than any memory"))
}
#[cfg(test)]
mod testing;

pub use element::Element;
pub use isa::Isa;
pub use team::in_pool;
