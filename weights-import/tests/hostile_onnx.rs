//! ONNX models that lie, and what is said of those that are wrong.
#![allow(missing_docs)]

mod common;

use common::hostile::{LIES, mutate, poke_source, tried};
use common::{Field, Folder, Random, encode, floats, message, varint};
use std::collections::BTreeMap;
use weights_import::{Source, Weights, from_bytes, from_source, open};

fn tensor(name: &str, dims: &[u64], kind: u64, more: Vec<Field>) -> Vec<Field> {
    let mut fields: Vec<Field> = dims.iter().map(|&n| Field::Varint(1, n)).collect();
    fields.extend([Field::Varint(2, kind), Field::Bytes(8, name.into())]);
    fields.extend(more);
    fields
}

fn raw(name: &str, dims: &[u64], values: &[f32]) -> Vec<Field> {
    tensor(name, dims, 1, vec![Field::Bytes(9, floats(values))])
}

fn node(operator: &str, name: &str, inputs: &[&str], output: &str, attributes: Vec<Vec<Field>>) -> Field {
    let mut fields: Vec<Field> = inputs.iter().map(|&input| Field::Bytes(1, input.into())).collect();
    fields.extend([Field::Bytes(2, output.into()), Field::Bytes(3, name.into()), Field::Bytes(4, operator.into())]);
    fields.extend(attributes.into_iter().map(|attribute| Field::Message(5, attribute)));
    Field::Message(1, fields)
}

fn external(pairs: &[(&str, &str)]) -> Vec<Field> {
    let mut fields: Vec<Field> = pairs
        .iter()
        .map(|(key, value)| Field::Message(13, vec![Field::Bytes(1, (*key).into()), Field::Bytes(2, (*value).into())]))
        .collect();
    fields.push(Field::Varint(14, 1));
    fields
}

fn model(graph: Vec<Field>) -> Vec<Field> {
    vec![
        Field::Varint(1, 8),
        Field::Bytes(2, "hand".into()),
        Field::Message(7, graph),
        Field::Message(8, vec![Field::Varint(2, 17)]),
    ]
}

fn initialisers(tensors: Vec<Vec<Field>>) -> Vec<u8> {
    message(&model(tensors.into_iter().map(|tensor| Field::Message(5, tensor)).collect()))
}

/// Every way to store values, and every node that is looked at.
fn seed() -> Vec<Field> {
    let packed = |numbers: &[u64]| numbers.iter().flat_map(|&n| varint(n)).collect::<Vec<u8>>();
    let unpacked = |field, values: &[f32]| values.iter().map(|v| Field::Fixed32(field, v.to_le_bytes())).collect();
    let dim = |n| Field::Message(1, vec![Field::Varint(1, n)]);
    let input = vec![Field::Varint(1, 1), Field::Message(2, vec![dim(1), dim(2)])];
    model(vec![
        node("Conv", "/a/a.0/Conv", &["x", "onnx::Conv_1", "7"], "c", vec![]),
        node("Gemm", "/fc/Gemm", &["c", "g"], "d", vec![vec![Field::Bytes(1, "transB".into()), Field::Varint(3, 1)]]),
        node(
            "DequantizeLinear",
            "",
            &["q", "s", "z"],
            "dq",
            vec![vec![Field::Bytes(1, "axis".into()), Field::Varint(3, 0)]],
        ),
        node("MatMul", "/m/MatMul", &["x", "dq"], "e", vec![]),
        node(
            "Constant",
            "",
            &[],
            "k",
            vec![vec![
                Field::Bytes(1, "value".into()),
                Field::Message(5, tensor("", &[2], 7, vec![Field::Bytes(7, packed(&[3, u64::MAX]))])),
            ]],
        ),
        node("Identity", "", &["g"], "h", vec![]),
        Field::Bytes(2, "graph".into()),
        Field::Message(5, raw("onnx::Conv_1", &[1, 2, 1, 1], &[1., 2.])),
        Field::Message(5, tensor("7", &[2], 1, unpacked(4, &[3., 4.]))),
        Field::Message(5, tensor("g", &[1, 2], 10, vec![Field::Bytes(5, packed(&[0x3c00, 0x4000]))])),
        Field::Message(
            5,
            tensor(
                "q",
                &[2, 2],
                3,
                vec![Field::Varint(5, 1), Field::Bytes(5, packed(&[2, u64::MAX])), Field::Varint(5, 4)],
            ),
        ),
        Field::Message(5, tensor("s", &[2], 1, vec![Field::Bytes(4, floats(&[0.5, 2.]))])),
        Field::Message(5, tensor("z", &[2], 3, vec![Field::Bytes(9, vec![1, 0])])),
        Field::Message(5, tensor("b", &[], 9, vec![Field::Varint(5, 1)])),
        Field::Message(5, tensor("t", &[1], 8, vec![Field::Bytes(6, "text".into())])),
        Field::Message(5, tensor("e", &[3], 2, external(&[("location", "m.bin"), ("offset", "1"), ("length", "3")]))),
        Field::Message(11, vec![Field::Bytes(1, "x".into()), Field::Message(2, vec![Field::Message(1, input)])]),
    ])
}

