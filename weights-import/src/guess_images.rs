//! What names and shapes tell of the networks of images.

use crate::guess::{Architecture, Block, CifarResNet, Inception, ResNet, ResNetV2, Vgg};
use std::collections::BTreeMap;

/// An Inception of any version, or a GoogLeNet.
pub(crate) fn inception(shapes: &BTreeMap<&str, &[usize]>) -> Option<Architecture> {
    let has = |name: &str| shapes.contains_key(name);
    let classes = shapes.get("fc.weight").and_then(|s| s.first().copied());
    if has("Conv2d_1a_3x3.conv.weight")
        && has("Mixed_7c.branch_pool.conv.weight")
        && has("Mixed_5b.branch5x5_1.conv.weight")
    {
        return Some(Architecture::InceptionV3(Inception { classes, aux: has("AuxLogits.fc.weight") }));
    }
    if has("inception3a.branch1.conv.weight") && has("inception5b.branch4.1.conv.weight") {
        return Some(Architecture::GoogLeNet(Inception { classes, aux: has("aux1.fc2.weight") }));
    }
    let plain = |head: &str| Inception { classes: shapes.get(head).and_then(|s| s.first().copied()), aux: false };
    if has("features.3.conv.conv.weight") && has("features.21.branch1_1a.conv.weight") {
        return Some(Architecture::InceptionV4(plain("last_linear.weight")));
    }
    if has("repeat_3.0.conv2d.weight") && has("conv2d_4b.conv.weight") {
        return Some(Architecture::InceptionResNetV1(plain("logits.weight")));
    }
    let both = has("repeat_2.0.conv2d.weight") && has("mixed_5b.branch0.conv.weight");
    both.then(|| Architecture::InceptionResNetV2(plain("classif.weight")))
}

/// The numbers in `features` tell the stages apart: a convolution takes two (three with batch norm), a pooling one.
pub(crate) fn vgg(shapes: &BTreeMap<&str, &[usize]>) -> Option<Vgg> {
    let &[_, channels, _, _] = *shapes.get("features.0.weight")? else { return None };
    let batch_norm = shapes.contains_key("features.1.running_mean");
    let step = if batch_norm { 3 } else { 2 };
    let mut stages = vec![Vec::new()];
    let mut number = 0;
    loop {
        match shapes.get(format!("features.{number}.weight").as_str()) {
            Some(&&[out, _, 3, 3]) => {
                stages.last_mut()?.push(out);
                number += step;
            }
            Some(_) => return None,
            None if stages.last().is_some_and(Vec::is_empty) => break,
            None => {
                stages.push(Vec::new());
                number += 1;
            }
        }
    }
    stages.pop();
    let convolutions = shapes.iter().filter(|(name, shape)| name.starts_with("features.") && shape.len() == 4).count();
    if !(2..=16).contains(&stages.len()) || convolutions != stages.iter().map(Vec::len).sum::<usize>() {
        return None;
    }
    // The dense layers of the classifier, with ReLU and dropout between two.
    let dense = |k: usize| match shapes.get(format!("classifier.{}.weight", 3 * k).as_str()) {
        Some(&&[out, inputs]) => Some((out, inputs)),
        _ => None,
    };
    let mut hidden: Vec<usize> = (0..16).map_while(|k| dense(k).map(|(out, _)| out)).collect();
    let classes = hidden.pop();
    let channels_out = stages.last().and_then(|stage| stage.last().copied())?;
    let grid = dense(0).map_or(0, |(_, inputs)| (inputs / channels_out.max(1)).isqrt());
    Some(Vgg { stages, batch_norm, channels, hidden, grid, classes })
}

