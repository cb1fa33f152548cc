//! VGG, Inception v3 and GoogLeNet against torchvision.

use super::{assert_close, assert_gradients, assert_losses, assert_plan_close, formula, golden, numbers, wide};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use ukulele::training::Groups;
use ukulele::{
    AdamW, GoogLeNet, GoogLeNetConfig, Gradients, ImageLogits, Inception, InceptionConfig, Init, Module, Optimizer,
    Pass, Sgd, Value, Vgg, VggConfig,
};

/// A network, without dropout.
#[allow(clippy::large_enum_variant)] // one at a time
enum Net {
    Vgg(Vgg),
    Inception(Inception),
    GoogLeNet(GoogLeNet),
}

impl Net {
    fn build(golden: &Json, transform_input: bool) -> Self {
        let classes = golden["classes"].as_u64().unwrap() as usize;
        let init = &mut Init::new(0);
        let mut net = match golden["model"].as_str().unwrap() {
            "inception_v3" => {
                let config = InceptionConfig { dropout: 0.0, transform_input, ..InceptionConfig::v3(classes) };
                Self::Inception(Inception::new(&config, init))
            }
            "googlenet" => {
                let plain = GoogLeNetConfig::torchvision(classes);
                let config = GoogLeNetConfig { dropout: 0.0, dropout_aux: 0.0, transform_input, ..plain };
                Self::GoogLeNet(GoogLeNet::new(&config, init))
            }
            name => {
                let depth = name.trim_start_matches("vgg").trim_end_matches("_bn").parse().unwrap();
                let config = VggConfig::depth(depth, name.ends_with("_bn"), classes).unwrap();
                Self::Vgg(Vgg::new(&VggConfig { dropout: 0.0, ..config }, init))
            }
        };
        let shift = golden["norm shift"].as_f64().unwrap() as f32;
        match &mut net {
            Self::Vgg(net) => fill(net, shift),
            Self::Inception(net) => fill(net, shift),
            Self::GoogLeNet(net) => fill(net, shift),
        }
        net
    }

    fn forward(&self, x: &Value, pass: &mut Pass) -> ImageLogits {
        match self {
            Self::Vgg(net) => ImageLogits { logits: net.forward(x, pass).unwrap(), aux: Vec::new(), aux_weight: 0.0 },
            Self::Inception(net) => net.forward(x, pass).unwrap(),
            Self::GoogLeNet(net) => net.forward(x, pass).unwrap(),
        }
    }

    fn step(&mut self, optimizer: &mut dyn Optimizer, gradients: Gradients) {
        match self {
            Self::Vgg(net) => optimizer.step(net, gradients).unwrap(),
            Self::Inception(net) => optimizer.step(net, gradients).unwrap(),
            Self::GoogLeNet(net) => optimizer.step(net, gradients).unwrap(),
        }
    }
}

/// By formula, with the shifts of batch norms raised by `shift` (the generator says why).
fn fill(net: &mut impl Module, shift: f32) {
    formula::fill(net);
    let mut norms = BTreeSet::new();
    net.each("", &mut |name, _| norms.extend(name.strip_suffix(".running_mean").map(str::to_owned)));
    net.each("", &mut |name, param| {
        if name.strip_suffix(".bias").is_some_and(|norm| norms.contains(norm)) {
            param.value.memory_mut().iter_mut().for_each(|b| *b += shift);
        }
    });
}

fn input(name: &str, shape: &Json) -> Value {
    let shape: Vec<usize> = numbers(shape).into_iter().map(|d| d as usize).collect();
    formula::input(name, &shape).into()
}

/// Of a pass and of a plan.
fn logits(what: &str, net: &Net, want: &Json) {
    let x = input("input", &want["shape"]);
    let ImageLogits { logits, aux, .. } = net.forward(&x, &mut Pass::eval());
    assert!(aux.is_empty());
    assert_close(what, &wide(logits.tensor()), &want["f64"], 1e-4);
    assert_plan_close(what, |x, pass| Ok(net.forward(x, pass).logits), &x, &want["f64"], 1e-4);
}

