//! Hugging Face transformers, BERT.
//!
//! Files come with the prefix `bert.` (models with a head) or without (`BertModel`), and old ones call the scale and
//! shift of a layer norm `gamma` and `beta`. The decoder of the masked language model shares the word embeddings and is
//! often absent. Source: transformers 4 and 5, `models/bert/modeling_bert.py`.

use super::{join, rule};
use crate::dialect::{Gelu, How, Knobs, Rule, Table};
use crate::{Error, Result, TextFamily, Weights};

/// Names as they are; old files call the parts of a layer norm otherwise.
pub(super) const NAMES: [Rule; 3] = [
    rule("{*}", &["{*}"], How::Copy),
    rule("{*}.weight", &["{*}.gamma"], How::Copy),
    rule("{*}.bias", &["{*}.beta"], How::Copy),
];

/// What no model of text needs.
pub(super) const IGNORED: &[(&str, &str)] = &[
    ("{*}position_ids", "is the list 0, 1, 2, ..., which the model makes itself"),
    ("{*}embeddings.token_type_ids", "is a list of zeros, which the model makes itself"),
];

static RULES: [Rule; 6] = join(&[
    &NAMES,
    &[
        rule("cls.predictions.decoder.weight", &["embeddings.word_embeddings.weight"], How::Tied),
        rule("cls.predictions.decoder.bias", &["cls.predictions.bias"], How::Tied),
        rule("cls.predictions.bias", &["cls.predictions.decoder.bias"], How::Tied),
    ],
]);

pub(crate) static TABLE: Table = Table {
    name: "huggingface_bert",
    about: "Hugging Face transformers, BERT",
    signs: &[&["encoder.layer.{l}.attention.self.query.weight", "embeddings.word_embeddings.weight"]],
    optional_prefix: "bert.",
    rules: &RULES,
    ignored: IGNORED,
    tied: &[
        ("cls.predictions.decoder.weight", "embeddings.word_embeddings.weight"),
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    ],
    family: Some(TextFamily::Bert),
    tune: Some(tune),
    ..Table::EMPTY
};

/// Takes the activation and the epsilon from `config.json`, and sees that it is a BERT.
fn tune(weights: &Weights, knobs: &mut Knobs) -> Result<()> {
    let refuse = |message: String| Err(Error::Dialect { file: weights.source().to_string(), message });
    let config = weights.config()?;
    let text = |key: &str| config.as_ref().and_then(|c| c[key].as_str());
    if let Some(kind) = text("model_type").filter(|&kind| kind != "bert") {
        return refuse(format!(
            "config.json says this is a model of type {kind}, which computes otherwise than the bert whose names it shares"
        ));
    }
    settings(weights, knobs)
}

/// The activation and the epsilon of `config.json`, as BERT and its relatives have them.
pub(super) fn settings(weights: &Weights, knobs: &mut Knobs) -> Result<()> {
    let refuse = |message: String| Err(Error::Dialect { file: weights.source().to_string(), message });
    let config = weights.config()?;
    let text = |key: &str| config.as_ref().and_then(|c| c[key].as_str());
    match text("hidden_act").or_else(|| text("activation")) {
        None => {}
        Some("gelu") => knobs.gelu = Gelu::Erf,
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh") => knobs.gelu = Gelu::Tanh,
        Some(other) => {
            return refuse(format!("config.json asks for the activation {other}; gelu and gelu_new are known"));
        }
    }
    if let Some(kind) = text("position_embedding_type").filter(|&kind| kind != "absolute") {
        return refuse(format!("config.json asks for {kind} position embeddings; absolute ones are known"));
    }
    if let Some(eps) = config.as_ref().and_then(|c| c["layer_norm_eps"].as_f64()) {
        knobs.layer_norm_eps = eps;
    }
    Ok(())
}
