//! The dialects, each on the names and shapes of a whole network as its source writes them.
//!
//! Every tensor of our model must be made of the file, nothing of the file be left over, and the values be those that the
//! names of both sides say.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use weights_import::{Architecture, Dialect, Dtype, Entry, Options, Raw, Reader, Result, Weights, guess, read};

/// Tensors of which each value tells its name and place.
#[derive(Debug)]
struct Made {
    entries: Vec<Entry>,
    metadata: BTreeMap<String, String>,
}

fn value(name: &str, index: usize) -> f32 {
    let hash = name.bytes().fold(17u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    ((hash ^ (index as u32).wrapping_mul(2_654_435_761)) >> 12) as f32
}

impl Reader for Made {
    fn format(&self) -> &'static str {
        "made"
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let entry = &self.entries[index];
        let bytes = (0..entry.numel()).flat_map(|i| value(&entry.name, i).to_le_bytes()).collect();
        Ok(Raw { dtype: Dtype::F32, shape: entry.shape.clone(), bytes })
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

type Names = Vec<(String, Vec<usize>)>;

fn file(names: Names) -> Weights {
    let entries = names.into_iter().map(|(name, shape)| Entry { name, shape, dtype: Dtype::F32 }).collect();
    Weights::from_reader(Box::new(Made { entries, metadata: BTreeMap::new() }), "file")
}

fn add(names: &mut Names, name: String, shape: &[usize]) {
    names.push((name, shape.to_vec()));
}

/// A bottleneck ResNet of small widths in our names: (prefix of convolution, of norm, kernel's shape OIHW).
fn convolutions(layers: [usize; 4]) -> Vec<(usize, usize, usize, [usize; 4])> {
    // (stage from 1, block, number from 1, 0 for the shortcut; shape)
    let mut all = vec![(0, 0, 1, [4, 3, 7, 7])];
    let mut inputs = 4;
    for (i, &blocks) in layers.iter().enumerate() {
        let (width, out) = (4 << i, 16 << i);
        for b in 0..blocks {
            all.push((i + 1, b, 1, [width, inputs, 1, 1]));
            all.push((i + 1, b, 2, [width, width, 3, 3]));
            all.push((i + 1, b, 3, [out, width, 1, 1]));
            if b == 0 {
                all.push((i + 1, b, 0, [out, inputs, 1, 1]));
            }
            inputs = out;
        }
    }
    all
}

fn ours(layers: [usize; 4], classes: usize) -> Names {
    let mut names = Vec::new();
    for (stage, block, number, shape) in convolutions(layers) {
        let (conv, norm) = match (stage, number) {
            (0, _) => ("conv1".to_string(), "bn1".to_string()),
            (_, 0) => (format!("layer{stage}.{block}.downsample.0"), format!("layer{stage}.{block}.downsample.1")),
            _ => (format!("layer{stage}.{block}.conv{number}"), format!("layer{stage}.{block}.bn{number}")),
        };
        add(&mut names, format!("{conv}.weight"), &shape);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            add(&mut names, format!("{norm}.{part}"), &[shape[0]]);
        }
    }
    add(&mut names, "fc.weight".into(), &[classes, 128]);
    add(&mut names, "fc.bias".into(), &[classes]);
    names
}

/// Loads `wanted` from `theirs` strictly; the dialect must be recognised as `dialect`.
#[track_caller]
fn whole(dialect: &str, theirs: Names, wanted: &Names) -> (Weights, Dialect, BTreeMap<String, ukulele_tensor::Tensor>) {
    let weights = file(theirs);
    let found = Dialect::detect(&weights).unwrap();
    assert_eq!(found.name(), dialect);
    let (tensors, report) = read(wanted, &weights, &found, Options::default()).unwrap();
    report.strict().unwrap();
    (weights, found, tensors)
}

/// Element (o, i, h, w) of a kernel that the file holds as (h, w, i, o).
#[track_caller]
fn is_hwio(ours: &ukulele_tensor::Tensor, name: &str) {
    let [outputs, inputs, height, width] = ours.shape()[..] else { panic!("no kernel") };
    let values = ours.to_vec();
    for o in 0..outputs {
        for i in 0..inputs {
            for h in 0..height {
                for w in 0..width {
                    let here = values[((o * inputs + i) * height + h) * width + w];
                    assert_eq!(here, value(name, ((h * width + w) * inputs + i) * outputs + o), "{name}");
                }
            }
        }
    }
}

fn hwio([o, i, h, w]: [usize; 4]) -> [usize; 4] {
    [h, w, i, o]
}

fn keras(names: &mut Names, conv: &str, norm: &str, shape: [usize; 4]) {
    add(names, format!("{conv}/kernel:0"), &hwio(shape));
    add(names, format!("{conv}/bias:0"), &[shape[0]]);
    for part in ["gamma", "beta", "moving_mean", "moving_variance"] {
        add(names, format!("{norm}/{part}:0"), &[shape[0]]);
    }
}

#[test]
fn keras_resnets_of_both_generations() {
    let layers = [3, 4, 6, 3];
    let wanted = ours(layers, 10);
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (stage, block, number, shape) in convolutions(layers) {
        if stage == 0 {
            keras(&mut new, "conv1_conv", "conv1_bn", shape);
            keras(&mut old, "conv1", "bn_conv1", shape);
            continue;
        }
        let name = format!("conv{}_block{}_{number}", stage + 1, block + 1);
        keras(&mut new, &format!("{name}_conv"), &format!("{name}_bn"), shape);
        let letter = |n: usize| (b'a' + n as u8) as char;
        let branch = if number == 0 { "branch1".to_string() } else { format!("branch2{}", letter(number - 1)) };
        let name = format!("{}{}_{branch}", stage + 1, letter(block));
        keras(&mut old, &format!("res{name}"), &format!("bn{name}"), shape);
    }
    for (names, head) in [(&mut new, "predictions"), (&mut old, "fc1000")] {
        add(names, format!("{head}/kernel:0"), &[128, 10]);
        add(names, format!("{head}/bias:0"), &[10]);
    }
    let (weights, dialect, tensors) = whole("keras_resnet", new, &wanted);
    assert_eq!((dialect.knobs.bn_eps, dialect.knobs.stride_on_1x1), (1.001e-5, true));
    assert!(matches!(guess(&weights, &dialect), Some(Architecture::ResNet(net)) if net.name() == "ResNet-50"));
    is_hwio(&tensors["layer3.5.conv2.weight"], "conv4_block6_2_conv/kernel:0");
    let mean = tensors["layer1.0.downsample.1.running_mean"].to_vec();
    assert_eq!(mean[3], value("conv2_block1_0_bn/moving_mean:0", 3) - value("conv2_block1_0_conv/bias:0", 3));
    assert_eq!(tensors["fc.weight"].to_vec()[128 + 5], value("predictions/kernel:0", 5 * 10 + 1));

    let (_, dialect, tensors) = whole("keras_resnet_old", old, &wanted);
    assert_eq!(dialect.knobs.bn_eps, 1e-3);
    is_hwio(&tensors["layer2.3.conv1.weight"], "res3d_branch2a/kernel:0");
    assert_eq!(tensors["bn1.weight"].to_vec()[2], value("bn_conv1/gamma:0", 2));
}

#[test]
fn slim_and_hugging_face_resnets() {
    let layers = [3, 4, 6, 3];
    let wanted = ours(layers, 11);
    let (mut slim, mut hub) = (Vec::new(), Vec::new());
    for (stage, block, number, shape) in convolutions(layers) {
        let (theirs, hugging) = match (stage, number) {
            (0, _) => ("resnet_v1_50/conv1".to_string(), "resnet.embedder.embedder".to_string()),
            (_, 0) => (
                format!("resnet_v1_50/block{stage}/unit_{}/bottleneck_v1/shortcut", block + 1),
                format!("resnet.encoder.stages.{}.layers.{block}.shortcut", stage - 1),
            ),
            _ => (
                format!("resnet_v1_50/block{stage}/unit_{}/bottleneck_v1/conv{number}", block + 1),
                format!("resnet.encoder.stages.{}.layers.{block}.layer.{}", stage - 1, number - 1),
            ),
        };
        add(&mut slim, format!("{theirs}/weights"), &hwio(shape));
        for part in ["gamma", "beta", "moving_mean", "moving_variance"] {
            add(&mut slim, format!("{theirs}/BatchNorm/{part}"), &[shape[0]]);
        }
        add(&mut hub, format!("{hugging}.convolution.weight"), &shape);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            add(&mut hub, format!("{hugging}.normalization.{part}"), &[shape[0]]);
        }
        add(&mut hub, format!("{hugging}.normalization.num_batches_tracked"), &[]);
    }
    add(&mut slim, "resnet_v1_50/logits/weights".into(), &[1, 1, 128, 11]);
    add(&mut slim, "resnet_v1_50/logits/biases".into(), &[11]);
    add(&mut slim, "resnet_v1_50/mean_rgb".into(), &[3]);
    add(&mut slim, "global_step".into(), &[]);
    add(&mut hub, "classifier.1.weight".into(), &[11, 128]);
    add(&mut hub, "classifier.1.bias".into(), &[11]);

    let (_, dialect, tensors) = whole("slim_resnet", slim, &wanted);
    assert_eq!((dialect.knobs.class_offset, dialect.knobs.stride_in_last_block), (1, true));
    assert_eq!(dialect.wrapper(), "resnet_v1_50/");
    is_hwio(&tensors["layer4.2.conv3.weight"], "resnet_v1_50/block4/unit_3/bottleneck_v1/conv3/weights");
    assert_eq!(tensors["fc.weight"].to_vec()[2 * 128 + 7], value("resnet_v1_50/logits/weights", 7 * 11 + 2));

    let (_, _, tensors) = whole("huggingface_resnet", hub, &wanted);
    let name = "resnet.encoder.stages.1.layers.3.layer.2.convolution.weight";
    assert_eq!(tensors["layer2.3.conv3.weight"].to_vec()[5], value(name, 5));
}

