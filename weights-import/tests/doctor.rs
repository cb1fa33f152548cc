//! What the doctor finds, each on a file that has it, and nothing on one that has not.
#![allow(missing_docs)]

mod common;

use common::Random;
use weights_import::{
    Dialect, Finding, Statistics, Weights, examine, examine_colours, examine_names, examine_norms, from_bytes,
};

type Tensors = Vec<(&'static str, Vec<usize>, Vec<f32>)>;

fn file(tensors: &Tensors) -> Weights {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (name, shape, values) in tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        let start = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        header.push(format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{}]}}"#, data.len()));
    }
    from_bytes(common::safetensors(&format!("{{{}}}", header.join(",")), &data), "file").unwrap()
}

/// As many values of a bell curve (the sum of twelve even ones).
fn trained(count: usize, salt: u64) -> Vec<f32> {
    let mut random = Random(salt);
    let mut even = || (random.next() % (1 << 20)) as f32 / (1 << 20) as f32 - 0.5;
    (0..count).map(|_| 0.05 * (0..12).map(|_| even()).sum::<f32>()).collect()
}

/// A piece of a ResNet in torchvision's naming that learned from photographs.
fn healthy() -> Tensors {
    let mut kernel = trained(8 * 3 * 9, 1);
    kernel.iter_mut().enumerate().for_each(|(i, w)| *w *= [1.2, 1.3, 0.9][i / 9 % 3]);
    vec![
        ("conv1.weight", vec![8, 3, 3, 3], kernel),
        ("bn1.weight", vec![8], trained(8, 2)),
        ("bn1.running_mean", vec![8], trained(8, 3)),
        ("bn1.running_var", vec![8], trained(8, 4).iter().map(|v| v.abs()).collect()),
        ("layer1.0.conv1.weight", vec![16, 8, 3, 3], trained(16 * 8 * 9, 5)),
        ("layer1.0.bn1.weight", vec![16], trained(16, 6)),
        ("layer1.0.bn1.running_mean", vec![16], trained(16, 7)),
        ("layer1.0.bn1.running_var", vec![16], trained(16, 8).iter().map(|v| v.abs()).collect()),
        ("fc.weight", vec![10, 16], trained(160, 9)),
        ("fc.bias", vec![10], vec![0.0; 10]),
    ]
}

/// All findings, as `uke inspect` collects them.
fn findings(tensors: &Tensors) -> Vec<Finding> {
    let weights = file(tensors);
    let dialect = Dialect::detect(&weights).unwrap();
    let mut findings = examine_names(&weights, Some(&dialect));
    let known: Vec<_> =
        weights.entries().iter().zip(tensors).map(|(entry, (.., values))| (entry, Statistics::of(values))).collect();
    findings.extend(known.iter().filter_map(|(entry, values)| examine(entry, values)));
    findings.extend(examine_norms(known.into_iter()));
    findings.extend(examine_colours(&weights, &dialect).unwrap());
    findings
}

fn edited(edit: impl FnOnce(&mut Tensors)) -> Tensors {
    let mut tensors = healthy();
    edit(&mut tensors);
    tensors
}

#[test]
fn a_healthy_file_smells_of_nothing() {
    assert_eq!(findings(&healthy()), []);
}

#[test]
fn each_smell_is_found_and_named() {
    let uniform = |count: usize| (0..count).map(|i| 0.1 * (i as f32 / (count - 1) as f32 * 2.0 - 1.0)).collect();
    let cases: Vec<(&str, &str, Tensors)> = vec![
        ("nan", "layer1.0.conv1.weight: 1 element of 1152 not a number", edited(|t| t[4].2[7] = f32::NAN)),
        ("infinite", "fc.weight: 2 elements infinite", edited(|t| t[8].2[3..5].fill(f32::INFINITY))),
        ("zero", "fc.weight: all zero", edited(|t| t[8].2.fill(0.0))),
        ("constant", "fc.weight: all 0.5", edited(|t| t[8].2.fill(0.5))),
        ("fresh", "layer1.0.conv1.weight: evenly spread from -0.1 to 0.1", edited(|t| t[4].2 = uniform(16 * 8 * 9))),
        (
            "fresh_statistics",
            "2 of 4 statistics of batch norms are as they begin (mean 0, variance 1), e.g. bn1.running_mean",
            edited(|t| {
                t[2].2.fill(0.0);
                t[3].2.fill(1.0);
            }),
        ),
        ("gamma", "1 batch norms have no scale (gamma), e.g. bn1", edited(|t| drop(t.remove(1)))),
        (
            "optimiser",
            "1 tensors are state of an optimiser, e.g. optimizer.state.0.exp_avg",
            edited(|t| t.push(("optimizer.state.0.exp_avg", vec![4], trained(4, 11)))),
        ),
        (
            "swapped_channels",
            "conv1.weight weighs its first channel 0.87 times as much as its last, as networks for blue, green, red do",
            edited(|t| t[0].2.iter_mut().enumerate().for_each(|(i, w)| *w *= [0.75, 1.0, 1.33][i / 9 % 3])),
        ),
    ];
    for (kind, words, tensors) in cases {
        let found = findings(&tensors);
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        assert_eq!(found[0].kind, kind);
        assert!(found[0].message.contains(words), "{kind}: {}", found[0]);
    }
}

/// Each names the scheme, is found by the doctor and keeps `detect` from taking it for whole weights.
#[test]
fn quantised_layers_are_named() {
    for (endings, words) in [
        (&["qweight", "qzeros", "scales", "g_idx"][..], "(GPTQ: "),
        (&["qweight", "qzeros", "scales"], "(AWQ or GPTQ: "),
        (&["weight", "weight.absmax", "weight.quant_map"], "(bitsandbytes, 4 bits: "),
        (&["weight", "SCB"], "(bitsandbytes, 8 bits: "),
        (&["weight_packed", "weight_scale"], "(compressed-tensors: "),
        (&["weight", "weight_scale_inv"], "(FP8 in blocks: "),
    ] {
        let names: Vec<String> = endings.iter().map(|e| format!("encoder.layer.0.attention.self.query.{e}")).collect();
        let mut tensors = healthy();
        tensors.extend(names.iter().map(|name| (&*name.clone().leak(), vec![2], vec![0.5, 0.25])));
        let weights = file(&tensors);
        let found = examine_names(&weights, None);
        let finding = found.iter().find(|finding| finding.kind == "quantised").unwrap();
        assert!(finding.message.contains(words) && finding.message.contains("self.query is quantised"), "{finding}");
        let error = Dialect::detect(&weights).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(examine_names(&file(&healthy()), None).iter().all(|finding| finding.kind != "quantised"));
}
