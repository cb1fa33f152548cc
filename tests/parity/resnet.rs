//! ResNet-18 and -50 against torchvision.

use super::{
    assert_close, assert_gradients, assert_losses, assert_plan_close, assert_summary, formula, golden, numbers, wide,
};
use serde_json::Value as Json;
use ukulele::training::Groups;
use ukulele::{AdamW, Module, Optimizer, Pass, ResNet, ResNetConfig, Sgd, Value};

fn shape(json: &Json) -> Vec<usize> {
    numbers(json).into_iter().map(|d| d as usize).collect()
}

fn build(golden: &Json) -> ResNet {
    let depth = if golden["model"] == "resnet18" { 18 } else { 50 };
    let config = ResNetConfig::depth(depth, golden["classes"].as_u64().unwrap() as usize).unwrap();
    let mut net = ResNet::new(&config, &mut ukulele::Init::new(0));
    formula::fill(&mut net);
    let scale = golden["bn3.weight scale"].as_f64().unwrap() as f32;
    net.each("", &mut |name, param| {
        if name.ends_with(".bn3.weight") {
            param.value.memory_mut().iter_mut().for_each(|w| *w *= scale);
        }
    });
    net
}

/// The input and the shape of training: chosen by the generator so that rounding flips no ReLU.
fn training_input(golden: &Json) -> Value {
    formula::input(golden["train"]["input"].as_str().unwrap(), &shape(&golden["train"]["shape"])).into()
}

fn evaluation(golden: &Json, key: &str) {
    let net = build(golden);
    let mut pass = Pass::eval();
    let want = &golden[key]["f64"];
    let x: Value = formula::input("input", &shape(&golden[key]["shape"])).into();
    let mut y = net.stem(&x, &mut pass).unwrap();
    assert_summary("stem", y.tensor(), &want["stages"]["stem"], 1e-4);
    for stage in 1..=4 {
        y = net.stage(stage, &y, &mut pass).unwrap();
        let name = format!("layer{stage}");
        assert_summary(&name, y.tensor(), &want["stages"][&name], 1e-4);
    }
    let logits = net.forward(&x, &mut pass).unwrap();
    assert_close(&format!("{key}: logits"), &wide(logits.tensor()), &want["logits"], 1e-4);
    assert_plan_close(&format!("{key}: logits"), |x, pass| net.forward(x, pass), &x, &want["logits"], 1e-4);
}

fn labels(golden: &Json) -> Vec<i64> {
    numbers(&golden["train"]["labels"]).into_iter().map(|l| l as i64).collect()
}

fn gradients(golden: &Json) {
    let mut net = build(golden);
    let mut pass = Pass::train(0);
    let x = training_input(golden);
    let logits = net.forward(&x, &mut pass).unwrap();
    assert_close("train: logits", &wide(logits.tensor()), &golden["train"]["f64"]["logits"], 1e-4);
    let loss = logits.cross_entropy(&labels(golden)).unwrap();
    net.audit(&pass, &loss).unwrap();
    let gradients = pass.backward(&loss).unwrap();
    assert_gradients(&mut net, &gradients, &golden["gradients"], 1e-3);
}

fn training(golden: &Json, name: &str, optimizer: &mut dyn Optimizer) {
    let mut net = build(golden);
    let x = training_input(golden);
    let losses: Vec<f64> = (0..10)
        .map(|step| {
            let mut pass = Pass::train(step);
            let loss = net.forward(&x, &mut pass).unwrap().cross_entropy(&labels(golden)).unwrap();
            let gradients = pass.backward(&loss).unwrap();
            optimizer.step(&mut net, gradients).unwrap();
            f64::from(loss.tensor().item().unwrap())
        })
        .collect();
    assert_losses(name, &losses, &golden[name], 1e-3);
    for (what, statistic) in
        [("bn1.running_mean norm", &net.bn1.running_mean), ("bn1.running_var norm", &net.bn1.running_var)]
    {
        let norm = wide(&statistic.value).iter().map(|v| v * v).sum::<f64>().sqrt();
        assert_close(what, &[norm], &golden[name]["f64"][what], 1e-4);
    }
}

fn sgd(golden: &Json) -> Sgd {
    let number = |key: &str| golden["sgd"][key].as_f64().unwrap();
    Sgd::new(number("lr"))
        .momentum(number("momentum"))
        .weight_decay(number("weight_decay"))
        .groups(Groups::new().decay_all())
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
                golden(concat!("resnet/", stringify!($name), ".json"))
            }
            #[test]
            fn logits_and_stages() {
                evaluation(&file(), "eval");
            }
            #[test]
            fn odd_size() {
                evaluation(&file(), "eval odd");
            }
            #[test]
            fn gradients_of_every_parameter() {
                gradients(&file());
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

parity!(resnet18, resnet50);
