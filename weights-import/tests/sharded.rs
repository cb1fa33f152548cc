//! Weights in several files: read by their index, and written.
#![allow(missing_docs)]

mod common;

use common::hostile::{LIES, mutate, tried};
use common::{Files, Folder, Random, safetensors, tensor};
use weights_import::{Dtype, Error, from_source, open, save_safetensors, save_safetensors_sharded};

const INDEX: &str = r#"{"metadata":{"total_size":14,"by":"x","more":{}},"weight_map":{"b":"2.safetensors","a":"1.safetensors","c":"2.safetensors"}}"#;

fn files(index: &str) -> Files {
    let one = r#"{"__metadata__":{"format":"pt","by":"y"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let two =
        r#"{"c":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},"b":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}"#;
    let files = vec![
        ("model.safetensors.index.json".into(), index.into()),
        ("1.safetensors".into(), safetensors(one, &[0, 0, 128, 63, 0, 0, 0, 64])),
        ("2.safetensors".into(), safetensors(two, &[7, 0, 0, 0, 8, 9])),
    ];
    Files { files }
}

#[test]
fn every_value_of_the_hub_package() {
    assert_eq!(common::golden::check("sharded"), 6);
}

#[test]
fn reads_all_files_of_an_index() {
    let weights = from_source(files(INDEX).source()).unwrap();
    assert_eq!(weights.format(), "safetensors");
    let names: Vec<&str> = weights.entries().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "b"]);
    assert_eq!(weights.get("a").unwrap().to_vec(), [1.0, 2.0]);
    assert_eq!(weights.get_i64("b").unwrap(), (vec![], vec![7]));
    assert_eq!(weights.raw("c").unwrap().bytes, [8, 9]);
    let said: Vec<_> = weights.metadata().iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(said, ["by=x", "format=pt", "total_size=14"]);
}

