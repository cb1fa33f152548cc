//! A tensor of a model that a checkpoint holds.

use std::sync::atomic::{AtomicU64, Ordering};
use ukulele_autograd::Tensor;

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A weight: matrices and kernels, to which weight decay applies.
    Weight,
    /// A bias, or the scale of a norm: trained, but not decayed.
    Bias,
    /// A running statistic of batch norm: moved by the forward pass, never by a gradient.
    Statistic,
    /// The rate of a dropout layer. No checkpoint holds it; frozen, the layer drops nothing.
    Rate,
}

impl Role {
    /// Whether gradients train it.
    pub fn is_trained(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

/// Identifies a parameter for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParamId(u64);

impl ParamId {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A tensor of a model that a checkpoint holds, its role, and whether it is frozen.
#[derive(Debug)]
pub struct Param {
    /// The numbers.
    pub value: Tensor,
    /// What it is for.
    pub role: Role,
    /// A frozen weight or bias gets no gradient; a frozen statistic stays as loaded, and its layer normalises with it
    /// even in training; a frozen rate drops nothing.
    pub frozen: bool,
    id: ParamId,
}

impl Clone for Param {
    /// The copy has an identity of its own: a pass that runs both models keeps them apart.
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), role: self.role, frozen: self.frozen, id: ParamId::fresh() }
    }
}

impl Param {
    /// A parameter, not frozen.
    pub fn new(value: Tensor, role: Role) -> Self {
        Self { value, role, frozen: false, id: ParamId::fresh() }
    }

    /// Its identity.
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// Whether gradients train it now.
    pub fn is_trainable(&self) -> bool {
        self.role.is_trained() && !self.frozen
    }
}
