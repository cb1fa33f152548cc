//! What Inception v4 and the Inception-ResNets are built of: branches side by side, and residual blocks of them.

use crate::image::{BasicConv2d, Fresh, POOL_3X3, POOL_3X3_HALF, chain};
use ukulele_layers::{
    Conv2d, Conv2dOptions, Error, Init, MaxPool2d, Module, ModuleId, Param, Pass, Pool2d, Result, Value, join, module,
};

/// A convolution to be built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    outputs: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 2],
}

/// A kernel of this height and width that keeps the size.
pub(crate) const fn same(outputs: usize, height: usize, width: usize) -> Step {
    Step { outputs, kernel: [height, width], stride: 1, padding: [height / 2, width / 2] }
}

/// A square kernel without padding.
pub(crate) const fn bare(outputs: usize, kernel: usize, stride: usize) -> Step {
    Step { outputs, kernel: [kernel; 2], stride, padding: [0; 2] }
}

/// The convolution of a step, its norm and ReLU.
pub(crate) fn convolution(inputs: usize, step: Step, fresh: &mut Fresh) -> BasicConv2d {
    BasicConv2d::new(inputs, step.outputs, step.kernel, step.stride, step.padding, fresh)
}

/// One convolution after the other.
fn steps(inputs: usize, steps: &[Step], fresh: &mut Fresh) -> Vec<BasicConv2d> {
    let mut inputs = inputs;
    let mut one = |&step: &Step| {
        let conv = convolution(inputs, step, fresh);
        inputs = step.outputs;
        conv
    };
    steps.iter().map(&mut one).collect()
}

/// Means of 3×3 at every pixel, and a 1×1; the pool is `0`.
#[derive(Debug, Clone)]
pub struct MeanBranch {
    /// 1×1.
    pub conv: BasicConv2d,
    /// Whether the means count the padding.
    count_padding: bool,
}

module!(MeanBranch { conv => "1" });

impl MeanBranch {
    pub(crate) fn new(inputs: usize, outputs: usize, count_padding: bool, fresh: &mut Fresh) -> Self {
        Self { conv: convolution(inputs, same(outputs, 1, 1), fresh), count_padding }
    }

    pub(crate) fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let mean = x.avg_pool2d(&Pool2d { count_include_pad: self.count_padding, ..POOL_3X3 })?;
        let y = self.conv.forward(&mean, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// One of several branches.
#[derive(Debug, Clone)]
pub enum InceptionBranch {
    /// One convolution.
    One(BasicConv2d),
    /// Several, `0`, `1` ...
    Chain(Vec<BasicConv2d>),
    /// Means, and a convolution.
    Mean(MeanBranch),
    /// The largest of 3×3 at every second pixel, without padding.
    Max(MaxPool2d),
}

impl Module for InceptionBranch {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        match self {
            Self::One(conv) => conv.each(path, f),
            Self::Chain(convs) => convs.each(path, f),
            Self::Mean(branch) => branch.each(path, f),
            Self::Max(pool) => pool.each(path, f),
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        match self {
            Self::One(conv) => conv.modules(path, f),
            Self::Chain(convs) => convs.modules(path, f),
            Self::Mean(branch) => branch.modules(path, f),
            Self::Max(pool) => pool.modules(path, f),
        }
    }
}

impl InceptionBranch {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        match self {
            Self::One(conv) => conv.forward(x, pass),
            Self::Chain(convs) => chain(x, &convs.iter().collect::<Vec<_>>(), pass),
            Self::Mean(branch) => branch.forward(x, pass),
            Self::Max(pool) => pool.forward(x, pass),
        }
    }
}

/// A branch to be built.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan<'a> {
    One(Step),
    Chain(&'a [Step]),
    Mean { outputs: usize, count_padding: bool },
    Max,
}

/// Branches side by side, `branch0`, `branch1` ...: (N, C, H, W) to their channels one after the other.
#[derive(Debug, Clone)]
pub struct InceptionBranches {
    /// In the order of their channels.
    pub branches: Vec<InceptionBranch>,
}

impl Module for InceptionBranches {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        for (i, branch) in self.branches.iter_mut().enumerate() {
            branch.each(&join(path, &format!("branch{i}")), f);
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        self.inner_modules(path, f);
    }
}

impl InceptionBranches {
    pub(crate) fn new(inputs: usize, plans: &[Plan], fresh: &mut Fresh) -> Self {
        let mut branch = |plan: &Plan| match *plan {
            Plan::One(step) => InceptionBranch::One(convolution(inputs, step, fresh)),
            Plan::Chain(chain) => InceptionBranch::Chain(steps(inputs, chain, fresh)),
            Plan::Mean { outputs, count_padding } => {
                InceptionBranch::Mean(MeanBranch::new(inputs, outputs, count_padding, fresh))
            }
            Plan::Max => InceptionBranch::Max(MaxPool2d(POOL_3X3_HALF)),
        };
        Self { branches: plans.iter().map(&mut branch).collect() }
    }

