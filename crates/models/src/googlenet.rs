//! GoogLeNet, the first Inception: nine blocks of four branches, and two auxiliary heads in training.
//!
//! (N, 3, H, W) → stem of three convolutions and two max pools: to an eighth of the size → inception3a, 3b → max pool →
//! 4a..4e at a sixteenth → max pool → 5a, 5b at a thirty-second → mean over H and W → dropout → fc → (N, classes). The
//! auxiliary heads read 4a and 4d. Names are torchvision's. Source: Szegedy et al. 2014, "Going Deeper with
//! Convolutions", with batch norms; the third branch's 5×5 is a 3×3 in torchvision and TF-slim alike.
//! Where other sources differ, [`GoogLeNetConfig`] has a knob.

use crate::ImageLogits;
use crate::config::Reader;
use crate::image::{BasicConv2d, Fresh, POOL_3X3, POOL_3X3_HALF, chain, check_image, to_unit_range};
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{
    Dropout, Error, Init, Linear, Module, ModuleId, Param, Pass, Pool2d, Result, Value, join, module,
};

/// A GoogLeNet's knobs, in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct GoogLeNetConfig {
    /// Channels of the image.
    pub channels: usize,
    /// Classes out: 1000; 1001 in TF-slim.
    pub classes: usize,
    /// Whether there are auxiliary heads.
    pub aux: bool,
    /// Weight of each auxiliary head's loss: 0.3.
    pub aux_weight: f64,
    /// Whether the images are normalised as torchvision's and the weights want [-1, 1]: see torchvision's
    /// `transform_input`. True for its pretrained weights.
    pub transform_input: bool,
    /// Rate of the dropout before `fc`: 0.2 in torchvision, 0.4 in the paper.
    pub dropout: f32,
    /// Rate of the dropouts of the auxiliary heads: 0.7.
    pub dropout_aux: f32,
    /// ε of all batch norms.
    pub bn_eps: f64,
    /// Padding of the stem's 7×7: top, bottom, left, right; 3 in torchvision, [2, 3, 2, 3] in TF-slim at even sizes.
    pub stem_padding: [usize; 4],
    /// Kernel of the third branch: 3 in torchvision and TF-slim, 5 in the paper and Caffe.
    pub third_kernel: usize,
    /// Kernel of the last max pool: 2 in torchvision and TF-slim, 3 in the paper and Caffe.
    pub last_pool: usize,
}

