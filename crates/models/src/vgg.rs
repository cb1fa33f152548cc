//! VGG: stages of 3×3 convolutions, each ended by a max pool, and a classifier of dense layers.
//!
//! (N, 3, H, W) → features: five stages, each halving the size → avgpool to 7×7 → classifier → (N, classes).
//! Names are torchvision's: `features.0.weight` to `classifier.6.bias`. Source: Simonyan and Zisserman 2014; the batch
//! norms are torchvision's. Keras flattens the features with the channels last: its dialect has to permute the columns
//! of the first dense layer. Where else sources differ, [`VggConfig`] has a knob.

use crate::config::Reader;
use crate::image::no_group;
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{
    BatchNorm2d, Conv2d, Conv2dOptions, Dropout, Error, Init, Linear, Module, ModuleId, Param, Pass, Pool2d, Result,
    Value, join, module,
};

/// A VGG's measures, and the knobs in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct VggConfig {
    /// Channels of the convolutions, one list per stage.
    pub stages: Vec<Vec<usize>>,
    /// Whether each convolution is followed by a batch norm.
    pub batch_norm: bool,
    /// Channels of the image.
    pub channels: usize,
    /// Classes out.
    pub classes: usize,
    /// Whether there is a classifier; without, `forward` gives the last feature map.
    pub classifier: bool,
    /// The classifier sees means over a grid of this height and width: 7.
    pub grid: usize,
    /// Widths of the dense layers before the last: 4096 twice; none makes the classifier one linear layer.
    pub hidden: Vec<usize>,
    /// Rate of the dropouts after the hidden layers: 0.5; Keras' VGGs have none, which is 0.
    pub dropout: f32,
    /// ε of all batch norms.
    pub bn_eps: f64,
    /// Whether the max pools round their size up, as Caffe's do; the same at multiples of 32.
    pub pool_ceil: bool,
}

