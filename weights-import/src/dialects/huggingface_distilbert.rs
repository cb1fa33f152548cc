//! Hugging Face transformers, DistilBERT.
//!
//! Half of BERT's layers under other names, without segments and pooler.
//! Source: transformers 5, `models/distilbert/modeling_distilbert.py`.

use super::huggingface_bert::{IGNORED, NAMES, settings};
use crate::TextFamily;
use crate::dialect::Table;

pub(crate) static TABLE: Table = Table {
    name: "huggingface_distilbert",
    about: "Hugging Face transformers, DistilBERT",
    signs: &[&["transformer.layer.{l}.attention.q_lin.weight", "embeddings.word_embeddings.weight"]],
    model_types: &["distilbert"],
    family: Some(TextFamily::DistilBert),
    optional_prefix: "distilbert.",
    rules: &NAMES,
    ignored: IGNORED,
    tied: &[("vocab_projector.weight", "embeddings.word_embeddings.weight")],
    tune: Some(settings),
    ..Table::EMPTY
};
