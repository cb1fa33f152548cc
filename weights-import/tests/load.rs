//! Dialects and loading: what goes where, and what is said about the rest.
#![allow(missing_docs)]

mod common;

use common::{Folder, blob, layer, message, numbers, safetensors, tensor};
use std::collections::BTreeMap;
use ukulele_tensor::Tensor;
use weights_import::{
    Architecture, Bert, Block, Dialect, Dtype, Error, Gelu, How, Knobs, Options, ResNet, Rule, Slot, Table, TextFamily,
    Weights, from_bytes, guess, load, load_with, open, read, save_safetensors,
};

type Named = Vec<(String, Vec<usize>)>;

fn weights_of(named: &[(String, Vec<usize>)]) -> Weights {
    let mut header = Vec::new();
    let mut data = Vec::new();
    for (i, (name, shape)) in named.iter().enumerate() {
        let start = data.len();
        data.extend(numbers(shape.iter().product(), i as u64).iter().flat_map(|v| v.to_le_bytes()));
        header.push(format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{}]}}",
            data.len()
        ));
    }
    from_bytes(safetensors(&format!("{{{}}}", header.join(",")), &data), "file").unwrap()
}

fn names(list: &[(&str, &[usize])]) -> Named {
    list.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect()
}

/// A ResNet with torchvision's names, all widths divided by 32.
fn resnet(bottleneck: bool, layers: [usize; 4], classes: usize) -> Named {
    let mut all = Named::new();
    let conv = |all: &mut Named, conv: &str, bn: &str, shape: [usize; 4]| {
        all.push((format!("{conv}.weight"), shape.to_vec()));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            all.push((format!("{bn}.{part}"), vec![shape[0]]));
        }
        all.push((format!("{bn}.num_batches_tracked"), vec![]));
    };
    conv(&mut all, "conv1", "bn1", [2, 3, 7, 7]);
    let mut inputs = 2;
    for (stage, &blocks) in layers.iter().enumerate() {
        let width = 2 << stage;
        let outputs = if bottleneck { 4 * width } else { width };
        for block in 0..blocks {
            let at = format!("layer{}.{block}", stage + 1);
            let kernels: &[[usize; 4]] = if bottleneck {
                &[[width, inputs, 1, 1], [width, width, 3, 3], [outputs, width, 1, 1]]
            } else {
                &[[width, inputs, 3, 3], [width, width, 3, 3]]
            };
            for (i, &shape) in kernels.iter().enumerate() {
                conv(&mut all, &format!("{at}.conv{}", i + 1), &format!("{at}.bn{}", i + 1), shape);
            }
            if inputs != outputs {
                conv(&mut all, &format!("{at}.downsample.0"), &format!("{at}.downsample.1"), [outputs, inputs, 1, 1]);
            }
            inputs = outputs;
        }
    }
    all.extend(names(&[("fc.weight", &[classes, inputs]), ("fc.bias", &[classes])]));
    all
}

/// What a model of ours has of it.
fn without_counters(mut named: Named) -> Named {
    named.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
    named
}

fn bert(prefix: &str, layers: usize, heads: &[(&str, &[usize])]) -> Named {
    let mut all = names(&[
        ("embeddings.word_embeddings.weight", &[20, 8]),
        ("embeddings.position_embeddings.weight", &[6, 8]),
        ("embeddings.token_type_embeddings.weight", &[2, 8]),
        ("embeddings.LayerNorm.weight", &[8]),
        ("embeddings.LayerNorm.bias", &[8]),
    ]);
    for l in 0..layers {
        let parts: [(&str, &[usize]); 6] = [
            ("attention.self.query", &[8, 8]),
            ("attention.self.key", &[8, 8]),
            ("attention.self.value", &[8, 8]),
            ("attention.output.dense", &[8, 8]),
            ("intermediate.dense", &[16, 8]),
            ("output.dense", &[8, 16]),
        ];
        for (part, shape) in parts {
            all.push((format!("encoder.layer.{l}.{part}.weight"), shape.to_vec()));
            all.push((format!("encoder.layer.{l}.{part}.bias"), vec![shape[0]]));
        }
        for part in ["attention.output", "output"] {
            all.push((format!("encoder.layer.{l}.{part}.LayerNorm.weight"), vec![8]));
            all.push((format!("encoder.layer.{l}.{part}.LayerNorm.bias"), vec![8]));
        }
    }
    all.iter_mut().for_each(|(name, _)| *name = format!("{prefix}{name}"));
    all.extend(names(heads));
    all
}

