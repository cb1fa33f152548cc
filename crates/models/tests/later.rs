//! ResNet V2, Inception v4 and the Inception-ResNets beside their numbers: heads, configurations, groups, gradients, errors.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use ukulele_layers::{Init, Module, Pass, Tensor, Value};
use ukulele_models::{
    ImageConfig, ImageModel, InceptionResNetV1, InceptionResNetV1Config, InceptionResNetV2Config, InceptionV4Config,
    ResNetV2Config, StemPool,
};

fn images(shape: &[usize]) -> Value {
    let count = shape.iter().product::<usize>();
    Tensor::from_vec(shape, (0..count).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect()).unwrap().into()
}

/// Each architecture, with the sides of an image to train on and of an odd one.
fn all() -> [(ImageConfig, usize, [usize; 2]); 8] {
    let narrow = |name| ResNetV2Config { width: 8, stem: 8, ..ResNetV2Config::named(name, 5).unwrap() };
    [
        (narrow("resnetv2_18").into(), 32, [33, 47]),
        (narrow("resnetv2_50").into(), 32, [33, 47]),
        (ResNetV2Config { deep_stem: Some([4, 6]), ..narrow("resnetv2_50d") }.into(), 32, [33, 47]),
        (narrow("resnet50v2").into(), 32, [33, 47]),
        (ResNetV2Config { stem_pool: StemPool::Same, ..narrow("resnet50v2") }.into(), 32, [33, 47]),
        (InceptionV4Config::timm(5).into(), 107, [75, 97]),
        (InceptionResNetV1Config::facenet(Some(5)).into(), 107, [75, 97]),
        (InceptionResNetV2Config::timm(5).into(), 107, [75, 97]),
    ]
}

#[test]
fn every_parameter_gets_a_gradient_and_is_in_one_group() {
    for (config, side, [h, w]) in all() {
        let mut net = ImageModel::new(&config, &mut Init::new(1));
        let groups = net.layer_groups();
        let mut names = BTreeSet::new();
        net.each("", &mut |name, _| {
            let found = groups.iter().filter(|g| g.iter().any(|prefix| name.starts_with(prefix.as_str()))).count();
            assert_eq!(found, 1, "{name}");
            assert!(names.insert(name.to_owned()), "{name} twice");
        });
        let mut pass = Pass::train(1);
        let loss = net.forward(&images(&[2, 3, side, side]), &mut pass).unwrap().cross_entropy(&[0, 4]).unwrap();
        net.audit(&pass, &loss).unwrap();
        let gradients = pass.backward(&loss).unwrap();
        net.each("", &mut |name, param| {
            let flows = |g: &Tensor| g.to_vec().iter().any(|&v| v != 0.0 && v.is_finite());
            assert!(!param.role.is_trained() || gradients.of(param).is_some_and(flows), "{name}");
        });
        net.replace_head(3, &mut Init::new(2));
        assert_eq!((net.classes(), net.config().classes()), (3, 3));
        let x = images(&[1, 3, h, w]);
        let logits = net.forward(&x, &mut Pass::eval()).unwrap().logits;
        assert_eq!(logits.tensor().shape(), [1, 3]);
        let features = net.features(&x, &mut Pass::eval()).unwrap();
        let again = net.head(&features, &mut Pass::eval()).unwrap();
        assert_eq!(again.tensor().to_vec(), logits.tensor().to_vec());
        assert!(net.head(&images(&[1, 7]), &mut Pass::eval()).is_err());
    }
}

#[test]
fn configurations_are_saved_and_read() {
    for (config, ..) in all() {
        let json = config.to_json();
        assert_eq!(ImageConfig::from_json(&json.clone().into()).unwrap(), config);
        for key in json.keys().filter(|key| !["deep_stem", "model_type"].contains(&key.as_str())) {
            let mut broken = json.clone();
            broken.insert(key.clone(), serde_json::json!("seven"));
            let error = ImageConfig::from_json(&broken.into()).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
    let embeds: ImageConfig = InceptionResNetV1Config::facenet(None).into();
    assert_eq!(ImageConfig::from_json(&embeds.to_json().into()).unwrap(), embeds);
    let mut without = embeds.to_json();
    without.remove("classes");
    assert!(ImageConfig::from_json(&without.into()).unwrap_err().to_string().contains("classes"));
}

#[test]
fn too_small_images_are_errors() {
    for (config, ..) in all().into_iter().filter(|(_, side, _)| *side > 100) {
        let net = ImageModel::new(&config, &mut Init::zeros());
        let error = net.forward(&images(&[1, 3, 74, 90]), &mut Pass::eval()).unwrap_err().to_string();
        assert!(error.contains("74x90") && error.contains("75x75"), "{error}");
    }
    let net = ImageModel::new(&all()[3].0, &mut Init::zeros());
    assert!(net.forward(&images(&[3, 32, 32]), &mut Pass::eval()).is_err());
    assert!(net.forward(&images(&[1, 4, 32, 32]), &mut Pass::eval()).is_err());
}

/// Both pools see the same but at the edges, where zeros are larger than what is below zero.
#[test]
fn the_pool_of_a_stem_sees_zeros_only_where_it_is_told() {
    let config = ResNetV2Config { width: 8, stem: 8, ..ResNetV2Config::named("resnet50v2", 5).unwrap() };
    let x = images(&[1, 3, 32, 32]);
    let mut net = ImageModel::new(&config.clone().into(), &mut Init::new(3));
    // Far below zero everywhere.
    net.each("", &mut |name, param| {
        if name == "stem.conv.bias" {
            param.value = Tensor::full(&[8], -100.0).unwrap();
        }
    });
    let state = net.state();
    let edge = |stem_pool| {
        let mut net = ImageModel::new(&ResNetV2Config { stem_pool, ..config.clone() }.into(), &mut Init::zeros());
        net.set_state(&state).unwrap();
        let map = net.tap("stem", &x).unwrap().tensor().to_vec();
        (map[0], map[9])
    };
    let (zeros, nothing, same) = (edge(StemPool::Zeros), edge(StemPool::Nothing), edge(StemPool::Same));
    assert_eq!(zeros.0, 0.0);
    assert!(nothing.0 < -50.0 && zeros.1 == nothing.1 && zeros.1 < -50.0);
    assert!(same.1 < -50.0 && same != nothing);
}

#[test]
fn faces_become_directions_without_a_classifier() {
    let mut net = InceptionResNetV1::new(&InceptionResNetV1Config::facenet(None), &mut Init::new(1));
    let x = images(&[2, 3, 80, 80]);
    let faces = net.forward(&x, &mut Pass::eval()).unwrap();
    assert_eq!(faces.tensor().shape(), [2, 512]);
    for face in faces.tensor().to_vec().chunks(512) {
        assert!((face.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    // A face of nothing but zeros has no direction, and no gradient that is not a number.
    let zeros = Tensor::zeros(&[1, 512]).unwrap().into();
    assert!(net.head(&zeros, &mut Pass::eval()).unwrap().tensor().to_vec().iter().all(|&v| v == 0.0));
    net.replace_head(7, &mut Init::new(2));
    assert_eq!(net.forward(&x, &mut Pass::eval()).unwrap().tensor().shape(), [2, 7]);
    net.remove_head();
    assert_eq!(net.forward(&x, &mut Pass::eval()).unwrap().tensor().to_vec(), faces.tensor().to_vec());
}
