//! TensorFlow.js models that lie, with their shards.
#![allow(missing_docs)]

mod common;

use common::Files;
use common::hostile::{LIES, mutations_of, poke_source, tried};

const SHARDS: [&str; 9] = [
    "model.js",
    "group1-shard1of8.bin.js",
    "group1-shard2of8.bin.js",
    "group1-shard3of8.bin.js",
    "group1-shard4of8.bin.js",
    "group1-shard5of8.bin.js",
    "group1-shard6of8.bin.js",
    "group1-shard7of8.bin.js",
    "group1-shard8of8.bin.js",
];

/// A graph model and one of layers with plain shards, and JavaScript.
fn seeds() -> [Files; 3] {
    let folder = "../tests/import/tfjs";
    let shards = [1, 2].map(|group| [1, 2].map(|shard| format!("group{group}-shard{shard}of2.bin"))).concat();
    let groups: Vec<&str> = ["model.json"].into_iter().chain(shards.iter().map(String::as_str)).collect();
    let seeds = [
        Files::read(folder, "mixed", &["model.json", "group1-shard1of1.bin"]),
        Files::read(folder, "groups", &groups),
        Files::read(folder, "module", &SHARDS),
    ];
    seeds.iter().for_each(|seed| assert!(seed.poke()));
    seeds
}

#[test]
fn cut_at_every_byte() {
    for seed in seeds() {
        for file in 0..seed.files.len().min(3) {
            for end in 0..seed.files[file].1.len() {
                let mut cut = seed.clone();
                cut.files[file].1.truncate(end);
                // A module goes on behind its value, which is not looked at.
                assert!(!cut.poke() || seed.files[0].0 == "model.js", "{} cut to {end}", seed.files[file].0);
            }
        }
    }
    tried(2900);
}

#[test]
fn every_bit_flipped() {
    for seed in seeds() {
        let (mut opened, mut bits) = (0, 0);
        for file in 0..seed.files.len().min(2) {
            for bit in 0..8 * seed.files[file].1.len().min(4096) {
                let mut flipped = seed.clone();
                flipped.files[file].1[bit / 8] ^= 1 << (bit % 8);
                opened += usize::from(flipped.poke());
                bits += 1;
            }
        }
        assert!(opened > 0 && opened < bits, "{opened} of {bits} opened");
    }
    tried(20000);
}

#[test]
fn every_number_a_lie() {
    for seed in seeds() {
        let text = String::from_utf8(seed.files[0].1.clone()).unwrap();
        let digit = |at: usize| text.as_bytes()[at].is_ascii_digit();
        let starts = (1..text.len()).filter(|&at| digit(at) && b"[,: ".contains(&text.as_bytes()[at - 1]));
        let mut numbers = 0;
        for at in starts {
            let end = at + text[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
            let in_shape = text[..at].rfind("\"shape\"").or(text[..at].rfind("shape:")).is_some_and(|shape| {
                let between = &text[shape..at];
                between.contains('[') && !between.contains(']')
            });
            for lie in LIES.iter().map(u64::to_string).chain(["-1".into(), "1e9".into(), "99999999999999999999".into()])
            {
                let mut lied = seed.clone();
                lied.files[0].1 = format!("{}{lie}{}", &text[..at], &text[end..]).into_bytes();
                let opened = lied.poke();
                assert!(!in_shape || !opened || text[at..end] == lie, "{lie} at byte {at}");
            }
            numbers += usize::from(in_shape);
        }
        assert!(numbers >= 3, "{numbers}");
    }
    tried(200);
}

#[test]
fn seeded_mutations() {
    for (salt, seed) in seeds().iter().enumerate() {
        // Of many shards, the first.
        let bytes: Vec<Vec<u8>> = seed.files.iter().take(3).map(|(_, bytes)| bytes.clone()).collect();
        mutations_of(&bytes, 60_000, salt as u64, &mut |bytes| {
            let mut bad = seed.clone();
            bad.files.iter_mut().zip(bytes).for_each(|(file, bytes)| file.1.clone_from(bytes));
            bad.poke()
        });
    }
    tried(180_000);
}

#[test]
fn large_files_of_little_things() {
    let weights: Vec<String> =
        (0..100_000).map(|i| format!(r#"{{"name":"{i:x}","shape":[],"dtype":"bool"}}"#)).collect();
    let model = format!(r#"{{"weightsManifest":[{{"paths":["a"],"weights":[{}]}}]}}"#, weights.join(","));
    let many = Files { files: vec![("model.json".into(), model.into()), ("a".into(), vec![1; 100_000])] };
    assert!(many.poke());
    for text in [
        format!(r#"{{"weightsManifest":[{{"paths":[{}],"weights":[]}}]}}"#, vec!["\"\""; 1_000_000].join(",")),
        format!(r#"{{"weightsManifest":[{}]}}"#, vec![r#"{"paths":[],"weights":[]}"#; 100_000].join(",")),
        format!(r#"{{"weightsManifest":[],"modelTopology":{{"a":{}"#, "[".repeat(1_000_000)),
        format!("exports={{modelTopology:{}", "[".repeat(1_000_000)),
        format!("exports={{modelTopology:[{}]}}", vec!["a"; 1_000_000].join(",")),
        format!(
            r#"{{"modelTopology":{{"class_name":"M","config":[{}]}},"weightsManifest":[]}}"#,
            vec!["{}"; 300_000].join(",")
        ),
    ] {
        Files { files: vec![("model.json".into(), text.into())] }.poke();
    }
    let shard = format!("exports=\"{}\"", "AAAA".repeat(300_000));
    let weight =
        r#"{"name":"x","shape":[900000],"dtype":"float32","quantization":{"dtype":"uint8","scale":1,"min":0}}"#;
    let model = format!(r#"exports={{"modelTopology":0,"weightsManifest":[{{"paths":["a"],"weights":[{weight}]}}]}}"#);
    let files = Files { files: vec![("model.js".into(), model.into()), ("a.js".into(), shard.into())] };
    assert!(files.poke());
}

#[test]
fn the_names_are_those_of_the_files() {
    let [seed, ..] = seeds();
    assert!(poke_source(&|| seed.source(), 1 << 20));
    let mut renamed = seed.clone();
    renamed.files[1].0 = "other".into();
    assert!(!renamed.poke());
}
