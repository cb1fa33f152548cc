//! Hugging Face transformers, ELECTRA.
//!
//! BERT's names, with embeddings that may be narrower than the layers. Discriminator and generator have heads of their own.
//! Source: transformers 5, `models/electra/modeling_electra.py`.

use super::{huggingface_bert::settings, rule};
use crate::TextFamily;
use crate::dialect::{How, Named, Table};

pub(crate) static TABLE: Table = Table {
    name: "huggingface_electra",
    about: "Hugging Face transformers, ELECTRA",
    signs: &[&["encoder.layer.{l}.attention.self.query.weight", "embeddings.word_embeddings.weight"]],
    when: Some(is_one),
    model_types: &["electra"],
    family: Some(TextFamily::Electra),
    optional_prefix: "electra.",
    rules: &[
        rule("{*}", &["{*}"], How::Copy),
        rule("{*}.weight", &["{*}.gamma"], How::Copy),
        rule("{*}.bias", &["{*}.beta"], How::Copy),
    ],
    ignored: &[
        ("{*}position_ids", "is the list 0, 1, 2, ..., which the model makes itself"),
        ("{*}embeddings.token_type_ids", "is a list of zeros, which the model makes itself"),
    ],
    tied: &[("generator_lm_head.weight", "embeddings.word_embeddings.weight")],
    tune: Some(settings),
    ..Table::EMPTY
};

fn is_one(names: &[Named<'_>]) -> bool {
    let own = ["electra.", "embeddings_project.", "discriminator_predictions.", "generator_predictions."];
    names.iter().any(|(name, _)| own.iter().any(|start| name.starts_with(start)))
}
