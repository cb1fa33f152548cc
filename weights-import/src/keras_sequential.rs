//! The layers of a Keras `Sequential`, as the configuration in its file lists them.

use serde_json::Value as Json;

/// A layer of a Keras `Sequential` for images. Names are the file's.
#[derive(Debug, Clone, PartialEq)]
pub enum KerasLayer {
    /// Convolution.
    Conv2d {
        /// Name.
        name: String,
        /// Channels out.
        filters: usize,
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Steps down and right.
        stride: [usize; 2],
        /// Whether it pads as "same"; else not at all.
        same: bool,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Linear layer.
    Dense {
        /// Name.
        name: String,
        /// Numbers out.
        units: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Batch norm.
    BatchNorm {
        /// Name.
        name: String,
        /// ε.
        eps: f64,
        /// Whether it has γ and β.
        scale_and_centre: [bool; 2],
    },
    /// The largest of each window.
    MaxPool {
        /// Height and width of the windows.
        size: [usize; 2],
        /// Steps down and right.
        stride: [usize; 2],
    },
    /// The mean of each window.
    AvgPool {
        /// Height and width of the windows.
        size: [usize; 2],
        /// Steps down and right.
        stride: [usize; 2],
    },
    /// The mean over height and width.
    GlobalAvgPool,
    /// All numbers of an image in one row, channels last.
    Flatten,
    /// max(x, 0).
    Relu,
    /// Probabilities.
    Softmax,
    /// Drops at random in training.
    Dropout {
        /// How many.
        rate: f64,
    },
}

/// A Keras `Sequential`.
#[derive(Debug, Clone, PartialEq)]
pub struct KerasSequential {
    /// Height, width and channels of the images; `None` where any size goes.
    pub input: [Option<usize>; 3],
    /// Its layers; an activation within a layer stands after it.
    pub layers: Vec<KerasLayer>,
}

/// Largest size of a layer that is believed.
const LARGEST: u64 = 1 << 16;

fn size(value: &Json) -> Option<usize> {
    value.as_u64().filter(|n| (1..=LARGEST).contains(n)).and_then(|n| usize::try_from(n).ok())
}

fn pair(value: &Json) -> Option<[usize; 2]> {
    let list = value.as_array()?;
    if let [a, b] = list.as_slice() { Some([size(a)?, size(b)?]) } else { None }
}

impl KerasSequential {
    /// Reads `model_config`; what stands in the way of it.
    ///
    /// # Errors
    /// No JSON, another class than `Sequential`, or a layer that is not known, in words.
    pub fn parse(config: &str) -> Result<Self, String> {
        let config: Json = serde_json::from_str(config).map_err(|e| format!("its model_config is no JSON: {e}"))?;
        let class = config["class_name"].as_str().unwrap_or("?");
        if class != "Sequential" {
            return Err(format!("its model_config is a {class}, no Sequential"));
        }
        let layers = config["config"]["layers"].as_array().ok_or("its model_config has no layers")?;
        let mut net = Self { input: [None; 3], layers: Vec::new() };
        for layer in layers {
            let (class, about) = (layer["class_name"].as_str().unwrap_or("?"), &layer["config"]);
            let shape = ["batch_input_shape", "batch_shape"].iter().find_map(|key| about[*key].as_array());
            if let (true, Some([_, h, w, c])) = (net.layers.is_empty(), shape.map(Vec::as_slice)) {
                net.input = [size(h), size(w), size(c)];
            }
            if class != "InputLayer" {
                net.add(class, about).ok_or_else(|| {
                    let name = about["name"].as_str().unwrap_or("?");
                    format!("its layer {name} is a {class} of a kind that is not known")
                })?;
            }
        }
        Ok(net)
    }

    fn add(&mut self, class: &str, about: &Json) -> Option<()> {
        let name = || about["name"].as_str().map(str::to_owned);
        let bias = about["use_bias"].as_bool().unwrap_or(true);
        let same = about["padding"].as_str() == Some("same");
        let last = about["data_format"].as_str().is_none_or(|format| format == "channels_last");
        let dilated = about["dilation_rate"].as_array().is_some_and(|rate| rate.iter().any(|n| *n != 1));
        let grouped = about["groups"].as_u64().is_some_and(|n| n != 1);
        if !last || dilated || grouped {
            return None;
        }
        let pool = || (!same).then(|| Some((pair(&about["pool_size"])?, pair(&about["strides"])?)))?;
        self.layers.push(match class {
            "Conv2D" => KerasLayer::Conv2d {
                name: name()?,
                filters: size(&about["filters"])?,
                kernel: pair(&about["kernel_size"])?,
                stride: pair(&about["strides"])?,
                same,
                bias,
            },
            "Dense" => KerasLayer::Dense { name: name()?, units: size(&about["units"])?, bias },
            "BatchNormalization" => KerasLayer::BatchNorm {
                name: name()?,
                eps: about["epsilon"].as_f64().filter(|eps| (0.0..1.0).contains(eps))?,
                scale_and_centre: ["scale", "center"].map(|key| about[key].as_bool().unwrap_or(true)),
            },
            "MaxPooling2D" => pool().map(|(size, stride)| KerasLayer::MaxPool { size, stride })?,
            "AveragePooling2D" => pool().map(|(size, stride)| KerasLayer::AvgPool { size, stride })?,
            "GlobalAveragePooling2D" => KerasLayer::GlobalAvgPool,
            "Flatten" => KerasLayer::Flatten,
            "ReLU" => KerasLayer::Relu,
            "Activation" => return self.activation(about["activation"].as_str()?),
            "Dropout" => KerasLayer::Dropout { rate: about["rate"].as_f64().filter(|p| (0.0..1.0).contains(p))? },
            _ => return None,
        });
        match about["activation"].as_str() {
            Some(activation) if matches!(class, "Conv2D" | "Dense") => self.activation(activation),
            _ => Some(()),
        }
    }

    fn activation(&mut self, name: &str) -> Option<()> {
        self.layers.push(match name {
            "linear" => return Some(()),
            "relu" => KerasLayer::Relu,
            "softmax" => KerasLayer::Softmax,
            _ => return None,
        });
        Some(())
    }

    /// Numbers out of the last dense layer, if there is one.
    pub fn classes(&self) -> Option<usize> {
        self.layers.iter().rev().find_map(|layer| match layer {
            KerasLayer::Dense { units, .. } => Some(*units),
            _ => None,
        })
    }
}
