//! The ResNet of MLPerf Tiny out of Keras' `.h5`, against Keras (`tests/import/keras/mlperf.py`).

use crate::{formula, json, numbers, real, relative, root};
use ukulele::{ImageModel, Pass, Tensor, Value};

#[test]
fn features_and_logits_are_those_of_keras() {
    let (net, dialect) = ImageModel::from_pretrained(real("mlperf-tiny/image_classification.h5")).unwrap();
    assert_eq!(dialect.name(), "keras_cifar_resnet");
    let ImageModel::CifarResNet(net) = net else { panic!("no ResNet of small images") };
    assert_eq!((net.config().blocks, net.config().width, net.config().classes), (1, 16, 10));

    let golden = json(&root().join("tests/import/keras/mlperf.json"));
    let signed = formula::input("pictures", &[4, 3, 32, 32]).to_vec();
    let pixels = signed.into_iter().map(|v| (128.0 + 100.0 * f64::from(v)) as f32).collect();
    let x: Value = Tensor::from_vec(&[4, 3, 32, 32], pixels).unwrap().into();
    let wide = |v: &Value| v.tensor().to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
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
