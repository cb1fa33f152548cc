//! ResNet V2: residual networks whose blocks normalise first ("pre-activation").
//!
//! (N, 3, H, W) → stem: 7×7/2 without norm, max pool 3×3/2 → stages 0..3 → norm, ReLU → mean over H and W → head.fc →
//! (N, classes). A block is x + f(ReLU(norm1(x))), and a shortcut that changes its shape is a 1×1 of ReLU(norm1(x)). Names
//! are timm's (`resnetv2_50`), whose classifier is a 1×1 convolution. Sources: He et al. 2016, "Identity Mappings in Deep
//! Residual Networks"; timm `models/resnetv2.py`; keras `applications/resnet_v2.py`; tensorflow/models
//! `slim/nets/resnet_v2.py`. Where they differ, [`ResNetV2Config`] has a knob.

use crate::Block;
use crate::config::Reader;
use crate::image::no_group;
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Conv2dOptions, Init, Param, Pass, Pool2d, Result, Role, Tensor, Value, module,
};
use weights_import::Knobs;

/// What lies around the map that the stem's max pool reads. Nothing but ReLU tells zeros from the rest, and there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StemPool {
    /// One pixel on each side that is never the largest: timm.
    Nothing,
    /// One pixel of zeros on each side: Keras.
    Zeros,
    /// TensorFlow's "same", never the largest: of an even size below and to the right only. TF-slim.
    Same,
}

impl StemPool {
    const NAMES: [(&'static str, Self); 3] = [("nothing", Self::Nothing), ("zeros", Self::Zeros), ("same", Self::Same)];
}

/// A ResNet V2's measures, and the knobs in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct ResNetV2Config {
    /// The unit that is repeated.
    pub block: Block,
    /// Blocks per stage.
    pub layers: [usize; 4],
    /// Channels after the stem: 64.
    pub stem: usize,
    /// The stem is three convolutions of 3×3 (timm's d and t), of which the first two have these channels.
    pub deep_stem: Option<[usize; 2]>,
    /// Shortcuts with a stride take means of 2×2 before a 1×1 without stride (timm's d and t).
    pub pooled_shortcuts: bool,
    /// Width of the first stage, doubled by each further one: 64.
    pub width: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Classes out: 1000; 1001 in TF-slim.
    pub classes: usize,
    /// The stride of a stage is in its last block, of all but the last stage, and the shortcut there takes every second
    /// pixel (Keras, TF-slim); in timm it is in the first block of all but the first stage.
    pub stride_in_last_block: bool,
    /// Whether the convolutions that no norm follows have biases: the stem's, the shortcuts' and each block's last (Keras,
    /// TF-slim).
    pub conv_bias: bool,
    /// ε of all batch norms: 1e-5; 1.001e-5 in Keras.
    pub bn_eps: f64,
    /// What lies around the map that the stem's max pool reads.
    pub stem_pool: StemPool,
}

impl ResNetV2Config {
    /// timm's numbers for a depth of 18, 34, 50, 101 or 152.
    pub fn depth(depth: usize, classes: usize) -> Option<Self> {
        let (block, layers) = match depth {
            18 => (Block::Basic, [2, 2, 2, 2]),
            34 => (Block::Basic, [3, 4, 6, 3]),
            50 => (Block::Bottleneck, [3, 4, 6, 3]),
            101 => (Block::Bottleneck, [3, 4, 23, 3]),
            152 => (Block::Bottleneck, [3, 8, 36, 3]),
            _ => return None,
        };
        Some(Self {
            block,
            layers,
            stem: 64,
            deep_stem: None,
            pooled_shortcuts: false,
            width: 64,
            channels: 3,
            classes,
            stride_in_last_block: false,
            conv_bias: false,
            bn_eps: 1e-5,
            stem_pool: StemPool::Nothing,
        })
    }

    /// Keras' numbers for a depth of 50, 101 or 152: `ResNet50V2`.
    pub fn keras(depth: usize, classes: usize) -> Option<Self> {
        let config = Self::depth(depth, classes).filter(|config| config.block == Block::Bottleneck)?;
        let stem_pool = StemPool::Zeros;
        Some(Self { stride_in_last_block: true, conv_bias: true, bn_eps: 1.001e-5, stem_pool, ..config })
    }

