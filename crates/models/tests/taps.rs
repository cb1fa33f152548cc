//! Every module of every model says its output, under its checkpoint name.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use ukulele_layers::{Init, Module, Pass, Result, Tensor, Value};
use ukulele_models::{
    BertConfig, CifarResNetConfig, GoogLeNetConfig, ImageConfig, ImageModel, InceptionConfig, InceptionResNetV1Config,
    InceptionResNetV2Config, InceptionV4Config, ResNetConfig, ResNetV2Config, Shortcut, TextModel, TextTask,
    TokenBatch, VggConfig,
};

fn images(shape: &[usize]) -> Value {
    let count = shape.iter().product::<usize>();
    Tensor::from_vec(shape, (0..count).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect()).unwrap().into()
}

/// The modules of `net` that said nothing in a pass, but for those that `idle` excuses.
fn silent<N: Module>(net: &N, idle: &[&str], run: impl FnOnce(&N, &mut Pass) -> Result<Value>) -> Vec<String> {
    let mut watched = Pass::eval();
    watched.watch_all(net);
    run(net, &mut watched).unwrap();
    let heard: BTreeSet<&str> = watched.taps().iter().map(|(name, _)| name.as_str()).collect();
    let mut silent = Vec::new();
    net.modules("", &mut |name, _| {
        if !name.is_empty() && !heard.contains(name) && !idle.iter().any(|idle| name.contains(idle)) {
            silent.push(name.to_owned());
        }
    });
    silent
}

#[test]
fn every_module_of_a_vision_model_is_heard() {
    let cifar =
        CifarResNetConfig { shortcut: Shortcut::Projection { norm: true }, ..CifarResNetConfig::depth(20, 3).unwrap() };
    let configs: [(ImageConfig, usize); 13] = [
        (ResNetConfig::depth(18, 3).unwrap().into(), 40),
        (ResNetConfig::depth(50, 3).unwrap().into(), 40),
        (ResNetConfig::named("resnet26d", 3).unwrap().into(), 40),
        (cifar.into(), 16),
        (VggConfig { hidden: vec![8; 2], ..VggConfig::depth(11, true, 3).unwrap() }.into(), 32),
        (InceptionConfig::v3(3).into(), 80),
        (GoogLeNetConfig::torchvision(3).into(), 40),
        (ResNetV2Config::named("resnetv2_18", 3).unwrap().into(), 40),
        (ResNetV2Config::named("resnet50v2", 3).unwrap().into(), 40),
        (ResNetV2Config::named("resnetv2_50d", 3).unwrap().into(), 40),
        (InceptionV4Config::timm(3).into(), 80),
        (InceptionResNetV1Config::facenet(Some(3)).into(), 80),
        (InceptionResNetV2Config::timm(3).into(), 80),
    ];
    for (config, size) in configs {
        let net = ImageModel::new(&config, &mut Init::new(1));
        let x = images(&[1, 3, size, size]);
        // Auxiliary heads run in training only.
        let silent = silent(&net, &["aux", "AuxLogits"], |net, pass| Ok(net.forward(&x, pass)?.logits));
        assert!(silent.is_empty(), "{config:?}: {silent:?}");
    }
}

#[test]
fn every_module_of_a_bert_is_heard() {
    let config = BertConfig {
        vocab_size: 20,
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 16,
        max_position_embeddings: 8,
        ..BertConfig::default()
    };
    let tokens = TokenBatch::unpadded(2, 3, vec![1, 2, 3, 4, 5, 6]).unwrap();
    let net = TextModel::new(&config, TextTask::SequenceClassification, 3, &mut Init::new(1)).unwrap();
    // Attention drops weights, which are no tensor of their own here.
    let idle = ["attention.self.dropout"];
    assert_eq!(silent(&net, &idle, |net, pass| Ok(net.forward(&tokens, pass)?.logits().clone())), [""; 0]);
}

#[test]
fn a_tap_is_the_output_of_its_module() {
    let net = ImageModel::new(&ResNetConfig::depth(18, 3).unwrap().into(), &mut Init::new(1));
    let x = images(&[2, 3, 40, 40]);
    let ImageModel::ResNet(resnet) = &net else { unreachable!() };
    let stem = resnet.stem(&x, &mut Pass::eval()).unwrap();
    let stage = resnet.stage(1, &stem, &mut Pass::eval()).unwrap();
    for name in ["layer1", "layer1.1"] {
        assert_eq!(net.tap(name, &x).unwrap().tensor().to_vec(), stage.tensor().to_vec(), "{name}");
    }
    // A norm's own output is before the ReLU that is otherwise computed with it.
    let norm = net.tap("bn1", &x).unwrap();
    assert!(norm.tensor().to_vec().iter().any(|&v| v < 0.0));
    let relu =
        resnet.bn1.forward_relu(&resnet.conv1.forward(&x, &mut Pass::eval()).unwrap(), &mut Pass::eval()).unwrap();
    for (a, b) in norm.relu().unwrap().tensor().to_vec().iter().zip(relu.tensor().to_vec()) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0));
    }
    let error = net.tap("layer3.2", &x).unwrap_err().to_string();
    assert!(error.contains("no module `layer3.2`") && error.contains("layer3.1"), "{error}");
    let mut pass = Pass::eval();
    pass.watch(&net, &["fc"]).unwrap();
    let logits = net.forward(&x, &mut pass).unwrap().logits;
    assert_eq!(pass.tapped("fc").unwrap().tensor().to_vec(), logits.tensor().to_vec());
    assert_eq!((pass.taps().len(), pass.tapped("layer1").is_none()), (1, true));
}
