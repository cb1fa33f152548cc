//! What we save, torchvision and transformers load with `strict=True`, and give equal logits.
//!
//! Needs the environment of `scripts/judges`, named by JUDGES_PYTHON:
//!
//!     JUDGES_PYTHON=$(scripts/judges | tail -n 1) cargo test --release --features judges --test roundtrip
#![cfg(feature = "judges")]

#[path = "parity/formula.rs"]
#[allow(dead_code)]
mod formula;

use std::path::{Path, PathBuf};
use std::process::Command;
use ukulele::{BertConfig, Init, Module, Pass, ResNet, Tensor, TextModel, TextTask, TokenBatch};

/// The golden file that the formula is checked against.
fn golden(path: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(path);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ukulele-roundtrip-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes the logits beside the model and lets the original judge.
fn judge(script: &str, folder: &Path, net: &mut impl Module, config: &serde_json::Value, logits: &Tensor) {
    let state = net.state();
    let tensors: Vec<(String, &Tensor)> = state.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    let metadata = [("format".to_owned(), "pt".to_owned())];
    weights_import::save_safetensors(folder.join("model.safetensors"), &tensors, &metadata, weights_import::Dtype::F32)
        .unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let logits = serde_json::json!({ "shape": logits.shape(), "logits": logits.to_vec() });
    std::fs::write(folder.join("logits.json"), logits.to_string()).unwrap();
    let python = std::env::var("JUDGES_PYTHON").expect("JUDGES_PYTHON=$(scripts/judges | tail -n 1)");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(script);
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn torchvision_loads_a_saved_resnet18() {
    let mut net = ResNet::resnet18(10);
    formula::fill(&mut net);
    let x = formula::input("input", &[2, 3, 64, 64]).into();
    let logits = net.forward(&x, &mut Pass::eval()).unwrap().into_tensor();
    let config = serde_json::json!({ "model": "resnet18", "classes": 10 });
    judge("resnet/roundtrip.py", &folder("resnet18"), &mut net, &config, &logits);
}

#[test]
fn transformers_loads_a_saved_bert() {
    let config = BertConfig::default();
    let mut net = TextModel::new(&config, TextTask::SequenceClassification, 3, &mut Init::new(0)).unwrap();
    formula::fill(&mut net);
    let ids = formula::integers("input_ids", 24, config.vocab_size);
    let tokens = TokenBatch::unpadded(2, 12, ids).unwrap();
    let logits = net.forward(&tokens, &mut Pass::eval()).unwrap().logits().tensor().clone();
    let json = net.to_json(&["a", "b", "c"].map(str::to_owned)).into();
    judge("bert/roundtrip.py", &folder("bert"), &mut net, &json, &logits);
}
