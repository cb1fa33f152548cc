//! What a plan can do: one step, from values to a value.

use crate::weight::Rows;
use ukulele_kernels::conv::Conv2d;
use ukulele_kernels::elementwise::{Binary, Unary};
use ukulele_kernels::gemm::Activation;
use ukulele_kernels::pool::{AdaptivePool2d, Pool2d};

/// A value of the plan, by number.
pub(crate) type Id = usize;

/// What a step reads.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Value(Id),
    /// The same for each image, in the memory order of the value that it becomes a part of.
    Constant(Vec<f32>),
}

/// What a step computes. Sizes are those of one image.
#[derive(Debug)]
pub(crate) enum Kernel {
    /// act(conv(x) + bias + residual), the residual being the second input.
    Conv {
        g: Conv2d,
        weight: Rows,
        bias: Vec<f32>,
        activation: Activation,
    },
    /// act(x·Wᵀ + bias + residual), W being [out, in].
    Linear {
        weight: Rows,
        bias: Vec<f32>,
        activation: Activation,
    },
    /// max?(scale·x + shift + residual, 0) per channel.
    Scale {
        scale: Vec<f32>,
        shift: Vec<f32>,
        relu: bool,
    },
    /// (x − mean)/√(variance + eps)·gamma + beta of each token.
    LayerNorm {
        gamma: Vec<f32>,
        beta: Vec<f32>,
        eps: f64,
    },
    /// Attention of the tokens of each text to each other. The input has Q, K and V one after the other.
    Attention {
        heads: usize,
        scale: f64,
    },
    MaxPool(Pool2d),
    AvgPool(Pool2d),
    Bins(AdaptivePool2d),
    Unary(Unary),
    /// scale·x + shift with the same numbers everywhere.
    Affine(f32, f32),
    Binary(Binary),
    /// The inputs one after the other: each is cut into `outer` equal runs, which take turns.
    Concat {
        outer: usize,
    },
    /// From channels-last to row-major: (pixels, channels).
    Transpose(usize, usize),
}

impl Kernel {
    /// What it is called in a table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kernel::Conv { .. } => "conv",
            Kernel::Linear { .. } => "linear",
            Kernel::Scale { .. } => "scale",
            Kernel::LayerNorm { .. } => "layer norm",
            Kernel::Attention { .. } => "attention",
            Kernel::MaxPool(_) => "max pool",
            Kernel::AvgPool(_) => "average pool",
            Kernel::Bins(_) => "adaptive average pool",
            Kernel::Unary(_) => "function",
            Kernel::Affine(..) => "affine",
            Kernel::Binary(_) => "binary",
            Kernel::Concat { .. } => "concat",
            Kernel::Transpose(..) => "transpose",
        }
    }

    /// Does it take all images at once? What has no pixels is too small to be taken image by image.
    pub(crate) fn is_dense(&self, pixels: usize) -> bool {
        matches!(self, Kernel::Linear { .. }) || (pixels == 1 && !matches!(self, Kernel::Conv { .. } | Kernel::Bins(_)))
    }
}

/// A step: `output` becomes `kernel(inputs)`.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    pub(crate) inputs: Vec<Source>,
    pub(crate) output: Id,
}

impl Step {
    /// The values that are read.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Id> {
        self.inputs.iter().filter_map(|input| match input {
            Source::Value(id) => Some(*id),
            Source::Constant(_) => None,
        })
    }
}
