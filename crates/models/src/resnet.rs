//! ResNet: residual networks of basic and bottleneck blocks.
//!
//! (N, 3, H, W) → conv1 7×7/2, bn1, ReLU, max pool 3×3/2 → layer1..layer4 → mean over H and W → fc → (N, classes).
//! Names are torchvision's. Sources: He et al. 2015 (v1, stride on the first 1×1), torchvision's v1.5 (stride on the
//! 3×3). Where other sources differ, [`ResNetConfig`] has a knob.

use crate::config::Reader;
use crate::image::no_group;
use crate::resnet_stem::ResNetStem;
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Conv2dOptions, Error, Init, Linear, Module, ModuleId, Param, Pass, Pool2d, Result,
    Value, join, module,
};
use weights_import::Knobs;

/// The unit that is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Two 3×3 convolutions: ResNet-18 and -34.
    Basic,
    /// 1×1, 3×3, 1×1 with four times as many channels out: ResNet-50 and deeper.
    Bottleneck,
}

impl Block {
    /// Channels out per channel of width.
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// A ResNet's measures, and the knobs in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct ResNetConfig {
    /// The unit that is repeated.
    pub block: Block,
    /// Blocks per stage.
    pub layers: [usize; 4],
    /// Channels after the stem: 64.
    pub stem: usize,
    /// The stem is three convolutions of 3×3 (timm's c, d, s and t), of which the first two have these channels.
    pub deep_stem: Option<[usize; 2]>,
    /// Shortcuts that change their shape take means of 2×2 before a 1×1 without stride (timm's d and t).
    pub pooled_shortcuts: bool,
    /// Width of the first stage, doubled by each further one: 64 in the paper, 32 at half width.
    pub width: usize,
    /// Channels of a bottleneck's 3×3 for each channel of width: 1 in the paper, 2 in Wide ResNets and ResNeXt 32x4d.
    pub widening: usize,
    /// Groups of a bottleneck's 3×3: 1 in the paper, 32 in ResNeXt.
    pub groups: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Classes out.
    pub classes: usize,
    /// Bottleneck blocks take their stride on the first 1×1 (Caffe, Keras v1) instead of the 3×3 (torchvision).
    pub stride_on_1x1: bool,
    /// The stride of a stage is in its last block instead of the first; the shortcut there takes every second pixel
    /// (TF-slim).
    pub stride_in_last_block: bool,
    /// Whether the stem's convolution has a bias.
    pub stem_bias: bool,
    /// ε of all batch norms.
    pub bn_eps: f64,
    /// Padding of the stem's max pool, per side (top, bottom, left, right): 1 in torch, 0 with `ceil_mode` in Caffe.
    pub stem_pool_padding: [usize; 4],
    /// Whether the stem's max pool rounds its size up.
    pub stem_pool_ceil: bool,
}

impl ResNetConfig {
    /// torchvision's numbers for a depth of 18, 34, 50, 101 or 152; timm's for 14, 26 and 200.
    ///
    /// ```
    /// # use ukulele_models::ResNetConfig;
    /// assert_eq!(ResNetConfig::depth(50, 10).unwrap().layers, [3, 4, 6, 3]);
    /// assert!(ResNetConfig::depth(51, 10).is_none());
    /// ```
    pub fn depth(depth: usize, classes: usize) -> Option<Self> {
        let (block, layers) = match depth {
            18 => (Block::Basic, [2, 2, 2, 2]),
            34 => (Block::Basic, [3, 4, 6, 3]),
            14 => (Block::Bottleneck, [1, 1, 1, 1]),
            26 => (Block::Bottleneck, [2, 2, 2, 2]),
            50 => (Block::Bottleneck, [3, 4, 6, 3]),
            101 => (Block::Bottleneck, [3, 4, 23, 3]),
            152 => (Block::Bottleneck, [3, 8, 36, 3]),
            200 => (Block::Bottleneck, [3, 24, 36, 3]),
            _ => return None,
        };
        Some(Self {
            block,
            layers,
            stem: 64,
            deep_stem: None,
            pooled_shortcuts: false,
            width: 64,
            widening: 1,
            groups: 1,
            channels: 3,
            classes,
            stride_on_1x1: false,
            stride_in_last_block: false,
            stem_bias: false,
            bn_eps: 1e-5,
            stem_pool_padding: [1; 4],
            stem_pool_ceil: false,
        })
    }

