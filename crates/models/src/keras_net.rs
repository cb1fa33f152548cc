//! Networks of one's own: any `Sequential` of Keras for images, built as its file says.
//!
//! (N, C, H, W) through the layers in their order, logits out: a softmax at the end is left to the loss. Names are those of
//! Keras' layers: `conv2d_1.weight`, `batch_normalization.running_mean`, `dense.bias`. Source: keras 2.9 and 3 `layers/`.

use ukulele_layers::{
    BatchNorm2d, Conv2d, Conv2dOptions, Dropout, Error, Init, Linear, Module, ModuleId, Param, Pass, Pool2d, Result,
    Value, join,
};
use weights_import::{KerasLayer, KerasSequential};

/// A layer as it is built.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has a handful of layers, each with tensors that are far larger"
)]
enum Unit {
    Conv {
        name: String,
        conv: Conv2d,
        same: bool,
    },
    Dense {
        name: String,
        linear: Linear,
    },
    /// Has γ, has β.
    Norm {
        name: String,
        norm: BatchNorm2d,
        learned: [bool; 2],
    },
    MaxPool(Pool2d),
    AvgPool(Pool2d),
    GlobalAvgPool,
    Flatten,
    Relu,
    Softmax,
    Dropout(Dropout),
}

/// A `Sequential` of Keras.
#[derive(Debug, Clone)]
pub struct KerasNet {
    units: Vec<Unit>,
    /// Place of the last dense layer.
    head: usize,
}

/// The most numbers that a network may have: a file can claim any size.
const MOST: usize = 1 << 29;

fn wrong(message: impl Into<String>) -> Error {
    Error::argument("keras_net", message)
}

fn pool(size: [usize; 2], stride: [usize; 2]) -> Pool2d {
    Pool2d { kernel: size, stride, ..Default::default() }
}

/// Padding (before, after) with which windows at every `stride`-th pixel give size / stride of them, rounded up.
fn same(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let all = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
    (all / 2, all - all / 2)
}