const MLM: &[(&str, &[usize])] = &[
    ("cls.predictions.bias", &[20]),
    ("cls.predictions.transform.dense.weight", &[8, 8]),
    ("cls.predictions.transform.dense.bias", &[8]),
    ("cls.predictions.transform.LayerNorm.weight", &[8]),
    ("cls.predictions.transform.LayerNorm.bias", &[8]),
];

fn renamed(named: &Named, from: &str, to: &str) -> Named {
    named
        .iter()
        .map(|(n, s)| (n.strip_suffix(from).map_or(n.clone(), |start| format!("{start}{to}")), s.clone()))
        .collect()
}

fn bring(
    wanted: &Named,
    weights: &Weights,
) -> weights_import::Result<(BTreeMap<String, Tensor>, weights_import::Report)> {
    read(wanted, weights, &Dialect::detect(weights)?, Options::default())
}

#[test]
fn torchvision_into_our_names() {
    let file = weights_of(&resnet(false, [2, 2, 2, 2], 10));
    let dialect = Dialect::detect(&file).unwrap();
    assert_eq!((dialect.name(), dialect.preprocess(), dialect.knobs), ("torchvision", "imagenet", Knobs::STANDARD));
    assert_eq!(dialect.evidence(), "16 tensors are named like layer1.0.conv1.weight");
    let wanted = without_counters(resnet(false, [2, 2, 2, 2], 10));
    let (tensors, report) = bring(&wanted, &file).unwrap();
    assert_eq!((report.loaded.len(), report.ignored.len()), (wanted.len(), 20));
    let report = report.strict().unwrap();
    for (name, shape) in &wanted {
        assert_eq!(tensors[name].shape(), shape);
        assert_eq!(tensors[name].to_vec(), file.get(name).unwrap().to_vec());
        assert!(shape.len() != 4 || tensors[name].is_channels_last());
    }
    let text = report.to_string();
    assert!(
        text.starts_with("file: loaded 102 tensors (torchvision naming)\n  ignored    20: bn1.num_batches"),
        "{text}"
    );
}

#[test]
fn a_wrapper_is_stripped() {
    for wrapper in ["module.", "model.backbone."] {
        let mut named = resnet(false, [1, 1, 1, 1], 3);
        named.iter_mut().for_each(|(name, _)| *name = format!("{wrapper}{name}"));
        let file = weights_of(&named);
        assert_eq!(Dialect::detect(&file).unwrap().wrapper(), wrapper);
        let (_, report) = bring(&without_counters(resnet(false, [1, 1, 1, 1], 3)), &file).unwrap();
        assert!(!report.strict().unwrap().ignored.is_empty());
    }
    let mut two = resnet(false, [1, 1, 1, 1], 3);
    let again: Named = two.iter().map(|(n, s)| (format!("teacher.{n}"), s.clone())).collect();
    two.extend(again);
    let error = Dialect::detect(&weights_of(&two)).unwrap_err().to_string();
    assert!(error.contains("holds 2 models of the torchvision naming (under \"\", \"teacher.\")"), "{error}");
}

