//! Small files that would cost much memory or time, and the attacks that are known by name and fit several formats.
#![allow(missing_docs)]

mod common;

use common::archives::{array, deflated, dict, legacy, member, npy, pytorch, tensor, zip};
use common::hostile::{allow, poke, poke_source, tried};
use common::tables::{SHARD, block, one_block, packed};
use common::{Field, Files, floats, gguf, message, safetensors, varint};
use std::collections::BTreeMap;
use weights_import::{Source, Weights, from_bytes};

/// What the requirement allows any file besides 16 times its size.
const MOST: isize = 64 << 20;

fn error(bytes: Vec<u8>) -> String {
    from_bytes(bytes, "file").unwrap_err().to_string()
}

/// Deflated zeros: as large as is let in, of the types that grow most when they are read; then too large, alone and together.
#[test]
fn deflated_arrays() {
    allow(MOST);
    for (descr, size, count) in
        [("'|u1'", 1, 4_000_000), ("'<f2'", 2, 9_000_000), ("'<f4'", 4, 7_500_000), ("'<i8'", 8, 2_500_000)]
    {
        let file = |count: usize| npy(descr, &format!("({count},)"), &vec![0; count * size]);
        assert!(poke(&zip(&[deflated("a.npy", &file(count))])), "{descr}");
        let four = 4 * count;
        let bytes = zip(&[deflated("a.npy", &file(four))]);
        assert!(!poke(&bytes), "{descr}");
        let words = error(bytes);
        assert!(words.contains("claims to unpack from") && words.contains("write the file uncompressed"), "{words}");
    }
    let one = deflated("0.npy", &npy("'<f4'", "(5000000,)", &[0; 20_000_000]));
    let many: Vec<_> = (0..8)
        .map(|i| {
            let name = format!("{i}.npy").into_bytes();
            let mut member = one.clone();
            (member.local, member.name) = (name.clone(), name);
            member
        })
        .collect();
    assert!(poke(&zip(&many[..1])));
    assert!(error(zip(&many)).contains("claims to unpack from"));
    // A member that unpacks to more than it says, and one to less.
    for (said, words) in [(100, "to 100 of 100"), (1 << 21, "of 2097152")] {
        let mut member = deflated("a.npy", &npy("'|u1'", &format!("({said},)"), &vec![0; 1 << 20]));
        let header = npy("'|u1'", &format!("({said},)"), &[]).len() as u32;
        member.size = said + header;
        let bytes = zip(&[member]);
        assert!(!poke(&bytes));
        let words = words.replace("100", &(100 + header).to_string()).replace("2097152", &(said + header).to_string());
        let error = from_bytes(bytes, "file").unwrap().raw("a").unwrap_err().to_string();
        assert!(error.contains(&words), "{words}: {error}");
    }
}

#[test]
fn deflated_pickles() {
    allow(MOST);
    for unit in [&b"N"[..], b"(", b"]", b"}q\0", b"K\x01K\x02\x86q\0"] {
        let code = [b"\x80\x02", &unit.repeat(25_000_000 / unit.len())[..], b"."].concat();
        let bytes = zip(&[deflated("m/data.pkl", &code), member("m/data/0", &[0; 12])]);
        assert!(!poke(&bytes));
        assert!(error(bytes).contains("more values than a file of this size can have"));
    }
}

/// A large storage under many names: what is read in all would be thousands of times the file.
#[test]
fn storages_shared_by_very_many_tensors() {
    allow(MOST);
    let file = |names: usize, count: u32| {
        let (number, size) =
            ([b"J", &count.to_le_bytes()[..]].concat(), [b"J", &count.to_le_bytes()[..], b"\x85"].concat());
        let t = tensor("FloatStorage", &number, b"K\0", &size, b"K\x01\x85");
        let mut code = [b"\x80\x02}(U\x01a", &t[..], b"q\0"].concat();
        for i in 0..names {
            code.extend([b"U\x05", format!("{i:05}").as_bytes(), b"h\0"].concat());
        }
        code.extend(b"u.");
        zip(&[member("m/data.pkl", &code), member("m/data/0", &vec![0; 4 * count as usize])])
    };
    assert!(poke(&file(30, 250_000)));
    assert!(
        error(file(4000, 250_000))
            .contains("share storages, and have too many bytes for this file: save them as copies")
    );
    // Expanded: a few bytes stand for a large tensor, many times.
    let expanded = tensor("FloatStorage", b"K\x03", b"K\0", b"J\0\x80\0\0\x85", b"K\0\x85");
    let many = |names: usize| {
        let mut code = [b"\x80\x02}(U\x01a", &expanded[..], b"q\0"].concat();
        (0..names).for_each(|i| code.extend([b"U\x04", format!("{i:04}").as_bytes(), b"h\0"].concat()));
        [&code[..], b"u."].concat()
    };
    assert!(poke(&pytorch(&many(100))) && poke(&legacy(&many(100))));
    assert!(error(pytorch(&many(2000))).contains("share storages"));
    assert!(error(legacy(&many(2000))).contains("share storages"));
}