impl KerasNet {
    /// The network of a configuration with fresh weights.
    ///
    /// # Errors
    /// A configuration that leaves sizes open, has no dense layer, or whose layers do not fit.
    pub fn new(config: &KerasSequential, init: &mut Init) -> Result<Self> {
        let [mut height, mut width, channels] = config.input;
        let mut channels =
            channels.ok_or_else(|| wrong("its model_config does not say how many channels images have"))?;
        let mut flat = false;
        let mut numbers = 0usize;
        let mut count = |sizes: &[usize]| {
            let all = sizes.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).unwrap_or(usize::MAX);
            numbers = numbers.saturating_add(all);
            if numbers <= MOST { Ok(()) } else { Err(wrong(format!("it has more than {MOST} parameters"))) }
        };
        let mut units = Vec::new();
        for layer in &config.layers {
            let needs = |image: bool, what: &str| {
                if image != flat { Ok(()) } else { Err(wrong(format!("its layers do not fit: {what}"))) }
            };
            let shrink = |size: Option<usize>, kernel: usize, stride: usize| match size {
                Some(size) if size < kernel => Err(wrong("its images are smaller than a window of a layer")),
                size => Ok(size.map(|size| (size - kernel) / stride + 1)),
            };
            units.push(match layer {
                KerasLayer::Conv2d { name, filters, kernel, stride, same, bias } => {
                    needs(true, "a convolution behind a flatten")?;
                    let options = Conv2dOptions { stride: *stride, ..Default::default() };
                    let deviation = (2.0 / (filters * kernel[0] * kernel[1]) as f64).sqrt();
                    let shape = [*filters, channels, kernel[0], kernel[1]];
                    count(&shape)?;
                    let weight = Param::new(init.normal(&shape, deviation), ukulele_layers::Role::Weight);
                    let conv = Conv2d { weight, bias: None, options };
                    channels = *filters;
                    (height, width) = match same {
                        true => (height.map(|h| h.div_ceil(stride[0])), width.map(|w| w.div_ceil(stride[1]))),
                        false => (shrink(height, kernel[0], stride[0])?, shrink(width, kernel[1], stride[1])?),
                    };
                    Unit::Conv { name: name.clone(), conv: if *bias { conv.with_bias() } else { conv }, same: *same }
                }
                KerasLayer::Dense { name, units, bias } => {
                    needs(false, "a dense layer before a flatten")?;
                    count(&[channels, *units])?;
                    let mut linear = Linear::new(channels, *units, init);
                    if !bias {
                        linear.bias = None;
                    }
                    channels = *units;
                    Unit::Dense { name: name.clone(), linear }
                }
                KerasLayer::BatchNorm { name, eps, scale_and_centre } => Unit::Norm {
                    name: name.clone(),
                    norm: BatchNorm2d::new(channels, *eps),
                    learned: *scale_and_centre,
                },
                KerasLayer::MaxPool { size, stride } | KerasLayer::AvgPool { size, stride } => {
                    needs(true, "a pool behind a flatten")?;
                    (height, width) = (shrink(height, size[0], stride[0])?, shrink(width, size[1], stride[1])?);
                    match layer {
                        KerasLayer::MaxPool { .. } => Unit::MaxPool(pool(*size, *stride)),
                        _ => Unit::AvgPool(pool(*size, *stride)),
                    }
                }
                KerasLayer::GlobalAvgPool => {
                    needs(true, "a pool behind a flatten")?;
                    flat = true;
                    Unit::GlobalAvgPool
                }
                KerasLayer::Flatten if flat => continue,
                KerasLayer::Flatten => {
                    let (Some(h), Some(w)) = (height, width) else {
                        return Err(wrong("its model_config does not say how large images are, and it flattens them"));
                    };
                    flat = true;
                    channels = channels.checked_mul(h * w).ok_or_else(|| wrong("its layers are too large"))?;
                    Unit::Flatten
                }
                KerasLayer::Relu => Unit::Relu,
                KerasLayer::Softmax => Unit::Softmax,
                KerasLayer::Dropout { rate } => Unit::Dropout(Dropout::new(*rate as f32)),
            });
        }
        let head = units.iter().rposition(|unit| matches!(unit, Unit::Dense { .. }));
        let head = head.ok_or_else(|| wrong("it has no dense layer, so no classes"))?;
        if matches!(units.last(), Some(Unit::Softmax)) {
            units.pop();
        }
        Ok(Self { units, head })
    }

    fn run(&self, units: &[Unit], x: &Value, pass: &mut Pass) -> Result<Value> {
        units.iter().try_fold(x.clone(), |x, unit| unit.forward(&x, pass))
    }

    /// What the last dense layer sees: (N, C, H, W) to (N, features).
    ///
    /// # Errors
    /// Images of another size than the network is for.
    pub fn features(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        self.run(&self.units[..self.head], x, pass)
    }

    /// The last dense layer and what follows: (N, features) to (N, classes).
    ///
    /// # Errors
    /// Another number of features.
    pub fn head(&self, features: &Value, pass: &mut Pass) -> Result<Value> {
        self.run(&self.units[self.head..], features, pass)
    }

    /// Logits: (N, C, H, W) to (N, classes).
    ///
    /// # Errors
    /// As [`KerasNet::features`].
    pub fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        self.run(&self.units, x, pass)
    }

    /// Gives the network a fresh last dense layer for `classes` classes, with nothing behind it.
    pub fn replace_head(&mut self, classes: usize, init: &mut Init) {
        self.units.truncate(self.head + 1);
        if let Some(Unit::Dense { linear, .. }) = self.units.last_mut() {
            *linear = Linear::new(linear.weight.value.shape()[1], classes, init);
        }
    }
}

impl Unit {
    fn forward(&self, x: &Value, pass: &mut Pass) -> Result<Value> {
        match self {
            Self::Conv { conv, same: false, .. } => conv.forward(x, pass),
            Self::Conv { conv, .. } => {
                let [_, _, h, w] = x.dims::<4>("keras_net", "(N, C, H, W)")?;
                let [kh, kw] = [conv.weight.value.shape()[2], conv.weight.value.shape()[3]];
                let [sh, sw] = conv.options.stride;
                let ((top, bottom), (left, right)) = (same(h, kh, sh), same(w, kw, sw));
                let options = Conv2dOptions { padding: [top, bottom, left, right], ..conv.options };
                conv.forward_with(x, &options, pass)
            }
            Self::Dense { linear, .. } => linear.forward(x, pass),
            Self::Norm { norm, .. } => match *x.shape() {
                [n, c] => norm.forward(&x.reshape(&[n, c, 1, 1])?, pass)?.reshape(&[n, c]),
                _ => norm.forward(x, pass),
            },
            Self::MaxPool(pool) => x.max_pool2d(pool),
            Self::AvgPool(pool) => x.avg_pool2d(pool),
            Self::GlobalAvgPool => x.adaptive_avg_pool2d([1, 1])?.flatten(1),
            Self::Flatten => x.permute(&[0, 2, 3, 1])?.flatten(1),
            Self::Relu => x.relu(),
            Self::Softmax => x.softmax(),
            Self::Dropout(dropout) => dropout.forward(x, pass),
        }
    }
}

