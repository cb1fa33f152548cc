//! The first convolution of a ResNet: one of 7×7, or three of 3×3 (timm's ResNet-C and -D).

use ukulele_layers::{BatchNorm2d, Conv2d, Conv2dOptions, Init, Module, ModuleId, Param, Pass, Result, Value, module};

/// `conv1`: to half the size.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a network has one")]
pub enum ResNetStem {
    /// 7×7, stride 2.
    Plain(Conv2d),
    /// Three of 3×3, the first with stride 2.
    Deep(DeepStem),
}

/// Three convolutions of 3×3; what stands between is ReLU, which takes the numbers 2 and 5. Source: He et al. 2018 (bag of
/// tricks), timm `models/resnet.py`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the checkpoint's names, which say kernel and place")]
pub struct DeepStem {
    pub first: Conv2d,
    pub first_norm: BatchNorm2d,
    pub second: Conv2d,
    pub second_norm: BatchNorm2d,
    pub third: Conv2d,
}

module!(DeepStem { first => "0", first_norm => "1", second => "3", second_norm => "4", third => "6" });

impl Module for ResNetStem {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        match self {
            Self::Plain(conv) => conv.each(path, f),
            Self::Deep(stem) => stem.each(path, f),
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        match self {
            Self::Plain(conv) => conv.modules(path, f),
            Self::Deep(stem) => stem.modules(path, f),
        }
    }
}

impl ResNetStem {
    /// Fresh, from `channels` to `outputs`; `inner` are the widths of the first two of three.
    pub(crate) fn new(
        channels: usize,
        outputs: usize,
        inner: Option<[usize; 2]>,
        bias: bool,
        eps: f64,
        init: &mut Init,
    ) -> Self {
        let mut conv = |inputs, outputs, kernel, stride| {
            let options = Conv2dOptions { stride: [stride; 2], padding: [kernel / 2; 4], ..Default::default() };
            let conv = Conv2d::new(inputs, outputs, kernel, options, init);
            if bias { conv.with_bias() } else { conv }
        };
        match inner {
            None => Self::Plain(conv(channels, outputs, 7, 2)),
            Some([first, second]) => Self::Deep(DeepStem {
                first: conv(channels, first, 3, 2),
                first_norm: BatchNorm2d::new(first, eps),
                second: conv(first, second, 3, 1),
                second_norm: BatchNorm2d::new(second, eps),
                third: conv(second, outputs, 3, 1),
            }),
        }
    }

    /// (N, C, H, W) to (N, O, H / 2, W / 2), without the norm that follows.
    ///
    /// # Errors
    /// No image, or another number of channels.
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        match self {
            Self::Plain(conv) => conv.forward(x, pass),
            Self::Deep(stem) => {
                let y = stem.first_norm.forward_relu(&stem.first.forward(x, pass)?, pass)?;
                let y = stem.second_norm.forward_relu(&stem.second.forward(&y, pass)?, pass)?;
                let y = stem.third.forward(&y, pass)?;
                Ok(pass.tap(stem, y))
            }
        }
    }
}
