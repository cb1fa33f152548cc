//! google-research BERT: TensorFlow checkpoints.
//!
//! Kernels are (in, out); embeddings and `output_weights` are (out, in). Source: google-research/bert `modeling.py`,
//! `run_classifier.py`, `run_pretraining.py`. The released files were trained with the tanh GELU of that source; layer norms
//! have an eps of 1e-12.

use super::{TRANSPOSED, rule};
use crate::dialect::{Gelu, How, Knobs, Table};

pub(crate) static TABLE: Table = Table {
    name: "google_bert",
    about: "google-research BERT",
    signs: &[&["bert/encoder/layer_{l}/attention/self/query/kernel", "bert/embeddings/word_embeddings"]],
    rules: &[
        rule("bert.embeddings.LayerNorm.weight", &["bert/embeddings/LayerNorm/gamma"], How::Copy),
        rule("bert.embeddings.LayerNorm.bias", &["bert/embeddings/LayerNorm/beta"], How::Copy),
        rule("bert.embeddings.word_embeddings.weight", &["bert/embeddings/word_embeddings"], How::Copy),
        rule("bert.embeddings.position_embeddings.weight", &["bert/embeddings/position_embeddings"], How::Copy),
        rule("bert.embeddings.token_type_embeddings.weight", &["bert/embeddings/token_type_embeddings"], How::Copy),
        rule(
            "bert.encoder.layer.{l}.attention.self.query.weight",
            &["bert/encoder/layer_{l}/attention/self/query/kernel"],
            TRANSPOSED,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.self.query.bias",
            &["bert/encoder/layer_{l}/attention/self/query/bias"],
            How::Copy,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.self.key.weight",
            &["bert/encoder/layer_{l}/attention/self/key/kernel"],
            TRANSPOSED,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.self.key.bias",
            &["bert/encoder/layer_{l}/attention/self/key/bias"],
            How::Copy,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.self.value.weight",
            &["bert/encoder/layer_{l}/attention/self/value/kernel"],
            TRANSPOSED,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.self.value.bias",
            &["bert/encoder/layer_{l}/attention/self/value/bias"],
            How::Copy,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.output.dense.weight",
            &["bert/encoder/layer_{l}/attention/output/dense/kernel"],
            TRANSPOSED,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.output.dense.bias",
            &["bert/encoder/layer_{l}/attention/output/dense/bias"],
            How::Copy,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.output.LayerNorm.weight",
            &["bert/encoder/layer_{l}/attention/output/LayerNorm/gamma"],
            How::Copy,
        ),
        rule(
            "bert.encoder.layer.{l}.attention.output.LayerNorm.bias",
            &["bert/encoder/layer_{l}/attention/output/LayerNorm/beta"],
            How::Copy,
        ),
        rule(
            "bert.encoder.layer.{l}.intermediate.dense.weight",
            &["bert/encoder/layer_{l}/intermediate/dense/kernel"],
            TRANSPOSED,
        ),
        rule(
            "bert.encoder.layer.{l}.intermediate.dense.bias",
            &["bert/encoder/layer_{l}/intermediate/dense/bias"],
            How::Copy,
        ),
        rule("bert.encoder.layer.{l}.output.dense.weight", &["bert/encoder/layer_{l}/output/dense/kernel"], TRANSPOSED),
        rule("bert.encoder.layer.{l}.output.dense.bias", &["bert/encoder/layer_{l}/output/dense/bias"], How::Copy),
        rule(
            "bert.encoder.layer.{l}.output.LayerNorm.weight",
            &["bert/encoder/layer_{l}/output/LayerNorm/gamma"],
            How::Copy,
        ),
        rule(
            "bert.encoder.layer.{l}.output.LayerNorm.bias",
            &["bert/encoder/layer_{l}/output/LayerNorm/beta"],
            How::Copy,
        ),
        rule("bert.pooler.dense.weight", &["bert/pooler/dense/kernel"], TRANSPOSED),
        rule("bert.pooler.dense.bias", &["bert/pooler/dense/bias"], How::Copy),
        rule("cls.predictions.decoder.weight", &["bert/embeddings/word_embeddings"], How::Tied),
        rule("cls.predictions.decoder.bias", &["cls/predictions/output_bias"], How::Tied),
        rule("cls.predictions.bias", &["cls/predictions/output_bias"], How::Copy),
        rule("cls.predictions.transform.dense.weight", &["cls/predictions/transform/dense/kernel"], TRANSPOSED),
        rule("cls.predictions.transform.dense.bias", &["cls/predictions/transform/dense/bias"], How::Copy),
        rule("cls.predictions.transform.LayerNorm.weight", &["cls/predictions/transform/LayerNorm/gamma"], How::Copy),
        rule("cls.predictions.transform.LayerNorm.bias", &["cls/predictions/transform/LayerNorm/beta"], How::Copy),
        rule("cls.seq_relationship.weight", &["cls/seq_relationship/output_weights"], How::Copy),
        rule("cls.seq_relationship.bias", &["cls/seq_relationship/output_bias"], How::Copy),
        rule("classifier.weight", &["output_weights"], How::Copy),
        rule("classifier.bias", &["output_bias"], How::Copy),
    ],
    ignored: &[
        ("{*}/adam_m", "is state of the optimiser"),
        ("{*}/adam_v", "is state of the optimiser"),
        ("global_step", "counts training steps, which no computation uses"),
    ],
    knobs: Knobs { gelu: Gelu::Tanh, ..Knobs::STANDARD },
    ..Table::EMPTY
};
