//! Inception v4: as v3, of more and more uniform blocks.
//!
//! (N, 3, H, W) → features.0..5, the stem: to an eighth of the size → 6..9 (four blocks A) → 10 (to a sixteenth) → 11..17
//! (seven blocks B) → 18 (to a thirty-second) → 19..21 (three blocks C) → mean over H and W → dropout → last_linear →
//! (N, classes). Names are timm's. Sources: Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual
//! Connections on Learning"; timm `models/inception_v4.py`.

use crate::config::Reader;
use crate::image::{BasicConv2d, Fresh, POOL_3X3_HALF, check_image, no_group};
use crate::inception_blocks::{InceptionBranches, LEAST, MeanBranch, Plan, bare, convolution, fresh, same};
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{Dropout, Init, Linear, Module, ModuleId, Param, Pass, Result, Value, module};

/// An Inception v4's knobs, in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct InceptionV4Config {
    /// Channels of the image.
    pub channels: usize,
    /// Classes out: 1000; 1001 in TF-slim.
    pub classes: usize,
    /// Rate of the dropout before `last_linear`: 0 in timm, 0.2 in the paper.
    pub dropout: f32,
    /// ε of all batch norms.
    pub bn_eps: f64,
    /// Whether the average pools of the branches count the padding: they do not in timm and TF-slim.
    pub count_padding: bool,
}

