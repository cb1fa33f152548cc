//! Inception-ResNet v1 as faces are recognised with: FaceNet.
//!
//! (N, 3, H, W) → conv2d_1a..4b and a max pool: to an eighth of the size → repeat_1 (5 blocks) → mixed_6a, to a sixteenth →
//! repeat_2 (10 blocks) → mixed_7a, to a thirty-second → repeat_3 (5 blocks) → block8, without ReLU → mean over H and W →
//! dropout → last_linear, last_bn: an embedding of 512 numbers → its direction, or logits: (N, classes). Names are
//! facenet-pytorch's. Sources: Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
//! Learning"; Schroff et al. 2015, "FaceNet"; facenet-pytorch `models/inception_resnet_v1.py`.

use crate::config::Reader;
use crate::image::{BasicConv2d, POOL_3X3_HALF, chain, check_image, no_group};
use crate::inception_blocks::{
    InceptionBranches, InceptionResidual, LEAST, Plan, SCALES, bare, convolution, fresh, read_scales, residuals, same,
};
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{BatchNorm2d, Dropout, Error, Init, Linear, Pass, Result, Value, module};

/// An Inception-ResNet v1's knobs, in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct InceptionResNetV1Config {
    /// Channels of the image.
    pub channels: usize,
    /// Classes out: 8631 people of VGGFace2, 10575 of CASIA-WebFace. `None`: no classifier; what comes out is the direction
    /// of the embedding (facenet-pytorch's `classify=False`).
    pub classes: Option<usize>,
    /// Rate of the dropout before `last_linear`: 0.6.
    pub dropout: f32,
    /// ε of all batch norms.
    pub bn_eps: f64,
    /// Of the residual blocks of the three stages: 0.17, 0.1, 0.2. That of `block8` is 1.
    pub scales: [f64; 3],
}

impl InceptionResNetV1Config {
    /// Numbers of an embedding.
    pub const EMBEDDING: usize = 512;

