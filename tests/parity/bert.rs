//! BERT of base size against transformers: sequence classification and masked words.

use super::{assert_close, assert_gradients, assert_losses, assert_summary, formula, golden, numbers, wide};
use serde_json::Value as Json;
use ukulele::training::Groups;
use ukulele::{
    AdamW, BertConfig, Init, Module, Optimizer, Pass, Planned, Sgd, TextEncoder, TextModel, TextTask, TokenBatch, Value,
};

fn batch(golden: &Json) -> TokenBatch {
    let list = |key: &str| numbers(&golden["batch"][key]);
    let whole = |key: &str| list(key).into_iter().map(|n| n as usize).collect();
    TokenBatch {
        batch: 2,
        length: 16,
        ids: whole("input_ids"),
        types: whole("token_type_ids"),
        mask: list("attention_mask").into_iter().map(|m| m as f32).collect(),
    }
}

fn labels(golden: &Json) -> Vec<i64> {
    numbers(&golden["batch"]["labels"]).into_iter().map(|l| l as i64).collect()
}

/// The golden file of a task, and a model by formula.
fn filled(task: TextTask) -> (Json, TextModel) {
    let golden = golden(match task {
        TextTask::MaskedLM => "bert/masked_lm.json",
        _ => "bert/classification.json",
    });
    let config = BertConfig::from_json(&golden["config"]).unwrap();
    let mut net = TextModel::new(&config, task, 3, &mut Init::new(0)).unwrap();
    formula::fill(&mut net);
    (golden, net)
}

/// The loss over a row of logits per label; -100 is ignored.
fn loss(net: &TextModel, golden: &Json, pass: &mut Pass) -> Value {
    let output = net.forward(&batch(golden), pass).unwrap();
    let (logits, labels) = (output.logits(), labels(golden));
    let classes = logits.shape()[logits.shape().len() - 1];
    logits.reshape(&[labels.len(), classes]).unwrap().cross_entropy(&labels).unwrap()
}

fn hidden_states(golden: &Json, net: &TextModel) {
    let TextEncoder::Bert(encoder) = &net.encoder else { panic!("no BERT") };
    let states = encoder.hidden_states(&batch(golden), &mut Pass::eval()).unwrap();
    let want = golden["eval"]["f64"]["hidden"].as_array().unwrap();
    assert_eq!(states.len(), want.len());
    for (i, (state, want)) in states.iter().zip(want).enumerate() {
        assert_summary(&format!("hidden state {i}"), state.tensor(), want, 1e-4);
    }
}

fn gradients(task: TextTask) {
    let (golden, mut net) = filled(task);
    let mut pass = Pass::train(0);
    let loss = loss(&net, &golden, &mut pass);
    net.audit(&pass, &loss).unwrap();
    let gradients = pass.backward(&loss).unwrap();
    assert_gradients(&mut net, &gradients, &golden["gradients"], 1e-3);
}

fn training(task: TextTask, name: &str) {
    let (golden, mut net) = filled(task);
    let number = |key: &str| golden[name][key].as_f64().unwrap();
    let mut optimizer: Box<dyn Optimizer> = if name == "sgd" {
        Box::new(
            Sgd::new(number("lr"))
                .momentum(number("momentum"))
                .weight_decay(number("weight_decay"))
                .groups(Groups::new().decay_all()),
        )
    } else {
        Box::new(AdamW::new(number("lr")).weight_decay(number("weight_decay")).groups(Groups::new().decay_all()))
    };
    let losses: Vec<f64> = (0..10)
        .map(|step| {
            let mut pass = Pass::train(step);
            let loss = loss(&net, &golden, &mut pass);
            let gradients = pass.backward(&loss).unwrap();
            optimizer.step(&mut net, gradients).unwrap();
            f64::from(loss.tensor().item().unwrap())
        })
        .collect();
    assert_losses(name, &losses, &golden[name], 1e-3);
}

#[test]
fn classification_logits_and_states() {
    let (golden, net) = filled(TextTask::SequenceClassification);
    hidden_states(&golden, &net);
    let want = &golden["eval"]["f64"];
    let pooled = net.features(&batch(&golden), &mut Pass::eval()).unwrap();
    assert_summary("pooler", pooled.tensor(), &want["pooler"], 1e-4);
    let logits = net.forward(&batch(&golden), &mut Pass::eval()).unwrap();
    assert_close("logits", &wide(logits.logits().tensor()), &want["logits"], 1e-4);
    let planned = Planned::new(&net, &batch(&golden));
    assert!(planned.has_plan());
    let logits = planned.logits(&batch(&golden)).unwrap();
    assert_close("logits of the plan", &wide(logits.tensor()), &want["logits"], 1e-4);
}

#[test]
fn masked_words_logits_and_states() {
    let (golden, net) = filled(TextTask::MaskedLM);
    hidden_states(&golden, &net);
    let want = &golden["eval"]["f64"];
    let logits = wide(net.forward(&batch(&golden), &mut Pass::eval()).unwrap().logits().tensor());
    let rows = logits.chunks(logits.len() / 32);
    let first: Vec<f64> = rows.clone().flat_map(|row| row[..8].to_vec()).collect();
    assert_close("logits", &first, &want["logits"], 1e-4);
    let norms: Vec<f64> = rows.map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    assert_close("norms of logits", &norms, &want["logits norm"], 1e-5);
}

#[test]
fn classification_gradients_of_every_parameter() {
    gradients(TextTask::SequenceClassification);
}

#[test]
fn masked_words_gradients_of_every_parameter() {
    gradients(TextTask::MaskedLM);
}

#[test]
fn classification_ten_steps() {
    training(TextTask::SequenceClassification, "sgd");
    training(TextTask::SequenceClassification, "adamw");
}

#[test]
fn masked_words_ten_steps() {
    training(TextTask::MaskedLM, "sgd");
    training(TextTask::MaskedLM, "adamw");
}
