//! The Inception v3 of nsfwjs, out of TensorFlow.js' uint8 in JavaScript modules, against torchvision's network with the same
//! values (`tests/import/tfjs/features.py`).

use crate::{formula, json, numbers, real, relative, root};
use ukulele::data::{Image, Preprocess};
use ukulele::{Dialect, Inception, InceptionConfig, Init, Pass, Pretrained, Value, Weights};

/// x·W + b of a Keras layer.
fn dense(x: &Value, weights: &Weights, layer: &str) -> Value {
    let kernel = weights.get(&format!("{layer}/kernel")).unwrap();
    let bias = weights.get(&format!("{layer}/bias")).unwrap();
    x.matmul(&kernel.into()).unwrap().add(&bias.into()).unwrap()
}

/// Among the classes of nsfwjs: drawing, hentai, neutral, porn, sexy.
const NEUTRAL: usize = 2;

#[test]
fn classes_of_a_picture_and_of_photos() {
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
    let classes = |features: &Value| {
        let y = dense(features, &weights, "dense_1").relu().unwrap();
        let y = dense(&y, &weights, "dense_2").relu().unwrap();
        dense(&y, &weights, "dense_3").softmax().unwrap()
    };
    let wide = |v: &Value| v.tensor().to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
    let golden = json(&root().join("tests/import/tfjs/features.json"));
    let error = relative(&wide(&features)[..256], &numbers(&golden["features"]));
    println!("features differ by {error:.1e}");
    assert!(error < 1e-4, "features differ by {error:.2e}");
    let error = relative(&wide(&classes(&features)), &numbers(&golden["classes"]));
    assert!(error < 1e-4, "classes differ by {error:.2e}");

    // nsfwjs feeds 0 to 1 where Keras feeds -1 to 1.
    let preprocess = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::preset(dialect.preprocess()).unwrap() };
    for (photo, want) in golden["photos"].as_object().unwrap() {
        let image = Image::open(real("elpv/images").join(photo)).unwrap();
        let x: Value = preprocess.batch(&[image]).unwrap().into();
        let ours = wide(&classes(&net.features(&x, &mut Pass::eval()).unwrap()));
        let error = relative(&ours, &numbers(want));
        println!("{photo}: {ours:.3?}, differ by {error:.1e}");
        assert!(error < 1e-4, "{photo}: classes differ by {error:.2e}");
        assert!(ours.iter().all(|&p| p <= ours[NEUTRAL]), "{photo}: a solar cell is neutral, not {ours:?}");
    }
}
