//! VGG, Inception v3 and GoogLeNet beside their numbers: heads, configurations, groups, errors.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use ukulele_layers::{Init, Module, Pass, Tensor, Value};
use ukulele_models::{GoogLeNet, GoogLeNetConfig, Inception, InceptionConfig, Vgg, VggConfig};

fn images(shape: &[usize]) -> Value {
    let count = shape.iter().product::<usize>();
    Tensor::from_vec(shape, (0..count).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect()).unwrap().into()
}

/// A VGG of small widths.
fn small() -> VggConfig {
    let stages = vec![vec![4], vec![8, 8]];
    VggConfig { stages, hidden: vec![16; 2], grid: 2, batch_norm: true, ..VggConfig::depth(11, true, 5).unwrap() }
}

fn names(net: &mut impl Module) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    net.each("", &mut |name, _| {
        names.insert(name.to_owned());
    });
    names
}

/// Every name is in exactly one group.
fn grouped(net: &mut impl Module, groups: &[Vec<String>]) {
    for name in names(net) {
        let count = groups.iter().filter(|group| group.iter().any(|prefix| name.starts_with(prefix.as_str()))).count();
        assert_eq!(count, 1, "{name}");
    }
}

#[test]
fn a_vgg_is_cut_and_gets_a_new_head() {
    let mut net = Vgg::new(&small(), &mut Init::new(1));
    let groups = net.layer_groups();
    grouped(&mut net, &groups);
    assert!(names(&mut net).contains("features.5.running_var") && names(&mut net).contains("classifier.6.bias"));
    assert_eq!(net.forward(&images(&[1, 3, 9, 13]), &mut Pass::eval()).unwrap().tensor().shape(), [1, 5]);
    net.replace_head(3, &mut Init::new(2));
    assert_eq!(net.forward(&images(&[2, 3, 8, 8]), &mut Pass::eval()).unwrap().tensor().shape(), [2, 3]);
    assert_eq!(net.config().classes, 3);

    let bare = VggConfig { classifier: false, ..small() };
    let mut net = Vgg::new(&bare, &mut Init::new(1));
    assert_eq!(net.forward(&images(&[1, 3, 9, 13]), &mut Pass::eval()).unwrap().tensor().shape(), [1, 8, 2, 3]);
    assert!(net.head(&images(&[1, 8]), &mut Pass::eval()).is_err());
    net.replace_head(7, &mut Init::new(2));
    assert_eq!(net.forward(&images(&[1, 3, 8, 8]), &mut Pass::eval()).unwrap().tensor().shape(), [1, 7]);
    assert!(net.forward(&images(&[1, 3, 3, 3]), &mut Pass::eval()).is_err());
}

#[test]
fn configurations_are_saved_and_read() {
    let vgg = small();
    assert_eq!(VggConfig::from_json(&vgg.to_json().into()).unwrap(), vgg);
    let inception = InceptionConfig { count_padding: false, last_pool_max: true, ..InceptionConfig::v3(9) };
    assert_eq!(InceptionConfig::from_json(&inception.to_json().into()).unwrap(), inception);
    let googlenet = GoogLeNetConfig { third_kernel: 5, ..GoogLeNetConfig::torchvision(9) };
    assert_eq!(GoogLeNetConfig::from_json(&googlenet.to_json().into()).unwrap(), googlenet);
    for (key, wrong) in
        [("classes", serde_json::json!(0)), ("bn_eps", serde_json::json!(2)), ("aux", serde_json::json!(null))]
    {
        let mut config = inception.to_json();
        config.insert(key.into(), wrong);
        let error = InceptionConfig::from_json(&config.into()).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn inceptions_train_with_their_auxiliary_heads() {
    let mut net = GoogLeNet::torchvision(4);
    let groups = net.layer_groups();
    grouped(&mut net, &groups);
    let mut pass = Pass::train(1);
    let logits = net.forward(&images(&[2, 3, 48, 48]), &mut pass).unwrap();
    assert_eq!(logits.aux.len(), 2);
    let loss = logits.cross_entropy(&[0, 3]).unwrap();
    net.audit(&pass, &loss).unwrap();
    net.remove_aux();
    assert!(net.forward(&images(&[2, 3, 48, 48]), &mut Pass::train(1)).unwrap().aux.is_empty());
    let error = net.forward(&images(&[1, 3, 22, 40]), &mut Pass::eval()).unwrap_err().to_string();
    assert!(error.contains("22x40") && error.contains("23x23"), "{error}");

    let mut net = Inception::new(&InceptionConfig::v3(4), &mut Init::new(0));
    let groups = net.layer_groups();
    grouped(&mut net, &groups);
    let error = net.forward(&images(&[2, 3, 100, 100]), &mut Pass::train(1)).unwrap_err().to_string();
    assert!(error.contains("299x299") && error.contains("remove_aux"), "{error}");
    assert_eq!(net.forward(&images(&[1, 3, 75, 97]), &mut Pass::eval()).unwrap().logits.tensor().shape(), [1, 4]);
    net.remove_aux();
    net.replace_head(2, &mut Init::new(0));
    let mut pass = Pass::train(1);
    let loss = net.forward(&images(&[2, 3, 107, 107]), &mut pass).unwrap().cross_entropy(&[0, 1]).unwrap();
    net.audit(&pass, &loss).unwrap();
}
