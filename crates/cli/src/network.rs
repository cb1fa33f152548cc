//! Whatever network a file of weights holds, run on raw tensors.

use crate::errors::{Failure, Result};
use ukulele_layers::{Init, Module, ModuleId, Param, Pass, Tensor, Value};
use ukulele_models::{ImageConfig, ImageModel, KerasNet, Pretrained, TextModel, TokenBatch};
use weights_import::{Architecture, Dialect, Weights, guess};

/// A network out of a file.
#[expect(clippy::large_enum_variant, reason = "there is one per process")]
pub(crate) enum Network {
    /// A classifier of images: (N, C, H, W) to logits.
    Image(ImageModel),
    /// A `Sequential` of Keras: the same.
    Keras(KerasNet),
    /// The encoder of BERT or a relative: ids (B, T) to the last hidden states (B, T, D).
    Text(TextModel),
}

impl Module for Network {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        match self {
            Self::Image(net) => net.each(path, f),
            Self::Keras(net) => net.each(path, f),
            Self::Text(net) => net.each(path, f),
        }
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        match self {
            Self::Image(net) => net.modules(path, f),
            Self::Keras(net) => net.modules(path, f),
            Self::Text(net) => net.modules(path, f),
        }
    }
}

impl Network {
    /// The network of these weights, which must be `model` if that is named.
    pub(crate) fn open(weights: &Weights, model: Option<&str>) -> Result<Self> {
        let file = weights.source();
        let dialect = Dialect::detect(weights)?;
        let Some(found) = guess(weights, &dialect) else {
            return Err(Failure::run(format!("{file}: no known network is recognised in these weights")));
        };
        let other = |model: &str| {
            Failure::run(format!("{file}: these weights look like {found}, but --model {model} is asked for"))
        };
        let mut net = match &found {
            Architecture::Bert(bert) => {
                if let Some(name) = model.filter(|name| *name != bert.family.prefix()) {
                    return Err(other(name));
                }
                return Ok(Self::Text(TextModel::encoder_of(weights, &dialect)?));
            }
            Architecture::KerasSequential(net) => match model {
                Some(name) => return Err(other(name)),
                None => Self::Keras(KerasNet::new(net, &mut Init::zeros())?),
            },
            _ => {
                let config = ImageConfig::from_weights(&found, &dialect, 2)?;
                if let Some(name) = model
                    && !ImageConfig::named(name, 2).is_some_and(|known| known.same_trunk(&config))
                {
                    return Err(other(name));
                }
                let mut net = ImageModel::new(&config, &mut Init::zeros());
                if found.classes().is_none() {
                    net.replace_head(config.classes(), &mut Init::new(0));
                }
                Self::Image(net)
            }
        };
        let report = net.load(weights, &dialect)?;
        let _complete = match &net {
            Self::Image(image) if found.classes().is_none() => {
                let head = image.head_names();
                report.only_missing(&head.iter().map(String::as_str).collect::<Vec<_>>())?
            }
            _ => report.only_missing(&[])?,
        };
        Ok(net)
    }

    /// The output for the one tensor of a file, as it is: no resize, no normalisation.
    pub(crate) fn run(&self, input: &Weights, pass: &mut Pass) -> Result<Tensor> {
        let name = only(input)?;
        let output = match self {
            Self::Image(net) => net.forward(&Value::from(input.get(name)?), pass)?.logits,
            Self::Keras(net) => net.forward(&Value::from(input.get(name)?), pass)?,
            Self::Text(net) => {
                let (shape, ids) = input.get_i64(name)?;
                let [batch, length] = shape[..] else {
                    let message =
                        format!("{}: shape {shape:?}; a model of text takes ids of tokens, (B, T)", input.source());
                    return Err(Failure::run(message));
                };
                let ids: std::result::Result<Vec<usize>, _> = ids.into_iter().map(usize::try_from).collect();
                let ids = ids.map_err(|_| Failure::run(format!("{}: ids below zero", input.source())))?;
                net.hidden(&TokenBatch::unpadded(batch, length, ids)?, pass)?
            }
        };
        Ok(output.into_tensor())
    }
}

/// The name of the only tensor of a file.
pub(crate) fn only(weights: &Weights) -> Result<&str> {
    match weights.entries() {
        [entry] => Ok(&entry.name),
        all => {
            Err(Failure::run(format!("{}: {} tensors; a file of one is wanted (.npy)", weights.source(), all.len())))
        }
    }
}
