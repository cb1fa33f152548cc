//! The Inception v3 of nsfwjs, out of TensorFlow.js' uint8 in JavaScript modules, against torchvision's network with the same
//! values (`tests/import/tfjs/features.py`).

use crate::{formula, json, numbers, real, relative, root};
use ukulele::{Dialect, Inception, InceptionConfig, Init, Pass, Pretrained, Value, Weights};

/// x·W + b of a Keras layer.
fn dense(x: &Value, weights: &Weights, layer: &str) -> Value {
    let kernel = weights.get(&format!("{layer}/kernel")).unwrap();
    let bias = weights.get(&format!("{layer}/bias")).unwrap();
    x.matmul(&kernel.into()).unwrap().add(&bias.into()).unwrap()
}

#[test]
fn classes_of_a_picture() {
    let weights = weights_import::open(real("nsfwjs/model.min.js")).unwrap();
    let dialect = Dialect::detect(&weights).unwrap();
    let config = InceptionConfig {
        aux: false,
        bn_eps: dialect.knobs.bn_eps,
        count_padding: dialect.knobs.pool_counts_padding,
        last_pool_max: dialect.knobs.last_pool_max,
        ..InceptionConfig::v3(5)
    };
    let mut net = Inception::new(&config, &mut Init::new(0));
    let report = net.load(&weights, &dialect).unwrap().only_missing(&["fc."]).unwrap();
    assert_eq!((report.loaded.len(), report.filled.len(), report.unexpected.len()), (94 * 4, 94, 6));

    let x: Value = formula::input("picture", &[1, 3, 299, 299]).into();
    let features = net.features(&x, &mut Pass::eval()).unwrap();
    let y = dense(&features, &weights, "dense_1").relu().unwrap();
    let y = dense(&y, &weights, "dense_2").relu().unwrap();
    let classes = dense(&y, &weights, "dense_3").softmax().unwrap();
    let wide = |v: &Value| v.tensor().to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
    let golden = json(&root().join("tests/import/tfjs/features.json"));
    let error = relative(&wide(&features)[..256], &numbers(&golden["features"]));
    println!("features differ by {error:.1e}");
    assert!(error < 1e-4, "features differ by {error:.2e}");
    let error = relative(&wide(&classes), &numbers(&golden["classes"]));
    assert!(error < 1e-4, "classes differ by {error:.2e}");
}