#[test]
fn a_new_head_may_be_missing_and_nothing_else() {
    let file = weights_of(&resnet(false, [1, 1, 1, 1], 10));
    let mine = without_counters(resnet(false, [1, 1, 1, 1], 3));
    let (tensors, report) = bring(&mine, &file).unwrap();
    assert!(!tensors.contains_key("fc.weight"));
    assert_eq!(report.misshapen.len(), 2);
    assert!(report.clone().only_missing(&["fc."]).is_ok());
    let error = report.clone().only_missing(&["fc.weight"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "file: 1 tensor besides fc.weight did not load: fc.bias has shape [10] in the file, [3] in the model"
    );
    assert!(report.strict().is_err());

    let mut more = mine.clone();
    more.push(("layer1.0.bn1.gain".into(), vec![2]));
    let (_, report) = bring(&more, &file).unwrap();
    let error = report.only_missing(&["fc."]).unwrap_err().to_string();
    assert_eq!(error, "file: 1 tensor besides fc. did not load: layer1.0.bn1.gain is not in the file");

    // A misspelt name is told the name it may have meant.
    let mut odd = resnet(false, [1, 1, 1, 1], 3);
    odd[1].0 = "bn1.weights".into();
    let (_, report) = bring(&mine, &weights_of(&odd)).unwrap();
    assert_eq!(
        (report.missing.as_slice(), report.unexpected.as_slice()),
        (["bn1.weight".into()].as_slice(), ["bn1.weights".into()].as_slice())
    );
    let error = report.clone().only_missing(&["fc."]).unwrap_err().to_string();
    assert!(error.contains("bn1.weight is not in the file (unused there: bn1.weights)"), "{error}");
    assert!(report.to_string().contains("\n  missing    1: bn1.weight\n  unexpected 1: bn1.weights"));
}

#[test]
fn another_architecture_is_an_error_and_changes_nothing() {
    let eighteen = without_counters(resnet(false, [2, 2, 2, 2], 10));
    for (file, words) in [
        (
            resnet(false, [3, 4, 6, 3], 10),
            "a ResNet-34 (basic blocks 3-4-6-3, width 2, 10 classes) in torchvision naming",
        ),
        (
            resnet(true, [3, 4, 6, 3], 1000),
            "a ResNet-50 (bottleneck blocks 3-4-6-3, width 2, 1000 classes) in torchvision naming",
        ),
        (bert("bert.", 2, &[]), "a BERT (2 layers, hidden 8, 20 words, intermediate 16) in huggingface_bert naming"),
    ] {
        let error = bring(&eighteen, &weights_of(&file)).unwrap_err();
        assert!(matches!(error, Error::Architecture { .. }), "{error:?}");
        let expected = format!(
            "file: these weights look like {words}, but the model is a ResNet-18 (basic blocks 2-2-2-2, width 2, 10 classes)"
        );
        assert_eq!(error.to_string(), expected);
    }
    let error = bring(&bert("", 2, &[]), &weights_of(&bert("", 3, &[]))).unwrap_err().to_string();
    assert!(error.contains("a BERT (3 layers") && error.contains("but the model is a BERT (2 layers"), "{error}");

    // Grey images are no other architecture: the first convolution is misshapen, and said to be.
    let mut grey = eighteen.clone();
    grey[0].1[1] = 1;
    let (_, report) = bring(&grey, &weights_of(&resnet(false, [2, 2, 2, 2], 10))).unwrap();
    let error = report.only_missing(&[]).unwrap_err().to_string();
    assert!(error.contains("conv1.weight has shape [2, 3, 7, 7] in the file, [2, 1, 7, 7] in the model"), "{error}");

    // By request the part that fits is loaded.
    let file = weights_of(&resnet(false, [3, 4, 6, 3], 10));
    let options = Options { any_architecture: true, ..Options::default() };
    let (_, report) = read(&eighteen, &file, &Dialect::detect(&file).unwrap(), options).unwrap();
    assert!(report.clone().only_missing(&[]).is_ok() && report.strict().is_err());

    // A model without a known architecture: half of the names must fit.
    let file = weights_of(&names(&[("a", &[1]), ("b", &[1])]));
    let mut before = [tensor(&[1], 5), tensor(&[1], 6), tensor(&[1], 7)];
    let [a, x, y] = &mut before;
    let slots = vec![("a", a), ("x", x), ("y", y)];
    let slots = slots.into_iter().map(|(name, tensor)| Slot { name: name.into(), tensor }).collect();
    let error = load(slots, &file, &Dialect::plain()).unwrap_err().to_string();
    assert!(
        error.contains("look like 2 tensors of another model (tensors named like a, b) in plain naming"),
        "{error}"
    );
    assert_eq!(before[0].to_vec(), tensor(&[1], 5).to_vec());
}

#[test]
fn a_file_that_breaks_off_leaves_the_model_as_it_was() {
    let folder = Folder::new("half");
    let wanted = without_counters(resnet(false, [1, 1, 1, 1], 3));
    let tensors: Vec<(String, Tensor)> = wanted.iter().map(|(n, s)| (n.clone(), tensor(s, 1))).collect();
    let list: Vec<(String, &Tensor)> = tensors.iter().map(|(n, t)| (n.clone(), t)).collect();
    let path = folder.0.join("m");
    save_safetensors(&path, &list, &[], Dtype::F32).unwrap();
    let file = open(&path).unwrap();
    let cut = std::fs::metadata(&path).unwrap().len() - 4;
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
    let mut model: Vec<(String, Tensor)> = wanted.iter().map(|(n, s)| (n.clone(), Tensor::zeros(s).unwrap())).collect();
    let slots = model.iter_mut().map(|(name, tensor)| Slot { name: name.clone(), tensor }).collect();
    let mut seen = 0;
    let mut progress = |done: usize, all: usize| {
        assert_eq!((done, all), (seen + 1, wanted.len()));
        seen = done;
    };
    let options = Options { progress: Some(&mut progress), ..Options::default() };
    let error = load_with(slots, &file, &Dialect::detect(&file).unwrap(), options).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(seen > 0);
    assert!(model.iter().all(|(_, t)| t.to_vec().iter().all(|&v| v == 0.0)));
}

#[test]
fn bert_with_or_without_its_prefix_and_old_names() {
    for (in_file, in_model) in [("", "bert."), ("bert.", ""), ("", ""), ("bert.", "bert."), ("module.bert.", "bert.")] {
        let file = bert(in_file, 2, &[]);
        let old = renamed(&renamed(&file, "LayerNorm.weight", "LayerNorm.gamma"), "LayerNorm.bias", "LayerNorm.beta");
        for file in [file, old] {
            let weights = weights_of(&file);
            let wanted = bert(in_model, 2, &[]);
            let (tensors, report) = bring(&wanted, &weights).unwrap();
            assert_eq!(report.strict().unwrap().loaded.len(), wanted.len());
            for ((name, _), (source, _)) in wanted.iter().zip(&file) {
                assert_eq!(tensors[name].to_vec(), weights.get(source).unwrap().to_vec(), "{name} from {source}");
            }
        }
    }
    // Only the last part of a name is renamed.
    let mut file = bert("", 1, &[]);
    file.push(("gamma.beta.dense.weight".into(), vec![1]));
    let (_, report) = bring(&bert("", 1, &[]), &weights_of(&file)).unwrap();
    assert_eq!(report.unexpected, ["gamma.beta.dense.weight"]);
}

#[test]
fn the_decoder_is_tied_to_the_words() {
    let decoder: &[(&str, &[usize])] =
        &[("cls.predictions.decoder.weight", &[20, 8]), ("cls.predictions.decoder.bias", &[20])];
    let with = bert("bert.", 1, &[MLM, decoder].concat());
    let without = bert("bert.", 1, MLM);

    let (tensors, report) = bring(&with, &weights_of(&without)).unwrap();
    let report = report.strict().unwrap();
    let tied: Vec<_> = report.tied.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        tied,
        [
            ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
            ("cls.predictions.decoder.bias", "cls.predictions.bias")
        ]
    );
    assert_eq!(
        tensors["cls.predictions.decoder.weight"].to_vec(),
        tensors["bert.embeddings.word_embeddings.weight"].to_vec()
    );

    // The other way round: a copy in the file is no surprise if it equals what was loaded.
    let folder = Folder::new("tied");
    let mut values: BTreeMap<String, Tensor> = with.iter().map(|(n, s)| (n.clone(), tensor(s, 3))).collect();
    for (copy, original) in
        [("decoder.weight", "bert.embeddings.word_embeddings.weight"), ("decoder.bias", "cls.predictions.bias")]
    {
        values.insert(format!("cls.predictions.{copy}"), values[original].clone());
    }
    let path = folder.0.join("m");
    let save = |values: &BTreeMap<String, Tensor>| {
        let list: Vec<(String, &Tensor)> = values.iter().map(|(n, t)| (n.clone(), t)).collect();
        save_safetensors(&path, &list, &[], Dtype::F32).unwrap();
        bring(&without, &open(&path).unwrap()).unwrap().1
    };
    let report = save(&values);
    assert_eq!(report.ignored.len(), 2);
    assert!(report.ignored[1].1.contains("equals bert.embeddings.word_embeddings.weight"), "{report}");
    assert!(report.strict().is_ok());
    values.insert("cls.predictions.decoder.weight".into(), tensor(&[20, 8], 99));
    assert_eq!(save(&values).unexpected, ["cls.predictions.decoder.weight"]);
}

