//! Inception-ResNet v2: blocks of parallel branches, whose scaled sum is added to the input.
//!
//! (N, 3, H, W) → conv2d_1a..4a and two max pools: to an eighth of the size → mixed_5b → repeat (10 blocks) → mixed_6a, to a
//! sixteenth → repeat_1 (20 blocks) → mixed_7a, to a thirty-second → repeat_2 (9 blocks) → block8, without ReLU → conv2d_7b →
//! mean over H and W → dropout → classif → (N, classes). Names are timm's. Sources: Szegedy et al. 2016, "Inception-v4,
//! Inception-ResNet and the Impact of Residual Connections on Learning"; timm `models/inception_resnet_v2.py`; keras
//! `applications/inception_resnet_v2.py`.

use crate::config::Reader;
use crate::image::{BasicConv2d, POOL_3X3_HALF, chain, check_image, no_group};
use crate::inception_blocks::{
    InceptionBranches, InceptionResidual, LEAST, Plan, SCALES, bare, convolution, fresh, read_scales, residuals, same,
};
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{Dropout, Init, Linear, Pass, Result, Value, module};

/// An Inception-ResNet v2's knobs, in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct InceptionResNetV2Config {
    /// Channels of the image.
    pub channels: usize,
    /// Classes out: 1000; 1001 in TF-slim.
    pub classes: usize,
    /// Rate of the dropout before `classif`: 0 in timm and Keras, 0.2 in the paper.
    pub dropout: f32,
    /// ε of all batch norms.
    pub bn_eps: f64,
    /// Whether the average pool of mixed_5b counts the padding: it does not in timm, Keras and TF-slim.
    pub count_padding: bool,
    /// Of the residual blocks of the three stages: 0.17, 0.1, 0.2. That of `block8` is 1.
    pub scales: [f64; 3],
}

impl InceptionResNetV2Config {
    /// timm's numbers.
    pub fn timm(classes: usize) -> Self {
        Self { channels: 3, classes, dropout: 0.0, bn_eps: 1e-3, count_padding: false, scales: SCALES }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "inception_resnet_v2",
            "channels": self.channels,
            "classes": self.classes,
            "dropout": f64::from(self.dropout),
            "bn_eps": self.bn_eps,
            "count_padding": self.count_padding,
            "scales": self.scales,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`InceptionResNetV2Config::to_json`] wrote.
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
            scales: read_scales(config)?,
        })
    }
}

/// Inception-ResNet v2.
#[derive(Debug, Clone)]
pub struct InceptionResNetV2 {
    /// 3×3, stride 2.
    pub conv2d_1a: BasicConv2d,
    /// 3×3.
    pub conv2d_2a: BasicConv2d,
    /// 3×3, then a max pool.
    pub conv2d_2b: BasicConv2d,
    /// 1×1.
    pub conv2d_3b: BasicConv2d,
    /// 3×3, then a max pool.
    pub conv2d_4a: BasicConv2d,
    /// To 320 channels.
    pub mixed_5b: InceptionBranches,
    /// 10 blocks of 320 channels.
    pub repeat: Vec<InceptionResidual>,
    /// To half the size and 1088 channels.
    pub mixed_6a: InceptionBranches,
    /// 20 blocks of 1088 channels.
    pub repeat_1: Vec<InceptionResidual>,
    /// To half the size and 2080 channels.
    pub mixed_7a: InceptionBranches,
    /// 9 blocks of 2080 channels.
    pub repeat_2: Vec<InceptionResidual>,
    /// The last block, without ReLU.
    pub block8: InceptionResidual,
    /// 1×1 to 1536 channels.
    pub conv2d_7b: BasicConv2d,
    /// Of the pooled features.
    pub head_drop: Dropout,
    /// The classifier.
    pub classif: Linear,
    config: InceptionResNetV2Config,
}

module!(InceptionResNetV2 {
    conv2d_1a,
    conv2d_2a,
    conv2d_2b,
    conv2d_3b,
    conv2d_4a,
    mixed_5b,
    repeat,
    mixed_6a,
    repeat_1,
    mixed_7a,
    repeat_2,
    block8,
    conv2d_7b,
    head_drop,
    classif
});

/// Channels of the pooled features.
const FEATURES: usize = 1536;

const BLOCK_35: [Plan; 3] = [
    Plan::One(same(32, 1, 1)),
    Plan::Chain(&[same(32, 1, 1), same(32, 3, 3)]),
    Plan::Chain(&[same(32, 1, 1), same(48, 3, 3), same(64, 3, 3)]),
];
const MIXED_6A: [Plan; 3] =
    [Plan::One(bare(384, 3, 2)), Plan::Chain(&[same(256, 1, 1), same(256, 3, 3), bare(384, 3, 2)]), Plan::Max];
const BLOCK_17: [Plan; 2] =
    [Plan::One(same(192, 1, 1)), Plan::Chain(&[same(128, 1, 1), same(160, 1, 7), same(192, 7, 1)])];