#[test]
fn caffe_resnets_of_their_authors() {
    let layers = [3, 4, 23, 3]; // the deeper stages count on with numbers: 4a, 4b1, 4b2, ...
    let wanted = ours(layers, 10);
    let mut caffe = Vec::new();
    for (stage, block, number, shape) in convolutions(layers) {
        let counted = layers[stage.max(1) - 1] > 3;
        let letter =
            if block == 0 || !counted { ((b'a' + block as u8) as char).to_string() } else { format!("b{block}") };
        let branch =
            if number == 0 { "branch1".into() } else { format!("branch2{}", (b'a' + number as u8 - 1) as char) };
        let suffix = if stage == 0 { "_conv1".to_string() } else { format!("{}{letter}_{branch}", stage + 1) };
        let conv = if stage == 0 { "conv1".to_string() } else { format!("res{suffix}") };
        add(&mut caffe, format!("{conv}.0"), &shape);
        if stage == 0 {
            add(&mut caffe, "conv1.1".into(), &[shape[0]]);
        }
        for (part, n) in
            [("bn", shape[0]), ("bn", shape[0]), ("bn", 1)].iter().enumerate().map(|(i, p)| ((p.0, i), p.1))
        {
            add(&mut caffe, format!("{}{suffix}.{}", part.0, part.1), &[n]);
        }
        add(&mut caffe, format!("scale{suffix}.0"), &[shape[0]]);
        add(&mut caffe, format!("scale{suffix}.1"), &[shape[0]]);
    }
    add(&mut caffe, "fc1000.0".into(), &[10, 128]);
    add(&mut caffe, "fc1000.1".into(), &[10]);
    let (weights, dialect, tensors) = whole("caffe_msra", caffe, &wanted);
    assert!(matches!(guess(&weights, &dialect), Some(Architecture::ResNet(net)) if net.name() == "ResNet-101"));
    assert_eq!(tensors["layer3.22.conv2.weight"].to_vec()[3], value("res4b22_branch2b.0", 3));
    let mean =
        f64::from(value("bn_conv1.0", 1)) * (1.0 / f64::from(value("bn_conv1.2", 0))) - f64::from(value("conv1.1", 1));
    assert_eq!(tensors["bn1.running_mean"].to_vec()[1], mean as f32);
}