fn source(bytes: &[u8]) -> Source {
    let beside = BTreeMap::from([("m.bin".to_string(), vec![9, 8, 7, 6])]);
    Source::memory_with(bytes.to_vec(), "m.onnx", beside)
}

fn poke(bytes: &[u8]) -> bool {
    poke_source(&|| source(bytes), bytes.len() + 4)
}

fn read(bytes: &[u8]) -> Weights {
    from_source(source(bytes)).unwrap()
}

#[test]
fn the_seed_is_read() {
    let weights = read(&message(&seed()));
    assert_eq!(weights.format(), "onnx");
    let found: Vec<String> = weights
        .entries()
        .iter()
        .map(|e| match e.dtype.is_float() {
            true => format!("{} {}{:?} {:?}", e.name, e.dtype, e.shape, weights.get(&e.name).unwrap().to_vec()),
            false => format!("{} {}{:?} {:?}", e.name, e.dtype, e.shape, weights.get_i64(&e.name).unwrap().1),
        })
        .collect();
    let expected = [
        "a.0.weight F32[1, 2, 1, 1] [1.0, 2.0]",
        "a.0.bias F32[2] [3.0, 4.0]",
        "g F16[1, 2] [1.0, 2.0]",
        "q F32[2, 2] [0.0, 0.5, -2.0, 8.0]",
        "s F32[2] [0.5, 2.0]",
        "z I8[2] [1, 0]",
        "b BOOL[] [1]",
        "e U8[3] [8, 7, 6]",
        "k I64[2] [3, -1]",
        "h F16[1, 2] [1.0, 2.0]",
    ];
    assert_eq!(found, expected);
    let said: Vec<String> = weights.metadata().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let expected = [
        "input.x=F32[1, 2]",
        "ir_version=8",
        "layout.q=in,out",
        "opset=17",
        "producer=hand",
        "quantised.q=I8 along axis 0, scale s, zero point z",
        "renamed.a.0.bias=7",
        "renamed.a.0.weight=onnx::Conv_1",
        "skipped.t=strings",
    ];
    assert_eq!(said, expected);
}

#[test]
fn cut_at_every_byte() {
    let seed = message(&seed());
    assert!(poke(&seed));
    // Before the operators' version, which is last, the model is whole.
    let opened: Vec<usize> = (0..seed.len()).filter(|&end| poke(&seed[..end])).collect();
    assert_eq!(opened, [seed.len() - 4]);
    let error = from_source(source(&seed[..seed.len() / 2])).unwrap_err().to_string();
    assert!(error.contains("broken onnx file") && error.contains("is the download complete?"), "{error}");
    tried(480);
}

#[test]
fn every_bit_flipped() {
    let seed = message(&seed());
    let opened = (0..8 * seed.len()).filter(|bit| {
        let mut bytes = seed.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        poke(&bytes)
    });
    let opened = opened.count();
    assert!(opened > 1000 && opened < 7 * seed.len(), "{opened}");
    tried(3800);
}

