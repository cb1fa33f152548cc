//! Networks for CIFAR-10 out of Keras' `.h5`, against Keras (`tests/import/keras`): the ResNet of MLPerf Tiny, and a
//! Sequential of its author's own.

use crate::{formula, json, numbers, real, relative, root};
use ukulele::weights_import::{self, Architecture, guess};
use ukulele::{Dialect, ImageModel, Init, KerasNet, Pass, Pretrained, Tensor, Value};

/// Four images of 0 to 255.
fn pictures() -> Value {
    let signed = formula::input("pictures", &[4, 3, 32, 32]).to_vec();
    let pixels = signed.into_iter().map(|v| (128.0 + 100.0 * f64::from(v)) as f32).collect();
    Tensor::from_vec(&[4, 3, 32, 32], pixels).unwrap().into()
}

fn wide(v: &Value) -> Vec<f64> {
    v.tensor().to_vec().into_iter().map(f64::from).collect()
}

#[test]
fn features_and_logits_are_those_of_keras() {
    let (net, dialect) = ImageModel::from_pretrained(real("mlperf-tiny/image_classification.h5")).unwrap();
    assert_eq!(dialect.name(), "keras_cifar_resnet");
    let ImageModel::CifarResNet(net) = net else { panic!("no ResNet of small images") };
    assert_eq!((net.config().blocks, net.config().width, net.config().classes), (1, 16, 10));

    let golden = json(&root().join("tests/import/keras/mlperf.json"));
    let x = pictures();
    let pass = &mut Pass::eval();
    let mut y = net.stem(&x, pass).unwrap();
    for (number, want) in golden["stages"].as_array().unwrap().iter().enumerate() {
        y = net.stage(number + 1, &y, pass).unwrap();
        let mean = wide(&y).iter().sum::<f64>() / y.tensor().numel() as f64;
        let error = (mean - want["mean"].as_f64().unwrap()).abs() / want["std"].as_f64().unwrap();
        assert!(error < 1e-4, "stage {}: mean off by {error:.2e} deviations", number + 1);
    }
    for (name, ours) in [("features", net.features(&x, pass).unwrap()), ("logits", net.forward(&x, pass).unwrap())] {
        let error = relative(&wide(&ours), &numbers(&golden[name]));
        println!("{name} differ by {error:.1e}");
        assert!(error < 1e-4, "{name} differ by {error:.2e}");
    }
}

#[test]
fn a_sequential_of_keras_is_built_as_its_file_says() {
    let weights = weights_import::open(real("cifar-vgg/cnn_model.h5")).unwrap();
    let dialect = Dialect::detect(&weights).unwrap();
    assert_eq!(dialect.name(), "keras_sequential");
    let found = guess(&weights, &dialect).unwrap();
    assert_eq!(found.to_string(), "a Sequential of Keras (6 convolutions, 3 dense layers, 10 classes)");
    let Architecture::KerasSequential(config) = found else { panic!("no Sequential") };
    let mut net = KerasNet::new(&config, &mut Init::new(0)).unwrap();
    net.load(&weights, &dialect).unwrap().only_missing(&[]).unwrap();

    let golden = json(&root().join("tests/import/keras/sequential.json"));
    let (x, pass) = (pictures(), &mut Pass::eval());
    let features = wide(&net.features(&x, pass).unwrap());
    let logits = wide(&net.forward(&x, pass).unwrap());
    for (name, ours) in [("features", &features[..512]), ("logits", &logits)] {
        let error = relative(ours, &numbers(&golden[name]));
        println!("{name} differ by {error:.1e}");
        assert!(error < 1e-4, "{name} differ by {error:.2e}");
    }

    // To be fine-tuned: a head of its own, every parameter with a gradient.
    net.replace_head(3, &mut Init::new(1));
    let mut pass = Pass::train(0);
    let loss = net.forward(&x, &mut pass).unwrap().cross_entropy(&[0, 1, 2, 1]).unwrap();
    ukulele::Module::audit(&mut net, &pass, &loss).unwrap();
    pass.backward(&loss).unwrap();
}