impl GoogLeNetConfig {
    /// torchvision's numbers for fresh weights, with the auxiliary heads.
    pub fn torchvision(classes: usize) -> Self {
        Self {
            channels: 3,
            classes,
            aux: true,
            aux_weight: 0.3,
            transform_input: false,
            dropout: 0.2,
            dropout_aux: 0.7,
            bn_eps: 1e-3,
            stem_padding: [3; 4],
            third_kernel: 3,
            last_pool: 2,
        }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "googlenet",
            "channels": self.channels,
            "classes": self.classes,
            "aux": self.aux,
            "aux_weight": self.aux_weight,
            "transform_input": self.transform_input,
            "dropout": f64::from(self.dropout),
            "dropout_aux": f64::from(self.dropout_aux),
            "bn_eps": self.bn_eps,
            "stem_padding": self.stem_padding,
            "third_kernel": self.third_kernel,
            "last_pool": self.last_pool,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`GoogLeNetConfig::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        let small = |key: &str, least: u64, most: u64| {
            let number = config[key].as_u64().filter(|n| (least..=most).contains(n));
            number.map(|n| n as usize).ok_or_else(|| read.wrong(key, &format!("{least} to {most}")))
        };
        let padding = config["stem_padding"].as_array().map(|list| {
            list.iter().map(|v| v.as_u64().filter(|&v| v <= 3).map(|v| v as usize)).collect::<Option<Vec<_>>>()
        });
        let padding = padding.flatten().and_then(|list| list.try_into().ok());
        Ok(Self {
            channels: read.size("channels")?,
            classes: read.size("classes")?,
            aux: read.flag("aux")?,
            aux_weight: read.factor("aux_weight")?,
            transform_input: read.flag("transform_input")?,
            dropout: read.fraction("dropout")? as f32,
            dropout_aux: read.fraction("dropout_aux")? as f32,
            bn_eps: read.fraction("bn_eps")?,
            stem_padding: padding.ok_or_else(|| read.wrong("stem_padding", "a list of four numbers from 0 to 3"))?,
            third_kernel: match small("third_kernel", 3, 5)? {
                4 => return Err(read.wrong("third_kernel", "3 or 5")),
                kernel => kernel,
            },
            last_pool: small("last_pool", 2, 3)?,
        })
    }
}

/// Two convolutions, `0` and `1`.
#[derive(Debug, Clone)]
pub struct Pair(pub [BasicConv2d; 2]);

impl Module for Pair {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        for (i, conv) in self.0.iter_mut().enumerate() {
            conv.each(&join(path, &i.to_string()), f);
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        for (i, conv) in self.0.iter().enumerate() {
            conv.modules(&join(path, &i.to_string()), f);
        }
    }
}

impl Pair {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = chain(x, &self.0.each_ref(), pass)?;
        Ok(pass.tap(self, y))
    }
}

/// A max pool and a convolution; the pool is `0`.
#[derive(Debug, Clone)]
pub struct PoolBranch {
    /// 1×1.
    pub conv: BasicConv2d,
}

module!(PoolBranch { conv => "1" });

/// Four branches: 1×1; 1×1 and 3×3; 1×1 and the third kernel; max pool and 1×1.
#[derive(Debug, Clone)]
pub struct GoogLeNetBlock {
    /// 1×1.
    pub branch1: BasicConv2d,
    /// 1×1 and 3×3.
    pub branch2: Pair,
    /// 1×1 and 3×3 (or 5×5).
    pub branch3: Pair,
    /// Max pool and 1×1.
    pub branch4: PoolBranch,
}

module!(GoogLeNetBlock { branch1, branch2, branch3, branch4 });

/// A square kernel that keeps the size.
fn square(inputs: usize, outputs: usize, kernel: usize, fresh: &mut Fresh) -> BasicConv2d {
    BasicConv2d::new(inputs, outputs, [kernel; 2], 1, [kernel / 2; 2], fresh)
}

impl GoogLeNetBlock {
    /// Channels: in; of the first branch; inside and out of the second and third; of the fourth.
    fn new(inputs: usize, [one, in3, out3, in5, out5, pool]: [usize; 6], kernel: usize, fresh: &mut Fresh) -> Self {
        Self {
            branch1: square(inputs, one, 1, fresh),
            branch2: Pair([square(inputs, in3, 1, fresh), square(in3, out3, 3, fresh)]),
            branch3: Pair([square(inputs, in5, 1, fresh), square(in5, out5, kernel, fresh)]),
            branch4: PoolBranch { conv: square(inputs, pool, 1, fresh) },
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let one = self.branch1.forward(x, pass)?;
        let two = self.branch2.forward(x, pass)?;
        let three = self.branch3.forward(x, pass)?;
        let four = self.branch4.conv.forward(&x.max_pool2d(&POOL_3X3)?, pass)?;
        let four = pass.tap(&self.branch4, four);
        let y = Value::concat(&[&one, &two, &three, &four], 1)?;
        Ok(pass.tap(self, y))
    }
}

/// An auxiliary head: means over 4×4 bins, 1×1, and two dense layers with dropout between.
#[derive(Debug, Clone)]
pub struct GoogLeNetAux {
    /// 1×1.
    pub conv: BasicConv2d,
    /// 2048 to 1024, then ReLU.
    pub fc1: Linear,
    /// The classifier.
    pub fc2: Linear,
    /// Before `fc2`.
    pub dropout: Dropout,
}

module!(GoogLeNetAux { conv, fc1, fc2, dropout });

impl GoogLeNetAux {
    fn new(inputs: usize, config: &GoogLeNetConfig, fresh: &mut Fresh) -> Self {
        Self {
            conv: square(inputs, 128, 1, fresh),
            fc1: fresh.linear(2048, 1024, DEVIATION),
            fc2: fresh.linear(1024, config.classes, DEVIATION),
            dropout: Dropout::new(config.dropout_aux),
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.conv.forward(&x.adaptive_avg_pool2d([4, 4])?, pass)?;
        let y = self.fc1.forward(&y.flatten(1)?, pass)?.relu()?;
        let y = self.fc2.forward(&self.dropout.forward(&y, pass)?, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// GoogLeNet.
#[derive(Debug, Clone)]
pub struct GoogLeNet {
    /// 7×7, stride 2, then a max pool.
    pub conv1: BasicConv2d,
    /// 1×1.
    pub conv2: BasicConv2d,
    /// 3×3, then a max pool.
    pub conv3: BasicConv2d,
    /// The nine blocks, `inception3a` to `inception5b`.
    pub blocks: [GoogLeNetBlock; 9],
    /// Reads `inception4a` in training.
    pub aux1: Option<GoogLeNetAux>,
    /// Reads `inception4d` in training.
    pub aux2: Option<GoogLeNetAux>,
    /// Of the pooled features.
    pub dropout: Dropout,
    /// The classifier.
    pub fc: Linear,
    config: GoogLeNetConfig,
}

impl Module for GoogLeNet {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        self.conv1.each(&join(path, "conv1"), f);
        self.conv2.each(&join(path, "conv2"), f);
        self.conv3.each(&join(path, "conv3"), f);
        for (block, name) in self.blocks.iter_mut().zip(Self::STAGES) {
            block.each(&join(path, name), f);
        }
        self.aux1.each(&join(path, "aux1"), f);
        self.aux2.each(&join(path, "aux2"), f);
        self.dropout.each(&join(path, "dropout"), f);
        self.fc.each(&join(path, "fc"), f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        self.conv1.modules(&join(path, "conv1"), f);
        self.conv2.modules(&join(path, "conv2"), f);
        self.conv3.modules(&join(path, "conv3"), f);
        for (block, name) in self.blocks.iter().zip(Self::STAGES) {
            block.modules(&join(path, name), f);
        }
        self.aux1.modules(&join(path, "aux1"), f);
        self.aux2.modules(&join(path, "aux2"), f);
        self.dropout.modules(&join(path, "dropout"), f);
        self.fc.modules(&join(path, "fc"), f);
    }
}

/// Channels of the pooled features.
const FEATURES: usize = 1024;

/// Deviation of the fresh weights.
const DEVIATION: f64 = 0.01;

/// The smallest image of which anything is left at the end.
const LEAST: usize = 23;

/// Blocks after which a max pool follows, and after which the auxiliary heads read, counted from 1.
const BEFORE_POOL: [usize; 2] = [2, 7];
const BEFORE_AUX: [usize; 2] = [3, 6];

impl GoogLeNet {
    /// The names of the blocks, which [`GoogLeNet::stage`] counts from 1.
    pub const STAGES: [&str; 9] = [
        "inception3a",
        "inception3b",
        "inception4a",
        "inception4b",
        "inception4c",
        "inception4d",
        "inception4e",
        "inception5a",
        "inception5b",
    ];

    /// A network of this configuration with fresh weights.
    pub fn new(config: &GoogLeNetConfig, init: &mut Init) -> Self {
        let fresh = &mut Fresh { init, deviation: DEVIATION, bn_eps: config.bn_eps };
        let mut conv1 = BasicConv2d::new(config.channels, 64, [7; 2], 2, [3; 2], fresh);
        conv1.conv.options.padding = config.stem_padding;
        let (conv2, conv3) = (square(64, 64, 1, fresh), square(64, 192, 3, fresh));
        let mut inputs = 192;
        let blocks = [
            [64, 96, 128, 16, 32, 32],
            [128, 128, 192, 32, 96, 64],
            [192, 96, 208, 16, 48, 64],
            [160, 112, 224, 24, 64, 64],
            [128, 128, 256, 24, 64, 64],
            [112, 144, 288, 32, 64, 64],
            [256, 160, 320, 32, 128, 128],
            [256, 160, 320, 32, 128, 128],
            [384, 192, 384, 48, 128, 128],
        ]
        .map(|widths| {
            let block = GoogLeNetBlock::new(inputs, widths, config.third_kernel, fresh);
            inputs = widths[0] + widths[2] + widths[4] + widths[5];
            block
        });
        let mut aux = |inputs| config.aux.then(|| GoogLeNetAux::new(inputs, config, fresh));
        let (aux1, aux2) = (aux(512), aux(528));
        let fc = fresh.linear(FEATURES, config.classes, DEVIATION);
        let dropout = Dropout::new(config.dropout);
        Self { conv1, conv2, conv3, blocks, aux1, aux2, dropout, fc, config: config.clone() }
    }

    /// torchvision's GoogLeNet with fresh weights, to be loaded or trained.
    pub fn torchvision(classes: usize) -> Self {
        Self::new(&GoogLeNetConfig::torchvision(classes), &mut Init::new(0))
    }

    /// The configuration.
    pub fn config(&self) -> &GoogLeNetConfig {
        &self.config
    }

    /// `transform_input`, if the network has it, three convolutions and two max pools: to an eighth of the size.
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn stem(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        check_image("googlenet", x, LEAST)?;
        let x = if self.config.transform_input { to_unit_range(x)? } else { x.clone() };
        let pool = Pool2d { ceil_mode: true, ..POOL_3X3_HALF };
        let y = self.conv1.forward(&x, pass)?.max_pool2d(&pool)?;
        chain(&y, &[&self.conv2, &self.conv3], pass)?.max_pool2d(&pool)
    }

    /// One of [`GoogLeNet::STAGES`], counted from 1; 3b and 4e with the max pool that follows.
    ///
    /// # Errors
    /// No such stage, or another number of channels than it takes.
    pub fn stage(&self, number: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        let block = number.checked_sub(1).and_then(|at| self.blocks.get(at));
        let block =
            block.ok_or_else(|| Error::argument("googlenet", format!("no stage {number}; there are 1 to 9")))?;
        let y = block.forward(x, pass)?;
        let kernel = match BEFORE_POOL.iter().position(|&at| at == number) {
            Some(0) => 3,
            Some(_) => self.config.last_pool,
            None => return Ok(y),
        };
        y.max_pool2d(&Pool2d { kernel: [kernel; 2], ceil_mode: true, ..Default::default() })
    }

    /// Pooled features, and what the auxiliary heads read.
    fn trunk(&self, x: &Value, pass: &mut Pass) -> Result<(Value, Vec<Value>)> {
        let (mut y, mut low) = (x.clone(), Vec::new());
        for at in 0..=self.blocks.len() {
            y = self.group(at, &y, pass)?;
            if BEFORE_AUX.contains(&at) {
                low.push(y.clone());
            }
        }
        Ok((y, low))
    }

    /// One of the groups before the head of [`GoogLeNet::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`GoogLeNet::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        match at {
            0 => self.stem(x, pass),
            _ if at == self.blocks.len() => self.stage(at, x, pass)?.adaptive_avg_pool2d([1, 1])?.flatten(1),
            _ => self.stage(at, x, pass),
        }
    }

    /// What [`GoogLeNet::head`] sees: (N, C, H, W) to (N, 1024).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 23×23 pixels.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        Ok(self.trunk(x, pass)?.0)
    }

    /// Dropout and the classifier: (N, 1024) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.fc.forward(&self.dropout.forward(features, pass)?, pass)
    }

    /// (N, C, H, W) to logits (N, classes), in training also those of the auxiliary heads, `aux2` first. (A head is not
    /// run where there is nothing to train by it: frozen itself, on a frozen trunk.)
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 23×23 pixels.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<ImageLogits> {
        let (features, low) = self.trunk(x, pass)?;
        let mut aux = Vec::new();
        for (head, low) in [&self.aux2, &self.aux1].into_iter().zip(low.iter().rev()) {
            if let Some(head) = head
                && pass.is_training()
                && (low.is_traced() || head.fc2.weight.is_trainable())
            {
                aux.push(head.forward(low, pass)?);
            }
        }
        Ok(ImageLogits { logits: self.head(&features, pass)?, aux, aux_weight: self.config.aux_weight })
    }

    /// Gives the network fresh classifiers for `classes` classes: its own and the auxiliary heads'.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.fc = Linear::new(FEATURES, classes, init);
        for aux in self.aux1.iter_mut().chain(&mut self.aux2) {
            aux.fc2 = Linear::new(1024, classes, init);
        }
    }

    /// Takes the auxiliary heads away, which are no use in evaluation. (torchvision's pretrained ones are not trained.)
    pub fn remove_aux(&mut self) {
        self.config.aux = false;
        (self.aux1, self.aux2) = (None, None);
    }

    /// Prefixes of names from the input to the output, one list per group: the stem, each block, and the heads.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let stem = ["conv1.", "conv2.", "conv3."].map(str::to_owned).to_vec();
        let blocks = Self::STAGES.map(|name| vec![format!("{name}.")]);
        let heads = ["aux1.", "aux2.", "dropout.", "fc."].map(str::to_owned).to_vec();
        std::iter::once(stem).chain(blocks).chain([heads]).collect()
    }
}
