//! Hugging Face transformers, ELECTRA.
//!
//! BERT's names, with embeddings that may be narrower than the layers. Discriminator and generator have heads of their own.
//! Source: transformers 5, `models/electra/modeling_electra.py`.

use super::huggingface_bert::{IGNORED, NAMES, settings};
use crate::TextFamily;
use crate::dialect::{Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "huggingface_electra",
    about: "Hugging Face transformers, ELECTRA",
    signs: &[&["encoder.layer.{l}.attention.self.query.weight", "embeddings.word_embeddings.weight"]],
    when: Some(is_one),
    model_types: &["electra"],
    family: Some(TextFamily::Electra),
    optional_prefix: "electra.",
    rules: &NAMES,
    ignored: IGNORED,
    tied: &[("generator_lm_head.weight", "embeddings.word_embeddings.weight")],
    tune: Some(settings),
    ..Table::EMPTY
};

fn is_one(names: &[Named<'_>]) -> bool {
    let own = ["electra.", "embeddings_project.", "discriminator_predictions.", "generator_predictions."];
    names.iter().any(|(name, _)| own.iter().any(|start| name.starts_with(start)))
}
