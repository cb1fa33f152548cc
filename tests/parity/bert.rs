//! BERT of base size against transformers: sequence classification and masked words.

use super::{assert_close, assert_gradients, assert_losses, assert_summary, formula, golden, numbers, wide};
use serde_json::Value as Json;
use ukulele::training::Groups;
use ukulele::{
    AdamW, BertConfig, BertForSequenceClassification, Init, Module, Optimizer, Pass, Pooling, Result, Sgd, TextEncoder,
    TextModel, TextTask, TokenBatch, Value,
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

/// Either model.
trait Model: Module + Sized {
    const FILE: &'static str;
    fn build(config: &BertConfig) -> Self;
    fn logits(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value>;
    fn encoder(&self) -> &ukulele::BertModel;

    fn filled(golden: &Json) -> Self {
        let mut net = Self::build(&BertConfig::from_json(&golden["config"]).unwrap());
        formula::fill(&mut net);
        net
    }

    /// The loss over a row of logits per label; -100 is ignored.
    fn loss(&self, golden: &Json, pass: &mut Pass) -> Value {
        let logits = self.logits(&batch(golden), pass).unwrap();
        let labels = labels(golden);
        let classes = logits.shape()[logits.shape().len() - 1];
        logits.reshape(&[labels.len(), classes]).unwrap().cross_entropy(&labels).unwrap()
    }
}

impl Model for BertForSequenceClassification {
    const FILE: &'static str = "bert/classification.json";
    fn build(config: &BertConfig) -> Self {
        Self::new(config, 3, Pooling::Pooler, &mut Init::new(0))
    }
    fn logits(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        self.forward(tokens, pass)
    }
    fn encoder(&self) -> &ukulele::BertModel {
        &self.bert
    }
}

impl Model for TextModel {
    const FILE: &'static str = "bert/masked_lm.json";
    fn build(config: &BertConfig) -> Self {
        Self::new(config, TextTask::MaskedLM, 0, &mut Init::new(0)).unwrap()
    }
    fn logits(&self, tokens: &TokenBatch, pass: &mut Pass) -> Result<Value> {
        Ok(self.forward(tokens, pass)?.logits().clone())
    }
    fn encoder(&self) -> &ukulele::BertModel {
        let TextEncoder::Bert(net) = &self.encoder else { panic!("no BERT") };
        net
    }
}

fn hidden_states<M: Model>() -> (Json, M) {
    let golden = golden(M::FILE);
    let net = M::filled(&golden);
    let states = net.encoder().hidden_states(&batch(&golden), &mut Pass::eval()).unwrap();
    let want = golden["eval"]["f64"]["hidden"].as_array().unwrap();
    assert_eq!(states.len(), want.len());
    for (i, (state, want)) in states.iter().zip(want).enumerate() {
        assert_summary(&format!("hidden state {i}"), state.tensor(), want, 1e-4);
    }
    (golden, net)
}

fn gradients<M: Model>() {
    let golden = golden(M::FILE);
    let mut net = M::filled(&golden);
    let mut pass = Pass::train(0);
    let loss = net.loss(&golden, &mut pass);
    net.audit(&pass, &loss).unwrap();
    let gradients = pass.backward(&loss).unwrap();
    assert_gradients(&mut net, &gradients, &golden["gradients"], 1e-3);
}

fn training<M: Model>(name: &str) {
    let golden = golden(M::FILE);
    let mut net = M::filled(&golden);
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
            let loss = net.loss(&golden, &mut pass);
            let gradients = pass.backward(&loss).unwrap();
            optimizer.step(&mut net, gradients).unwrap();
            f64::from(loss.tensor().item().unwrap())
        })
        .collect();
    assert_losses(name, &losses, &golden[name], 1e-3);
}

#[test]
fn classification_logits_and_states() {
    let (golden, net) = hidden_states::<BertForSequenceClassification>();
    let want = &golden["eval"]["f64"];
    let pooled = net.features(&batch(&golden), &mut Pass::eval()).unwrap();
    assert_summary("pooler", pooled.tensor(), &want["pooler"], 1e-4);
    let logits = net.forward(&batch(&golden), &mut Pass::eval()).unwrap();
    assert_close("logits", &wide(logits.tensor()), &want["logits"], 1e-4);
}

#[test]
fn masked_words_logits_and_states() {
    let (golden, net) = hidden_states::<TextModel>();
    let want = &golden["eval"]["f64"];
    let logits = wide(net.logits(&batch(&golden), &mut Pass::eval()).unwrap().tensor());
    let rows = logits.chunks(logits.len() / 32);
    let first: Vec<f64> = rows.clone().flat_map(|row| row[..8].to_vec()).collect();
    assert_close("logits", &first, &want["logits"], 1e-4);
    let norms: Vec<f64> = rows.map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    assert_close("norms of logits", &norms, &want["logits norm"], 1e-5);
}

#[test]
fn classification_gradients_of_every_parameter() {
    gradients::<BertForSequenceClassification>();
}

#[test]
fn masked_words_gradients_of_every_parameter() {
    gradients::<TextModel>();
}

#[test]
fn classification_ten_steps() {
    training::<BertForSequenceClassification>("sgd");
    training::<BertForSequenceClassification>("adamw");
}

#[test]
fn masked_words_ten_steps() {
    training::<TextModel>("sgd");
    training::<TextModel>("adamw");
}
