//! Hugging Face transformers, RoBERTa.
//!
//! RoBERTa, XLM-R and CamemBERT have BERT's names, but count positions from behind that of the padding; so 514 rows serve 512
//! tokens. Heads are others.
//! Source: transformers 5, `models/roberta/modeling_roberta.py`.

use super::huggingface_bert::{IGNORED, NAMES, settings};
use super::{join, rule};
use crate::TextFamily;
use crate::dialect::{How, Knobs, Named, Rule, Table};

static RULES: [Rule; 4] = join(&[&NAMES, &[rule("lm_head.bias", &["lm_head.decoder.bias"], How::Tied)]]);

pub(crate) static TABLE: Table = Table {
    name: "huggingface_roberta",
    about: "Hugging Face transformers, RoBERTa",
    signs: &[&["encoder.layer.{l}.attention.self.query.weight", "embeddings.word_embeddings.weight"]],
    when: Some(is_one),
    model_types: &["roberta", "xlm-roberta", "camembert"],
    family: Some(TextFamily::Roberta),
    optional_prefix: "roberta.",
    rules: &RULES,
    ignored: IGNORED,
    tied: &[("lm_head.decoder.weight", "embeddings.word_embeddings.weight"), ("lm_head.decoder.bias", "lm_head.bias")],
    knobs: Knobs { layer_norm_eps: 1e-5, ..Knobs::STANDARD },
    tune: Some(settings),
    ..Table::EMPTY
};

fn is_one(names: &[Named<'_>]) -> bool {
    let rows =
        |ending: &str| names.iter().find(|(name, _)| name.ends_with(ending)).and_then(|(_, shape)| shape.first());
    let shapes = (rows("embeddings.position_embeddings.weight"), rows("embeddings.token_type_embeddings.weight"));
    names.iter().any(|(name, _)| name.starts_with("roberta.")) || shapes == (Some(&514), Some(&1))
}