#[test]
fn every_length_a_lie() {
    let seed = seed();
    let mut count = 0;
    encode(&seed, &mut count, None);
    assert!(count > 100);
    for at in 0..count {
        for lie in LIES {
            poke(&encode(&seed, &mut 0, Some((at, lie))));
        }
    }
    tried(900);
}

#[test]
fn seeded_mutations() {
    let (seed, cases) = (message(&seed()), 100_000);
    let mut opened = 0;
    for case in 0..cases {
        let mut random = Random(case << 8 | 21);
        let mut bytes = seed.clone();
        (0..1 + random.below(4)).for_each(|_| mutate(&mut bytes, &mut random));
        opened += u64::from(poke(&bytes));
    }
    assert!((cases / 50..cases * 3 / 4).contains(&opened), "{opened} of {cases} opened");
    tried(100000);
}

/// CVE-2024-27318: the path of external data leads out of the model's folder.
#[test]
fn cve_2024_27318_paths_out_of_the_folder() {
    let folder = Folder::new("onnx-paths");
    std::fs::create_dir_all(folder.0.join("model/data")).unwrap();
    folder.file("secret", b"secret");
    folder.file("model/near", b"secret");
    let absolute = folder.0.join("secret").display().to_string();
    for path in [
        "../secret",
        "data/../../secret",
        "./../secret",
        "data/..",
        &absolute,
        "/etc/passwd",
        "",
        ".",
        "./near",
        "data//near",
        "near\0",
    ] {
        let bytes = initialisers(vec![tensor("a", &[6], 2, external(&[("location", path)]))]);
        let error = open(folder.file("model/m.onnx", &bytes)).unwrap_err().to_string();
        assert!(error.contains("outside of its folder"), "{path}: {error}");
    }
    let bytes = initialisers(vec![tensor("a", &[6], 2, external(&[("location", "near")]))]);
    assert_eq!(open(folder.file("model/m.onnx", &bytes)).unwrap().raw("a").unwrap().bytes, b"secret");
}