/// VGG of small widths: our names, and (stage, place, shape) of its convolutions.
fn vgg(stages: [usize; 5], side: usize) -> (Names, Vec<(usize, usize, [usize; 4])>) {
    let (mut names, mut convolutions) = (Vec::new(), Vec::new());
    let (mut number, mut inputs) = (0, 3);
    for (s, &count) in stages.iter().enumerate() {
        for place in 0..count {
            let out = [4, 4, 8, 8, 8][s];
            convolutions.push((s + 1, place + 1, [out, inputs, 3, 3]));
            add(&mut names, format!("features.{number}.weight"), &[out, inputs, 3, 3]);
            add(&mut names, format!("features.{number}.bias"), &[out]);
            number += 2;
            inputs = out;
        }
        number += 1;
    }
    for (n, rows, columns) in [(0, 16, 8 * side * side), (3, 16, 16), (6, 10, 16)] {
        add(&mut names, format!("classifier.{n}.weight"), &[rows, columns]);
        add(&mut names, format!("classifier.{n}.bias"), &[rows]);
    }
    (names, convolutions)
}

#[test]
fn vggs_of_keras_slim_caffe_and_timm() {
    let (wanted, convolutions) = vgg([2, 2, 3, 3, 3], 7);
    let (mut keras, mut slim, mut caffe, mut timm) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &(s, c, shape) in &convolutions {
        add(&mut keras, format!("block{s}_conv{c}/kernel:0"), &hwio(shape));
        add(&mut keras, format!("block{s}_conv{c}/bias:0"), &[shape[0]]);
        add(&mut slim, format!("vgg_16/conv{s}/conv{s}_{c}/weights"), &hwio(shape));
        add(&mut slim, format!("vgg_16/conv{s}/conv{s}_{c}/biases"), &[shape[0]]);
        add(&mut caffe, format!("conv{s}_{c}.0"), &shape);
        add(&mut caffe, format!("conv{s}_{c}.1"), &[shape[0]]);
    }
    timm.extend(wanted[..26].iter().cloned());
    for (name, rows, columns) in [("fc1", 392, 16), ("fc2", 16, 16), ("predictions", 16, 10)] {
        add(&mut keras, format!("{name}/kernel:0"), &[rows, columns]);
        add(&mut keras, format!("{name}/bias:0"), &[columns]);
    }
    for (name, shape) in [("fc6", [7, 7, 8, 16]), ("fc7", [1, 1, 16, 16]), ("fc8", [1, 1, 16, 10])] {
        add(&mut slim, format!("vgg_16/{name}/weights"), &shape);
        add(&mut slim, format!("vgg_16/{name}/biases"), &[shape[3]]);
        let rows = shape[0] * shape[1] * shape[2];
        add(&mut caffe, format!("{name}.0"), &[1, 1, shape[3], rows]);
        add(&mut caffe, format!("{name}.1"), &[1, 1, 1, shape[3]]);
    }
    for (name, shape) in
        [("pre_logits.fc1", vec![16, 8, 7, 7]), ("pre_logits.fc2", vec![16, 16, 1, 1]), ("head.fc", vec![10, 16])]
    {
        add(&mut timm, format!("{name}.weight"), &shape);
        add(&mut timm, format!("{name}.bias"), &[shape[0]]);
    }
    let (weights, dialect, tensors) = whole("keras_vgg", keras, &wanted);
    assert!(
        matches!(guess(&weights, &dialect), Some(Architecture::Vgg(net)) if net.name() == "VGG-16" && net.classes == Some(10))
    );
    is_hwio(&tensors["features.10.weight"], "block3_conv1/kernel:0");
    // Output 3, channel 2, row 4, column 5.
    let at = 3 * 392 + (2 * 7 + 4) * 7 + 5;
    assert_eq!(tensors["classifier.0.weight"].to_vec()[at], value("fc1/kernel:0", ((4 * 7 + 5) * 8 + 2) * 16 + 3));
    let (_, _, tensors) = whole("slim_vgg", slim, &wanted);
    assert_eq!(
        tensors["classifier.0.weight"].to_vec()[at],
        value("vgg_16/fc6/weights", ((4 * 7 + 5) * 8 + 2) * 16 + 3)
    );
    let (_, _, tensors) = whole("caffe_vgg", caffe, &wanted);
    assert_eq!(tensors["classifier.0.weight"].to_vec()[at], value("fc6.0", at));
    assert_eq!(tensors["features.28.bias"].to_vec()[1], value("conv5_3.1", 1));
    let (_, _, tensors) = whole("timm", timm, &wanted);
    assert_eq!(tensors["classifier.0.weight"].to_vec()[at], value("pre_logits.fc1.weight", at));
    whole("torchvision", wanted.clone(), &wanted);
}

