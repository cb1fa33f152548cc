//! Hugging Face transformers, ALBERT.
//!
//! Layers that share their weights lie in the file once; embeddings are narrower than the layers. Files without `config.json` are
//! taken to have 12 layers (large has 24): keep the configuration beside the weights.
//! Source: transformers 5, `models/albert/modeling_albert.py`.

use super::{huggingface_bert::settings, rule};
use crate::TextFamily;
use crate::dialect::{Gelu, How, Knobs, Table};

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
    rules: &[
        rule("{*}", &["{*}"], How::Copy),
        rule("{*}.weight", &["{*}.gamma"], How::Copy),
        rule("{*}.bias", &["{*}.beta"], How::Copy),
        rule("predictions.bias", &["predictions.decoder.bias"], How::Tied),
    ],
    ignored: &[
        ("{*}position_ids", "is the list 0, 1, 2, ..., which the model makes itself"),
        ("{*}embeddings.token_type_ids", "is a list of zeros, which the model makes itself"),
    ],
    tied: &[
        ("predictions.decoder.weight", "embeddings.word_embeddings.weight"),
        ("predictions.decoder.bias", "predictions.bias"),
    ],
    knobs: Knobs { gelu: Gelu::Tanh, ..Knobs::STANDARD },
    tune: Some(settings),
    ..Table::EMPTY
};
