//! Any `Sequential` of Keras, under the names of its layers: `conv2d_1/kernel` is `conv2d_1.weight`.
//!
//! Names tell nothing of such a network: what it is stands in `model_config` beside the weights, see
//! [`crate::KerasSequential`]. Kernels are (H, W, in, out), and its flatten has the channels last, as Keras' has.

use super::{HWIO, TRANSPOSED};
use crate::dialect::{How, Knobs, Mapping, Named, Table};
use crate::{Error, KerasSequential, Result, Weights};

pub(crate) static TABLE: Table = Table {
    name: "keras_sequential",
    about: "a Sequential of Keras, by its model_config",
    signs: &[
        &["conv2d/kernel", "dense/kernel"],
        &["conv2d_{n}/kernel", "dense_{m}/kernel"],
        &["conv2d/kernel", "dense_{m}/kernel"],
        &["conv2d_{n}/kernel", "dense/kernel"],
    ],
    optional_suffix: ":0",
    map: Some(map),
    knobs: Knobs { bn_eps: 1e-3, ..Knobs::STANDARD },
    tune: Some(tune),
    ..Table::EMPTY
};

fn tune(weights: &Weights, _: &mut Knobs) -> Result<()> {
    let read = match weights.metadata().get("model_config") {
        Some(config) => KerasSequential::parse(config).map(drop),
        None => Err("it has no model_config that would tell how its layers are connected".to_string()),
    };
    read.map_err(|why| {
        let names: Vec<&str> = weights.entries().iter().take(3).map(|e| e.name.as_str()).collect();
        let message = format!("naming not recognised: its tensors are named like {}, and {why}", names.join(", "));
        Error::Dialect { file: weights.source().to_string(), message }
    })
}

fn map(names: &[Named<'_>]) -> Vec<Mapping> {
    let mapping = |&(name, shape): &Named<'_>| {
        let (layer, variable) = name.rsplit_once('/')?;
        let (ours, how) = match (variable, shape.len()) {
            ("kernel", 4) => ("weight", HWIO),
            ("kernel", 2) => ("weight", TRANSPOSED),
            ("gamma", 1) => ("weight", How::Copy),
            ("beta" | "bias", 1) => ("bias", How::Copy),
            ("moving_mean", 1) => ("running_mean", How::Copy),
            ("moving_variance", 1) => ("running_var", How::Copy),
            _ => return None,
        };
        let plain = !layer.contains('/');
        plain.then(|| Mapping { target: format!("{layer}.{ours}"), sources: vec![name.to_string()], how })
    };
    names.iter().filter_map(mapping).collect()
}
