//! Inception v3: blocks of parallel branches, whose large kernels are factored into small and one-dimensional ones.
//!
//! (N, 3, H, W) → stem of five convolutions and two max pools: to an eighth of the size → Mixed_5b..Mixed_5d → 6a..6e at
//! a sixteenth → 7a..7c at a thirty-second → mean over H and W → dropout → fc → (N, classes). In training an auxiliary
//! head reads Mixed_6e. Names are torchvision's. Source: Szegedy et al. 2015, "Rethinking the Inception Architecture".
//! Where other sources differ, [`InceptionConfig`] has a knob.

use crate::config::Reader;
use crate::image::{BasicConv2d, Fresh, POOL_3X3, POOL_3X3_HALF, chain, check_image, to_unit_range};
use serde_json::{Map, Value as Json, json};
use ukulele_layers::{Dropout, Error, Init, Linear, Pass, Pool2d, Result, Value, module};

/// An Inception's knobs, in which sources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct InceptionConfig {
    /// Channels of the image.
    pub channels: usize,
    /// Classes out: 1000; 1001 in TF-slim, 1008 in the network of the Fréchet Inception distance.
    pub classes: usize,
    /// Whether there is an auxiliary head.
    pub aux: bool,
    /// Weight of the auxiliary head's loss: 0.4.
    pub aux_weight: f64,
    /// Whether the images are normalised as torchvision's and the weights want [-1, 1]: see torchvision's
    /// `transform_input`. True for its pretrained weights.
    pub transform_input: bool,
    /// Rate of the dropout before `fc`: 0.5; none, which is 0, in Keras.
    pub dropout: f32,
    /// ε of all batch norms.
    pub bn_eps: f64,
    /// Whether the average pools of the branches count the padding: in torchvision and timm; not in TF-slim and Keras.
    pub count_padding: bool,
    /// Whether the pool of Mixed_7c takes the largest instead of the mean: in the network of the Fréchet Inception
    /// distance.
    pub last_pool_max: bool,
}

impl InceptionConfig {
    /// torchvision's numbers for fresh weights, with the auxiliary head.
    pub fn v3(classes: usize) -> Self {
        Self {
            channels: 3,
            classes,
            aux: true,
            aux_weight: 0.4,
            transform_input: false,
            dropout: 0.5,
            bn_eps: 1e-3,
            count_padding: true,
            last_pool_max: false,
        }
    }

    /// The entries of the configuration that is saved with a network.
    pub fn to_json(&self) -> Map<String, Json> {
        let config = json!({
            "model_type": "inception_v3",
            "channels": self.channels,
            "classes": self.classes,
            "aux": self.aux,
            "aux_weight": self.aux_weight,
            "transform_input": self.transform_input,
            "dropout": f64::from(self.dropout),
            "bn_eps": self.bn_eps,
            "count_padding": self.count_padding,
            "last_pool_max": self.last_pool_max,
        });
        config.as_object().cloned().unwrap_or_default()
    }

    /// Reads what [`InceptionConfig::to_json`] wrote.
    ///
    /// # Errors
    /// An entry that is missing or out of range.
    pub fn from_json(config: &Json) -> Result<Self> {
        let read = Reader(config);
        Ok(Self {
            channels: read.size("channels")?,
            classes: read.size("classes")?,
            aux: read.flag("aux")?,
            aux_weight: read.factor("aux_weight")?,
            transform_input: read.flag("transform_input")?,
            dropout: read.fraction("dropout")? as f32,
            bn_eps: read.fraction("bn_eps")?,
            count_padding: read.flag("count_padding")?,
            last_pool_max: read.flag("last_pool_max")?,
        })
    }
}

/// The logits of a forward pass. In training those of the auxiliary heads too, the one nearest to the output first;
/// `let loss = net.forward(&x, &mut pass)?.cross_entropy(&labels)?`.
#[derive(Debug, Clone)]
pub struct ImageLogits {
    /// (N, classes).
    pub logits: Value,
    /// (N, classes) each; none in evaluation.
    pub aux: Vec<Value>,
    /// Weight of each auxiliary loss.
    pub aux_weight: f64,
}