    /// The variants by name: timm's `resnetv2_18` to `resnetv2_152`, `resnetv2_50d` (three convolutions in the stem, pooled
    /// shortcuts), `resnetv2_50t` (the same in other widths); Keras' `resnet50v2`, `resnet101v2`, `resnet152v2`.
    ///
    /// ```
    /// # use ukulele_models::ResNetV2Config;
    /// assert!(ResNetV2Config::named("resnet50v2", 10).unwrap().stride_in_last_block);
    /// assert!(!ResNetV2Config::named("resnetv2_50", 10).unwrap().stride_in_last_block);
    /// ```
    pub fn named(name: &str, classes: usize) -> Option<Self> {
        if let Some(depth) = name.strip_prefix("resnet").and_then(|rest| rest.strip_suffix("v2")) {
            return Self::keras(depth.parse().ok()?, classes);
        }
        let rest = name.strip_prefix("resnetv2_")?;
        let depth = rest.trim_end_matches(['d', 't']);
        let plain = Self::depth(depth.parse().ok()?, classes)?;
        Some(match &rest[depth.len()..] {
            "" => plain,
            "d" => Self { deep_stem: Some([32; 2]), pooled_shortcuts: true, ..plain },
            "t" => Self { deep_stem: Some([24, 32]), pooled_shortcuts: true, ..plain },
            _ => return None,
        })
    }

