//! The ResNets of 32×32 images: ResNet-20, -32, -44, -56, -110.
//!
//! (N, 3, H, W) → conv1, bn1, ReLU → layer1 → layer2 at half, layer3 at a quarter of the size, n basic blocks each → mean
//! over H and W → linear → (N, classes). Names are those of the PyTorch versions in the field: `layer1.0.conv1.weight`,
//! `layer2.0.shortcut.0.weight`, `linear.weight`. Source: He et al. 2015, section 4.2, with the shortcuts A and B of
//! section 4.1; MLPerf Tiny's is one block a stage with biases, as Keras built it.

use crate::config::Reader;
use crate::image::{check_image, no_group};
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{BatchNorm2d, Conv2d, Conv2dOptions, Init, Linear, Pass, Pool2d, Result, Tensor, Value, module};

/// How a shortcut changes its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// A: every second pixel, and zeros for the channels that are new.
    Pad,
    /// B: a 1×1 convolution of stride 2, with or without a batch norm.
    Projection {
        /// Whether a batch norm follows.
        norm: bool,
    },
}

/// A CIFAR ResNet's measures, and the knobs in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct CifarResNetConfig {
    /// Blocks of each of the three stages: (depth - 2) / 6.
    pub blocks: usize,
    /// Channels of the first stage, doubled by each further one: 16.
    pub width: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Classes out.
    pub classes: usize,
    /// The shortcuts where the shape changes.
    pub shortcut: Shortcut,
    /// Whether convolutions have biases, as Keras' do.
    pub conv_bias: bool,
    /// ε of all batch norms: 1e-5, 1e-3 in Keras.
    pub bn_eps: f64,
    /// Whether 3×3 of stride 2 pad as TensorFlow's "same": of an even size below and to the right only.
    pub same_padding: bool,
}

impl CifarResNetConfig {
    /// The paper's numbers for a depth of 20, 32, 44, 56, 110 or any other 6n + 2.
    ///
    /// ```
    /// # use ukulele_models::CifarResNetConfig;
    /// assert_eq!(CifarResNetConfig::depth(56, 10).unwrap().blocks, 9);
    /// assert!(CifarResNetConfig::depth(57, 10).is_none());
    /// ```
    pub fn depth(depth: usize, classes: usize) -> Option<Self> {
        let blocks = depth.checked_sub(2).filter(|n| n % 6 == 0 && *n > 0)? / 6;
        Some(Self {
            blocks,
            width: 16,
            channels: 3,
            classes,
            shortcut: Shortcut::Pad,
            conv_bias: false,
            bn_eps: 1e-5,
            same_padding: false,
        })
    }