/// The pool at the head of a block's last branch.
#[derive(Debug, Clone, Copy)]
enum BranchPool {
    Mean { count_padding: bool },
    Max,
}

impl BranchPool {
    fn forward(self, x: &Value) -> Result<Value> {
        match self {
            Self::Mean { count_padding } => x.avg_pool2d(&Pool2d { count_include_pad: count_padding, ..POOL_3X3 }),
            Self::Max => x.max_pool2d(&POOL_3X3),
        }
    }
}

/// A square kernel that keeps the size.
fn square(inputs: usize, outputs: usize, kernel: usize, fresh: &mut Fresh) -> BasicConv2d {
    BasicConv2d::new(inputs, outputs, [kernel; 2], 1, [kernel / 2; 2], fresh)
}

/// A square kernel without padding.
fn bare(inputs: usize, outputs: usize, kernel: usize, stride: usize, fresh: &mut Fresh) -> BasicConv2d {
    BasicConv2d::new(inputs, outputs, [kernel; 2], stride, [0; 2], fresh)
}

/// One row of `width` that keeps the size.
fn row(inputs: usize, outputs: usize, width: usize, fresh: &mut Fresh) -> BasicConv2d {
    BasicConv2d::new(inputs, outputs, [1, width], 1, [0, width / 2], fresh)
}

/// One column of `height` that keeps the size.
fn column(inputs: usize, outputs: usize, height: usize, fresh: &mut Fresh) -> BasicConv2d {
    BasicConv2d::new(inputs, outputs, [height, 1], 1, [height / 2, 0], fresh)
}

/// Mixed_5b to 5d: 1×1, 5×5, two 3×3, pool. Channels out: 224 and those of the pool's branch.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say kernel and place")]
pub struct InceptionA {
    pub branch1x1: BasicConv2d,
    pub branch5x5_1: BasicConv2d,
    pub branch5x5_2: BasicConv2d,
    pub branch3x3dbl_1: BasicConv2d,
    pub branch3x3dbl_2: BasicConv2d,
    pub branch3x3dbl_3: BasicConv2d,
    pub branch_pool: BasicConv2d,
}

module!(InceptionA {
    branch1x1,
    branch5x5_1,
    branch5x5_2,
    branch3x3dbl_1,
    branch3x3dbl_2,
    branch3x3dbl_3,
    branch_pool
});

impl InceptionA {
    fn new(inputs: usize, pooled: usize, fresh: &mut Fresh) -> Self {
        Self {
            branch1x1: square(inputs, 64, 1, fresh),
            branch5x5_1: square(inputs, 48, 1, fresh),
            branch5x5_2: square(48, 64, 5, fresh),
            branch3x3dbl_1: square(inputs, 64, 1, fresh),
            branch3x3dbl_2: square(64, 96, 3, fresh),
            branch3x3dbl_3: square(96, 96, 3, fresh),
            branch_pool: square(inputs, pooled, 1, fresh),
        }
    }

    fn forward(&self, x: &Value, pool: BranchPool, pass: &mut Pass) -> Result<Value> {
        let one = self.branch1x1.forward(x, pass)?;
        let five = chain(x, &[&self.branch5x5_1, &self.branch5x5_2], pass)?;
        let three = chain(x, &[&self.branch3x3dbl_1, &self.branch3x3dbl_2, &self.branch3x3dbl_3], pass)?;
        let pooled = self.branch_pool.forward(&pool.forward(x)?, pass)?;
        let y = Value::concat(&[&one, &five, &three, &pooled], 1)?;
        Ok(pass.tap(self, y))
    }
}