/// TensorFlow's short lists: each of many constants stands for as many numbers as the file has.
#[test]
fn short_lists_of_very_many_constants() {
    allow(MOST);
    let file = |nodes: usize, count: u64| {
        let constant = |i: usize| {
            let shape = vec![Field::Message(2, vec![Field::Varint(1, count)])];
            let tensor = vec![Field::Varint(1, 1), Field::Message(2, shape), Field::Bytes(5, floats(&[7.]))];
            let attribute = vec![Field::Bytes(1, "value".into()), Field::Message(2, vec![Field::Message(8, tensor)])];
            let name = Field::Bytes(1, format!("{i}").into());
            Field::Message(1, vec![name, Field::Bytes(2, "Const".into()), Field::Message(5, attribute)])
        };
        message(&(0..nodes).map(constant).collect::<Vec<_>>())
    };
    assert!(poke(&file(30, 1 << 16)));
    let error = error(file(4000, 1 << 16));
    assert!(error.contains("claims F32[65536], but has not so many values"), "{error}");
}

/// Small numbers in lists take a byte, and eight when they are read.
#[test]
fn integers_of_a_byte() {
    allow(MOST);
    let tensor = vec![
        Field::Varint(1, 4 << 20),
        Field::Varint(2, 7),
        Field::Bytes(8, "a".into()),
        Field::Bytes(7, vec![1; 4 << 20]),
    ];
    assert!(poke(&message(&[Field::Varint(1, 8), Field::Message(7, vec![Field::Message(5, tensor)])])));
}

/// The older checkpoint of TensorFlow: very many tensors in one block, which each of them would verify and unpack anew.
#[test]
fn one_block_of_very_many_tensors() {
    allow(MOST);
    let count = 4000;
    let all = |rank: usize| (0..rank).map(|_| Field::Message(1, vec![])).collect::<Vec<_>>();
    let name = |i: usize| Field::Bytes(1, format!("{i:05}").into());
    let shape = Field::Message(2, vec![Field::Message(2, vec![Field::Varint(1, 100)])]);
    let meta = |i| Field::Message(1, vec![name(i), shape.clone(), Field::Varint(3, 1), Field::Message(4, all(1))]);
    let mut rows = vec![(vec![], message(&[Field::Message(1, (0..count).map(meta).collect())]))];
    rows.extend((0..count).map(|i| {
        let data = Field::Message(3, vec![Field::Bytes(5, floats(&[0.5; 100]))]);
        let saved = Field::Message(2, vec![name(i), Field::Message(2, all(1)), data]);
        (format!("\0{i:05}").into_bytes(), message(&[saved]))
    }));
    let plain = block(&rows);
    assert!(poke(&one_block(plain.clone())));
    // The same as snappy, in literals.
    let mut literals = varint(plain.len() as u64);
    plain.chunks(60).for_each(|part| literals.extend([&[(part.len() as u8 - 1) << 2], part].concat()));
    assert!(poke(&packed(literals)));
}