impl InceptionV4Config {
    /// timm's numbers.
    pub fn timm(classes: usize) -> Self {
        Self { channels: 3, classes, dropout: 0.0, bn_eps: 1e-3, count_padding: false }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "inception_v4",
            "channels": self.channels,
            "classes": self.classes,
            "dropout": f64::from(self.dropout),
            "bn_eps": self.bn_eps,
            "count_padding": self.count_padding,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`InceptionV4Config::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        Ok(Self {
            channels: read.size("channels")?,
            classes: read.size("classes")?,
            dropout: read.fraction("dropout")? as f32,
            bn_eps: read.fraction("bn_eps")?,
            count_padding: read.flag("count_padding")?,
        })
    }
}

/// A convolution to half the size beside a max pool, of the stem.
#[derive(Debug, Clone)]
pub struct InceptionV4Pooled {
    /// 3×3, stride 2.
    pub conv: BasicConv2d,
    /// Whether the pool's channels are the first.
    pool_first: bool,
}

module!(InceptionV4Pooled { conv });

impl InceptionV4Pooled {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let (conv, pool) = (self.conv.forward(x, pass)?, x.max_pool2d(&POOL_3X3_HALF)?);
        let y = Value::concat(&if self.pool_first { [&pool, &conv] } else { [&conv, &pool] }, 1)?;
        Ok(pass.tap(self, y))
    }
}

/// A block C: 1×1; 1×1, then a row beside a column; 1×1, a column, a row, then a row beside a column; means.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say branch and place")]
pub struct InceptionV4C {
    pub branch0: BasicConv2d,
    pub branch1_0: BasicConv2d,
    pub branch1_1a: BasicConv2d,
    pub branch1_1b: BasicConv2d,
    pub branch2_0: BasicConv2d,
    pub branch2_1: BasicConv2d,
    pub branch2_2: BasicConv2d,
    pub branch2_3a: BasicConv2d,
    pub branch2_3b: BasicConv2d,
    pub branch3: MeanBranch,
}

module!(InceptionV4C {
    branch0,
    branch1_0,
    branch1_1a,
    branch1_1b,
    branch2_0,
    branch2_1,
    branch2_2,
    branch2_3a,
    branch2_3b,
    branch3
});

impl InceptionV4C {
    fn new(count_padding: bool, fresh: &mut Fresh) -> Self {
        let inputs = FEATURES;
        Self {
            branch0: convolution(inputs, same(256, 1, 1), fresh),
            branch1_0: convolution(inputs, same(384, 1, 1), fresh),
            branch1_1a: convolution(384, same(256, 1, 3), fresh),
            branch1_1b: convolution(384, same(256, 3, 1), fresh),
            branch2_0: convolution(inputs, same(384, 1, 1), fresh),
            branch2_1: convolution(384, same(448, 3, 1), fresh),
            branch2_2: convolution(448, same(512, 1, 3), fresh),
            branch2_3a: convolution(512, same(256, 1, 3), fresh),
            branch2_3b: convolution(512, same(256, 3, 1), fresh),
            branch3: MeanBranch::new(inputs, 256, count_padding, fresh),
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let zero = self.branch0.forward(x, pass)?;
        let y = self.branch1_0.forward(x, pass)?;
        let (row_1, column_1) = (self.branch1_1a.forward(&y, pass)?, self.branch1_1b.forward(&y, pass)?);
        let y = self.branch2_1.forward(&self.branch2_0.forward(x, pass)?, pass)?;
        let y = self.branch2_2.forward(&y, pass)?;
        let (row_2, column_2) = (self.branch2_3a.forward(&y, pass)?, self.branch2_3b.forward(&y, pass)?);
        let mean = self.branch3.forward(x, pass)?;
        let y = Value::concat(&[&zero, &row_1, &column_1, &row_2, &column_2, &mean], 1)?;
        Ok(pass.tap(self, y))
    }
}

/// One of `features`.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a network has 22")]
pub enum InceptionV4Layer {
    /// A convolution of the stem.
    Conv(BasicConv2d),
    /// A convolution beside a pool.
    Pooled(InceptionV4Pooled),
    /// The stem's last but one, blocks A and B, and the two between blocks that halve the size.
    Branches(InceptionBranches),
    /// A block C.
    C(InceptionV4C),
}

impl Module for InceptionV4Layer {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        match self {
            Self::Conv(layer) => layer.each(path, f),
            Self::Pooled(layer) => layer.each(path, f),
            Self::Branches(layer) => layer.each(path, f),
            Self::C(layer) => layer.each(path, f),
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        match self {
            Self::Conv(layer) => layer.modules(path, f),
            Self::Pooled(layer) => layer.modules(path, f),
            Self::Branches(layer) => layer.modules(path, f),
            Self::C(layer) => layer.modules(path, f),
        }
    }
}

impl InceptionV4Layer {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        match self {
            Self::Conv(layer) => layer.forward(x, pass),
            Self::Pooled(layer) => layer.forward(x, pass),
            Self::Branches(layer) => layer.forward(x, pass),
            Self::C(layer) => layer.forward(x, pass),
        }
    }
}

/// Inception v4.
#[derive(Debug, Clone)]
pub struct InceptionV4 {
    /// Stem and blocks, `0` to `21`.
    pub features: Vec<InceptionV4Layer>,
    /// Of the pooled features.
    pub head_drop: Dropout,
    /// The classifier.
    pub last_linear: Linear,
    config: InceptionV4Config,
}

module!(InceptionV4 { features, head_drop, last_linear });

/// Channels of the pooled features.
const FEATURES: usize = 1536;

/// Layers of the first group.
const STEM: usize = 3;

const MIXED_4A: [Plan; 2] = [
    Plan::Chain(&[same(64, 1, 1), bare(96, 3, 1)]),
    Plan::Chain(&[same(64, 1, 1), same(64, 1, 7), same(64, 7, 1), bare(96, 3, 1)]),
];
const REDUCTION_A: [Plan; 3] =
    [Plan::One(bare(384, 3, 2)), Plan::Chain(&[same(192, 1, 1), same(224, 3, 3), bare(256, 3, 2)]), Plan::Max];
const REDUCTION_B: [Plan; 3] = [
    Plan::Chain(&[same(192, 1, 1), bare(192, 3, 2)]),
    Plan::Chain(&[same(256, 1, 1), same(256, 1, 7), same(320, 7, 1), bare(320, 3, 2)]),
    Plan::Max,
];

fn block_a(count_padding: bool) -> [Plan<'static>; 4] {
    [
        Plan::One(same(96, 1, 1)),
        Plan::Chain(const { &[same(64, 1, 1), same(96, 3, 3)] }),
        Plan::Chain(const { &[same(64, 1, 1), same(96, 3, 3), same(96, 3, 3)] }),
        Plan::Mean { outputs: 96, count_padding },
    ]
}

fn block_b(count_padding: bool) -> [Plan<'static>; 4] {
    [
        Plan::One(same(384, 1, 1)),
        Plan::Chain(const { &[same(192, 1, 1), same(224, 1, 7), same(256, 7, 1)] }),
        Plan::Chain(const { &[same(192, 1, 1), same(192, 7, 1), same(224, 1, 7), same(224, 7, 1), same(256, 1, 7)] }),
        Plan::Mean { outputs: 128, count_padding },
    ]
}

impl InceptionV4 {
    /// A network of this configuration with fresh weights.
    pub fn new(config: &InceptionV4Config, init: &mut Init) -> Self {
        let (fresh, count) = (&mut fresh(init, config.bn_eps), config.count_padding);
        let mut features = vec![
            InceptionV4Layer::Conv(convolution(config.channels, bare(32, 3, 2), fresh)),
            InceptionV4Layer::Conv(convolution(32, bare(32, 3, 1), fresh)),
            InceptionV4Layer::Conv(convolution(32, same(64, 3, 3), fresh)),
        ];
        let pooled = |inputs, outputs, pool_first, fresh: &mut Fresh| {
            InceptionV4Layer::Pooled(InceptionV4Pooled {
                conv: convolution(inputs, bare(outputs, 3, 2), fresh),
                pool_first,
            })
        };
        let branches = |inputs, plans: &[Plan], fresh: &mut Fresh| {
            InceptionV4Layer::Branches(InceptionBranches::new(inputs, plans, fresh))
        };
        features.push(pooled(64, 96, true, fresh));
        features.push(branches(160, &MIXED_4A, fresh));
        features.push(pooled(192, 192, false, fresh));
        features.extend((0..4).map(|_| branches(384, &block_a(count), fresh)));
        features.push(branches(384, &REDUCTION_A, fresh));
        features.extend((0..7).map(|_| branches(1024, &block_b(count), fresh)));
        features.push(branches(1024, &REDUCTION_B, fresh));
        features.extend((0..3).map(|_| InceptionV4Layer::C(InceptionV4C::new(count, fresh))));
        Self {
            features,
            head_drop: Dropout::new(config.dropout),
            last_linear: Linear::new(FEATURES, config.classes, fresh.init),
            config: config.clone(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &InceptionV4Config {
        &self.config
    }

    /// What [`InceptionV4::head`] sees: (N, C, H, W) to (N, 1536).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 75×75 pixels.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        (0..self.features.len() - (STEM - 1)).try_fold(x.clone(), |x, at| self.group(at, &x, pass))
    }

    /// One of the groups before the head of [`InceptionV4::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`InceptionV4::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        if at == 0 {
            check_image("inception_v4", x, LEAST)?;
            return self.features[..STEM].iter().try_fold(x.clone(), |x, layer| layer.forward(&x, pass));
        }
        let place = at + STEM - 1;
        let Some(layer) = self.features.get(place) else { return no_group("inception_v4", at) };
        let y = layer.forward(x, pass)?;
        if place + 1 < self.features.len() { Ok(y) } else { y.adaptive_avg_pool2d([1, 1])?.flatten(1) }
    }

    /// Dropout and the classifier: (N, 1536) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.last_linear.forward(&self.head_drop.forward(features, pass)?, pass)
    }

    /// Logits: (N, C, H, W) to (N, classes).
    ///
    /// # Errors
    /// As [`InceptionV4::features`].
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let features = self.features(x, pass)?;
        self.head(&features, pass)
    }

    /// Gives the network a fresh classifier for `classes` classes.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.last_linear = Linear::new(FEATURES, classes, init);
    }

    /// Prefixes of names from the input to the output, one list per group: the first three convolutions, each further layer,
    /// and the head.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let layer = |number: usize| format!("features.{number}.");
        let stem = (0..STEM).map(layer).collect();
        let blocks = (STEM..self.features.len()).map(|number| vec![layer(number)]);
        let head = ["head_drop.", "last_linear."].map(str::to_owned).to_vec();
        std::iter::once(stem).chain(blocks).chain([head]).collect()
    }
}