/// Mixed_6a: to half the size by 3×3, two 3×3, max pool. Channels out: 480 and those in.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say kernel and place")]
pub struct InceptionB {
    pub branch3x3: BasicConv2d,
    pub branch3x3dbl_1: BasicConv2d,
    pub branch3x3dbl_2: BasicConv2d,
    pub branch3x3dbl_3: BasicConv2d,
}

module!(InceptionB { branch3x3, branch3x3dbl_1, branch3x3dbl_2, branch3x3dbl_3 });

impl InceptionB {
    fn new(inputs: usize, fresh: &mut Fresh) -> Self {
        Self {
            branch3x3: bare(inputs, 384, 3, 2, fresh),
            branch3x3dbl_1: square(inputs, 64, 1, fresh),
            branch3x3dbl_2: square(64, 96, 3, fresh),
            branch3x3dbl_3: bare(96, 96, 3, 2, fresh),
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let three = self.branch3x3.forward(x, pass)?;
        let double = chain(x, &[&self.branch3x3dbl_1, &self.branch3x3dbl_2, &self.branch3x3dbl_3], pass)?;
        let y = Value::concat(&[&three, &double, &x.max_pool2d(&POOL_3X3_HALF)?], 1)?;
        Ok(pass.tap(self, y))
    }
}

/// Mixed_6b to 6e: 1×1, 7×7 and two 7×7 as rows and columns, pool. Channels out: 768.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say kernel and place")]
pub struct InceptionC {
    pub branch1x1: BasicConv2d,
    pub branch7x7_1: BasicConv2d,
    pub branch7x7_2: BasicConv2d,
    pub branch7x7_3: BasicConv2d,
    pub branch7x7dbl_1: BasicConv2d,
    pub branch7x7dbl_2: BasicConv2d,
    pub branch7x7dbl_3: BasicConv2d,
    pub branch7x7dbl_4: BasicConv2d,
    pub branch7x7dbl_5: BasicConv2d,
    pub branch_pool: BasicConv2d,
}

module!(InceptionC {
    branch1x1,
    branch7x7_1,
    branch7x7_2,
    branch7x7_3,
    branch7x7dbl_1,
    branch7x7dbl_2,
    branch7x7dbl_3,
    branch7x7dbl_4,
    branch7x7dbl_5,
    branch_pool
});

impl InceptionC {
    fn new(inputs: usize, inner: usize, fresh: &mut Fresh) -> Self {
        Self {
            branch1x1: square(inputs, 192, 1, fresh),
            branch7x7_1: square(inputs, inner, 1, fresh),
            branch7x7_2: row(inner, inner, 7, fresh),
            branch7x7_3: column(inner, 192, 7, fresh),
            branch7x7dbl_1: square(inputs, inner, 1, fresh),
            branch7x7dbl_2: column(inner, inner, 7, fresh),
            branch7x7dbl_3: row(inner, inner, 7, fresh),
            branch7x7dbl_4: column(inner, inner, 7, fresh),
            branch7x7dbl_5: row(inner, 192, 7, fresh),
            branch_pool: square(inputs, 192, 1, fresh),
        }
    }