    /// MLPerf Tiny's ResNet-8: one block a stage, as Keras builds it.
    pub fn mlperf_tiny(classes: usize) -> Self {
        Self {
            blocks: 1,
            width: 16,
            channels: 3,
            classes,
            shortcut: Shortcut::Projection { norm: false },
            conv_bias: true,
            bn_eps: 1e-3,
            same_padding: true,
        }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "cifar_resnet",
            "blocks": self.blocks,
            "width": self.width,
            "channels": self.channels,
            "classes": self.classes,
            "shortcut": match self.shortcut {
                Shortcut::Pad => "pad",
                Shortcut::Projection { norm: true } => "projection",
                Shortcut::Projection { norm: false } => "projection without norm",
            },
            "conv_bias": self.conv_bias,
            "bn_eps": self.bn_eps,
            "same_padding": self.same_padding,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`CifarResNetConfig::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        Ok(Self {
            blocks: read.size("blocks")?,
            width: read.size("width")?,
            channels: read.size("channels")?,
            classes: read.size("classes")?,
            shortcut: match config["shortcut"].as_str() {
                Some("pad") => Shortcut::Pad,
                Some("projection") => Shortcut::Projection { norm: true },
                Some("projection without norm") => Shortcut::Projection { norm: false },
                _ => return Err(read.wrong("shortcut", "pad, projection or projection without norm")),
            },
            conv_bias: read.flag("conv_bias")?,
            bn_eps: read.fraction("bn_eps")?,
            same_padding: read.flag("same_padding")?,
        })
    }
}

/// A projecting shortcut: `shortcut.0`, and its norm `shortcut.1`.
#[derive(Debug, Clone)]
pub struct CifarShortcut {
    /// 1×1 of stride 2.
    pub conv: Conv2d,
    /// Its norm.
    pub norm: Option<BatchNorm2d>,
}

module!(CifarShortcut { conv => "0", norm => "1" });

/// ReLU(f(x) + shortcut(x)), f being two 3×3 convolutions.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say kernel and place")]
pub struct CifarBlock {
    pub conv1: Conv2d,
    pub bn1: BatchNorm2d,
    pub conv2: Conv2d,
    pub bn2: BatchNorm2d,
    pub shortcut: Option<CifarShortcut>,
    same_padding: bool,
}

module!(CifarBlock { conv1, bn1, conv2, bn2, shortcut });

fn convolution(inputs: usize, outputs: usize, kernel: usize, stride: usize, bias: bool, init: &mut Init) -> Conv2d {
    let options = Conv2dOptions { stride: [stride; 2], padding: [kernel / 2; 4], ..Default::default() };
    let conv = Conv2d::new(inputs, outputs, kernel, options, init);
    if bias { conv.with_bias() } else { conv }
}

impl CifarBlock {
    fn new(config: &CifarResNetConfig, inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Self {
        let (bias, norm) = (config.conv_bias, |init: usize| BatchNorm2d::new(init, config.bn_eps));
        let shortcut = match config.shortcut {
            Shortcut::Projection { norm: has } if stride > 1 => Some(CifarShortcut {
                conv: convolution(inputs, outputs, 1, stride, bias, init),
                norm: has.then(|| norm(outputs)),
            }),
            _ => None,
        };
        Self {
            conv1: convolution(inputs, outputs, 3, stride, bias, init),
            bn1: norm(outputs),
            conv2: convolution(outputs, outputs, 3, 1, bias, init),
            bn2: norm(outputs),
            shortcut,
            same_padding: config.same_padding,
        }
    }

    /// The first convolution, which pads by the size of x if it pads as TensorFlow.
    fn first(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let [_, _, h, w] = x.dims::<4>("cifar_resnet", "(N, C, H, W)")?;
        let mut conv = Conv2dOptions { ..self.conv1.options };
        if self.same_padding && conv.stride == [2; 2] {
            // Windows of 3 at every second pixel reach one beyond an even size, and one on both sides of an odd one.
            conv.padding = [h % 2, 1, w % 2, 1];
        }
        self.conv1.forward_with(x, &conv, pass)
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.bn1.forward_relu(&self.first(x, pass)?, pass)?;
        let y = self.conv2.forward(&y, pass)?;
        let shortcut = match &self.shortcut {
            Some(shortcut) => {
                let mut projected = shortcut.conv.forward(x, pass)?;
                if let Some(norm) = &shortcut.norm {
                    projected = norm.forward(&projected, pass)?;
                }
                pass.tap(shortcut, projected)
            }
            None if self.conv1.options.stride == [1; 2] => x.clone(),
            None => padded(x)?,
        };
        let y = self.bn2.forward_add_relu(&y, &shortcut, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// Every second pixel, with half as many channels of zeros on either side.
fn padded(x: &Value) -> Result<Value> {
    let y = x.max_pool2d(&Pool2d { kernel: [1; 2], stride: [2; 2], ..Default::default() })?;
    let [n, c, h, w] = y.dims::<4>("cifar_resnet", "(N, C, H, W)")?;
    let zeros = |channels: usize| -> Result<Value> { Ok(Tensor::zeros(&[n, channels, h, w])?.into()) };
    Value::concat(&[&zeros(c / 2)?, &y, &zeros(c - c / 2)?], 1)
}

/// A ResNet of small images.
#[derive(Debug, Clone)]
pub struct CifarResNet {
    /// 3×3.
    pub conv1: Conv2d,
    /// Its norm.
    pub bn1: BatchNorm2d,
    /// The stage at full size.
    pub layer1: Vec<CifarBlock>,
    /// The stage at half.
    pub layer2: Vec<CifarBlock>,
    /// The stage at a quarter.
    pub layer3: Vec<CifarBlock>,
    /// The classifier.
    pub linear: Linear,
    config: CifarResNetConfig,
}

module!(CifarResNet { conv1, bn1, layer1, layer2, layer3, linear });

impl CifarResNet {
    /// A network of these measures with fresh weights.
    pub fn new(config: &CifarResNetConfig, init: &mut Init) -> Self {
        let width = config.width;
        let mut stage = |inputs: usize, outputs: usize, stride: usize| -> Vec<CifarBlock> {
            (0..config.blocks)
                .map(|i| match i {
                    0 => CifarBlock::new(config, inputs, outputs, stride, init),
                    _ => CifarBlock::new(config, outputs, outputs, 1, init),
                })
                .collect()
        };
        let layers = [stage(width, width, 1), stage(width, 2 * width, 2), stage(2 * width, 4 * width, 2)];
        let [layer1, layer2, layer3] = layers;
        Self {
            conv1: convolution(config.channels, width, 3, 1, config.conv_bias, init),
            bn1: BatchNorm2d::new(width, config.bn_eps),
            layer1,
            layer2,
            layer3,
            linear: Linear::new(4 * width, config.classes, init),
            config: config.clone(),
        }
    }

    /// The measures.
    pub fn config(&self) -> &CifarResNetConfig {
        &self.config
    }

    /// conv1, bn1 and ReLU.
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 4×4 pixels.
    pub fn stem(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        check_image("cifar_resnet", x, 4)?;
        self.bn1.forward_relu(&self.conv1.forward(x, pass)?, pass)
    }

    /// One of the three stages, counted from 1.
    ///
    /// # Errors
    /// Another number of channels than the stage takes.
    pub fn stage(&self, number: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        let blocks = match number {
            1 => &self.layer1,
            2 => &self.layer2,
            _ => &self.layer3,
        };
        blocks.iter().try_fold(x.clone(), |x, block| block.forward(&x, pass))
    }

    /// What the classifier sees: (N, C, H, W) to (N, 64).
    ///
    /// # Errors
    /// As [`CifarResNet::stem`].
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        (0..4).try_fold(x.clone(), |x, at| self.group(at, &x, pass))
    }

    /// One of the groups before the head of [`CifarResNet::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`CifarResNet::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        match at {
            0 => self.stem(x, pass),
            1 | 2 => self.stage(at, x, pass),
            3 => self.stage(3, x, pass)?.adaptive_avg_pool2d([1, 1])?.flatten(1),
            _ => no_group("cifar_resnet", at),
        }
    }

    /// The classifier: (N, 64) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.linear.forward(features, pass)
    }

    /// Logits: (N, C, H, W) to (N, classes).
    ///
    /// # Errors
    /// As [`CifarResNet::stem`].
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let features = self.features(x, pass)?;
        self.head(&features, pass)
    }

    /// Gives the network a fresh classifier for `classes` classes.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.linear = Linear::new(4 * self.config.width, classes, init);
    }

    /// Prefixes of names from the input to the output, one list per group; the last is the head.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let stages = ["layer1.", "layer2.", "layer3.", "linear."].map(|s| vec![s.to_owned()]);
        std::iter::once(vec!["conv1.".to_owned(), "bn1.".to_owned()]).chain(stages).collect()
    }
}
