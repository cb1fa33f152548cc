//! Small models and batches that the tests share.
#![allow(dead_code, reason = "each test binary uses some of them")]

pub(crate) mod wide;

use ukulele_layers::{Init, Module, Tensor};
use ukulele_models::{BertConfig, Pooling, ResNet, ResNetConfig, TextModel, TokenBatch};
use ukulele_training::Labelled;

/// A ResNet of basic blocks.
pub(crate) fn resnet(width: usize) -> ResNet {
    let config =
        ResNetConfig { stem: width, width, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 3).expect("a known depth") };
    ResNet::new(&config, &mut Init::new(1))
}

/// A BERT of two layers.
pub(crate) fn bert(size: usize, dropout: f32, pooling: Pooling) -> TextModel {
    let config = BertConfig {
        vocab_size: 97,
        hidden_size: size,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 2 * size,
        max_position_embeddings: 64,
        hidden_dropout_prob: dropout,
        attention_probs_dropout_prob: dropout,
        ..BertConfig::default()
    };
    TextModel::classifier(&config, 3, pooling, &mut Init::new(2)).expect("BERT pools in every way")
}

/// Images (count, 3, side, side), of three classes that differ in brightness.
pub(crate) fn images(count: usize, side: usize, seed: usize) -> Labelled<Tensor> {
    let labels: Vec<i64> = (0..count).map(|i| ((i + seed) % 3) as i64).collect();
    let pixel = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    let values = (0..count * 3 * side * side).map(|i| pixel(i) + labels[i / (3 * side * side)] as f32 - 1.0).collect();
    Labelled { inputs: Tensor::from_vec(&[count, 3, side, side], values).expect("a shape that fits"), labels }
}

/// Token sequences of unequal length, padded to `length`.
pub(crate) fn tokens(count: usize, length: usize, seed: usize) -> Labelled<TokenBatch> {
    let labels: Vec<i64> = (0..count).map(|i| ((i * 5 + seed) % 3) as i64).collect();
    let id = |i: usize| (i * 7919 + seed * 104_729) % 90 + labels[i / length] as usize;
    let real = |i: usize| i % length < length - (i / length) % 3;
    let inputs = TokenBatch {
        batch: count,
        length,
        ids: (0..count * length).map(|i| if real(i) { id(i) } else { 0 }).collect(),
        types: vec![0; count * length],
        mask: (0..count * length).map(|i| f32::from(u8::from(real(i)))).collect(),
    };
    Labelled { inputs, labels }
}

/// The bits of every tensor of a model, by name.
pub(crate) fn bits(net: &mut impl Module) -> Vec<(String, Vec<u32>)> {
    let bits = |t: &Tensor| t.to_vec().iter().map(|v| v.to_bits()).collect();
    net.state().iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

/// The names of the tensors in which two states differ.
pub(crate) fn changed(before: &[(String, Vec<u32>)], after: &[(String, Vec<u32>)]) -> Vec<String> {
    assert_eq!(before.len(), after.len());
    before.iter().zip(after).filter(|(b, a)| b != a).map(|(b, _)| b.0.clone()).collect()
}