const MIXED_7A: [Plan; 4] = [
    Plan::Chain(&[same(256, 1, 1), bare(384, 3, 2)]),
    Plan::Chain(&[same(256, 1, 1), bare(288, 3, 2)]),
    Plan::Chain(&[same(256, 1, 1), same(288, 3, 3), bare(320, 3, 2)]),
    Plan::Max,
];
const BLOCK_8: [Plan; 2] =
    [Plan::One(same(192, 1, 1)), Plan::Chain(&[same(192, 1, 1), same(224, 1, 3), same(256, 3, 1)])];

impl InceptionResNetV2 {
    /// A network of this configuration with fresh weights.
    pub fn new(config: &InceptionResNetV2Config, init: &mut Init) -> Self {
        let fresh = &mut fresh(init, config.bn_eps);
        let mixed_5b = [
            Plan::One(same(96, 1, 1)),
            Plan::Chain(&[same(48, 1, 1), same(64, 5, 5)]),
            Plan::Chain(&[same(64, 1, 1), same(96, 3, 3), same(96, 3, 3)]),
            Plan::Mean { outputs: 64, count_padding: config.count_padding },
        ];
        let [low, middle, high] = config.scales;
        Self {
            conv2d_1a: convolution(config.channels, bare(32, 3, 2), fresh),
            conv2d_2a: convolution(32, bare(32, 3, 1), fresh),
            conv2d_2b: convolution(32, same(64, 3, 3), fresh),
            conv2d_3b: convolution(64, same(80, 1, 1), fresh),
            conv2d_4a: convolution(80, bare(192, 3, 1), fresh),
            mixed_5b: InceptionBranches::new(192, &mixed_5b, fresh),
            repeat: (0..10).map(|_| InceptionResidual::new(320, &BLOCK_35, 128, low, true, fresh)).collect(),
            mixed_6a: InceptionBranches::new(320, &MIXED_6A, fresh),
            repeat_1: (0..20).map(|_| InceptionResidual::new(1088, &BLOCK_17, 384, middle, true, fresh)).collect(),
            mixed_7a: InceptionBranches::new(1088, &MIXED_7A, fresh),
            repeat_2: (0..9).map(|_| InceptionResidual::new(2080, &BLOCK_8, 448, high, true, fresh)).collect(),
            block8: InceptionResidual::new(2080, &BLOCK_8, 448, 1.0, false, fresh),
            conv2d_7b: convolution(2080, same(FEATURES, 1, 1), fresh),
            head_drop: Dropout::new(config.dropout),
            classif: Linear::new(FEATURES, config.classes, fresh.init),
            config: config.clone(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &InceptionResNetV2Config {
        &self.config
    }

    /// What [`InceptionResNetV2::head`] sees: (N, C, H, W) to (N, 1536).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 75×75 pixels.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        (0..8).try_fold(x.clone(), |x, at| self.group(at, &x, pass))
    }

    /// One of the groups before the head of [`InceptionResNetV2::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`InceptionResNetV2::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        match at {
            0 => {
                check_image("inception_resnet_v2", x, LEAST)?;
                let y = chain(x, &[&self.conv2d_1a, &self.conv2d_2a, &self.conv2d_2b], pass)?;
                let y = y.max_pool2d(&POOL_3X3_HALF)?;
                chain(&y, &[&self.conv2d_3b, &self.conv2d_4a], pass)?.max_pool2d(&POOL_3X3_HALF)
            }
            1 => self.mixed_5b.forward(x, pass),
            2 => residuals(x, &self.repeat, pass),
            3 => self.mixed_6a.forward(x, pass),
            4 => residuals(x, &self.repeat_1, pass),
            5 => self.mixed_7a.forward(x, pass),
            6 => residuals(x, &self.repeat_2, pass),
            7 => {
                let y = self.conv2d_7b.forward(&self.block8.forward(x, pass)?, pass)?;
                y.adaptive_avg_pool2d([1, 1])?.flatten(1)
            }
            _ => no_group("inception_resnet_v2", at),
        }
    }

    /// Dropout and the classifier: (N, 1536) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.classif.forward(&self.head_drop.forward(features, pass)?, pass)
    }

    /// Logits: (N, C, H, W) to (N, classes).
    ///
    /// # Errors
    /// As [`InceptionResNetV2::features`].
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let features = self.features(x, pass)?;
        self.head(&features, pass)
    }

    /// Gives the network a fresh classifier for `classes` classes.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.classif = Linear::new(FEATURES, classes, init);
    }

    /// Prefixes of names from the input to the output, one list per group: the stem, each stage, and the head.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let groups: [&[&str]; 9] = [
            &["conv2d_1a.", "conv2d_2a.", "conv2d_2b.", "conv2d_3b.", "conv2d_4a."],
            &["mixed_5b."],
            &["repeat."],
            &["mixed_6a."],
            &["repeat_1."],
            &["mixed_7a."],
            &["repeat_2."],
            &["block8.", "conv2d_7b."],
            &["head_drop.", "classif."],
        ];
        groups.iter().map(|group| group.iter().map(|&prefix| prefix.to_owned()).collect()).collect()
    }
}
