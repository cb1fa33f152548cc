//! Hugging Face transformers, DistilBERT.
//!
//! Half of BERT's layers under other names, without segments and pooler.
//! Source: transformers 5, `models/distilbert/modeling_distilbert.py`.

use super::{huggingface_bert::settings, rule};
use crate::TextFamily;
use crate::dialect::{How, Table};

pub(crate) static TABLE: Table = Table {
    name: "huggingface_distilbert",
    about: "Hugging Face transformers, DistilBERT",
    signs: &[&["transformer.layer.{l}.attention.q_lin.weight", "embeddings.word_embeddings.weight"]],
    model_types: &["distilbert"],
    family: Some(TextFamily::DistilBert),
    optional_prefix: "distilbert.",
    rules: &[
        rule("{*}", &["{*}"], How::Copy),
        rule("{*}.weight", &["{*}.gamma"], How::Copy),
        rule("{*}.bias", &["{*}.beta"], How::Copy),
    ],
    ignored: &[
        ("{*}position_ids", "is the list 0, 1, 2, ..., which the model makes itself"),
        ("{*}embeddings.token_type_ids", "is a list of zeros, which the model makes itself"),
    ],
    tied: &[("vocab_projector.weight", "embeddings.word_embeddings.weight")],
    tune: Some(settings),
    ..Table::EMPTY
};
