//! The ResNets of small images against a network written from the paper.

use super::{
    assert_close, assert_gradients, assert_losses, assert_plan_close, assert_summary, formula, golden, numbers, wide,
};
use serde_json::Value as Json;
use ukulele::training::Groups;
use ukulele::{CifarResNet, CifarResNetConfig, Init, Module, Optimizer, Pass, Sgd, Shortcut, Value};

fn build(golden: &Json) -> CifarResNet {
    let shortcut = match golden["model"].as_str().unwrap() {
        "resnet20_pad" => Shortcut::Pad,
        _ => Shortcut::Projection { norm: true },
    };
    let config = CifarResNetConfig { shortcut, ..CifarResNetConfig::depth(20, 10).unwrap() };
    let mut net = CifarResNet::new(&config, &mut Init::new(0));
    formula::fill(&mut net);
    net
}

fn input(name: &str, shape: &Json) -> Value {
    let shape: Vec<usize> = numbers(shape).into_iter().map(|d| d as usize).collect();
    formula::input(name, &shape).into()
}

fn check(file: &str) {
    let golden = golden(file);
    let net = build(&golden);
    for want in golden["eval"].as_array().unwrap() {
        let (x, pass) = (input("input", &want["shape"]), &mut Pass::eval());
        let mut y = net.stem(&x, pass).unwrap();
        for number in 1..=3 {
            y = net.stage(number, &y, pass).unwrap();
            let name = format!("layer{number}");
            assert_summary(&name, y.tensor(), &want["stages"][&name], 1e-4);
        }
        assert_close("logits", &wide(net.forward(&x, pass).unwrap().tensor()), &want["logits"], 1e-4);
        assert_plan_close("logits", |x, pass| net.forward(x, pass), &x, &want["logits"], 1e-4);
    }

    let train = &golden["train"];
    let labels: Vec<i64> = numbers(&train["labels"]).into_iter().map(|l| l as i64).collect();
    let x = input(train["input"].as_str().unwrap(), &train["shape"]);
    let number = |key: &str| golden["sgd"][key].as_f64().unwrap();
    let sgd = Sgd::new(number("lr")).momentum(number("momentum")).weight_decay(number("weight_decay"));
    let (mut net, mut sgd, mut losses) = (net, sgd.groups(Groups::new().decay_all()), Vec::new());
    for step in 0..10 {
        let mut pass = Pass::train(step);
        let logits = net.forward(&x, &mut pass).unwrap();
        let loss = logits.cross_entropy(&labels).unwrap();
        net.audit(&pass, &loss).unwrap();
        let gradients = pass.backward(&loss).unwrap();
        if step == 0 {
            assert_close("train: logits", &wide(logits.tensor()), &train["logits"], 1e-4);
            assert_gradients(&mut net, &gradients, &golden["gradients"], 1e-3);
        }
        sgd.step(&mut net, gradients).unwrap();
        losses.push(f64::from(loss.tensor().item().unwrap()));
    }
    assert_losses("sgd", &losses, &golden["sgd"], 1e-3);
}

#[test]
fn shortcuts_that_pad() {
    check("cifar/resnet20_pad.json");
}

#[test]
fn shortcuts_that_project() {
    check("cifar/resnet20_projection.json");
}