impl VggConfig {
    /// torchvision's numbers for a depth of 11, 13, 16 or 19.
    ///
    /// ```
    /// # use ukulele_models::VggConfig;
    /// assert_eq!(VggConfig::depth(16, false, 10).unwrap().stages[2], [256, 256, 256]);
    /// assert!(VggConfig::depth(17, false, 10).is_none());
    /// ```
    pub fn depth(depth: usize, batch_norm: bool, classes: usize) -> Option<Self> {
        let repeats = match depth {
            11 => [1, 1, 2, 2, 2],
            13 => [2, 2, 2, 2, 2],
            16 => [2, 2, 3, 3, 3],
            19 => [2, 2, 4, 4, 4],
            _ => return None,
        };
        Some(Self {
            stages: repeats.iter().zip([64, 128, 256, 512, 512]).map(|(&n, width)| vec![width; n]).collect(),
            batch_norm,
            channels: 3,
            classes,
            classifier: true,
            grid: 7,
            hidden: vec![4096; 2],
            dropout: 0.5,
            bn_eps: 1e-5,
            pool_ceil: false,
        })
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "vgg",
            "stages": self.stages,
            "batch_norm": self.batch_norm,
            "channels": self.channels,
            "classes": self.classes,
            "classifier": self.classifier,
            "grid": self.grid,
            "hidden": self.hidden,
            "dropout": f64::from(self.dropout),
            "bn_eps": self.bn_eps,
            "pool_ceil": self.pool_ceil,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`VggConfig::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        let stages = config["stages"].as_array().filter(|stages| !stages.is_empty() && stages.len() <= 16);
        let stages = stages.and_then(|stages| stages.iter().map(Reader::sizes).collect::<Option<Vec<_>>>());
        let stages = stages.filter(|stages| stages.iter().all(|stage| !stage.is_empty()));
        Ok(Self {
            stages: stages.ok_or_else(|| read.wrong("stages", "lists of whole numbers, one per stage,"))?,
            batch_norm: read.flag("batch_norm")?,
            channels: read.size("channels")?,
            classes: read.size("classes")?,
            classifier: read.flag("classifier")?,
            grid: read.size("grid")?,
            hidden: Reader::sizes(&config["hidden"]).ok_or_else(|| read.wrong("hidden", "a list of whole numbers"))?,
            dropout: read.fraction("dropout")? as f32,
            bn_eps: read.fraction("bn_eps")?,
            pool_ceil: read.flag("pool_ceil")?,
        })
    }

    /// Channels of the last feature map.
    pub fn channels_out(&self) -> usize {
        self.stages.iter().flatten().last().copied().unwrap_or(self.channels)
    }

    /// Numbers that the first layer of the classifier sees of an image.
    fn flat(&self) -> usize {
        self.channels_out() * self.grid * self.grid
    }
}

/// A convolution, its norm if there is one, and ReLU.
#[derive(Debug, Clone)]
pub struct VggUnit {
    /// 3×3.
    pub conv: Conv2d,
    /// Its norm.
    pub norm: Option<BatchNorm2d>,
}

impl VggUnit {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = self.conv.forward(x, pass)?;
        match &self.norm {
            Some(norm) => norm.forward_relu(&y, pass),
            None => y.relu(),
        }
    }
}

/// The stages of convolutions, numbered as torchvision does: every layer, a ReLU or pool too, takes one number.
#[derive(Debug, Clone)]
pub struct VggFeatures {
    /// Each is ended by a max pool.
    pub stages: Vec<Vec<VggUnit>>,
}

impl Module for VggFeatures {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        let mut place = 0;
        for stage in &mut self.stages {
            for unit in stage {
                unit.conv.each(&join(path, &place.to_string()), f);
                unit.norm.each(&join(path, &(place + 1).to_string()), f);
                place += if unit.norm.is_some() { 3 } else { 2 };
            }
            place += 1;
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        let mut place = 0;
        for stage in &self.stages {
            for unit in stage {
                unit.conv.modules(&join(path, &place.to_string()), f);
                unit.norm.modules(&join(path, &(place + 1).to_string()), f);
                place += if unit.norm.is_some() { 3 } else { 2 };
            }
            place += 1;
        }
    }
}

/// A dense layer of the classifier, ReLU and dropout.
#[derive(Debug, Clone)]
pub struct VggDense {
    /// The layer.
    pub linear: Linear,
    /// After ReLU.
    pub dropout: Dropout,
}

/// Dense layers, and the last one, numbered as torchvision does: `0`, `3`, `6`, with dropouts `2` and `5`.
#[derive(Debug, Clone)]
pub struct VggClassifier {
    /// Those with ReLU and dropout.
    pub hidden: Vec<VggDense>,
    /// The one that makes logits.
    pub last: Linear,
}

impl Module for VggClassifier {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        for (i, dense) in self.hidden.iter_mut().enumerate() {
            dense.linear.each(&join(path, &(3 * i).to_string()), f);
            dense.dropout.each(&join(path, &(3 * i + 2).to_string()), f);
        }
        self.last.each(&join(path, &(3 * self.hidden.len()).to_string()), f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        for (i, dense) in self.hidden.iter().enumerate() {
            dense.linear.modules(&join(path, &(3 * i).to_string()), f);
            dense.dropout.modules(&join(path, &(3 * i + 2).to_string()), f);
        }
        self.last.modules(&join(path, &(3 * self.hidden.len()).to_string()), f);
    }
}

/// Deviation of the fresh weights of dense layers.
const DEVIATION: f64 = 0.01;

impl VggClassifier {
    fn new(config: &VggConfig, init: &mut Init) -> Self {
        let mut inputs = config.flat();
        let mut dense = |&width: &usize| {
            let linear = Linear::normal(inputs, width, DEVIATION, init);
            inputs = width;
            VggDense { linear, dropout: Dropout::new(config.dropout) }
        };
        let hidden = config.hidden.iter().map(&mut dense).collect();
        Self { hidden, last: Linear::normal(inputs, config.classes, DEVIATION, init) }
    }
}

/// A VGG network.
#[derive(Debug, Clone)]
pub struct Vgg {
    /// Convolutions and max pools.
    pub features: VggFeatures,
    /// Dense layers; `None` in the feature-only form.
    pub classifier: Option<VggClassifier>,
    config: VggConfig,
}

module!(Vgg { features, classifier });

impl Vgg {
    /// A network of these measures with fresh weights.
    pub fn new(config: &VggConfig, init: &mut Init) -> Self {
        let options = Conv2dOptions { padding: [1; 4], ..Default::default() };
        let mut inputs = config.channels;
        let mut unit = |&width: &usize| {
            let conv = Conv2d::new(inputs, width, 3, options, init).with_bias();
            inputs = width;
            VggUnit { conv, norm: config.batch_norm.then(|| BatchNorm2d::new(width, config.bn_eps)) }
        };
        let stages = config.stages.iter().map(|stage| stage.iter().map(&mut unit).collect()).collect();
        let classifier = config.classifier.then(|| VggClassifier::new(config, init));
        Self { features: VggFeatures { stages }, classifier, config: config.clone() }
    }

    fn of_depth(depth: usize, batch_norm: bool, classes: usize) -> Self {
        Self::new(&VggConfig::depth(depth, batch_norm, classes).expect("a known depth"), &mut Init::new(0))
    }

    /// VGG-11 with fresh weights, to be loaded or trained.
    pub fn vgg11(classes: usize) -> Self {
        Self::of_depth(11, false, classes)
    }

    /// VGG-11 with batch norm.
    pub fn vgg11_bn(classes: usize) -> Self {
        Self::of_depth(11, true, classes)
    }

    /// VGG-13.
    pub fn vgg13(classes: usize) -> Self {
        Self::of_depth(13, false, classes)
    }

    /// VGG-13 with batch norm.
    pub fn vgg13_bn(classes: usize) -> Self {
        Self::of_depth(13, true, classes)
    }

    /// VGG-16.
    pub fn vgg16(classes: usize) -> Self {
        Self::of_depth(16, false, classes)
    }

    /// VGG-16 with batch norm.
    pub fn vgg16_bn(classes: usize) -> Self {
        Self::of_depth(16, true, classes)
    }

    /// VGG-19.
    pub fn vgg19(classes: usize) -> Self {
        Self::of_depth(19, false, classes)
    }

    /// VGG-19 with batch norm.
    pub fn vgg19_bn(classes: usize) -> Self {
        Self::of_depth(19, true, classes)
    }

    /// The measures.
    pub fn config(&self) -> &VggConfig {
        &self.config
    }

    /// One of the stages, counted from 1: its convolutions and the max pool.
    ///
    /// # Errors
    /// No such stage, another number of channels than it takes, or fewer than 2×2 pixels.
    pub fn stage(&self, number: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        let count = self.features.stages.len();
        let stage = number.checked_sub(1).and_then(|at| self.features.stages.get(at));
        let stage =
            stage.ok_or_else(|| Error::argument("vgg", format!("no stage {number}; there are 1 to {count}")))?;
        let y = stage.iter().try_fold(x.clone(), |x, unit| unit.forward(&x, pass))?;
        y.max_pool2d(&Pool2d { ceil_mode: self.config.pool_ceil, ..Default::default() })
    }

    /// The last feature map: (N, C, H, W) to (N, 512, H / 32, W / 32).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn map(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let y = (1..=self.features.stages.len()).try_fold(x.clone(), |x, number| self.stage(number, &x, pass))?;
        Ok(pass.tap(&self.features, y))
    }

    /// What [`Vgg::head`] sees: (N, C, H, W) to (N, 4096), after all hidden layers but before the last dropout. In the
    /// feature-only form the means of the grid, (N, 512·7·7).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let hidden = self.classifier.as_ref().is_some_and(|classifier| !classifier.hidden.is_empty());
        let count = self.features.stages.len() + usize::from(hidden);
        (0..count).try_fold(x.clone(), |x, at| self.group(at, &x, pass))
    }

    /// One of the groups before the head of [`Vgg::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`Vgg::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        let stages = self.features.stages.len();
        if at < stages {
            let y = self.stage(at + 1, x, pass)?;
            if at + 1 < stages {
                return Ok(y);
            }
            return pass.tap(&self.features, y).adaptive_avg_pool2d([self.config.grid; 2])?.flatten(1);
        }
        let hidden = self.classifier.as_ref().map(|classifier| &classifier.hidden).filter(|hidden| !hidden.is_empty());
        let Some(hidden) = hidden.filter(|_| at == stages) else { return no_group("vgg", at) };
        let mut y = x.clone();
        let mut before: Option<&Dropout> = None;
        for dense in hidden {
            if let Some(dropout) = before.replace(&dense.dropout) {
                y = dropout.forward(&y, pass)?;
            }
            y = dense.linear.forward(&y, pass)?.relu()?;
        }
        Ok(y)
    }

    /// The last dropout and dense layer: (N, 4096) to (N, classes).
    ///
    /// # Errors
    /// Another number of features, or the feature-only form.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        let Some(classifier) = &self.classifier else {
            return Err(Error::argument("vgg", "this network has no classifier; give it one with replace_head"));
        };
        let y = match classifier.hidden.last() {
            Some(dense) => classifier.last.forward(&dense.dropout.forward(features, pass)?, pass)?,
            None => classifier.last.forward(features, pass)?,
        };
        Ok(pass.tap(classifier, y))
    }

    /// Logits: (N, C, H, W) to (N, classes). In the feature-only form the last feature map, see [`Vgg::map`].
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small: every stage halves it and leaves at least one pixel, so that 32×32 is
    /// the smallest for five.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        if self.classifier.is_none() {
            return self.map(x, pass);
        }
        let features = self.features(x, pass)?;
        self.head(&features, pass)
    }

    /// Gives the network a fresh last layer for `classes` classes; the feature-only form gets a whole fresh classifier.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.config.classifier = true;
        match &mut self.classifier {
            Some(classifier) => {
                let inputs = self.config.hidden.last().copied().unwrap_or_else(|| self.config.flat());
                classifier.last = Linear::normal(inputs, classes, DEVIATION, init);
            }
            None => self.classifier = Some(VggClassifier::new(&self.config, init)),
        }
    }

    /// Prefixes of names from the input to the output, one list per group: the stages, the hidden layers of the
    /// classifier, and the head, which is the last dropout and dense layer.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let mut place = 0;
        let mut groups: Vec<Vec<String>> = Vec::new();
        for stage in &self.config.stages {
            let end = place + stage.len() * if self.config.batch_norm { 3 } else { 2 };
            groups.push((place..end).map(|i| format!("features.{i}.")).collect());
            place = end + 1;
        }
        if let Some(classifier) = &self.classifier {
            let last = 3 * classifier.hidden.len();
            let head = last.saturating_sub(1);
            if !classifier.hidden.is_empty() {
                groups.push((0..head).map(|i| format!("classifier.{i}.")).collect());
            }
            groups.push((head..=last).map(|i| format!("classifier.{i}.")).collect());
        }
        groups
    }
}