    /// facenet-pytorch's numbers.
    pub fn facenet(classes: Option<usize>) -> Self {
        Self { channels: 3, classes, dropout: 0.6, bn_eps: 1e-3, scales: SCALES }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "inception_resnet_v1",
            "channels": self.channels,
            "classes": self.classes,
            "dropout": f64::from(self.dropout),
            "bn_eps": self.bn_eps,
            "scales": self.scales,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`InceptionResNetV1Config::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        Ok(Self {
            channels: read.size("channels")?,
            classes: match config.get("classes") {
                Some(Json::Null) => None,
                _ => Some(read.size("classes")?),
            },
            dropout: read.fraction("dropout")? as f32,
            bn_eps: read.fraction("bn_eps")?,
            scales: read_scales(config)?,
        })
    }
}

/// Inception-ResNet v1.
#[derive(Debug, Clone)]
pub struct InceptionResNetV1 {
    /// 3×3, stride 2.
    pub conv2d_1a: BasicConv2d,
    /// 3×3.
    pub conv2d_2a: BasicConv2d,
    /// 3×3, then a max pool.
    pub conv2d_2b: BasicConv2d,
    /// 1×1.
    pub conv2d_3b: BasicConv2d,
    /// 3×3.
    pub conv2d_4a: BasicConv2d,
    /// 3×3, stride 2.
    pub conv2d_4b: BasicConv2d,
    /// 5 blocks of 256 channels.
    pub repeat_1: Vec<InceptionResidual>,
    /// To half the size and 896 channels.
    pub mixed_6a: InceptionBranches,
    /// 10 blocks of 896 channels.
    pub repeat_2: Vec<InceptionResidual>,
    /// To half the size and 1792 channels.
    pub mixed_7a: InceptionBranches,
    /// 5 blocks of 1792 channels.
    pub repeat_3: Vec<InceptionResidual>,
    /// The last block, without ReLU.
    pub block8: InceptionResidual,
    /// Of the means.
    pub dropout: Dropout,
    /// To the embedding, without bias.
    pub last_linear: Linear,
    /// Norm of the embedding.
    pub last_bn: BatchNorm2d,
    /// The classifier.
    pub logits: Option<Linear>,
    config: InceptionResNetV1Config,
}

module!(InceptionResNetV1 {
    conv2d_1a,
    conv2d_2a,
    conv2d_2b,
    conv2d_3b,
    conv2d_4a,
    conv2d_4b,
    repeat_1,
    mixed_6a,
    repeat_2,
    mixed_7a,
    repeat_3,
    block8,
    dropout,
    last_linear,
    last_bn,
    logits
});

const BLOCK_35: [Plan; 3] = [
    Plan::One(same(32, 1, 1)),
    Plan::Chain(&[same(32, 1, 1), same(32, 3, 3)]),
    Plan::Chain(&[same(32, 1, 1), same(32, 3, 3), same(32, 3, 3)]),
];
const MIXED_6A: [Plan; 3] =
    [Plan::One(bare(384, 3, 2)), Plan::Chain(&[same(192, 1, 1), same(192, 3, 3), bare(256, 3, 2)]), Plan::Max];
const BLOCK_17: [Plan; 2] =
    [Plan::One(same(128, 1, 1)), Plan::Chain(&[same(128, 1, 1), same(128, 1, 7), same(128, 7, 1)])];
const MIXED_7A: [Plan; 4] = [
    Plan::Chain(&[same(256, 1, 1), bare(384, 3, 2)]),
    Plan::Chain(&[same(256, 1, 1), bare(256, 3, 2)]),
    Plan::Chain(&[same(256, 1, 1), same(256, 3, 3), bare(256, 3, 2)]),
    Plan::Max,
];
const BLOCK_8: [Plan; 2] =
    [Plan::One(same(192, 1, 1)), Plan::Chain(&[same(192, 1, 1), same(192, 1, 3), same(192, 3, 1)])];

impl InceptionResNetV1 {
    /// A network of this configuration with fresh weights.
    pub fn new(config: &InceptionResNetV1Config, init: &mut Init) -> Self {
        let fresh = &mut fresh(init, config.bn_eps);
        let [low, middle, high] = config.scales;
        let embedding = InceptionResNetV1Config::EMBEDDING;
        Self {
            conv2d_1a: convolution(config.channels, bare(32, 3, 2), fresh),
            conv2d_2a: convolution(32, bare(32, 3, 1), fresh),
            conv2d_2b: convolution(32, same(64, 3, 3), fresh),
            conv2d_3b: convolution(64, same(80, 1, 1), fresh),
            conv2d_4a: convolution(80, bare(192, 3, 1), fresh),
            conv2d_4b: convolution(192, bare(256, 3, 2), fresh),
            repeat_1: (0..5).map(|_| InceptionResidual::new(256, &BLOCK_35, 96, low, true, fresh)).collect(),
            mixed_6a: InceptionBranches::new(256, &MIXED_6A, fresh),
            repeat_2: (0..10).map(|_| InceptionResidual::new(896, &BLOCK_17, 256, middle, true, fresh)).collect(),
            mixed_7a: InceptionBranches::new(896, &MIXED_7A, fresh),
            repeat_3: (0..5).map(|_| InceptionResidual::new(1792, &BLOCK_8, 384, high, true, fresh)).collect(),
            block8: InceptionResidual::new(1792, &BLOCK_8, 384, 1.0, false, fresh),
            dropout: Dropout::new(config.dropout),
            last_linear: Linear { bias: None, ..Linear::new(1792, embedding, fresh.init) },
            last_bn: BatchNorm2d::new(embedding, config.bn_eps),
            logits: config.classes.map(|classes| Linear::new(embedding, classes, fresh.init)),
            config: config.clone(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &InceptionResNetV1Config {
        &self.config
    }

    /// The embedding, of any length: (N, C, H, W) to (N, 512).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 75×75 pixels; in training a single image.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        (0..8).try_fold(x.clone(), |x, at| self.group(at, &x, pass))
    }

    /// One of the groups before the head of [`InceptionResNetV1::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`InceptionResNetV1::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        match at {
            0 => {
                check_image("inception_resnet_v1", x, LEAST)?;
                let y = chain(x, &[&self.conv2d_1a, &self.conv2d_2a, &self.conv2d_2b], pass)?;
                let y = y.max_pool2d(&POOL_3X3_HALF)?;
                chain(&y, &[&self.conv2d_3b, &self.conv2d_4a, &self.conv2d_4b], pass)
            }
            1 => residuals(x, &self.repeat_1, pass),
            2 => self.mixed_6a.forward(x, pass),
            3 => residuals(x, &self.repeat_2, pass),
            4 => self.mixed_7a.forward(x, pass),
            5 => residuals(x, &self.repeat_3, pass),
            6 => self.block8.forward(x, pass)?.adaptive_avg_pool2d([1, 1])?.flatten(1),
            7 => {
                let y = self.last_linear.forward(&self.dropout.forward(x, pass)?, pass)?;
                let [n, width] = y.dims::<2>("inception_resnet_v1", "embeddings (N, 512)")?;
                self.last_bn.forward(&y.reshape(&[n, width, 1, 1])?, pass)?.flatten(1)
            }
            _ => no_group("inception_resnet_v1", at),
        }
    }

    /// The classifier: (N, 512) to (N, classes); without one the direction of the embedding, y / |y|.
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        let [_, width] = features.dims::<2>("inception_resnet_v1", "embeddings (N, 512)")?;
        if width != InceptionResNetV1Config::EMBEDDING {
            return Err(Error::shape("inception_resnet_v1", features.shape(), "embeddings (N, 512)"));
        }
        match &self.logits {
            Some(logits) => logits.forward(features, pass),
            // What is added keeps the derivative at zero finite and is below rounding elsewhere.
            None => features.div(&features.square()?.sum_dims(&[1], true)?.add_scalar(1e-24)?.sqrt()?),
        }
    }

    /// Logits (N, classes), or directions (N, 512), of images (N, C, H, W).
    ///
    /// # Errors
    /// As [`InceptionResNetV1::features`].
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let features = self.features(x, pass)?;
        self.head(&features, pass)
    }

    /// Gives the network a fresh classifier for `classes` classes.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = Some(classes);
        self.logits = Some(Linear::new(InceptionResNetV1Config::EMBEDDING, classes, init));
    }

    /// Takes the classifier away: directions of embeddings come out.
    pub fn remove_head(&mut self) {
        self.config.classes = None;
        self.logits = None;
    }

    /// Prefixes of names from the input to the output, one list per group: the stem, each stage, the embedding, and the
    /// classifier.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let groups: [&[&str]; 9] = [
            &["conv2d_1a.", "conv2d_2a.", "conv2d_2b.", "conv2d_3b.", "conv2d_4a.", "conv2d_4b."],
            &["repeat_1."],
            &["mixed_6a."],
            &["repeat_2."],
            &["mixed_7a."],
            &["repeat_3."],
            &["block8."],
            &["dropout.", "last_linear.", "last_bn."],
            &["logits."],
        ];
        groups.iter().map(|group| group.iter().map(|&prefix| prefix.to_owned()).collect()).collect()
    }
}
