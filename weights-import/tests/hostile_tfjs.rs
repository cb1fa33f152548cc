//! TensorFlow.js models that lie, with their shards.
#![allow(missing_docs)]

mod common;

use common::hostile::{LIES, mutate, poke_source};
use common::{Files, Random};

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

/// JSON with plain shards, and JavaScript.
fn seeds() -> [Files; 2] {
    let folder = "../tests/import/tfjs";
    let seeds =
        [Files::read(folder, "mixed", &["model.json", "group1-shard1of1.bin"]), Files::read(folder, "module", &SHARDS)];
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
}

#[test]
fn every_number_a_lie() {
    let [seed, _] = seeds();
    let text = String::from_utf8(seed.files[0].1.clone()).unwrap();
    let sizes: Vec<usize> = text.match_indices("\"shape\": [").map(|(at, found)| at + found.len()).collect();
    assert_eq!(sizes.len(), 5);
    for at in sizes {
        let end = at + text[at..].find(']').unwrap();
        for lie in LIES.iter().map(u64::to_string).chain(["-1".into(), "1e9".into(), "99999999999999999999".into()]) {
            let mut lied = seed.clone();
            lied.files[0].1 = format!("{}{lie}{}", &text[..at], &text[end..]).into_bytes();
            assert!(!lied.poke() || text[at..end] == lie, "{lie}");
        }
    }
}

#[test]
fn seeded_mutations() {
    for (salt, seed) in seeds().iter().enumerate() {
        let mut opened = 0;
        for case in 0..50_000u64 {
            let mut random = Random(case << 8 | salt as u64);
            let mut bad = seed.clone();
            for _ in 0..1 + random.below(4) {
                let file = random.below(2 + salt);
                mutate(&mut bad.files[file].1, &mut random);
            }
            opened += usize::from(bad.poke());
        }
        assert!((100..45_000).contains(&opened), "{opened} opened");
    }
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
    let [seed, _] = seeds();
    assert!(poke_source(&|| seed.source(), 1 << 20));
    let mut renamed = seed.clone();
    renamed.files[1].0 = "other".into();
    assert!(!renamed.poke());
}