fn evaluation(golden: &Json) {
    let net = Net::build(golden, false);
    for want in golden["eval"].as_array().unwrap() {
        logits("logits", &net, want);
    }
    if let Some(want) = golden.get("transformed") {
        logits("transformed: logits", &Net::build(golden, true), want);
    }
}

fn batch(golden: &Json) -> (Value, Vec<i64>) {
    let train = &golden["train"];
    let labels = numbers(&train["labels"]).into_iter().map(|l| l as i64).collect();
    (input(train["input"].as_str().unwrap(), &train["shape"]), labels)
}

/// The logits of a training step, with those of the auxiliary heads, and its loss.
fn train_logits(net: &Net, golden: &Json) -> (Pass, Value) {
    let (x, labels) = batch(golden);
    let mut pass = Pass::train(0);
    let logits = net.forward(&x, &mut pass);
    let want = golden["train"]["logits"].as_array().unwrap();
    assert_eq!(want.len(), 1 + logits.aux.len());
    for (ours, want) in std::iter::once(&logits.logits).chain(&logits.aux).zip(want) {
        assert_close("train: logits", &wide(ours.tensor()), want, 1e-4);
    }
    (pass, logits.cross_entropy(&labels).unwrap())
}

fn gradients(golden: &Json) {
    let mut net = Net::build(golden, false);
    let (mut pass, loss) = train_logits(&net, golden);
    let gradients = pass.backward(&loss).unwrap();
    match &mut net {
        Net::Vgg(net) => assert_gradients(net, &gradients, &golden["gradients"], 1e-3),
        Net::Inception(net) => assert_gradients(net, &gradients, &golden["gradients"], 1e-3),
        Net::GoogLeNet(net) => assert_gradients(net, &gradients, &golden["gradients"], 1e-3),
    }
}

fn training(golden: &Json, name: &str, optimizer: &mut dyn Optimizer) {
    let mut net = Net::build(golden, false);
    let (x, labels) = batch(golden);
    let losses: Vec<f64> = (0..10)
        .map(|step| {
            let mut pass = Pass::train(step);
            let loss = net.forward(&x, &mut pass).cross_entropy(&labels).unwrap();
            let gradients = pass.backward(&loss).unwrap();
            net.step(optimizer, gradients);
            f64::from(loss.tensor().item().unwrap())
        })
        .collect();
    assert_losses(name, &losses, &golden[name], 1e-3);
}

fn sgd(golden: &Json) -> Sgd {
    let number = |key: &str| golden["sgd"][key].as_f64().unwrap();
    let sgd = Sgd::new(number("lr")).momentum(number("momentum")).weight_decay(number("weight_decay"));
    sgd.groups(Groups::new().decay_all())
}

fn adamw(golden: &Json) -> AdamW {
    let number = |key: &str| golden["adamw"][key].as_f64().unwrap();
    AdamW::new(number("lr")).eps(number("eps")).weight_decay(number("weight_decay")).groups(Groups::new().decay_all())
}

macro_rules! parity {
    ($($name:ident),*) => {
        $(mod $name {
            use super::*;
            fn file() -> Json {
                golden(concat!("vision/", stringify!($name), ".json"))
            }
            #[test]
            fn logits() {
                evaluation(&file());
            }
            #[test]
            fn logits_in_training() {
                train_logits(&Net::build(&file(), false), &file());
            }
            #[test]
            fn ten_steps_of_sgd() {
                let golden = file();
                training(&golden, "sgd", &mut sgd(&golden));
            }
            #[test]
            fn ten_steps_of_adamw() {
                let golden = file();
                training(&golden, "adamw", &mut adamw(&golden));
            }
        })*
    };
}

parity!(vgg16, vgg11_bn, googlenet);

#[test]
fn gradients_of_every_parameter_of_vgg16() {
    gradients(&golden("vision/vgg16.json"));
}