    fn forward(&self, x: &Value, pool: BranchPool, pass: &mut Pass) -> Result<Value> {
        let one = self.branch1x1.forward(x, pass)?;
        let seven = chain(x, &[&self.branch7x7_1, &self.branch7x7_2, &self.branch7x7_3], pass)?;
        let double = [
            &self.branch7x7dbl_1,
            &self.branch7x7dbl_2,
            &self.branch7x7dbl_3,
            &self.branch7x7dbl_4,
            &self.branch7x7dbl_5,
        ];
        let double = chain(x, &double, pass)?;
        let pooled = self.branch_pool.forward(&pool.forward(x)?, pass)?;
        let y = Value::concat(&[&one, &seven, &double, &pooled], 1)?;
        Ok(pass.tap(self, y))
    }
}

/// Mixed_7a: to half the size by 3×3, 7×7 and 3×3, max pool. Channels out: 512 and those in.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say kernel and place")]
pub struct InceptionD {
    pub branch3x3_1: BasicConv2d,
    pub branch3x3_2: BasicConv2d,
    pub branch7x7x3_1: BasicConv2d,
    pub branch7x7x3_2: BasicConv2d,
    pub branch7x7x3_3: BasicConv2d,
    pub branch7x7x3_4: BasicConv2d,
}

module!(InceptionD { branch3x3_1, branch3x3_2, branch7x7x3_1, branch7x7x3_2, branch7x7x3_3, branch7x7x3_4 });

impl InceptionD {
    fn new(inputs: usize, fresh: &mut Fresh) -> Self {
        Self {
            branch3x3_1: square(inputs, 192, 1, fresh),
            branch3x3_2: bare(192, 320, 3, 2, fresh),
            branch7x7x3_1: square(inputs, 192, 1, fresh),
            branch7x7x3_2: row(192, 192, 7, fresh),
            branch7x7x3_3: column(192, 192, 7, fresh),
            branch7x7x3_4: bare(192, 192, 3, 2, fresh),
        }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let three = chain(x, &[&self.branch3x3_1, &self.branch3x3_2], pass)?;
        let seven = [&self.branch7x7x3_1, &self.branch7x7x3_2, &self.branch7x7x3_3, &self.branch7x7x3_4];
        let seven = chain(x, &seven, pass)?;
        let y = Value::concat(&[&three, &seven, &x.max_pool2d(&POOL_3X3_HALF)?], 1)?;
        Ok(pass.tap(self, y))
    }
}

/// Mixed_7b and 7c: 1×1, 3×3 and two 3×3, the last of each as a row beside a column, pool. Channels out: 2048.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say kernel and place")]
pub struct InceptionE {
    pub branch1x1: BasicConv2d,
    pub branch3x3_1: BasicConv2d,
    pub branch3x3_2a: BasicConv2d,
    pub branch3x3_2b: BasicConv2d,
    pub branch3x3dbl_1: BasicConv2d,
    pub branch3x3dbl_2: BasicConv2d,
    pub branch3x3dbl_3a: BasicConv2d,
    pub branch3x3dbl_3b: BasicConv2d,
    pub branch_pool: BasicConv2d,
}

module!(InceptionE {
    branch1x1,
    branch3x3_1,
    branch3x3_2a,
    branch3x3_2b,
    branch3x3dbl_1,
    branch3x3dbl_2,
    branch3x3dbl_3a,
    branch3x3dbl_3b,
    branch_pool
});

impl InceptionE {
    fn new(inputs: usize, fresh: &mut Fresh) -> Self {
        Self {
            branch1x1: square(inputs, 320, 1, fresh),
            branch3x3_1: square(inputs, 384, 1, fresh),
            branch3x3_2a: row(384, 384, 3, fresh),
            branch3x3_2b: column(384, 384, 3, fresh),
            branch3x3dbl_1: square(inputs, 448, 1, fresh),
            branch3x3dbl_2: square(448, 384, 3, fresh),
            branch3x3dbl_3a: row(384, 384, 3, fresh),
            branch3x3dbl_3b: column(384, 384, 3, fresh),
            branch_pool: square(inputs, 192, 1, fresh),
        }
    }