#[test]
fn the_configuration_sets_knobs_or_refuses() {
    let folder = Folder::new("bert-config");
    let named = bert("", 1, &[]);
    let tensors: Vec<Tensor> = named.iter().map(|(_, s)| tensor(s, 1)).collect();
    let list: Vec<(String, &Tensor)> = named.iter().map(|(n, _)| n.clone()).zip(&tensors).collect();
    save_safetensors(folder.0.join("model.safetensors"), &list, &[], Dtype::F32).unwrap();
    let detect = |config: &str| {
        folder.file("config.json", config.as_bytes());
        let weights = open(&folder.0).unwrap();
        Dialect::detect(&weights).map(|dialect| (dialect.knobs, guess(&weights, &dialect)))
    };
    let (knobs, architecture) =
        detect(r#"{"model_type":"bert","hidden_act":"gelu_new","layer_norm_eps":1e-5,"num_attention_heads":2}"#)
            .unwrap();
    assert_eq!((knobs.gelu, knobs.layer_norm_eps), (Gelu::Tanh, 1e-5));
    let expected = Bert {
        family: TextFamily::Bert,
        embedding: 8,
        layers: 1,
        inner: 1,
        hidden: 8,
        heads: 2,
        intermediate: 16,
        vocab: 20,
        positions: 6,
        types: 2,
        pooler: false,
        mlm: false,
        classes: None,
    };
    assert_eq!(architecture, Some(Architecture::Bert(expected)));
    let (knobs, _) = detect("{}").unwrap();
    assert_eq!((knobs.gelu, knobs.layer_norm_eps), (Gelu::Erf, 1e-12));
    for (config, words) in [
        (r#"{"model_type":"mpnet"}"#, "a model of type mpnet"),
        (r#"{"hidden_act":"relu"}"#, "the activation relu"),
        (r#"{"position_embedding_type":"relative_key"}"#, "relative_key position embeddings"),
        ("{", "is not JSON"),
    ] {
        let error = detect(config).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn guesses_the_measures() {
    let guessed = |named: Named| {
        let weights = weights_of(&named);
        guess(&weights, &Dialect::detect(&weights).unwrap()).unwrap()
    };
    let expected = ResNet {
        block: Block::Bottleneck,
        layers: [3, 4, 23, 3],
        channels: 3,
        deep_stem: None,
        pooled_shortcuts: false,
        stem: 2,
        width: 2,
        inner: 2,
        groups: 1,
        classes: Some(7),
    };
    assert_eq!(guessed(resnet(true, [3, 4, 23, 3], 7)), Architecture::ResNet(expected));
    let Architecture::Bert(net) = guessed(bert("bert.", 3, &[MLM, &[("classifier.weight", &[5, 8])]].concat())) else {
        panic!("no BERT")
    };
    assert_eq!((net.layers, net.heads, net.mlm, net.classes), (3, 1, true, Some(5)));
}

/// Yahoo's naming: one convolution with its batch norm and scale, with blobs of `out` values.
fn unit(name: &str, shape: [u64; 4], factor: f32) -> Vec<common::Field> {
    let out = shape[0];
    let values = |seed| numbers(out as usize, seed);
    vec![
        layer(
            &format!("conv_{name}"),
            "Convolution",
            &[blob(&shape, &numbers(shape.iter().product::<u64>() as usize, 1)), blob(&[out], &values(2))],
        ),
        layer(
            &format!("bn_{name}"),
            "BatchNorm",
            &[blob(&[out], &values(3)), blob(&[out], &values(4)), blob(&[1], &[factor])],
        ),
        layer(&format!("scale_{name}"), "Scale", &[blob(&[out], &values(5)), blob(&[out], &values(6))]),
    ]
}

#[test]
fn caffe_batch_norm_is_divided_and_takes_in_the_bias() {
    let mut net = unit("1", [2, 3, 7, 7], 4.0);
    for stage in 0..4 {
        let width = 2 << stage;
        let inputs = if stage == 0 { 2 } else { 4 * width / 2 };
        let at = format!("stage{stage}_block0");
        net.extend(unit(&format!("{at}_proj_shortcut"), [4 * width, inputs, 1, 1], 0.0));
        net.extend(unit(&format!("{at}_branch2a"), [width, inputs, 1, 1], 2.0));
        net.extend(unit(&format!("{at}_branch2b"), [width, width, 3, 3], 2.0));
        net.extend(unit(&format!("{at}_branch2c"), [4 * width, width, 1, 1], 2.0));
    }
    let mut old = blob(&[5, 64], &numbers(320, 7));
    old.extend([5, 64].iter().zip([3, 4]).map(|(&size, field)| common::Field::Varint(field, size)));
    old.extend([common::Field::Varint(1, 1), common::Field::Varint(2, 1)]);
    net.push(layer("fc_nsfw", "InnerProduct", &[old, blob(&[5], &numbers(5, 8))]));
    let file = from_bytes(message(&net), "net").unwrap();
    let dialect = Dialect::detect(&file).unwrap();
    assert_eq!((dialect.name(), dialect.preprocess()), ("caffe_resnet", "caffe_bgr"));
    let Some(Architecture::ResNet(guessed)) = guess(&file, &dialect) else { panic!("no ResNet") };
    assert_eq!((guessed.layers, guessed.classes, guessed.stem), ([1; 4], Some(5), 2));

    let wanted = without_counters(resnet(true, [1; 4], 5));
    let (tensors, report) = read(&wanted, &file, &dialect, Options::default()).unwrap();
    report.strict().unwrap();
    let close = |name: &str, make: &dyn Fn(usize) -> f32| {
        for (i, &value) in tensors[name].to_vec().iter().enumerate() {
            assert!((value - make(i)).abs() < 1e-6, "{name} {i}: {value}, not {}", make(i));
        }
    };
    close("bn1.running_mean", &|i| numbers(8, 3)[i] / 4.0 - numbers(8, 2)[i]);
    close("bn1.running_var", &|i| numbers(8, 4)[i] / 4.0);
    close("layer3.0.bn2.running_var", &|i| numbers(8, 4)[i] / 2.0);
    close("layer4.0.bn3.weight", &|i| numbers(64, 5)[i]);
    close("layer4.0.bn3.bias", &|i| numbers(64, 6)[i]);
    // Caffe takes a weight of zero for "no statistics yet".
    close("layer1.0.downsample.1.running_mean", &|i| -numbers(8, 2)[i]);
    close("layer2.0.conv2.weight", &|i| numbers(144, 1)[i]);
    close("fc.weight", &|i| numbers(320, 7)[i]);
    assert_eq!(tensors["fc.weight"].shape(), [5, 64]);
}

#[test]
fn a_table_of_ones_own() {
    static TABLE: Table = Table {
        name: "mine",
        about: "a test",
        rules: &[
            Rule { target: "{*}.weight", sources: &["{*}/kernel"], how: How::Permute(&[3, 2, 0, 1]) },
            Rule { target: "{*}.weight", sources: &["{*}/matrix"], how: How::Permute(&[1, 0]) },
            Rule { target: "{*}.gamma", sources: &[], how: How::Fill(1.0) },
        ],
        ignored: &[("step", "counts steps")],
        ..Table::EMPTY
    };
    let file = weights_of(&names(&[("a/kernel", &[1, 2, 3, 4]), ("b/matrix", &[2, 3]), ("step", &[1])]));
    let wanted = names(&[("a.weight", &[4, 3, 1, 2]), ("b.weight", &[3, 2]), ("b.gamma", &[2])]);
    let (tensors, report) = read(&wanted, &file, &Dialect::from_table(&TABLE), Options::default()).unwrap();
    let report = report.strict().unwrap();
    assert_eq!(report.filled, [("b.gamma".to_string(), 1.0)]);
    assert_eq!(report.ignored, [("step".to_string(), "counts steps".to_string())]);
    assert_eq!(tensors["b.gamma"].to_vec(), [1.0, 1.0]);
    let kernel = file.get("a/kernel").unwrap().permute(&[3, 2, 0, 1]).unwrap();
    assert_eq!(tensors["a.weight"].to_vec(), kernel.to_vec());
    assert!(tensors["a.weight"].is_channels_last());
    assert_eq!(tensors["b.weight"].to_vec(), file.get("b/matrix").unwrap().transpose(0, 1).unwrap().to_vec());

    // A matrix where a kernel of four axes belongs.
    let wrong = weights_of(&names(&[("a/kernel", &[2, 3])]));
    let options = Options { any_architecture: true, ..Options::default() };
    let (_, report) = read(&wanted[..1], &wrong, &Dialect::from_table(&TABLE), options).unwrap();
    assert_eq!((report.misshapen.len(), report.misshapen[0].found.as_slice()), (1, [2, 3].as_slice()));
}

#[test]
fn what_is_not_known() {
    let error = Dialect::detect(&weights_of(&names(&[("a", &[1]), ("b", &[1])]))).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "file: naming not recognised: its tensors are named like a, b; known are {}",
            Dialect::names().join(", ")
        )
    );
    let file = weights_of(&names(&[("a", &[1])]));
    assert!(Dialect::named("tensorflow", &file).unwrap_err().to_string().contains("known are fid, "));
    assert_eq!(Dialect::named("plain", &file).unwrap().name(), "plain");
    let roberta = [("embeddings.position_embeddings.weight", 514), ("embeddings.token_type_embeddings.weight", 1)];
    let mut named = bert("", 1, &[]);
    for (name, rows) in roberta {
        named.iter_mut().filter(|(n, _)| n == name).for_each(|(_, shape)| shape[0] = rows);
    }
    assert_eq!(Dialect::detect(&weights_of(&named)).unwrap().name(), "huggingface_roberta");
}