/// CVE-2026-27489: the same with backslashes, and through links.
#[test]
fn cve_2026_27489_backslashes_and_links() {
    let folder = Folder::new("onnx-links");
    std::fs::create_dir_all(folder.0.join("model")).unwrap();
    folder.file("secret", b"secret");
    for path in ["..\\secret", "\\secret", "data\\..\\..\\secret", "C:\\secret", "C:secret", "\\\\host\\share"] {
        let bytes = initialisers(vec![tensor("a", &[6], 2, external(&[("location", path)]))]);
        let error = open(folder.file("model/m.onnx", &bytes)).unwrap_err().to_string();
        assert!(error.contains("outside of its folder"), "{path}: {error}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.0.join("secret"), folder.0.join("model/file")).unwrap();
        std::os::unix::fs::symlink(&folder.0, folder.0.join("model/folder")).unwrap();
        for path in ["file", "folder/secret"] {
            let bytes = initialisers(vec![tensor("a", &[6], 2, external(&[("location", path)]))]);
            let error = open(folder.file("model/m.onnx", &bytes)).unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{path}: {error}");
        }
        // A hub cache: the model and its data are links into one folder. From there no other can be reached.
        std::fs::create_dir_all(folder.0.join("blobs")).unwrap();
        std::os::unix::fs::symlink("../blobs/1", folder.0.join("model/data")).unwrap();
        std::os::unix::fs::symlink("../blobs/2", folder.0.join("model/m.linked")).unwrap();
        folder.file("blobs/1", b"values");
        for path in ["data", "file", "folder/secret"] {
            let bytes = initialisers(vec![tensor("a", &[6], 2, external(&[("location", path)]))]);
            folder.file("blobs/2", &bytes);
            let opened = open(folder.0.join("model/m.linked"));
            match path {
                "data" => assert_eq!(opened.unwrap().raw("a").unwrap().bytes, b"values"),
                _ => assert!(opened.unwrap_err().to_string().contains("symbolic link: refused; put a copy")),
            }
        }
    }
}

#[test]
fn says_what_is_wrong() {
    let one = |fields: Vec<Field>| initialisers(vec![fields]);
    let graph = |fields: Vec<Field>| message(&model(fields));
    let dq = |scale: Vec<Field>, zero: Vec<Field>| {
        graph(vec![
            node("DequantizeLinear", "", &["w", "s", "z"], "y", vec![]),
            Field::Message(5, tensor("w", &[2, 3], 3, vec![Field::Bytes(9, vec![0; 6])])),
            Field::Message(5, scale),
            Field::Message(5, zero),
        ])
    };
    let bytes = |n| vec![Field::Bytes(9, vec![0; n])];
    for (file, words) in [
        (one(raw("a", &[3], &[1., 2.])), "tensor a claims F32[3], but has not so many values"),
        (one(raw("a", &[1], &[1., 2.])), "tensor a claims F32[1], but has not so many values"),
        (one(tensor("a", &[2], 1, vec![])), "tensor a claims F32[2], but has not so many values"),
        (one(tensor("a", &[1 << 40], 6, vec![Field::Varint(5, 1)])), "but has not so many values"),
        (one(raw("a", &[1 << 32, 1 << 32], &[1.])), "which is too large"),
        (one(raw("a", &[1 << 62, 1], &[1.])), "which is too large"),
        (one(raw("a", &[u64::MAX], &[1.])), "a dimension of the size -1"),
        (one(raw("a", &[1; 33], &[1.])), "more than 32 dimensions"),
        (one(tensor("a", &[1], 1, vec![Field::Message(3, vec![])])), "segments"),
        (one(tensor("a", &[1], 1, vec![Field::Fixed64(4, [0; 8])])), "but has not so many values"),
        (one(tensor("a", &[1], 1, vec![Field::Varint(14, 1)])), "which is not said"),
        (one(tensor("a", &[1], 1, external(&[("location", "none.bin")]))), "needs the file none.bin beside it"),
        (
            one(tensor("a", &[5], 2, external(&[("location", "m.bin")]))),
            "said to be 5 bytes from byte 0 of m.bin, which has 4",
        ),
        (one(tensor("a", &[2], 2, external(&[("location", "m.bin"), ("offset", "3")]))), "2 bytes from byte 3"),
        (one(tensor("a", &[2], 2, external(&[("location", "m.bin"), ("length", "3")]))), "said to be 3 bytes"),
        (one(tensor("a", &[2], 2, external(&[("location", "m.bin"), ("offset", "-1")]))), "offset is \"-1\""),
        (
            one(tensor("a", &[2], 2, external(&[("location", "m.bin"), ("offset", "18446744073709551615")]))),
            "2 bytes from byte 18446744073709551615",
        ),
        (initialisers(vec![raw("a", &[1], &[1.]), raw("a", &[1], &[1.])]), "two tensors are named a"),
        (graph(vec![Field::Message(15, vec![])]), "sparse initialisers"),
        (graph(vec![Field::Bytes(2, "g".into())]), "its graph has no tensors"),
        (message(&[model(vec![]), vec![Field::Message(7, vec![])]].concat()), "two graphs"),
        (
            dq(tensor("s", &[2], 1, bytes(8)), tensor("z", &[2], 3, bytes(2))),
            "tensor w has 2 scales, which do not fit the shape [2, 3]",
        ),
        (dq(tensor("s", &[3], 1, bytes(12)), tensor("z", &[2], 3, bytes(2))), "has 2 zero points for 3 scales"),
    ] {
        let error = from_source(source(&file)).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    // What is only seen when the values are read.
    for (kind, values, words) in [
        (3, vec![Field::Varint(5, 300)], "a list of I8 holds 300"),
        (9, vec![Field::Varint(5, 2)], "a list of BOOL holds 2"),
        (10, vec![Field::Varint(5, u64::MAX)], "a list of F16 holds -1"),
        (6, vec![Field::Bytes(5, vec![1, 2])], "has 8 bytes of values, expected 4"),
        (6, vec![Field::Bytes(5, vec![0x80])], "has no end"),
    ] {
        let weights = read(&one(tensor("a", &[1], kind, values)));
        let error = weights.raw("a").unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn integers_without_a_scale_stay() {
    let bytes = |n| vec![Field::Bytes(9, vec![7; n])];
    let weights = read(&message(&model(vec![
        // The scale is computed: not known here.
        node("DequantizeLinear", "", &["w", "computed"], "y", vec![]),
        Field::Message(5, tensor("w", &[2], 3, bytes(2))),
        Field::Message(5, tensor("alone", &[2], 2, bytes(2))),
    ])));
    assert_eq!(weights.get_i64("w").unwrap().1, [7, 7]);
    assert_eq!(weights.raw("alone").unwrap().bytes, [7, 7]);
}

#[test]
fn large_files_of_little_things() {
    let open = |graph: Vec<u8>| {
        let mut file = vec![0x08, 8, 0x3a];
        file.extend(varint(graph.len() as u64));
        file.extend(graph);
        poke_source(&|| Source::memory(file.clone(), "m.onnx"), file.len())
    };
    // The smallest initialisers.
    let mut graph = Vec::new();
    for i in 0..60_000u32 {
        let name = format!("{i:x}");
        graph.extend([0x2a, 7 + name.len() as u8, 0x10, 2, 0x42, name.len() as u8]);
        graph.extend(name.into_bytes());
        graph.extend([0x4a, 1, 0]);
    }
    open(graph);
    // Skipped ones.
    let mut graph = Vec::new();
    (0..60_000u32).for_each(|i| {
        graph.extend([0x2a, 7, 0x10, 8, 0x42, 3, b'a' + (i % 26) as u8, b'a' + (i / 26 % 26) as u8, b'b'])
    });
    open(graph);
    // Nodes without end, each with many inputs.
    let node = [vec![0x0a, 56], [0x0a, 1, b'w'].repeat(16), vec![0x22, 6], b"MatMul".to_vec()].concat();
    let mut graph = [0x2a, 8, 0x10, 2, 0x42, 1, b'w', 0x4a, 1, 0][..10].to_vec();
    (0..20_000).for_each(|_| graph.extend(&node));
    open(graph);
    // A large tensor under thousands of names.
    let mut graph =
        [vec![0x2a], varint(100_013), vec![0x08], varint(100_000), vec![0x10, 2, 0x42, 1, b'w', 0x4a], varint(100_000)]
            .concat();
    graph.extend(vec![1; 100_000]);
    for i in 0..5_000u32 {
        let name = format!("{i:04x}");
        graph.extend([0x0a, 19, 0x0a, 1, b'w', 0x12, 4]);
        graph.extend(name.into_bytes());
        graph.extend([0x22, 8]);
        graph.extend(b"Identity");
    }
    assert!(!open(graph.clone()));
    let file = [vec![0x08, 8, 0x3a], varint(graph.len() as u64), graph].concat();
    assert!(from_bytes(file, "m").unwrap_err().to_string().contains("more tensors and names than a file of this size"));
    // Dimensions without end, and numbers each behind a tag.
    open([vec![0x2a], varint(2_000_000), [8, 1].repeat(1_000_000)].concat());
    let list = [vec![0x08], varint(200_000), vec![0x10, 1, 0x42, 1, b'w'], [0x25, 0, 0, 0, 0].repeat(200_000)].concat();
    assert!(open([vec![0x2a], varint(list.len() as u64), list].concat()));
}

#[test]
fn what_is_no_model() {
    for bytes in [b"\x08\x07\x12\x07pytorch".to_vec(), b"\x08\x07".to_vec(), vec![0x3a, 0], vec![8, 8, 0x10, 1]] {
        let error = from_bytes(bytes, "m").unwrap_err().to_string();
        assert!(error.contains("no weights file known here"), "{error}");
    }
}