/// Long names that begin again and again as names of a dialect do, and many names in many wrappers.
#[test]
fn names_that_look_like_many() {
    allow(MOST);
    let file = |names: &[String]| {
        let entry = |(i, name): (usize, &String)| {
            format!(r#""{name}":{{"dtype":"U8","shape":[1,1,1,1],"data_offsets":[{i},{}]}}"#, i + 1)
        };
        let entries: Vec<String> = names.iter().enumerate().map(entry).collect();
        safetensors(&format!("{{{}}}", entries.join(",")), &vec![1; names.len()])
    };
    let known = [
        "layer1.0.conv1.weight",
        "encoder.layer.0.attention.self.query.weight",
        "bert/encoder/layer_0/attention/self/query/kernel",
        "encoder.stages.0.layers.0.layer.0.convolution.weight",
        "conv2_block1_1_conv/kernel",
        "conv2d_1/kernel",
        "res2a_branch2a/kernel",
        "res2a_branch2a.0",
        "conv1_1.0",
        "features.0.weight",
        "Mixed_5c/Branch_1/Conv_1_0c_5x5/weights",
        "num_batches_tracked",
        "bn1.weight",
    ];
    for sign in known {
        let piece = &sign[..sign.len() - 1];
        for joint in ["", ".", "/"] {
            let long = format!("{piece}{joint}").repeat(500_000 / sign.len());
            assert!(poke(&file(std::slice::from_ref(&long))), "{sign}");
            assert!(poke(&file(&[format!("{long}{sign}")])), "{sign}");
        }
        // Few models are looked at, very many are not.
        for wrappers in [60, 5000] {
            let mut names: Vec<String> = (0..wrappers).map(|i| format!("{i}.{sign}")).collect();
            names.extend((0..5000).map(|i| format!("other{i}.{piece}")));
            assert!(poke(&file(&names)), "{sign}");
        }
    }
    let weights = from_bytes(file(&(0..20_000).map(|i| format!("a.{i}")).collect::<Vec<_>>()), "file").unwrap();
    let near = weights.get("a.20001").unwrap_err().to_string();
    assert!(near.contains("no tensor named a.20001 (there is a."), "{near}");
}

/// Dimensions of which one is 0 and the product of the rest overflows, in every order.
#[test]
fn a_zero_among_huge_dimensions() {
    let huge = [1u64 << 40, 1 << 40];
    for at in 0..=2 {
        let mut dims = huge.to_vec();
        dims.insert(at, 0);
        let names =
            ["conv1.weight", "layer1.0.conv1.weight", "bert/encoder/layer_0/attention/self/query/kernel", "fc6.0"];
        for name in names {
            let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":{dims:?},"data_offsets":[0,0]}}}}"#);
            poke(&safetensors(&header, &[]));
        }
        let [a, b, c] = [dims[0], dims[1], dims[2]];
        poke(&npy("'<f4'", &format!("({a}, {b}, {c})"), &[]));
        poke(&npy("'<f4'", &format!("({a}, {b}, {c})").replace("0,", "0L,"), &[]));
        let t = gguf::Tensor { name: b"a", dims: &dims, kind: gguf::F32, offset: 0 };
        poke(&gguf::file(&[], &[t], &[]));
        let sizes: Vec<u8> = dims.iter().flat_map(|n| [&b"\x8a\x08"[..], &n.to_le_bytes()].concat()).collect();
        let sizes = [b"(", &sizes[..], b"t"].concat();
        poke(&pytorch(&dict(&tensor("FloatStorage", b"K\x03", b"K\0", &sizes, b"K\x01K\x01K\x01\x87"))));
        let varints = |field| dims.iter().map(move |&n| Field::Varint(field, n)).collect::<Vec<_>>();
        let onnx = [varints(1), vec![Field::Varint(2, 1), Field::Bytes(8, "a".into())]].concat();
        poke(&message(&[Field::Varint(1, 8), Field::Message(7, vec![Field::Message(5, onnx)])]));
        poke(&message(&[common::layer("a", "InnerProduct", &[common::blob(&dims, &[])])]));
        let group = format!(r#"{{"paths":[],"weights":[{{"name":"a","shape":{dims:?},"dtype":"float32"}}]}}"#);
        poke(format!(r#"{{"weightsManifest":[{group}]}}"#).as_bytes());
    }
    tried(3 * 11);
}

/// Makes a file whose only tensor claims these dimensions.
type Claim = Box<dyn Fn(&[u64]) -> Source>;

fn claims() -> Vec<(&'static str, Claim)> {
    let dims = |dims: &[u64], field: u64| dims.iter().map(|&n| Field::Varint(field, n)).collect::<Vec<_>>();
    let shape =
        |dims: &[u64]| Field::Message(2, dims.iter().map(|&n| Field::Message(2, vec![Field::Varint(1, n)])).collect());
    let memory = |bytes: Vec<u8>| Source::memory(bytes, "file");
    vec![
        (
            "safetensors",
            Box::new(move |d| {
                memory(safetensors(
                    &format!(r#"{{"a":{{"dtype":"F64","shape":{d:?},"data_offsets":[0,8]}}}}"#),
                    &[0; 8],
                ))
            }),
        ),
        (
            "npy",
            Box::new(move |d| {
                let text: String = d.iter().map(|n| format!("{n},")).collect();
                memory(npy("'<f8'", &format!("({text})"), &[0; 8]))
            }),
        ),
        (
            "npz",
            Box::new(move |d| {
                let text: String = d.iter().map(|n| format!("{n},")).collect();
                memory(zip(&[member("a.npy", &npy("'<f8'", &format!("({text})"), &[0; 8]))]))
            }),
        ),
        (
            "pytorch",
            Box::new(move |d| {
                // What has the highest bit needs a ninth byte, or it were negative.
                let long = |n: &u64| {
                    let len = if *n >> 63 == 1 { 9 } else { 8 };
                    [&[0x8a, len as u8][..], &[&n.to_le_bytes()[..], &[0]].concat()[..len]].concat()
                };
                let sizes: Vec<u8> = d.iter().flat_map(long).collect();
                let (sizes, ones) =
                    ([b"(", &sizes[..], b"t"].concat(), [b"(", &b"K\0".repeat(d.len())[..], b"t"].concat());
                memory(pytorch(&dict(&tensor("FloatStorage", b"K\x03", b"K\0", &sizes, &ones))))
            }),
        ),
        (
            "onnx",
            Box::new(move |d| {
                let tensor =
                    [dims(d, 1), vec![Field::Varint(2, 11), Field::Bytes(8, "a".into()), Field::Bytes(9, vec![0; 8])]];
                memory(message(&[Field::Varint(1, 8), Field::Message(7, vec![Field::Message(5, tensor.concat())])]))
            }),
        ),
        (
            "tf_graph",
            Box::new(move |d| {
                let tensor = vec![Field::Varint(1, 2), shape(d), Field::Bytes(4, vec![0; 8])];
                let attribute =
                    vec![Field::Bytes(1, "value".into()), Field::Message(2, vec![Field::Message(8, tensor)])];
                let node =
                    vec![Field::Bytes(1, "a".into()), Field::Bytes(2, "Const".into()), Field::Message(5, attribute)];
                memory(message(&[Field::Message(1, node)]))
            }),
        ),
        (
            "tf_checkpoint",
            Box::new(move |d| {
                let entry = vec![Field::Varint(1, 2), shape(d), Field::Varint(5, 8)];
                let rows = [(vec![], message(&[Field::Varint(1, 1)])), (b"a".to_vec(), message(&entry))];
                let beside = BTreeMap::from([(SHARD.to_string(), vec![0; 8])]);
                Source::memory_with(one_block(block(&rows)), "m.index", beside)
            }),
        ),
        (
            "tfjs",
            Box::new(move |d| {
                let weight = format!(r#"{{"name":"a","shape":{d:?},"dtype":"float32"}}"#);
                let model = format!(r#"{{"weightsManifest":[{{"paths":["s"],"weights":[{weight}]}}]}}"#);
                Files { files: vec![("model.json".into(), model.into()), ("s".into(), vec![0; 8])] }.source()
            }),
        ),
        (
            "gguf",
            Box::new(move |d| {
                memory(gguf::file(&[], &[gguf::Tensor { name: b"a", dims: d, kind: gguf::F32, offset: 0 }], &[0; 32]))
            }),
        ),
        (
            "caffe",
            Box::new(move |d| memory(message(&[common::layer("a", "InnerProduct", &[common::blob(d, &[0.; 2])])]))),
        ),
    ]
}

/// Sizes whose product, times the bytes of an element, is a small number once it has overflowed.
#[test]
fn an_overflowing_number_of_bytes_in_every_format() {
    for (format, file) in claims() {
        for dims in [
            &[1 << 61, 8][..],
            &[1 << 62, 4],
            &[1 << 63, 2],
            &[1 << 32, 1 << 32],
            &[(1 << 61) + 1],
            &[(1 << 62) + 1],
            &[(1 << 63) + 1],
            &[u64::MAX],
            &[u64::MAX, u64::MAX],
            &[1 << 21, 1 << 21, 1 << 22],
        ] {
            assert!(!poke_source(&|| file(dims), 1000), "{format} {dims:?}");
        }
    }
    tried(100);
}

/// CVE-2026-0897: a few bytes of file claim a shape of many gigabytes, which would be allocated before it is looked at.
#[test]
fn cve_2026_0897_shape_bombs_in_every_format() {
    for (format, file) in claims() {
        for dims in [&[1 << 31][..], &[1 << 34], &[1 << 40], &[1 << 20, 1 << 20], &[65536, 65536], &[1 << 24]] {
            assert!(!poke_source(&|| file(dims), 1000), "{format} {dims:?}");
        }
        let good: &[u64] = match format {
            "safetensors" | "npy" | "npz" | "onnx" | "tf_graph" | "tf_checkpoint" => &[1],
            "gguf" => &[8],
            "pytorch" => &[3],
            _ => &[2],
        };
        let read = |weights: Weights| weights.entries()[0].name.clone();
        let opened = weights_import::from_source(file(good)).map(read);
        assert!(opened.is_ok(), "{format}: {opened:?}");
    }
    tried(60);
}

/// CVE-2024-21802: a tensor of GGUF with more dimensions than the reader keeps room for.
#[test]
fn cve_2024_21802_dimensions_of_gguf() {
    let seed = gguf::file(&[], &[gguf::Tensor { name: b"a", dims: &[1, 1], kind: gguf::F32, offset: 0 }], &[0; 32]);
    assert!(poke(&seed));
    let at = 24 + 8 + 1;
    assert_eq!(seed[at..at + 4], 2u32.to_le_bytes());
    for rank in (9..64).chain([1 << 16, 1 << 31, u32::MAX]) {
        let mut bytes = seed.clone();
        bytes[at..at + 4].copy_from_slice(&rank.to_le_bytes());
        assert!(!poke(&bytes));
        let error = error(bytes);
        assert!(error.contains(&format!("tensor a claims {rank} dimensions, more than 8")), "{error}");
    }
    // As many as there are, in a file that has them.
    let many = gguf::Tensor { name: b"a", dims: &[1; 9], kind: gguf::F32, offset: 0 };
    assert!(!poke(&gguf::file(&[], &[many], &[0; 32])));
    tried(60);
}

/// CVE-2019-6446: an array of Python objects, which are a pickle.
#[test]
fn cve_2019_6446_arrays_of_objects() {
    let code = b"\x80\x02cposix\nsystem\nU\x02id\x85R.";
    for descr in ["'|O'", "'|O8'", "'O'", "'<O'", "'>O8'"] {
        let array = npy(descr, "(1,)", code);
        for bytes in [array.clone(), zip(&[member("a.npy", &array)]), zip(&[deflated("a.npy", &array)])] {
            assert!(!poke(&bytes), "{descr}");
            let error = error(bytes);
            assert!(error.contains("holds Python objects") && error.contains("CVE-2019-6446"), "{descr}: {error}");
        }
    }
    // A record with one among its fields.
    let record = npy("[('a', '<f4'), ('b', '|O')]", "(1,)", code);
    assert!(error(record).contains("records of several fields"));
}

/// CVE-2025-29787: a member of an archive that is a link out of it.
#[test]
fn cve_2025_29787_links_in_archives() {
    let t = dict(&tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85"));
    for kind in [0o120_777u32, 0o120_000] {
        let mut link = member("m/data/0", b"../../secret");
        link.attributes = kind << 16;
        let error = error(zip(&[member("m/data.pkl", &t), link]));
        assert!(error.contains("m/data/0 is a symbolic link: refused"), "{error}");
    }
    let mut link = member("a.npy", &array());
    link.attributes = 0o120_777 << 16;
    assert!(error(zip(&[link])).contains("a.npy is a symbolic link: refused"));
}