    fn inner_modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        for (i, branch) in self.branches.iter().enumerate() {
            branch.modules(&join(path, &format!("branch{i}")), f);
        }
    }

    pub(crate) fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let parts = self.branches.iter().map(|branch| branch.forward(x, pass)).collect::<Result<Vec<_>>>()?;
        let y = Value::concat(&parts.iter().collect::<Vec<_>>(), 1)?;
        Ok(pass.tap(self, y))
    }
}

/// A residual block: x + s · conv2d(branches(x)), then ReLU but in the last.
#[derive(Debug, Clone)]
pub struct InceptionResidual {
    /// `branch0`, `branch1` ...
    pub branches: InceptionBranches,
    /// 1×1 with bias, back to the channels of x.
    pub conv2d: Conv2d,
    /// s.
    scale: f64,
    relu: bool,
}

impl Module for InceptionResidual {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        self.branches.each(path, f);
        self.conv2d.each(&join(path, "conv2d"), f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        self.branches.inner_modules(path, f);
        self.conv2d.modules(&join(path, "conv2d"), f);
    }
}

impl InceptionResidual {
    /// Of `channels`; the branches give `inner` together.
    pub(crate) fn new(
        channels: usize,
        plans: &[Plan],
        inner: usize,
        scale: f64,
        relu: bool,
        fresh: &mut Fresh,
    ) -> Self {
        Self {
            branches: InceptionBranches::new(channels, plans, fresh),
            conv2d: Conv2d::new(inner, channels, 1, Conv2dOptions::default(), fresh.init).with_bias(),
            scale,
            relu,
        }
    }

    pub(crate) fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let branches = self.branches.forward(x, pass)?;
        let y = self.conv2d.forward(&branches, pass)?.scale(self.scale)?.add(x)?;
        let y = if self.relu { y.relu()? } else { y };
        Ok(pass.tap(self, y))
    }
}

/// One block after the other.
pub(crate) fn residuals(x: &Value, blocks: &[InceptionResidual], pass: &mut Pass) -> Result<Value> {
    blocks.iter().try_fold(x.clone(), |x, block| block.forward(&x, pass))
}

/// The smallest image of which anything is left at the end, of all three networks.
pub(crate) const LEAST: usize = 75;

/// The scales of the residual blocks of the three stages.
pub(crate) const SCALES: [f64; 3] = [0.17, 0.1, 0.2];

/// Three scales of a configuration.
pub(crate) fn read_scales(config: &serde_json::Value) -> Result<[f64; 3]> {
    let list = config["scales"].as_array().filter(|list| list.len() == 3);
    let number = |value: &serde_json::Value| value.as_f64().filter(|x| x.is_finite() && x.abs() <= 1e6);
    let scales = list.and_then(|list| list.iter().map(number).collect::<Option<Vec<_>>>());
    scales.and_then(|scales| scales.try_into().ok()).ok_or_else(|| {
        Error::argument(
            "config.json",
            format!("`scales` is {}; a list of three numbers belongs there", config["scales"]),
        )
    })
}

/// Fresh layers of batch norms with this ε.
pub(crate) fn fresh(init: &mut Init, bn_eps: f64) -> Fresh<'_> {
    Fresh { init, deviation: 0.1, bn_eps }
}