#[test]
fn what_the_index_leaves_out_is_listed() {
    let weights = from_source(files(&INDEX.replace(r#","c":"2.safetensors""#, "")).source()).unwrap();
    assert_eq!(weights.entries().len(), 3);
}

#[test]
fn says_what_is_wrong() {
    let map = |text: &str| format!("{{\"weight_map\":{{{text}}}}}");
    for (index, words) in [
        (map(r#""a":"1.safetensors","a":"1.safetensors""#), "two entries of weight_map are named a"),
        (map(r#""a":"1.safetensors","\u0061":"2.safetensors""#), "two entries of weight_map are named a"),
        (map(r#""a":"2.safetensors""#), "tensor a is in 2.safetensors, which has none of this name"),
        (map(r#""a":"2.safetensors","b":"1.safetensors""#), "says that tensor a is in 2.safetensors, but it is in 1."),
        (map(r#""d":"1.safetensors""#), "says that tensor d is in 1.safetensors, which has none of this name"),
        (map(r#""a":"3.safetensors""#), "needs the file 3.safetensors beside it"),
        (map(r#""a":"../1.safetensors""#), "names a file in another folder, \"../1.safetensors\": refused"),
        (map(r#""a":"/1.safetensors""#), "in another folder"),
        (map(r#""a":"x/1.safetensors""#), "in another folder"),
        (map(r#""a":"..""#), "outside of its folder"),
        (map(r#""a":"c:1""#), "outside of its folder"),
        (map(r#""a":"again.json""#), "names again.json, which is itself an index: refused"),
        (map(""), "lists no tensors"),
        (map(r#""a":1"#), "'\"' expected"),
        (map("") + "x", "text after the end"),
        (INDEX.replace("\"metadata\"", "\"weight_map\":{},\"metadata\""), "one weight_map and at most one metadata"),
        (INDEX.replace("\"by\"", "\"by\":\"z\",\"by\""), "two entries of metadata are named by"),
    ] {
        let mut files = files(&index);
        files.files.push(("again.json".into(), index.clone().into()));
        let error = from_source(files.source()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. } | Error::Format { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.starts_with("model.safetensors.index.json: ") && error.contains(words), "{words}: {error}");
    }
    let mut twice = files(INDEX);
    twice.files[2].1 = twice.files[1].1.clone();
    let error = from_source(twice.source()).unwrap_err().to_string();
    assert!(error.contains("tensor a is in 1.safetensors and in 2.safetensors"), "{error}");
    let mut broken = files(INDEX);
    broken.files[2].1.pop();
    let error = from_source(broken.source()).unwrap_err().to_string();
    assert!(error.starts_with("2.safetensors: broken safetensors file"), "{error}");
}

#[test]
fn hostile_indices_and_files() {
    let seed = files(INDEX);
    assert!(seed.poke());
    for file in 0..3 {
        for end in 0..seed.files[file].1.len() {
            let mut cut = seed.clone();
            cut.files[file].1.truncate(end);
            assert!(!cut.poke(), "{file} cut to {end}");
        }
        for bit in 0..8 * seed.files[file].1.len() {
            let mut flipped = seed.clone();
            flipped.files[file].1[bit / 8] ^= 1 << (bit % 8);
            flipped.poke();
        }
        for lie in LIES {
            let mut lied = seed.clone();
            lied.files[file].1[..8].copy_from_slice(&lie.to_le_bytes());
            assert!(!lied.poke());
        }
    }
    let mut opened = 0;
    for case in 0..100_000u64 {
        let mut random = Random(case << 8 | 9);
        let mut bad = seed.clone();
        for _ in 0..1 + random.below(4) {
            mutate(&mut bad.files[random.below(3)].1, &mut random);
        }
        opened += usize::from(bad.poke());
    }
    assert!((1000..90_000).contains(&opened), "{opened} opened");
    let text = |count: usize, entry: &dyn Fn(usize) -> String| {
        format!("{{\"weight_map\":{{{}}}}}", (0..count).map(entry).collect::<Vec<_>>().join(","))
    };
    for index in [
        text(300_000, &|i| format!("\"{i:x}\":\"1.safetensors\"")),
        text(300_000, &|i| format!("\"{i:x}\":\"{i:x}\"")),
        text(1, &|_| format!("\"a\":{}", "[".repeat(1_000_000))),
    ] {
        assert!(!files(&index).poke());
    }
    tried(103_000);
}

#[cfg(unix)]
#[test]
fn links_as_hub_caches_have_them_are_followed() {
    let folder = Folder::new("sharded-links");
    std::fs::create_dir(folder.0.join("blobs")).unwrap();
    std::fs::create_dir(folder.0.join("snapshot")).unwrap();
    for (name, bytes) in files(INDEX).files {
        folder.file(&format!("blobs/{name}"), &bytes);
        std::os::unix::fs::symlink(format!("../blobs/{name}"), folder.0.join("snapshot").join(name)).unwrap();
    }
    assert_eq!(open(folder.0.join("snapshot")).unwrap().get("a").unwrap().to_vec(), [1.0, 2.0]);
}

#[test]
fn writes_what_it_and_others_read() {
    let folder = Folder::new("sharded-save");
    let tensors: Vec<_> = (0..7usize).map(|i| (format!("t{i}"), tensor(&[i, 5], i as u64))).collect();
    let list: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    let path = folder.file("model.safetensors", b"old");
    let said = [("seed".to_string(), "1".to_string())];
    // 0, 20, 40 | 60 | 80 | 100 | 120 bytes; at most 100, so the last has a file of its own.
    let index = save_safetensors_sharded(&path, &list, &said, Dtype::F32, 100).unwrap();
    assert_eq!(index, folder.0.join("model.safetensors.index.json"));
    let mut names: Vec<String> = (1..=5).map(|i| format!("model-0000{i}-of-00005.safetensors")).collect();
    names.push("model.safetensors.index.json".into());
    assert_eq!(folder.names(), names);
    let text = std::fs::read_to_string(&index).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["metadata"]["total_size"], 420);
    let map: Vec<&str> = (0..7).map(|i| json["weight_map"][format!("t{i}")].as_str().unwrap()).collect();
    assert_eq!(map, [0, 0, 0, 1, 2, 3, 4].map(|i| names[i].as_str()));
    for source in [&index, &folder.0] {
        let weights = open(source).unwrap();
        assert_eq!((weights.entries().len(), weights.metadata()["seed"].as_str()), (7, "1"));
        for (name, tensor) in &tensors {
            assert_eq!(weights.get(name).unwrap().to_vec(), tensor.to_vec());
        }
    }
    for (number, name) in names[..5].iter().enumerate() {
        let bytes = std::fs::read(folder.0.join(name)).unwrap();
        let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.len(), if number == 0 { 3 } else { 1 });
    }

    // A failure leaves what was there.
    let large = ukulele_tensor::Tensor::from_vec(&[1], vec![1e9]).unwrap();
    let mut bad = list.clone();
    bad.push(("t7".into(), &large));
    let error = save_safetensors_sharded(&path, &bad, &[], Dtype::F16, 100).unwrap_err().to_string();
    assert!(error.contains("tensor t7: element 0 is 1000000000"), "{error}");
    bad.push(("t0".into(), &large));
    let error = save_safetensors_sharded(&path, &bad, &[], Dtype::F32, 100).unwrap_err().to_string();
    assert!(error.contains("two tensors are named t0"), "{error}");
    assert_eq!(folder.names(), names);
    assert_eq!(std::fs::read_to_string(&index).unwrap(), text);
    let error = save_safetensors_sharded(folder.0.join("x.bin"), &list, &[], Dtype::F32, 100).unwrap_err().to_string();
    assert!(error.contains("x.bin is to end in .safetensors"), "{error}");

    // What fits into one file is one, and the index of the old is gone.
    assert_eq!(save_safetensors_sharded(&path, &list, &[], Dtype::F32, 420).unwrap(), path);
    assert!(!index.exists());
    assert_eq!(open(&folder.0).unwrap().get("t6").unwrap().to_vec(), tensors[6].1.to_vec());
    let single = folder.0.join("single.safetensors");
    save_safetensors(&single, &list, &[], Dtype::F32).unwrap();
    assert_eq!(std::fs::read(single).unwrap(), std::fs::read(path).unwrap());
}