    fn forward(&self, x: &Value, pool: BranchPool, pass: &mut Pass) -> Result<Value> {
        let one = self.branch1x1.forward(x, pass)?;
        let y = self.branch3x3_1.forward(x, pass)?;
        let (row, column) = (self.branch3x3_2a.forward(&y, pass)?, self.branch3x3_2b.forward(&y, pass)?);
        let y = chain(x, &[&self.branch3x3dbl_1, &self.branch3x3dbl_2], pass)?;
        let (row_2, column_2) = (self.branch3x3dbl_3a.forward(&y, pass)?, self.branch3x3dbl_3b.forward(&y, pass)?);
        let pooled = self.branch_pool.forward(&pool.forward(x)?, pass)?;
        let y = Value::concat(&[&one, &row, &column, &row_2, &column_2, &pooled], 1)?;
        Ok(pass.tap(self, y))
    }
}

/// The auxiliary head: mean over 5×5, 1×1, 5×5, mean over what is left, and a classifier.
#[derive(Debug, Clone)]
pub struct InceptionAux {
    /// 1×1.
    pub conv0: BasicConv2d,
    /// 5×5, without padding.
    pub conv1: BasicConv2d,
    /// The classifier.
    pub fc: Linear,
}

module!(InceptionAux { conv0, conv1, fc });

/// Height and width that the auxiliary head needs of Mixed_6e, and which image brings it.
const AUX_MAP: usize = 17;
const AUX_IMAGE: usize = 299;

impl InceptionAux {
    fn new(classes: usize, fresh: &mut Fresh) -> Self {
        let (conv0, conv1) = (square(768, 128, 1, fresh), bare(128, 768, 5, 1, fresh));
        Self { conv0, conv1, fc: fresh.linear(768, classes, 0.001) }
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        let [_, _, h, w] = x.dims::<4>("inception", "(N, C, H, W)")?;
        if h < AUX_MAP || w < AUX_MAP {
            let message = format!(
                "in training the auxiliary head needs images of at least {AUX_IMAGE}x{AUX_IMAGE} pixels; \
                 enlarge them, or do without it (remove_aux)"
            );
            return Err(Error::argument("inception", message));
        }
        let mean = x.avg_pool2d(&Pool2d { kernel: [5; 2], stride: [3; 2], ..Default::default() })?;
        let y = chain(&mean, &[&self.conv0, &self.conv1], pass)?;
        let y = self.fc.forward(&y.adaptive_avg_pool2d([1, 1])?.flatten(1)?, pass)?;
        Ok(pass.tap(self, y))
    }
}

/// Inception v3.
#[derive(Debug, Clone)]
pub struct Inception {
    /// `Conv2d_1a_3x3`, stride 2.
    pub conv2d_1a: BasicConv2d,
    /// `Conv2d_2a_3x3`.
    pub conv2d_2a: BasicConv2d,
    /// `Conv2d_2b_3x3`, then a max pool.
    pub conv2d_2b: BasicConv2d,
    /// `Conv2d_3b_1x1`.
    pub conv2d_3b: BasicConv2d,
    /// `Conv2d_4a_3x3`, then a max pool.
    pub conv2d_4a: BasicConv2d,
    /// `Mixed_5b` to `Mixed_5d`.
    pub mixed_5b: InceptionA,
    /// `Mixed_5c`.
    pub mixed_5c: InceptionA,
    /// `Mixed_5d`.
    pub mixed_5d: InceptionA,
    /// `Mixed_6a`.
    pub mixed_6a: InceptionB,
    /// `Mixed_6b`.
    pub mixed_6b: InceptionC,
    /// `Mixed_6c`.
    pub mixed_6c: InceptionC,
    /// `Mixed_6d`.
    pub mixed_6d: InceptionC,
    /// `Mixed_6e`.
    pub mixed_6e: InceptionC,
    /// `AuxLogits`, which reads `Mixed_6e` in training.
    pub aux_logits: Option<InceptionAux>,
    /// `Mixed_7a`.
    pub mixed_7a: InceptionD,
    /// `Mixed_7b`.
    pub mixed_7b: InceptionE,
    /// `Mixed_7c`.
    pub mixed_7c: InceptionE,
    /// Of the pooled features.
    pub dropout: Dropout,
    /// The classifier.
    pub fc: Linear,
    config: InceptionConfig,
}

module!(Inception {
    conv2d_1a => "Conv2d_1a_3x3",
    conv2d_2a => "Conv2d_2a_3x3",
    conv2d_2b => "Conv2d_2b_3x3",
    conv2d_3b => "Conv2d_3b_1x1",
    conv2d_4a => "Conv2d_4a_3x3",
    mixed_5b => "Mixed_5b",
    mixed_5c => "Mixed_5c",
    mixed_5d => "Mixed_5d",
    mixed_6a => "Mixed_6a",
    mixed_6b => "Mixed_6b",
    mixed_6c => "Mixed_6c",
    mixed_6d => "Mixed_6d",
    mixed_6e => "Mixed_6e",
    aux_logits => "AuxLogits",
    mixed_7a => "Mixed_7a",
    mixed_7b => "Mixed_7b",
    mixed_7c => "Mixed_7c",
    dropout,
    fc
});

/// Channels of the pooled features.
const FEATURES: usize = 2048;

/// The smallest image of which anything is left at the end.
const LEAST: usize = 75;

impl Inception {
    /// The names of the stages after the stem, which [`Inception::stage`] counts from 1.
    pub const STAGES: [&str; 11] = [
        "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a",
        "Mixed_7b", "Mixed_7c",
    ];