    /// The variants by name: torchvision's `resnet18` to `resnet152`, `wide_resnet50_2`, `wide_resnet101_2`,
    /// `resnext50_32x4d`, `resnext101_32x8d`, `resnext101_64x4d`; and timm's stems, `resnet50b` (torchvision's), `resnet50c`
    /// (three convolutions), `resnet50d` (those, and pooled shortcuts), `resnet50s`, `resnet26t` (as c and d, in other widths).
    ///
    /// ```
    /// # use ukulele_models::ResNetConfig;
    /// assert_eq!(ResNetConfig::named("resnext50_32x4d", 10).unwrap().groups, 32);
    /// ```
    pub fn named(name: &str, classes: usize) -> Option<Self> {
        let (depth, widening, groups) = match name {
            "wide_resnet50_2" => (50, 2, 1),
            "wide_resnet101_2" => (101, 2, 1),
            "resnext50_32x4d" => (50, 2, 32),
            "resnext101_32x8d" => (101, 4, 32),
            "resnext101_64x4d" => (101, 4, 64),
            _ => {
                let rest = name.strip_prefix("resnet")?;
                let depth = rest.trim_end_matches(['b', 'c', 'd', 's', 't']);
                let plain = Self::depth(depth.parse().ok()?, classes)?;
                return Some(match &rest[depth.len()..] {
                    "" | "b" => plain,
                    "c" => Self { deep_stem: Some([32; 2]), ..plain },
                    "d" => Self { deep_stem: Some([32; 2]), pooled_shortcuts: true, ..plain },
                    "s" => Self { deep_stem: Some([64; 2]), stem: 128, ..plain },
                    "t" => Self { deep_stem: Some([24, 32]), pooled_shortcuts: true, ..plain },
                    _ => return None,
                });
            }
        };
        Some(Self { widening, groups, ..Self::depth(depth, classes)? })
    }

