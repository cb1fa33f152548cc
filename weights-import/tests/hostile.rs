//! Files that lie: an error or data, never a panic, and never more memory than the file warrants.
#![allow(missing_docs)]

mod common;

use common::hostile::{self, LIES, poke, tried};
use common::{caffe_seed, encode, message, safetensors};

/// A name that a dialect knows, all element types, a scalar, and a tensor without elements.
fn safetensors_seed() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt","a\"b":"\u00e4"},
"layer1.0.conv1.weight":{"dtype":"F32","shape":[2,1,1,1],"data_offsets":[0,8]},
"layer1.0.bn1.running_var":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},
"embeddings.word_embeddings.weight":{"dtype":"F16","shape":[2,2],"data_offsets":[16,24]},
"scalar":{"dtype":"I64","shape":[],"data_offsets":[24,32]},
"none":{"dtype":"BF16","shape":[0,3],"data_offsets":[32,32]},
"conv1.weight":{"dtype":"U8","shape":[1,2,2,1],"data_offsets":[32,36]}}"#;
    safetensors(header, &(0..36).map(|i| i * 7).collect::<Vec<u8>>())
}

fn seeds() -> [Vec<u8>; 2] {
    let seeds = [safetensors_seed(), message(&caffe_seed())];
    seeds.iter().for_each(|seed| assert!(poke(seed)));
    seeds
}

#[test]
fn cut_at_every_byte() {
    let [safetensors, caffe] = seeds();
    for end in 0..safetensors.len() {
        assert!(!poke(&safetensors[..end]), "opened the first {end} bytes");
    }
    // A protocol buffer has no end mark: cut between two layers, it is a smaller network.
    let whole = (0..caffe.len()).filter(|&end| poke(&caffe[..end])).count();
    assert!(whole <= 4, "{whole} beginnings opened");
    tried(700);
}

#[test]
fn every_bit_flipped() {
    seeds().iter().for_each(|seed| hostile::every_bit_flipped(seed));
    tried(5600);
}

#[test]
fn every_length_a_lie_in_safetensors() {
    let seed = safetensors_seed();
    for lie in LIES {
        let mut bytes = seed.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        assert!(!poke(&bytes), "header length {lie}");
    }
    // Every number of the header.
    let header = std::str::from_utf8(&seed[8..seed.len() - 36]).unwrap();
    let data = &seed[seed.len() - 36..];
    let numbers: Vec<(usize, usize)> = header
        .match_indices(['[', ','])
        .filter_map(|(at, _)| {
            let digits = header[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then_some((at + 1, at + 1 + digits))
        })
        .collect();
    assert_eq!(numbers.len(), 13 + 12); // dimensions and offsets
    for (start, end) in numbers {
        for lie in LIES.iter().map(u64::to_string).chain(["-1".into(), "1e9".into(), "99999999999999999999".into()]) {
            let same = header[start..end] == lie;
            let lied = format!("{}{lie}{}", &header[..start], &header[end..]);
            // A tensor without elements may have any other dimension.
            let empty = header[..start].ends_with("\"shape\":[0,") && lie.parse::<u64>().is_ok();
            let opened = poke(&safetensors(&lied, data));
            assert!(opened == same || empty, "{}[{lie}]: {opened}", &header[start.saturating_sub(30)..start]);
        }
    }
    tried(280);
}

#[test]
fn every_length_a_lie_in_caffe() {
    let seed = caffe_seed();
    let mut count = 0;
    encode(&seed, &mut count, None);
    assert!(count > 20);
    let mut opened = 0;
    for at in 0..count {
        for lie in LIES {
            poke(&encode(&seed, &mut 0, Some((at, lie))));
        }
        opened += usize::from(poke(&encode(&seed, &mut 0, Some((at, u64::MAX)))));
    }
    // The numbers that are no lengths: padding, kernel, stride, a layer's type, a flag.
    assert_eq!(opened, 5);
    tried(290);
}

#[test]
fn seeded_mutations() {
    for (number, seed) in seeds().iter().enumerate() {
        hostile::mutations(seed, 150_000, number as u64);
    }
    tried(300000);
}

/// Caffe's two older forms, and raw data.
#[test]
fn other_forms_of_caffe() {
    for (salt, name) in ["v0", "raw", "v1"].into_iter().enumerate() {
        let seed = std::fs::read(format!("../tests/import/caffe/{name}.caffemodel")).unwrap();
        assert!(poke(&seed));
        hostile::cut_at_every_byte(&seed);
        hostile::every_bit_flipped(&seed);
        hostile::mutations(&seed, 100_000, 20 + salt as u64);
    }
    tried(300000);
}

#[test]
fn large_files_of_little_things() {
    // The smallest entries that a header can have.
    let mut header = String::from("{");
    for i in 0..150_000 {
        header += &format!("\"{i:x}\":{{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[{i},{}]}},", i + 1);
    }
    header.pop();
    header.push('}');
    assert!(poke(&safetensors(&header, &vec![1; 150_000])));

    let shape = vec!["1"; 1_000_000].join(",");
    let header = format!("{{\"a\":{{\"dtype\":\"U8\",\"shape\":[{shape}],\"data_offsets\":[0,1]}}}}");
    poke(&safetensors(&header, &[1]));

    let pairs: Vec<String> = (0..300_000).map(|i| format!("\"{i:x}\":\"\"")).collect();
    poke(&safetensors(&format!("{{\"__metadata__\":{{{}}}}}", pairs.join(",")), &[]));

    let nested = format!("{{\"a\":{{\"x\":{}}}}}", "[".repeat(1_000_000));
    assert!(!poke(&safetensors(&nested, &[])));

    // Layers with the longest name, and blobs of one number each.
    let blob = [0x3a, 6, 0x2a, 4, 0, 0, 0x80, 0x3f];
    let mut layer = [vec![0x0a, 0xfa, 1], vec![b'n'; 250]].concat();
    layer.extend(blob.repeat(100_000));
    let file = [vec![0xa2, 0x06], common::varint(layer.len() as u64), layer].concat();
    assert!(!poke(&file));

    // Many small layers, each with a setting.
    let mut file = Vec::new();
    for i in 0..200_000 {
        let name = format!("{i:x}");
        let layer = [vec![0x0a, name.len() as u8], name.into_bytes(), vec![0x12, 0], blob.to_vec()].concat();
        file.extend([0xa2, 0x06, layer.len() as u8]);
        file.extend(layer);
    }
    poke(&file);

    // Numbers behind tags with another field between: no two join to a run.
    let mut blob = Vec::new();
    (0..400_000).for_each(|_| blob.extend([0x2d, 0, 0, 0, 0, 0x48, 0]));
    blob.extend([0x3a, 4, 0x08, 0x80, 0xb5, 0x18]);
    let layer = [vec![0x0a, 1, b'a', 0x3a], common::varint(blob.len() as u64), blob].concat();
    assert!(poke(&[vec![0xa2, 0x06], common::varint(layer.len() as u64), layer].concat()));
}

/// The first bytes of safetensors are a length, which may look like the signature of anything.
#[test]
fn every_length_of_a_header_opens() {
    let opens = |length: usize| {
        let header = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        let header = format!("{header}{}", " ".repeat(length - header.len()));
        assert!(poke(&safetensors(&header, &[7])), "{length}");
    };
    (56..10_000).for_each(opens);
    // gzip, bzip2, MXNet, a JPEG image.
    [0x8b1f, 0x08_8b1f, 0x68_5a42, 0x112, 0xff_d8ff].into_iter().for_each(opens);
    tried(9_900);
}