/// A ResNet V2 of small widths: for each convolution what `named` calls it and the norm before it.
fn pre_activation(parts: [&str; 6], head: &[usize], named: impl Fn(usize, usize, usize) -> (String, String)) -> Names {
    let [kernel, bias, norms @ ..] = parts;
    let channels_last = kernel != ".weight";
    let mut names = Vec::new();
    let norm = |names: &mut Names, name: &str, channels: usize| {
        norms.iter().for_each(|part| add(names, format!("{name}{part}"), &[channels]));
    };
    for (stage, block, number, shape) in convolutions([3, 4, 6, 3]) {
        let (conv, before) = named(stage, block, number);
        add(&mut names, format!("{conv}{kernel}"), &if channels_last { hwio(shape) } else { shape });
        if stage == 0 || number == 0 || number == 3 {
            add(&mut names, format!("{conv}{bias}"), &[shape[0]]);
        }
        if stage > 0 && number > 0 {
            norm(&mut names, &before, shape[1]);
        }
    }
    let (conv, last) = named(5, 0, 0);
    norm(&mut names, &last, 128);
    add(&mut names, format!("{conv}{kernel}"), head);
    add(&mut names, format!("{conv}{bias}"), &[11]);
    names
}

#[test]
fn pre_activation_resnets_of_keras_slim_and_timm() {
    let dots = [".weight", ".bias", ".weight", ".bias", ".running_mean", ".running_var"];
    let ours = |stage: usize, block: usize, number: usize| match (stage, number) {
        (0, _) => ("stem.conv".to_string(), String::new()),
        (5, _) => ("head.fc".to_string(), "norm".to_string()),
        (_, 0) => (format!("stages.{}.blocks.{block}.downsample.conv", stage - 1), String::new()),
        _ => {
            let block = format!("stages.{}.blocks.{block}", stage - 1);
            (format!("{block}.conv{number}"), format!("{block}.norm{number}"))
        }
    };
    let wanted = pre_activation(dots, &[11, 128, 1, 1], ours);
    let (_, dialect, _) = whole("timm_resnet_v2", wanted.clone(), &wanted);
    assert!(!dialect.knobs.stride_in_last_block);

    let slashes = ["/kernel:0", "/bias:0", "/gamma:0", "/beta:0", "/moving_mean:0", "/moving_variance:0"];
    let keras = pre_activation(slashes, &[128, 11], |stage, block, number| match (stage, number) {
        (0, _) => ("conv1_conv".to_string(), String::new()),
        (5, _) => ("predictions".to_string(), "post_bn".to_string()),
        _ => {
            let block = format!("conv{}_block{}", stage + 1, block + 1);
            let norm = if number == 1 { "preact".to_string() } else { number.saturating_sub(1).to_string() };
            (format!("{block}_{number}_conv"), format!("{block}_{norm}_bn"))
        }
    });
    let (weights, dialect, tensors) = whole("keras_resnet_v2", keras, &wanted);
    let knobs = dialect.knobs;
    assert_eq!((knobs.bn_eps, knobs.stride_in_last_block, knobs.stem_pool_zeros), (1.001e-5, true, true));
    let found = guess(&weights, &dialect).unwrap();
    assert!(
        matches!(&found, Architecture::ResNetV2(net) if net.conv_bias && net.width == 4 && net.classes == Some(11))
    );
    assert_eq!(found.name(), "ResNet-50 V2");
    is_hwio(&tensors["stages.2.blocks.5.conv2.weight"], "conv4_block6_2_conv/kernel:0");
    is_hwio(&tensors["stages.0.blocks.0.downsample.conv.weight"], "conv2_block1_0_conv/kernel:0");
    assert_eq!(tensors["stages.1.blocks.3.norm3.bias"].to_vec()[2], value("conv3_block4_2_bn/beta:0", 2));
    assert_eq!(tensors["head.fc.weight"].to_vec()[128 + 5], value("predictions/kernel:0", 5 * 11 + 1));
    let targets: Vec<String> = dialect.targets(&weights).into_iter().map(|(name, _)| name).collect();
    assert!(wanted.iter().all(|(name, _)| targets.contains(name)) && targets.len() == wanted.len());

    let slim = ["/weights", "/biases", "/gamma", "/beta", "/moving_mean", "/moving_variance"];
    let mut slim = pre_activation(slim, &[1, 1, 128, 11], |stage, block, number| match (stage, number) {
        (0, _) => ("resnet_v2_50/conv1".to_string(), String::new()),
        (5, _) => ("resnet_v2_50/logits".to_string(), "resnet_v2_50/postnorm".to_string()),
        _ => {
            let unit = format!("resnet_v2_50/block{stage}/unit_{}/bottleneck_v2", block + 1);
            let conv = if number == 0 { "shortcut".to_string() } else { format!("conv{number}") };
            let norm = if number == 1 { "preact".to_string() } else { format!("conv{}/BatchNorm", number.max(1) - 1) };
            (format!("{unit}/{conv}"), format!("{unit}/{norm}"))
        }
    });
    add(&mut slim, "global_step".into(), &[]);
    let (_, dialect, tensors) = whole("slim_resnet_v2", slim, &wanted);
    let knobs = dialect.knobs;
    assert_eq!((knobs.class_offset, knobs.same_padding, knobs.stride_in_last_block), (1, true, true));
    is_hwio(&tensors["stages.3.blocks.2.conv3.weight"], "resnet_v2_50/block4/unit_3/bottleneck_v2/conv3/weights");
    is_hwio(&tensors["head.fc.weight"], "resnet_v2_50/logits/weights");
}

