//! The three axes of freezing: weights, statistics, dropout.

use crate::common::{bert, bits, changed, images, resnet, tokens};
use ukulele_layers::{Init, Module, Role};
use ukulele_models::{BertConfig, Pooling, ResNet, TextModel, TextTask};
use ukulele_training::{AdamW, Classifier, CrossEntropy, Optimizer, Sgd, loss_and_gradients};

fn train(net: &mut ResNet, steps: usize) -> Vec<String> {
    let before = bits(net);
    let mut sgd = Sgd::new(0.1).momentum(0.9).weight_decay(0.1);
    for step in 0..steps {
        let batch = [images(4, 32, step)];
        let (_, gradients) = loss_and_gradients(net, &batch, &CrossEntropy::default(), step as u64, step == 0).unwrap();
        sgd.step(net, gradients).unwrap();
    }
    changed(&before, &bits(net))
}

#[test]
fn a_frozen_trunk_keeps_every_bit() {
    let mut net = resnet(4);
    net.freeze_trunk();
    assert_eq!(train(&mut net, 3), ["fc.weight", "fc.bias"]);
    assert_eq!(net.parameter_count().1, 3 * 32 + 3);
}

#[test]
fn frozen_weights_leave_the_statistics_moving() {
    let mut net = resnet(4);
    net.set_frozen(&[Role::Weight, Role::Bias], true, |name| !name.starts_with("fc."));
    let moved = train(&mut net, 2);
    assert!(moved.iter().all(|name| name.starts_with("fc.") || name.contains("running_")), "{moved:?}");
    assert_eq!(moved.iter().filter(|name| name.contains("running_")).count(), 2 * 12);
}

#[test]
fn frozen_statistics_leave_the_weights_moving() {
    let mut net = resnet(4);
    net.set_frozen(&[Role::Statistic], true, |_| true);
    let moved = train(&mut net, 2);
    assert!(moved.iter().all(|name| !name.contains("running_")), "{moved:?}");
    assert_eq!(moved.len(), net.state().len() - 2 * 12);
}

#[test]
fn lower_groups_alone_can_be_frozen() {
    let mut net = resnet(4);
    net.freeze_groups(3);
    let moved = train(&mut net, 2);
    assert!(moved.iter().all(|name| ["layer3.", "layer4.", "fc."].iter().any(|p| name.starts_with(p))), "{moved:?}");
    assert!(
        moved.contains(&"layer3.0.conv1.weight".to_owned()) && moved.contains(&"layer3.0.bn1.running_var".to_owned())
    );
    net.freeze_groups(100);
    assert_eq!(train(&mut net, 1), ["fc.weight", "fc.bias"]);
}

#[test]
fn frozen_dropout_drops_nothing() {
    let mut net = bert(16, 0.3, Pooling::Cls);
    let batch = [tokens(4, 6, 0)];
    let loss = |net: &mut _, seed| loss_and_gradients(net, &batch, &CrossEntropy::default(), seed, false).unwrap().0;
    assert_ne!(loss(&mut net, 1), loss(&mut net, 2));
    assert_eq!(loss(&mut net, 1), loss(&mut net, 1));
    net.set_frozen(&[Role::Rate], true, |_| true);
    assert_eq!(loss(&mut net, 1), loss(&mut net, 2));
}

#[test]
fn a_frozen_bert_keeps_every_bit() {
    let mut net = bert(16, 0.1, Pooling::Pooler);
    net.freeze_trunk();
    let before = bits(&mut net);
    let mut adam = AdamW::new(0.1);
    for step in 0..3 {
        let (_, gradients) =
            loss_and_gradients(&mut net, &[tokens(4, 6, step)], &CrossEntropy::default(), step as u64, step == 0)
                .unwrap();
        adam.step(&mut net, gradients).unwrap();
    }
    assert_eq!(changed(&before, &bits(&mut net)), ["classifier.weight", "classifier.bias"]);
}

/// A new head on a RoBERTa learns alone, and a model of another task says that it sorts no texts.
#[test]
fn a_frozen_relative_of_bert_keeps_every_bit() {
    let config = BertConfig {
        vocab_size: 97,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 66,
        ..BertConfig::of_family(weights_import::TextFamily::Roberta)
    };
    let mut net = TextModel::new(&config, TextTask::MaskedLM, 0, &mut Init::new(1)).unwrap();
    let learn = |net: &mut TextModel, step: usize| {
        loss_and_gradients(net, &[tokens(4, 6, step)], &CrossEntropy::default(), step as u64, step == 0)
    };
    assert!(learn(&mut net, 0).unwrap_err().to_string().contains("MaskedLM sorts no texts"));
    net.replace_head(3, &mut Init::new(2));
    net.freeze_trunk();
    let before = bits(&mut net);
    let mut adam = AdamW::new(0.1);
    for step in 0..3 {
        let (_, gradients) = learn(&mut net, step).unwrap();
        adam.step(&mut net, gradients).unwrap();
    }
    let moved = changed(&before, &bits(&mut net));
    let head = ["dense.weight", "dense.bias", "out_proj.weight", "out_proj.bias"];
    assert_eq!(moved, head.map(|name| format!("classifier.{name}")));
}