    /// A network of this configuration with fresh weights.
    pub fn new(config: &InceptionConfig, init: &mut Init) -> Self {
        let fresh = &mut Fresh { init, deviation: 0.1, bn_eps: config.bn_eps };
        Self {
            conv2d_1a: bare(config.channels, 32, 3, 2, fresh),
            conv2d_2a: bare(32, 32, 3, 1, fresh),
            conv2d_2b: square(32, 64, 3, fresh),
            conv2d_3b: square(64, 80, 1, fresh),
            conv2d_4a: bare(80, 192, 3, 1, fresh),
            mixed_5b: InceptionA::new(192, 32, fresh),
            mixed_5c: InceptionA::new(256, 64, fresh),
            mixed_5d: InceptionA::new(288, 64, fresh),
            mixed_6a: InceptionB::new(288, fresh),
            mixed_6b: InceptionC::new(768, 128, fresh),
            mixed_6c: InceptionC::new(768, 160, fresh),
            mixed_6d: InceptionC::new(768, 160, fresh),
            mixed_6e: InceptionC::new(768, 192, fresh),
            aux_logits: config.aux.then(|| InceptionAux::new(config.classes, fresh)),
            mixed_7a: InceptionD::new(768, fresh),
            mixed_7b: InceptionE::new(1280, fresh),
            mixed_7c: InceptionE::new(2048, fresh),
            dropout: Dropout::new(config.dropout),
            fc: fresh.linear(FEATURES, config.classes, 0.1),
            config: config.clone(),
        }
    }

    /// torchvision's Inception v3 with fresh weights, to be loaded or trained.
    pub fn v3(classes: usize) -> Self {
        Self::new(&InceptionConfig::v3(classes), &mut Init::new(0))
    }

    /// The configuration.
    pub fn config(&self) -> &InceptionConfig {
        &self.config
    }

    /// `transform_input`, if the network has it, five convolutions and two max pools: to an eighth of the size.
    ///
    /// # Errors
    /// No image (N, C, H, W), or one too small.
    pub fn stem(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        check_image("inception", x, LEAST)?;
        let x = if self.config.transform_input { to_unit_range(x)? } else { x.clone() };
        let y = chain(&x, &[&self.conv2d_1a, &self.conv2d_2a, &self.conv2d_2b], pass)?;
        let y = y.max_pool2d(&POOL_3X3_HALF)?;
        chain(&y, &[&self.conv2d_3b, &self.conv2d_4a], pass)?.max_pool2d(&POOL_3X3_HALF)
    }