#[test]
fn google_bert() {
    let (mut wanted, mut google): (Names, Names) = (Vec::new(), Vec::new());
    let mut both = |ours: &str, theirs: &str, shape: &[usize], transposed: bool| {
        add(&mut wanted, ours.to_string(), shape);
        let theirs_shape = if transposed { vec![shape[1], shape[0]] } else { shape.to_vec() };
        add(&mut google, theirs.to_string(), &theirs_shape);
        add(&mut google, format!("{theirs}/adam_m"), &theirs_shape);
        add(&mut google, format!("{theirs}/adam_v"), &theirs_shape);
    };
    both("bert.embeddings.word_embeddings.weight", "bert/embeddings/word_embeddings", &[30, 8], false);
    both("bert.embeddings.position_embeddings.weight", "bert/embeddings/position_embeddings", &[16, 8], false);
    both("bert.embeddings.token_type_embeddings.weight", "bert/embeddings/token_type_embeddings", &[2, 8], false);
    let mut norms = vec![("bert.embeddings.LayerNorm".to_string(), "bert/embeddings/LayerNorm".to_string())];
    for l in 0..2 {
        let (ours, theirs) = (format!("bert.encoder.layer.{l}"), format!("bert/encoder/layer_{l}"));
        let linear = [
            ("attention.self.query", [8, 8]),
            ("attention.self.key", [8, 8]),
            ("attention.self.value", [8, 8]),
            ("attention.output.dense", [8, 8]),
            ("intermediate.dense", [32, 8]),
            ("output.dense", [8, 32]),
        ];
        for (name, shape) in linear {
            let path = name.replace('.', "/");
            both(&format!("{ours}.{name}.weight"), &format!("{theirs}/{path}/kernel"), &shape, true);
            both(&format!("{ours}.{name}.bias"), &format!("{theirs}/{path}/bias"), &shape[..1], false);
        }
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            norms.push((format!("{ours}.{name}"), format!("{theirs}/{}", name.replace('.', "/"))));
        }
    }
    for (ours, theirs) in norms {
        both(&format!("{ours}.weight"), &format!("{theirs}/gamma"), &[8], false);
        both(&format!("{ours}.bias"), &format!("{theirs}/beta"), &[8], false);
    }
    both("bert.pooler.dense.weight", "bert/pooler/dense/kernel", &[8, 8], true);
    both("bert.pooler.dense.bias", "bert/pooler/dense/bias", &[8], false);
    both("classifier.weight", "output_weights", &[3, 8], false);
    both("classifier.bias", "output_bias", &[3], false);
    add(&mut google, "global_step".into(), &[]);
    let (weights, dialect, tensors) = whole("google_bert", google, &wanted);
    assert!(
        matches!(guess(&weights, &dialect), Some(Architecture::Bert(net)) if net.layers == 2 && net.classes == Some(3))
    );
    let query = tensors["bert.encoder.layer.1.intermediate.dense.weight"].to_vec();
    assert_eq!(query[3 * 8 + 5], value("bert/encoder/layer_1/intermediate/dense/kernel", 5 * 32 + 3));
}