/// A ResNet under torchvision's names.
pub(crate) fn resnet(shapes: &BTreeMap<&str, &[usize]>) -> Option<ResNet> {
    let shape = |name: &str| shapes.get(name).copied();
    let convolution = |name: &str| match shape(name) {
        Some(&[out, inputs, _, _]) => Some((out, inputs)),
        _ => None,
    };
    let (stem, channels, deep_stem) = match convolution("conv1.weight") {
        Some((stem, channels)) => (stem, channels, None),
        None => {
            let [(first, channels), (second, _), (stem, _)] =
                [convolution("conv1.0.weight")?, convolution("conv1.3.weight")?, convolution("conv1.6.weight")?];
            (stem, channels, Some([first, second]))
        }
    };
    let pooled_shortcuts = convolution("layer2.0.downsample.1.weight").is_some();
    let blocks = |stage: usize| {
        (0..shapes.len()).take_while(|b| shape(&format!("layer{stage}.{b}.conv1.weight")).is_some()).count()
    };
    let layers = [blocks(1), blocks(2), blocks(3), blocks(4)];
    if layers.contains(&0) {
        return None;
    }
    let &[inner, grouped, _, _] = shape("layer1.0.conv2.weight")? else { return None };
    let (block, width) = match shape("layer1.0.conv3.weight") {
        Some(&[out, _, _, _]) => (Block::Bottleneck, out / 4),
        _ => (Block::Basic, inner),
    };
    let classes = shape("fc.weight").and_then(|s| s.first().copied());
    let groups = inner.checked_div(grouped).unwrap_or(1);
    Some(ResNet { block, layers, channels, stem, deep_stem, pooled_shortcuts, width, inner, groups, classes })
}

/// A ResNet whose blocks normalise first, under timm's names.
pub(crate) fn resnet_v2(shapes: &BTreeMap<&str, &[usize]>) -> Option<ResNetV2> {
    let shape = |name: &str| shapes.get(name).copied();
    let convolution = |name: &str| match shape(name) {
        Some(&[out, inputs, _, _]) => Some((out, inputs)),
        _ => None,
    };
    let (stem, channels, deep_stem, last) = match convolution("stem.conv.weight") {
        Some((stem, channels)) => (stem, channels, None, "stem.conv.bias"),
        None => {
            let ((first, channels), (second, _)) =
                (convolution("stem.conv1.weight")?, convolution("stem.conv2.weight")?);
            let (stem, _) = convolution("stem.conv3.weight")?;
            (stem, channels, Some([first, second]), "stem.conv3.bias")
        }
    };
    let blocks = |stage: usize| {
        (0..shapes.len()).take_while(|b| shape(&format!("stages.{stage}.blocks.{b}.conv1.weight")).is_some()).count()
    };
    let layers = [blocks(0), blocks(1), blocks(2), blocks(3)];
    // Of group norms there are no statistics.
    if layers.contains(&0) || shape("stages.0.blocks.0.norm1.running_var").is_none() {
        return None;
    }
    let (width, _) = convolution("stages.0.blocks.0.conv1.weight")?;
    let (_, grouped) = convolution("stages.0.blocks.0.conv2.weight")?;
    let (block, outside) = match convolution("stages.0.blocks.0.conv3.weight") {
        Some((out, _)) => (Block::Bottleneck, out / 4),
        None => (Block::Basic, width),
    };
    let classes = shape("head.fc.weight").and_then(|s| s.first().copied());
    (grouped == width && outside == width).then(|| ResNetV2 {
        block,
        layers,
        channels,
        stem,
        deep_stem,
        width,
        conv_bias: shape(last).is_some(),
        classes,
    })
}

/// A ResNet of three stages of equal depth.
pub(crate) fn cifar_resnet(shapes: &BTreeMap<&str, &[usize]>) -> Option<CifarResNet> {
    let shape = |name: &str| shapes.get(name).copied();
    let &[width, channels, 3, 3] = shape("conv1.weight")? else { return None };
    let count = |stage: usize| {
        (0..shapes.len()).take_while(|b| shape(&format!("layer{stage}.{b}.conv2.weight")).is_some()).count()
    };
    let blocks = count(1);
    let same = blocks > 0 && count(2) == blocks && count(3) == blocks && count(4) == 0;
    let doubled = matches!(shape("layer3.0.conv1.weight"), Some(&[out, inputs, 3, 3]) if out == 2 * inputs && inputs == 2 * width);
    (same && doubled).then(|| CifarResNet {
        blocks,
        channels,
        width,
        projection: shape("layer2.0.shortcut.0.weight").is_some(),
        projection_norm: shape("layer2.0.shortcut.1.weight").is_some(),
        conv_bias: shape("conv1.bias").is_some(),
        classes: shape("linear.weight").and_then(|s| s.first().copied()),
    })
}
