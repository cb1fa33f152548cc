//! Trunks in stages: what they give together, and whose parameters each uses.
#![allow(missing_docs)]

use ukulele_layers::{Init, Module, Pass, Result, Tensor, Value};
use ukulele_models::{
    BertConfig, ImageConfig, ImageModel, Pooling, ResNetConfig, ResNetV2Config, TextModel, TokenBatch, VggConfig,
};
use weights_import::TextFamily;

/// One of each family, and the side of its images.
fn images() -> Vec<(ImageConfig, usize)> {
    let named = |name| ImageConfig::named(name, 3).unwrap();
    let resnet = ResNetConfig { width: 4, stem: 4, ..ResNetConfig::depth(18, 3).unwrap() };
    let v2 = ResNetV2Config { width: 4, stem: 4, ..ResNetV2Config::named("resnetv2_50", 3).unwrap() };
    let vgg = |hidden| VggConfig {
        stages: vec![vec![4], vec![4, 4]],
        hidden,
        grid: 2,
        ..VggConfig::depth(16, true, 3).unwrap()
    };
    let mut all: Vec<(ImageConfig, usize)> = vec![(resnet.into(), 32), (v2.into(), 32)];
    all.extend([vec![5, 6], vec![]].map(|hidden| (vgg(hidden).into(), 20)));
    all.push((named("cifar_resnet20"), 16));
    all.push((named("googlenet"), 32));
    all.extend(["inception_v3", "inception_v4", "inception_resnet_v1", "inception_resnet_v2"].map(|n| (named(n), 80)));
    all
}

/// Runs the stages from one number to before another, from a value on.
type Run<'a, N> = dyn Fn(&N, usize, usize, Option<&Value>, &mut Pass) -> Result<Value> + 'a;

/// Stage by stage the result is that of the whole, from any cut on, and each stage uses the parameters of its own group.
fn staged<N: Module>(net: &mut N, groups: &[Vec<String>], run: &Run<'_, N>, whole: &Value) {
    let count = groups.len();
    let mut at: Option<Value> = None;
    for (stage, group) in groups.iter().enumerate() {
        let within = |name: &str| group.iter().any(|prefix| name.starts_with(prefix.as_str()));
        net.unfreeze(|_| true);
        net.freeze(within);
        let mut pass = Pass::eval_with_gradients();
        let y = run(net, stage, stage + 1, at.as_ref(), &mut pass).unwrap();
        assert!(!y.is_traced(), "stage {stage} uses parameters of other groups than {group:?}");
        net.unfreeze(|_| true);
        net.freeze(|name| !within(name));
        let mut pass = Pass::eval_with_gradients();
        assert!(run(net, stage, stage + 1, at.as_ref(), &mut pass).unwrap().is_traced(), "stage {stage}: {group:?}");
        let rest = run(net, stage + 1, count, Some(&y), &mut Pass::eval()).unwrap();
        assert_eq!(rest.tensor().to_vec(), whole.tensor().to_vec(), "from stage {} on", stage + 1);
        at = Some(y);
    }
}

#[test]
fn a_network_of_images_is_its_stages() {
    for (config, side) in images() {
        let mut net = ImageModel::new(&config, &mut Init::new(1));
        net.remove_aux();
        let pixels = (0..2 * 3 * side * side).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect();
        let x: Value = Tensor::from_vec(&[2, 3, side, side], pixels).unwrap().into();
        let whole = net.forward(&x, &mut Pass::eval()).unwrap().logits;
        let groups = net.layer_groups();
        let run = |net: &ImageModel, from, to, at: Option<&Value>, pass: &mut Pass| {
            net.run_stages(from..to, at.unwrap_or(&x), pass)
        };
        staged(&mut net, &groups, &run, &whole);
        let features = net.run_stages(0..groups.len() - 1, &x, &mut Pass::eval()).unwrap();
        assert_eq!(features.tensor().to_vec(), net.features(&x, &mut Pass::eval()).unwrap().tensor().to_vec());
        assert!(net.run_stages(0..groups.len() + 1, &x, &mut Pass::eval()).is_err());
    }
}

#[test]
fn an_encoder_of_texts_is_its_stages() {
    for family in TextFamily::ALL {
        let narrow = matches!(family, TextFamily::Electra | TextFamily::Albert);
        let base = BertConfig::of_family(family);
        let config = BertConfig {
            vocab_size: 20,
            embedding_size: narrow.then_some(4),
            hidden_size: 8,
            num_hidden_layers: 4,
            num_attention_heads: 2,
            intermediate_size: 16,
            hidden_groups: if family == TextFamily::Albert { 2 } else { 1 },
            max_position_embeddings: 10,
            ..base
        };
        let mut net = TextModel::classifier(&config, 3, Pooling::Mean, &mut Init::new(1)).unwrap();
        let ids = [&[5, 6, 7, 8, 9, 10, 11, 12, 13, 14][..], &[config.pad_token_id; 2]].concat();
        let mask = [[1.0; 10].as_slice(), &[0.0; 2]].concat();
        let tokens = TokenBatch { batch: 2, length: 6, ids, types: vec![0; 12], mask };
        let whole = net.hidden(&tokens, &mut Pass::eval()).unwrap();
        let mut groups = net.layer_groups();
        groups.pop();
        let run = |net: &TextModel, from, to, at: Option<&Value>, pass: &mut Pass| {
            net.run_stages(from..to, at, &tokens, pass)
        };
        staged(&mut net, &groups, &run, &whole);
        let mut pass = Pass::eval();
        assert!(net.run_stages(0..groups.len() + 1, None, &tokens, &mut pass).is_err());
        assert!(net.run_stages(1..2, None, &tokens, &mut pass).is_err());
        assert!(net.run_stages(0..1, Some(&whole), &tokens, &mut pass).is_err());
        let other = whole.narrow(0, 0, 1).unwrap();
        assert!(net.run_stages(1..2, Some(&other), &tokens, &mut pass).is_err());
    }
}