    /// One of [`Inception::STAGES`], counted from 1.
    ///
    /// # Errors
    /// No such stage, or another number of channels than it takes.
    pub fn stage(&self, number: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        let mean = BranchPool::Mean { count_padding: self.config.count_padding };
        match number {
            1 => self.mixed_5b.forward(x, mean, pass),
            2 => self.mixed_5c.forward(x, mean, pass),
            3 => self.mixed_5d.forward(x, mean, pass),
            4 => self.mixed_6a.forward(x, pass),
            5 => self.mixed_6b.forward(x, mean, pass),
            6 => self.mixed_6c.forward(x, mean, pass),
            7 => self.mixed_6d.forward(x, mean, pass),
            8 => self.mixed_6e.forward(x, mean, pass),
            9 => self.mixed_7a.forward(x, pass),
            10 => self.mixed_7b.forward(x, mean, pass),
            11 if self.config.last_pool_max => self.mixed_7c.forward(x, BranchPool::Max, pass),
            11 => self.mixed_7c.forward(x, mean, pass),
            _ => Err(Error::argument("inception", format!("no stage {number}; there are 1 to 11"))),
        }
    }

    /// Pooled features, and Mixed_6e.
    fn trunk(&self, x: &Value, pass: &mut Pass) -> Result<(Value, Value)> {
        let low = (0..=8).try_fold(x.clone(), |x, at| self.group(at, &x, pass))?;
        let high = (9..=11).try_fold(low.clone(), |x, at| self.group(at, &x, pass))?;
        Ok((high, low))
    }

    /// One of the groups before the head of [`Inception::layer_groups`], counted from 0: the first takes images (N, C, H, W), each
    /// further one what the one before it gives, and the last gives [`Inception::features`].
    ///
    /// # Errors
    /// Another input than the group takes.
    pub fn group(&self, at: usize, x: &Value, pass: &mut Pass) -> Result<Value> {
        match at {
            0 => self.stem(x, pass),
            11 => self.stage(11, x, pass)?.adaptive_avg_pool2d([1, 1])?.flatten(1),
            _ => self.stage(at, x, pass),
        }
    }

    /// What [`Inception::head`] sees: (N, C, H, W) to (N, 2048).
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 75×75 pixels.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        Ok(self.trunk(x, pass)?.0)
    }

    /// Dropout and the classifier: (N, 2048) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.fc.forward(&self.dropout.forward(features, pass)?, pass)
    }

    /// (N, C, H, W) to logits (N, classes), in training also those of the auxiliary head. (It is not run where there is
    /// nothing to train by it: frozen itself, on a frozen trunk.)
    ///
    /// # Errors
    /// No image (N, C, H, W), or one of fewer than 75×75 pixels; in training with the auxiliary head, 299×299.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<ImageLogits> {
        let (features, low) = self.trunk(x, pass)?;
        let aux = match &self.aux_logits {
            Some(head) if pass.is_training() && (low.is_traced() || head.fc.weight.is_trainable()) => {
                vec![head.forward(&low, pass)?]
            }
            _ => Vec::new(),
        };
        Ok(ImageLogits { logits: self.head(&features, pass)?, aux, aux_weight: self.config.aux_weight })
    }

    /// Gives the network fresh classifiers for `classes` classes: its own and the auxiliary head's.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.config.classes = classes;
        self.fc = Linear::new(FEATURES, classes, init);
        if let Some(aux) = &mut self.aux_logits {
            aux.fc = Linear::new(768, classes, init);
        }
    }

    /// Takes the auxiliary head away, which needs large images and is no use in evaluation.
    pub fn remove_aux(&mut self) {
        self.config.aux = false;
        self.aux_logits = None;
    }

    /// Prefixes of names from the input to the output, one list per group: the stem, each block, and the heads.
    pub fn layer_groups(&self) -> Vec<Vec<String>> {
        let blocks = Self::STAGES.map(|name| vec![format!("{name}.")]);
        let heads = ["AuxLogits.", "dropout.", "fc."].map(str::to_owned).to_vec();
        std::iter::once(vec!["Conv2d_".to_owned()]).chain(blocks).chain([heads]).collect()
    }
}