impl Module for KerasNet {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        for (place, unit) in self.units.iter_mut().enumerate() {
            match unit {
                Unit::Conv { name, conv, .. } => conv.each(&join(path, name), f),
                Unit::Dense { name, linear } => linear.each(&join(path, name), f),
                Unit::Norm { name, norm, learned } => {
                    let path = join(path, name);
                    if learned[0] {
                        norm.weight.each(&join(&path, "weight"), f);
                    }
                    if learned[1] {
                        norm.bias.each(&join(&path, "bias"), f);
                    }
                    norm.running_mean.each(&join(&path, "running_mean"), f);
                    norm.running_var.each(&join(&path, "running_var"), f);
                }
                Unit::Dropout(dropout) => dropout.each(&join(path, &format!("dropout_{place}")), f),
                _ => {}
            }
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        f(path, ModuleId::of(self));
        for (place, unit) in self.units.iter().enumerate() {
            match unit {
                Unit::Conv { name, conv, .. } => conv.modules(&join(path, name), f),
                Unit::Dense { name, linear } => linear.modules(&join(path, name), f),
                Unit::Norm { name, norm, .. } => norm.modules(&join(path, name), f),
                Unit::Dropout(dropout) => dropout.modules(&join(path, &format!("dropout_{place}")), f),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ukulele_layers::Tensor;

    fn parse(layers: &str) -> Result<KerasNet> {
        let input = r#"{"class_name":"InputLayer","config":{"batch_input_shape":[null,9,8,3]}}"#;
        let config = format!(r#"{{"class_name":"Sequential","config":{{"layers":[{input},{layers}]}}}}"#);
        KerasNet::new(&KerasSequential::parse(&config).map_err(wrong)?, &mut Init::new(0))
    }

    const CONV: &str = r#"{"class_name":"Conv2D","config":{"name":"c","filters":4,"kernel_size":[3,3],"strides":[2,2],
        "padding":"same","use_bias":false,"activation":"relu"}}"#;
    const NORM: &str = r#"{"class_name":"BatchNormalization","config":{"name":"n","epsilon":0.001,"scale":false}}"#;
    const FLAT: &str = r#"{"class_name":"Flatten","config":{"name":"f"}}"#;
    const DENSE: &str = r#"{"class_name":"Dense","config":{"name":"d","units":5,"activation":"softmax"}}"#;

    #[test]
    fn layers_are_named_and_sized_as_keras_says() {
        let mut net = parse(&[CONV, NORM, FLAT, DENSE].join(",")).unwrap();
        let mut names = Vec::new();
        net.each("", &mut |name, param| names.push((name.to_owned(), param.value.shape().to_vec())));
        let want: [(&str, &[usize]); 6] = [
            ("c.weight", &[4, 3, 3, 3]),
            ("n.bias", &[4]),
            ("n.running_mean", &[4]),
            ("n.running_var", &[4]),
            ("d.weight", &[5, 5 * 4 * 4]),
            ("d.bias", &[5]),
        ];
        assert_eq!(names, want.map(|(name, shape)| (name.to_owned(), shape.to_vec())));
        let x: Value = Tensor::ones(&[2, 3, 9, 8]).unwrap().into();
        assert_eq!(net.forward(&x, &mut Pass::eval()).unwrap().shape(), [2, 5]);
        net.replace_head(2, &mut Init::new(0));
        assert_eq!(net.forward(&x, &mut Pass::eval()).unwrap().shape(), [2, 2]);
        let small: Value = Tensor::ones(&[2, 3, 5, 5]).unwrap().into();
        assert!(net.forward(&small, &mut Pass::eval()).is_err());
    }

    #[test]
    fn what_cannot_be_built_is_said() {
        let huge = CONV.replace("\"filters\":4", "\"filters\":65536").replace("[3,3]", "[65536,65536]");
        let pool = r#"{"class_name":"MaxPooling2D","config":{"name":"p","pool_size":[12,2],"strides":[2,2],"padding":"valid"}}"#;
        for (layers, words) in [
            (huge, "more than 536870912 parameters"),
            ([FLAT, CONV].join(","), "a convolution behind a flatten"),
            ([CONV, DENSE].join(","), "a dense layer before a flatten"),
            ([pool, FLAT, DENSE].join(","), "smaller than a window"),
            (CONV.to_owned(), "no dense layer"),
            (CONV.replace("Conv2D", "LSTM"), "its layer c is a LSTM of a kind that is not known"),
            (CONV.replace("[2,2]", "[0,2]"), "of a kind that is not known"),
        ] {
            let error = parse(&layers).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