    /// The measures that a file's names and shapes tell of, with the knobs of its dialect.
    ///
    /// # Errors
    /// 3×3 convolutions whose channels are no multiple of the width, or grouped ones in basic blocks.
    pub fn from_weights(found: &weights_import::ResNet, knobs: &Knobs, classes: usize) -> Result<Self> {
        let (widening, rest) = (found.inner / found.width.max(1), found.inner % found.width.max(1));
        let plain = widening == 1 && found.groups == 1;
        if rest != 0 || widening == 0 || (found.block == weights_import::Block::Basic && !plain) {
            let message = format!(
                "{} has 3x3 convolutions of {} channels in {} groups in a stage of width {}; known are multiples of the width, \
                 in bottlenecks",
                found.name(),
                found.inner,
                found.groups,
                found.width
            );
            return Err(Error::argument("resnet", message));
        }
        Ok(Self {
            block: match found.block {
                weights_import::Block::Basic => Block::Basic,
                weights_import::Block::Bottleneck => Block::Bottleneck,
            },
            layers: found.layers,
            stem: found.stem,
            deep_stem: found.deep_stem,
            pooled_shortcuts: found.pooled_shortcuts,
            width: found.width,
            widening,
            groups: found.groups,
            channels: found.channels,
            classes,
            stride_on_1x1: knobs.stride_on_1x1,
            stride_in_last_block: knobs.stride_in_last_block,
            stem_bias: knobs.conv_bias,
            bn_eps: knobs.bn_eps,
            stem_pool_padding: knobs.stem_pool_padding,
            stem_pool_ceil: knobs.stem_pool_ceil,
        })
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "resnet",
            "block": match self.block { Block::Basic => "basic", Block::Bottleneck => "bottleneck" },
            "layers": self.layers,
            "stem": self.stem,
            "deep_stem": self.deep_stem,
            "pooled_shortcuts": self.pooled_shortcuts,
            "width": self.width,
            "widening": self.widening,
            "groups": self.groups,
            "channels": self.channels,
            "classes": self.classes,
            "stride_on_1x1": self.stride_on_1x1,
            "stride_in_last_block": self.stride_in_last_block,
            "stem_bias": self.stem_bias,
            "bn_eps": self.bn_eps,
            "stem_pool_padding": self.stem_pool_padding,
            "stem_pool_ceil": self.stem_pool_ceil,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`ResNetConfig::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        let four = |key: &str, list: Option<Vec<usize>>| {
            list.and_then(|list| list.try_into().ok()).ok_or_else(|| read.wrong(key, "a list of four whole numbers"))
        };
        // Checkpoints of before these entries have none.
        let later = |key: &str| if config[key].is_null() { Ok(1) } else { read.size(key) };
        Ok(Self {
            block: match config["block"].as_str() {
                Some("basic") => Block::Basic,
                Some("bottleneck") => Block::Bottleneck,
                _ => return Err(read.wrong("block", "basic or bottleneck")),
            },
            layers: four("layers", Reader::sizes(&config["layers"]))?,
            stem: read.size("stem")?,
            deep_stem: match &config["deep_stem"] {
                Json::Null => None,
                list => Some(
                    Reader::sizes(list)
                        .and_then(|list| list.try_into().ok())
                        .ok_or_else(|| read.wrong("deep_stem", "null or a list of two whole numbers"))?,
                ),
            },
            pooled_shortcuts: !config["pooled_shortcuts"].is_null() && read.flag("pooled_shortcuts")?,
            width: read.size("width")?,
            widening: later("widening")?,
            groups: later("groups")?,
            channels: read.size("channels")?,
            classes: read.size("classes")?,
            stride_on_1x1: read.flag("stride_on_1x1")?,
            stride_in_last_block: !config["stride_in_last_block"].is_null() && read.flag("stride_in_last_block")?,
            stem_bias: read.flag("stem_bias")?,
            bn_eps: read.fraction("bn_eps")?,
            stem_pool_padding: four("stem_pool_padding", Reader::from_zero(&config["stem_pool_padding"]))?,
            stem_pool_ceil: read.flag("stem_pool_ceil")?,
        })
    }

    /// Channels of the pooled features.
    pub fn features(&self) -> usize {
        self.width * 8 * self.block.expansion()
    }
}

/// The projection of a shortcut whose shape changes: `downsample.0` and `downsample.1`, one more each behind a pool.
#[derive(Debug, Clone)]
pub struct Downsample {
    /// Means before the convolution; without a stride the pool is there in name alone.
    pub pool: Option<AvgPool2d>,
    /// 1×1, with the block's stride.
    pub conv: Conv2d,
    /// Its norm.
    pub norm: BatchNorm2d,
}

impl Module for Downsample {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        let first = usize::from(self.pool.is_some());
        self.conv.each(&join(path, &first.to_string()), f);
        self.norm.each(&join(path, &(first + 1).to_string()), f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        let first = usize::from(self.pool.is_some());
        self.pool.modules(&join(path, "0"), f);
        self.conv.modules(&join(path, &first.to_string()), f);
        self.norm.modules(&join(path, &(first + 1).to_string()), f);
    }
}

impl Downsample {
    fn new(config: &ResNetConfig, inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Self {
        let norm = BatchNorm2d::new(outputs, config.bn_eps);
        if !config.pooled_shortcuts {
            return Self { pool: None, conv: convolution(inputs, outputs, 1, stride, init), norm };
        }
        let window = [stride; 2];
        let pool =
            Pool2d { kernel: window, stride: window, ceil_mode: true, count_include_pad: false, ..Default::default() };
        Self { pool: Some(AvgPool2d(pool)), conv: convolution(inputs, outputs, 1, 1, init), norm }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let pooled = self.pool.as_ref().map(|pool| pool.forward(x, pass)).transpose()?;
        let y = self.conv.forward(pooled.as_ref().unwrap_or(x), pass)?;
        let y = self.norm.forward(&y, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// One residual unit: ReLU(f(x) + shortcut(x)).
#[derive(Debug, Clone)]
pub struct ResidualBlock {
    /// 3×3 in basic blocks, 1×1 in bottlenecks.
    pub conv1: Conv2d,
    /// Norm of `conv1`.
    pub bn1: BatchNorm2d,
    /// 3×3.
    pub conv2: Conv2d,
    /// Norm of `conv2`.
    pub bn2: BatchNorm2d,
    /// 1×1 of bottlenecks.
    pub conv3: Option<Conv2d>,
    /// Norm of `conv3`.
    pub bn3: Option<BatchNorm2d>,
    /// The projection, where the shape changes.
    pub downsample: Option<Downsample>,
    /// Without a projection, the shortcut takes one pixel of so many each way.
    subsample: usize,
}

module!(ResidualBlock { conv1, bn1, conv2, bn2, conv3, bn3, downsample });

fn convolution(inputs: usize, outputs: usize, kernel: usize, stride: usize, init: &mut Init) -> Conv2d {
    grouped(inputs, outputs, kernel, stride, 1, init)
}

fn grouped(inputs: usize, outputs: usize, kernel: usize, stride: usize, groups: usize, init: &mut Init) -> Conv2d {
    let options = Conv2dOptions { stride: [stride; 2], padding: [kernel / 2; 4], groups, ..Default::default() };
    Conv2d::new(inputs, outputs, kernel, options, init)
}

impl ResidualBlock {
    fn new(config: &ResNetConfig, inputs: usize, width: usize, stride: usize, init: &mut Init) -> Self {
        let outputs = width * config.block.expansion();
        let norm = |channels| BatchNorm2d::new(channels, config.bn_eps);
        let subsample = if config.stride_in_last_block && inputs == outputs { stride } else { 1 };
        let downsample =
            (stride != subsample || inputs != outputs).then(|| Downsample::new(config, inputs, outputs, stride, init));
        match config.block {
            Block::Basic => Self {
                conv1: convolution(inputs, width, 3, stride, init),
                bn1: norm(width),
                conv2: convolution(width, width, 3, 1, init),
                bn2: norm(width),
                conv3: None,
                bn3: None,
                downsample,
                subsample,
            },
            Block::Bottleneck => {
                let (first, second) = if config.stride_on_1x1 { (stride, 1) } else { (1, stride) };
                let inner = width * config.widening;
                Self {
                    conv1: convolution(inputs, inner, 1, first, init),
                    bn1: norm(inner),
                    conv2: grouped(inner, inner, 3, second, config.groups, init),
                    bn2: norm(inner),
                    conv3: Some(convolution(inner, outputs, 1, 1, init)),
                    bn3: Some(norm(outputs)),
                    downsample,
                    subsample,
                }
            }
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x, pass)?,
            None if self.subsample > 1 => {
                x.max_pool2d(&Pool2d { kernel: [1; 2], stride: [self.subsample; 2], ..Default::default() })?
            }
            None => x.clone(),
        };
        let y = self.bn1.forward_relu(&self.conv1.forward(x, pass)?, pass)?;
        let y = self.conv2.forward(&y, pass)?;
        let y = match (&self.conv3, &self.bn3) {
            (Some(conv3), Some(bn3)) => {
                let y = self.bn2.forward_relu(&y, pass)?;
                bn3.forward_add_relu(&conv3.forward(&y, pass)?, &shortcut, pass)?
            }
            _ => self.bn2.forward_add_relu(&y, &shortcut, pass)?,
        };
        Ok(pass.tap(self, y))
    }
}

/// A residual network.
#[derive(Debug, Clone)]
pub struct ResNet {
    /// 7×7, or three of 3×3, stride 2.
    pub conv1: ResNetStem,
    /// Norm of `conv1`.
    pub bn1: BatchNorm2d,
    /// Stage at a quarter of the image's size.
    pub layer1: Vec<ResidualBlock>,
    /// Stage at an eighth.
    pub layer2: Vec<ResidualBlock>,
    /// Stage at a sixteenth.
    pub layer3: Vec<ResidualBlock>,
    /// Stage at a thirty-second.
    pub layer4: Vec<ResidualBlock>,
    /// The classifier.
    pub fc: Linear,
    config: ResNetConfig,
}

module!(ResNet { conv1, bn1, layer1, layer2, layer3, layer4, fc });

impl ResNet {
    /// A network of these measures with fresh weights.
    pub fn new(config: &ResNetConfig, init: &mut Init) -> Self {
        let width = config.width;
        let (deep, bias, eps) = (config.deep_stem, config.stem_bias, config.bn_eps);
        let conv1 = ResNetStem::new(config.channels, config.stem, deep, bias, eps, init);
        let mut inputs = config.stem;
        let mut stage = |i: usize| -> Vec<ResidualBlock> {
            let width = width << i;
            (0..config.layers[i])
                .map(|j| {
                    let strided = match config.stride_in_last_block {
                        true => i < 3 && j + 1 == config.layers[i],
                        false => i > 0 && j == 0,
                    };
                    let stride = if strided { 2 } else { 1 };
                    let block = ResidualBlock::new(config, inputs, width, stride, init);
                    inputs = width * config.block.expansion();
                    block
                })
                .collect()
        };
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(&mut stage);
        let fc = Linear::new(config.features(), config.classes, init);
        Self {
            conv1,
            bn1: BatchNorm2d::new(config.stem, config.bn_eps),
            layer1,
            layer2,
            layer3,
            layer4,
            fc,
            config: config.clone(),
        }
    }

    /// ResNet-18 with fresh weights, to be loaded or trained.
    pub fn resnet18(classes: usize) -> Self {
        Self::of_depth(18, classes)
    }

    /// ResNet-34.
    pub fn resnet34(classes: usize) -> Self {
        Self::of_depth(34, classes)
    }

    /// ResNet-50.
    pub fn resnet50(classes: usize) -> Self {
        Self::of_depth(50, classes)
    }

    /// ResNet-101.
    pub fn resnet101(classes: usize) -> Self {
        Self::of_depth(101, classes)
    }

    /// ResNet-152.
    pub fn resnet152(classes: usize) -> Self {
        Self::of_depth(152, classes)
    }

    fn of_depth(depth: usize, classes: usize) -> Self {
        Self::new(&ResNetConfig::depth(depth, classes).expect("a known depth"), &mut Init::new(0))
    }

    /// The measures.
    pub fn config(&self) -> &ResNetConfig {
        &self.config
    }

    /// conv1, bn1, ReLU and max pool: to a quarter of the size.
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn stem(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.bn1.forward_relu(&self.conv1.forward(x, pass)?, pass)?;
        y.max_pool2d(&Pool2d {
            kernel: [3; 2],
            stride: [2; 2],
            padding: self.config.stem_pool_padding,
            ceil_mode: self.config.stem_pool_ceil,
            ..Default::default()
        })
    }

    /// One of the four stages, counted from 1.
    ///
    /// # Errors
    /// Another number of channels than the stage takes.
    pub fn stage(&self, number: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        let blocks = match number {
            1 => &self.layer1,
            2 => &self.layer2,
            3 => &self.layer3,
            _ => &self.layer4,
        };
        blocks.iter().try_fold(x.clone(), |x, block| block.forward(&x, pass))
    }

    /// What the classifier sees: (N, C, H, W) to (N, features).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        (0..5).try_fold(x.clone(), |x, at| self.group(at, &x, pass))
    }

    /// One of the groups before the head of [`ResNet::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`ResNet::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        match at {
            0 => self.stem(x, pass),
            1..4 => self.stage(at, x, pass),
            4 => self.stage(4, x, pass)?.adaptive_avg_pool2d([1, 1])?.flatten(1),
            _ => no_group("resnet", at),
        }
    }

    /// Logits: (N, C, H, W) to (N, classes).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let features = self.features(x, pass)?;
        self.fc.forward(&features, pass)
    }

    /// Gives the network a fresh classifier for `classes` classes.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.fc = Linear::new(self.config.features(), classes, init);
    }

    /// Prefixes of names from the input to the output, one per group: for freezing up to a depth and for rates that
    /// grow with depth.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let stages = ["layer1.", "layer2.", "layer3.", "layer4.", "fc."].map(|s| vec![s.to_owned()]);
        std::iter::once(vec!["conv1.".to_owned(), "bn1.".to_owned()]).chain(stages).collect()
    }
}
