//! Hugging Face transformers, ALBERT.
//!
//! Layers that share their weights lie in the file once; embeddings are narrower than the layers. Files without `config.json` are
//! taken to have 12 layers (large has 24): keep the configuration beside the weights.
//! Source: transformers 5, `models/albert/modeling_albert.py`.

use super::huggingface_bert::{IGNORED, NAMES, settings};
use super::{join, rule};
use crate::TextFamily;
use crate::dialect::{Gelu, How, Knobs, Rule, Table};

static RULES: [Rule; 4] = join(&[&NAMES, &[rule("predictions.bias", &["predictions.decoder.bias"], How::Tied)]]);

pub(crate) static TABLE: Table = Table {
    name: "huggingface_albert",
    about: "Hugging Face transformers, ALBERT",
    signs: &[&[
        "encoder.albert_layer_groups.{g}.albert_layers.{l}.attention.query.weight",
        "embeddings.word_embeddings.weight",
    ]],
    model_types: &["albert"],
    family: Some(TextFamily::Albert),
    optional_prefix: "albert.",
    rules: &RULES,
    ignored: IGNORED,
    tied: &[
        ("predictions.decoder.weight", "embeddings.word_embeddings.weight"),
        ("predictions.decoder.bias", "predictions.bias"),
    ],
    knobs: Knobs { gelu: Gelu::Tanh, ..Knobs::STANDARD },
    tune: Some(settings),
    ..Table::EMPTY
};