#[test]
fn wrappers_of_a_hundred_thousand_names_take_no_time() {
    let names = (0..100_000).map(|i| (format!("w{i}.layer1.0.conv1.weight"), vec![1])).collect();
    let start = std::time::Instant::now();
    assert!(Dialect::detect(&file(names)).is_err());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

/// `tests/import/hdf5/applications.json`: the names of Keras 3's own models, with and without the `:0` of Keras 2.
#[test]
fn keras_applications_as_keras_names_them() {
    let text = std::fs::read_to_string("../tests/import/hdf5/applications.json").unwrap();
    let models: BTreeMap<String, Names> = serde_json::from_str(&text).unwrap();
    let known = [
        ("resnet50", "keras_resnet", "a ResNet-50 (bottleneck blocks 3-4-6-3, width 64, 1000 classes)", 320),
        ("vgg16", "keras_vgg", "a VGG-16 (stages of 2-2-3-3-3 convolutions, 1000 classes)", 32),
        ("inception_v3", "keras_inception", "an Inception v3 (no auxiliary head, 1000 classes)", 378),
    ];
    for (model, dialect, architecture, count) in known {
        for (before, suffix) in [("", ""), ("", ":0"), ("base/", ":0")] {
            let names: Names =
                models[model].iter().map(|(name, shape)| (format!("{before}{name}{suffix}"), shape.clone())).collect();
            assert_eq!(names.len(), count, "{model}");
            let weights = file(names);
            let found = Dialect::detect(&weights).unwrap();
            assert_eq!(found.name(), dialect);
            assert_eq!(guess(&weights, &found).unwrap().to_string(), architecture, "{before}{model}{suffix}");
        }
    }
}
