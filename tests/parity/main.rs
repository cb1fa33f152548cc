//! Parity with the originals at full size: torchvision's image models and transformers' BERT, weights by formula.
//!
//! The golden files hold the original's own f32 numbers and an f64 run of it. Ours must agree with the f64 run.

mod bert;
mod cifar;
mod formula;
mod resnet;
mod vision;

use serde_json::Value as Json;
use std::collections::BTreeMap;
use ukulele::{Gradients, Module, Pass, Plan, Result, Tensor, Value};

/// A golden file beside the tests.
fn golden(path: &str) -> Json {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn numbers(json: &Json) -> Vec<f64> {
    match json {
        Json::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// |ours − want| / |want| in norm.
fn relative(ours: &[f64], want: &[f64]) -> f64 {
    assert_eq!(ours.len(), want.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut ours.iter().zip(want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied()).max(1e-300)
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    tensor.to_vec().into_iter().map(f64::from).collect()
}

fn assert_close(what: &str, ours: &[f64], want: &Json, tolerance: f64) {
    let error = relative(ours, &numbers(want));
    println!("{what}: relative error {error:.1e}");
    assert!(error <= tolerance, "{what}: relative error {error:.2e} above {tolerance:.0e}");
}

/// As [`assert_close`], for the logits that a plan of the network gives for images.
fn assert_plan_close(
    what: &str,
    forward: impl FnOnce(&Value, &mut Pass) -> Result<Value>,
    images: &Value,
    want: &Json,
    tolerance: f64,
) {
    let plan = Plan::compile(forward, images.tensor()).unwrap();
    assert_close(&format!("{what} of the plan"), &wide(&plan.run(images.tensor()).unwrap()), want, tolerance);
}

/// Shape, mean, deviation and first values of a stage's output, against a summary of the generator.
fn assert_summary(what: &str, ours: &Tensor, want: &Json, tolerance: f64) {
    let values = wide(ours);
    assert_eq!(ours.shape().iter().map(|&d| d as f64).collect::<Vec<_>>(), numbers(&want["shape"]), "{what}");
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt();
    let scale = want["std"].as_f64().unwrap();
    for (name, ours) in [("mean", mean), ("std", deviation)] {
        let error = (ours - want[name].as_f64().unwrap()).abs() / scale;
        assert!(error <= tolerance, "{what}: {name} off by {error:.2e} deviations");
    }
    let first = numbers(&want["first"]);
    let error = relative(&values[..first.len()], &first);
    assert!(error <= tolerance, "{what}: first values differ by {error:.2e}");
}

/// Every parameter has a gradient, and it is the original's: its norm and four projections on vectors by formula. For a
/// difference d of the gradients a projection on v is d·v, of the size |d|·√(1/3); so the worst projection, divided by
/// |g|·√(1/3), estimates |d| / |g|.
fn assert_gradients(net: &mut impl Module, gradients: &Gradients, want: &Json, tolerance: f64) {
    let want: BTreeMap<String, Json> = serde_json::from_value(want.clone()).unwrap();
    let mut seen = 0;
    let mut worst = (0.0, String::new());
    let largest = want.values().map(|v| numbers(&v["f64"])[0]).fold(0.0, f64::max);
    net.each("", &mut |name, param| {
        if !param.role.is_trained() {
            return;
        }
        seen += 1;
        let gradient = wide(gradients.of(param).unwrap_or_else(|| panic!("{name} has no gradient")));
        let golden = numbers(&want[name]["f64"]);
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if golden[0] < largest * 1e-9 {
            // Zero by construction (the bias of a key moves all scores of a query alike): only rounding is left.
            assert!(norm < largest * 1e-5, "{name}: norm {norm:.2e}, zero expected");
            return;
        }
        let mut error = (norm - golden[0]).abs() / golden[0];
        for (k, want) in golden[1..].iter().enumerate() {
            let probe: f64 =
                gradient.iter().zip(formula::signed(&format!("{name}.probe{k}"))).map(|(g, v)| g * v).sum();
            error = error.max((probe - want).abs() / golden[0] * 3f64.sqrt());
        }
        if error > worst.0 {
            worst = (error, name.to_owned());
        }
    });
    println!("gradients: worst relative error {:.1e} ({})", worst.0, worst.1);
    assert!(worst.0 <= tolerance, "{}: gradient off by {:.2e} in norm", worst.1, worst.0);
    assert_eq!(seen, want.len(), "parameters with a gradient");
}

fn assert_losses(what: &str, ours: &[f64], want: &Json, tolerance: f64) {
    let want = numbers(&want["f64"]["losses"]);
    assert_eq!(ours.len(), want.len());
    let errors: Vec<f64> = ours.iter().zip(&want).map(|(a, b)| (a - b).abs() / b.abs()).collect();
    let worst = errors.iter().copied().fold(0.0, f64::max);
    println!("{what}: worst of {} losses off by {worst:.1e}", want.len());
    assert!(worst <= tolerance, "{what}: losses {ours:?}, {want:?} expected");
}