    /// The measures that a file's names and shapes tell of, with the knobs of its dialect. (Shortcuts with a pool have the
    /// names of those without; in timm they come with a stem of three convolutions.)
    pub fn from_weights(found: &weights_import::ResNetV2, knobs: &Knobs, classes: usize) -> Self {
        Self {
            block: match found.block {
                weights_import::Block::Basic => Block::Basic,
                weights_import::Block::Bottleneck => Block::Bottleneck,
            },
            layers: found.layers,
            stem: found.stem,
            deep_stem: found.deep_stem,
            pooled_shortcuts: found.deep_stem.is_some(),
            width: found.width,
            channels: found.channels,
            classes,
            stride_in_last_block: knobs.stride_in_last_block,
            conv_bias: found.conv_bias,
            bn_eps: knobs.bn_eps,
            stem_pool: match (knobs.stem_pool_zeros, knobs.same_padding) {
                (true, _) => StemPool::Zeros,
                (false, true) => StemPool::Same,
                (false, false) => StemPool::Nothing,
            },
        }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let pool = StemPool::NAMES.iter().find(|(_, pool)| *pool == self.stem_pool);
        let config = json!({
            "model_type": "resnet_v2",
            "block": if self.block == Block::Basic { "basic" } else { "bottleneck" },
            "layers": self.layers,
            "stem": self.stem,
            "deep_stem": self.deep_stem,
            "pooled_shortcuts": self.pooled_shortcuts,
            "width": self.width,
            "channels": self.channels,
            "classes": self.classes,
            "stride_in_last_block": self.stride_in_last_block,
            "conv_bias": self.conv_bias,
            "bn_eps": self.bn_eps,
            "stem_pool": pool.map(|(name, _)| *name),
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`ResNetV2Config::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        let pool = StemPool::NAMES.iter().find(|(name, _)| config["stem_pool"] == *name);
        let layers = Reader::sizes(&config["layers"]).and_then(|list| list.try_into().ok());
        Ok(Self {
            block: match config["block"].as_str() {
                Some("basic") => Block::Basic,
                Some("bottleneck") => Block::Bottleneck,
                _ => return Err(read.wrong("block", "basic or bottleneck")),
            },
            layers: layers.ok_or_else(|| read.wrong("layers", "a list of four whole numbers"))?,
            stem: read.size("stem")?,
            deep_stem: match &config["deep_stem"] {
                Json::Null => None,
                list => {
                    let inner = Reader::sizes(list).and_then(|list| list.try_into().ok());
                    Some(inner.ok_or_else(|| read.wrong("deep_stem", "null or a list of two whole numbers"))?)
                }
            },
            pooled_shortcuts: read.flag("pooled_shortcuts")?,
            width: read.size("width")?,
            channels: read.size("channels")?,
            classes: read.size("classes")?,
            stride_in_last_block: read.flag("stride_in_last_block")?,
            conv_bias: read.flag("conv_bias")?,
            bn_eps: read.fraction("bn_eps")?,
            stem_pool: pool.ok_or_else(|| read.wrong("stem_pool", "nothing, zeros or same"))?.1,
        })
    }

    /// Channels of the pooled features.
    pub fn features(&self) -> usize {
        self.width * 8 * self.block.expansion()
    }
}

/// A convolution that keeps the size but for its stride; `bias` after its weights.
fn convolution(inputs: usize, outputs: usize, kernel: usize, stride: usize, bias: bool, init: &mut Init) -> Conv2d {
    let options = Conv2dOptions { stride: [stride; 2], padding: [kernel / 2; 4], ..Default::default() };
    let conv = Conv2d::new(inputs, outputs, kernel, options, init);
    if bias { conv.with_bias() } else { conv }
}

/// The stem: one convolution, `conv`, or three with two norms, `conv1` to `conv3`; then a max pool.
#[derive(Debug, Clone)]
pub struct ResNetV2Stem {
    /// 7×7, stride 2.
    pub conv: Option<Conv2d>,
    /// 3×3, stride 2.
    pub conv1: Option<Conv2d>,
    /// Norm of `conv1`.
    pub norm1: Option<BatchNorm2d>,
    /// 3×3.
    pub conv2: Option<Conv2d>,
    /// Norm of `conv2`.
    pub norm2: Option<BatchNorm2d>,
    /// 3×3.
    pub conv3: Option<Conv2d>,
    pool: StemPool,
}

module!(ResNetV2Stem { conv, conv1, norm1, conv2, norm2, conv3 });

impl ResNetV2Stem {
    fn new(config: &ResNetV2Config, init: &mut Init) -> Self {
        let (channels, outputs, pool) = (config.channels, config.stem, config.stem_pool);
        let none = Self { conv: None, conv1: None, norm1: None, conv2: None, norm2: None, conv3: None, pool };
        match config.deep_stem {
            None => Self { conv: Some(convolution(channels, outputs, 7, 2, config.conv_bias, init)), ..none },
            Some([first, second]) => Self {
                conv1: Some(convolution(channels, first, 3, 2, false, init)),
                norm1: Some(BatchNorm2d::new(first, config.bn_eps)),
                conv2: Some(convolution(first, second, 3, 1, false, init)),
                norm2: Some(BatchNorm2d::new(second, config.bn_eps)),
                conv3: Some(convolution(second, outputs, 3, 1, config.conv_bias, init)),
                ..none
            },
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let mut y = x.clone();
        if let Some(conv) = &self.conv {
            y = conv.forward(&y, pass)?;
        }
        for (conv, norm) in [(&self.conv1, &self.norm1), (&self.conv2, &self.norm2)] {
            if let (Some(conv), Some(norm)) = (conv, norm) {
                y = norm.forward_relu(&conv.forward(&y, pass)?, pass)?;
            }
        }
        if let Some(conv) = &self.conv3 {
            y = conv.forward(&y, pass)?;
        }
        let [n, c, h, w] = y.dims::<4>("resnet_v2", "images (N, C, H, W)")?;
        let padding = match self.pool {
            StemPool::Nothing => [1; 4],
            StemPool::Same => [h % 2, 1, w % 2, 1],
            StemPool::Zeros => {
                let (row, column) = (Tensor::zeros(&[n, c, 1, w])?.into(), Tensor::zeros(&[n, c, h + 2, 1])?.into());
                y = Value::concat(&[&row, &y, &row], 2)?;
                y = Value::concat(&[&column, &y, &column], 3)?;
                [0; 4]
            }
        };
        let y = y.max_pool2d(&Pool2d { kernel: [3; 2], stride: [2; 2], padding, ..Default::default() })?;
        Ok(pass.tap(self, y))
    }
}

/// The projection of a shortcut whose shape changes.
#[derive(Debug, Clone)]
pub struct ResNetV2Downsample {
    /// Means before the convolution, where there is a stride.
    pub pool: Option<AvgPool2d>,
    /// 1×1.
    pub conv: Conv2d,
}

module!(ResNetV2Downsample { pool, conv });

impl ResNetV2Downsample {
    fn new(config: &ResNetV2Config, inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Self {
        let pooled = config.pooled_shortcuts;
        let window = [stride; 2];
        let pool =
            Pool2d { kernel: window, stride: window, ceil_mode: true, count_include_pad: false, ..Default::default() };
        Self {
            pool: (pooled && stride > 1).then_some(AvgPool2d(pool)),
            conv: convolution(inputs, outputs, 1, if pooled { 1 } else { stride }, config.conv_bias, init),
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let pooled = self.pool.as_ref().map(|pool| pool.forward(x, pass)).transpose()?;
        let y = self.conv.forward(pooled.as_ref().unwrap_or(x), pass)?;
        Ok(pass.tap(self, y))
    }
}

/// One residual unit: x + f(ReLU(norm1(x))), or the projection of ReLU(norm1(x)) in the place of x.
#[derive(Debug, Clone)]
pub struct PreActBlock {
    /// The projection, where the shape changes.
    pub downsample: Option<ResNetV2Downsample>,
    /// Norm of the input.
    pub norm1: BatchNorm2d,
    /// 3×3 in basic blocks, 1×1 in bottlenecks.
    pub conv1: Conv2d,
    /// Norm of `conv1`.
    pub norm2: BatchNorm2d,
    /// 3×3.
    pub conv2: Conv2d,
    /// Norm of `conv2`, in bottlenecks.
    pub norm3: Option<BatchNorm2d>,
    /// 1×1 of bottlenecks.
    pub conv3: Option<Conv2d>,
    /// Without a projection, the shortcut takes one pixel of so many each way.
    subsample: usize,
}

module!(PreActBlock { downsample, norm1, conv1, norm2, conv2, norm3, conv3 });

impl PreActBlock {
    fn new(config: &ResNetV2Config, inputs: usize, width: usize, stride: usize, first: bool, init: &mut Init) -> Self {
        let outputs = width * config.block.expansion();
        let norm = |channels| BatchNorm2d::new(channels, config.bn_eps);
        let projects = match config.block {
            Block::Basic => inputs != outputs || (first && stride != 1),
            Block::Bottleneck => inputs != outputs || first,
        };
        let downsample = projects.then(|| ResNetV2Downsample::new(config, inputs, outputs, stride, init));
        let subsample = if projects { 1 } else { stride };
        let bias = config.conv_bias;
        match config.block {
            Block::Basic => Self {
                downsample,
                norm1: norm(inputs),
                conv1: convolution(inputs, width, 3, stride, false, init),
                norm2: norm(width),
                conv2: convolution(width, width, 3, 1, bias, init),
                norm3: None,
                conv3: None,
                subsample,
            },
            Block::Bottleneck => Self {
                downsample,
                norm1: norm(inputs),
                conv1: convolution(inputs, width, 1, 1, false, init),
                norm2: norm(width),
                conv2: convolution(width, width, 3, stride, false, init),
                norm3: Some(norm(width)),
                conv3: Some(convolution(width, outputs, 1, 1, bias, init)),
                subsample,
            },
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let active = self.norm1.forward_relu(x, pass)?;
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(&active, pass)?,
            None if self.subsample > 1 => {
                x.max_pool2d(&Pool2d { kernel: [1; 2], stride: [self.subsample; 2], ..Default::default() })?
            }
            None => x.clone(),
        };
        let y = self.norm2.forward_relu(&self.conv1.forward(&active, pass)?, pass)?;
        let mut y = self.conv2.forward(&y, pass)?;
        if let (Some(norm3), Some(conv3)) = (&self.norm3, &self.conv3) {
            y = conv3.forward(&norm3.forward_relu(&y, pass)?, pass)?;
        }
        let y = y.add(&shortcut)?;
        Ok(pass.tap(self, y))
    }
}

/// Blocks of one width.
#[derive(Debug, Clone)]
pub struct ResNetV2Stage {
    /// In their order.
    pub blocks: Vec<PreActBlock>,
}

module!(ResNetV2Stage { blocks });

impl ResNetV2Stage {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.blocks.iter().try_fold(x.clone(), |x, block| block.forward(&x, pass))?;
        Ok(pass.tap(self, y))
    }
}

/// The classifier.
#[derive(Debug, Clone)]
pub struct ResNetV2Head {
    /// 1×1 over one pixel.
    pub fc: Conv2d,
}

module!(ResNetV2Head { fc });

impl ResNetV2Head {
    /// Normal weights of deviation 0.01 and a bias of zeros, as timm begins.
    fn new(config: &ResNetV2Config, init: &mut Init) -> Self {
        let mut fc = convolution(config.features(), config.classes, 1, 1, true, init);
        let weight = init.normal(&[config.classes, config.features(), 1, 1], 0.01);
        fc.weight = Param::new(weight, Role::Weight);
        Self { fc }
    }
}

/// A residual network of pre-activation blocks.
#[derive(Debug, Clone)]
pub struct ResNetV2 {
    /// To a quarter of the image's size.
    pub stem: ResNetV2Stem,
    /// At a quarter, an eighth, a sixteenth and a thirty-second; with the stride in the last block each of the first three
    /// ends at the size of the next.
    pub stages: Vec<ResNetV2Stage>,
    /// Norm of the last stage.
    pub norm: BatchNorm2d,
    /// The classifier.
    pub head: ResNetV2Head,
    config: ResNetV2Config,
}

module!(ResNetV2 { stem, stages, norm, head });

impl ResNetV2 {
    /// A network of these measures with fresh weights.
    pub fn new(config: &ResNetV2Config, init: &mut Init) -> Self {
        let stem = ResNetV2Stem::new(config, init);
        let mut inputs = config.stem;
        let mut stage = |(i, &count): (usize, &usize)| {
            let width = config.width << i;
            let blocks = (0..count).map(|j| {
                let strided = match config.stride_in_last_block {
                    true => i < 3 && j + 1 == count,
                    false => i > 0 && j == 0,
                };
                let block = PreActBlock::new(config, inputs, width, if strided { 2 } else { 1 }, j == 0, init);
                inputs = width * config.block.expansion();
                block
            });
            ResNetV2Stage { blocks: blocks.collect() }
        };
        let stages = config.layers.iter().enumerate().map(&mut stage).collect();
        Self {
            stem,
            stages,
            norm: BatchNorm2d::new(config.features(), config.bn_eps),
            head: ResNetV2Head::new(config, init),
            config: config.clone(),
        }
    }

    /// The measures.
    pub fn config(&self) -> &ResNetV2Config {
        &self.config
    }

    /// What the classifier sees: (N, C, H, W) to (N, features).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        (0..=self.stages.len()).try_fold(x.clone(), |x, at| self.group(at, &x, pass))
    }

    /// One of the groups before the head of [`ResNetV2::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`ResNetV2::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        let Some(number) = at.checked_sub(1) else { return self.stem.forward(x, pass) };
        let Some(stage) = self.stages.get(number) else { return no_group("resnet_v2", at) };
        let y = stage.forward(x, pass)?;
        if at < self.stages.len() {
            return Ok(y);
        }
        self.norm.forward_relu(&y, pass)?.adaptive_avg_pool2d([1, 1])?.flatten(1)
    }

    /// The classifier: (N, features) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        let [n, c] = features.dims::<2>("resnet_v2", "features (N, F)")?;
        let y = self.head.fc.forward(&features.reshape(&[n, c, 1, 1])?, pass)?.flatten(1)?;
        Ok(pass.tap(&self.head, y))
    }

    /// Logits: (N, C, H, W) to (N, classes).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let features = self.features(x, pass)?;
        self.head(&features, pass)
    }

    /// Gives the network a fresh classifier for `classes` classes.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.head = ResNetV2Head::new(&self.config, init);
    }

    /// Prefixes of names from the input to the output, one list per group: the stem, each stage (the last with the norm
    /// behind it), the classifier.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let groups: [&[&str]; 6] =
            [&["stem."], &["stages.0."], &["stages.1."], &["stages.2."], &["stages.3.", "norm."], &["head."]];
        groups.iter().map(|group| group.iter().map(|&prefix| prefix.to_owned()).collect()).collect()
    }
}
