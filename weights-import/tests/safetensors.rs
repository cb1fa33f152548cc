//! safetensors: what is written is read, by us and by the crate of that name.
#![allow(missing_docs)]

mod common;

use ::safetensors::SafeTensors;
use common::{Folder, numbers, safetensors, tensor};
use half::{bf16, f16};
use ukulele_tensor::Tensor;
use weights_import::{Dtype, Error, from_bytes, open, save_safetensors};

const SHAPES: &[&[usize]] = &[&[], &[0], &[1], &[7], &[2, 0, 3], &[3, 5], &[2, 3, 4], &[2, 3, 4, 5], &[1, 2, 1, 3, 2]];

#[test]
fn round_trip_over_types_and_shapes() {
    let folder = Folder::new("round-trip");
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let tensors: Vec<(String, Tensor)> =
            SHAPES.iter().enumerate().map(|(i, shape)| (format!("t\"{i}\\ä\n"), tensor(shape, i as u64))).collect();
        // In whatever memory layout: the file has row-major order.
        let views: Vec<Tensor> =
            tensors.iter().map(|(_, t)| if t.rank() == 4 { t.channels_last() } else { t.clone() }).collect();
        let list: Vec<(String, &Tensor)> = tensors.iter().map(|(n, _)| n.clone()).zip(&views).collect();
        let path = folder.0.join("model.any-ending");
        save_safetensors(&path, &list, &[("who".into(), "a \"test\"".into())], dtype).unwrap();

        let round = |v: f32| match dtype {
            Dtype::F16 => f16::from_f32(v).to_f32(),
            Dtype::Bf16 => bf16::from_f32(v).to_f32(),
            _ => v,
        };
        let weights = open(&path).unwrap();
        assert_eq!(weights.format(), "safetensors");
        assert_eq!(weights.metadata()["who"], "a \"test\"");
        assert_eq!(weights.metadata()["format"], "pt");
        assert_eq!(weights.entries().len(), SHAPES.len());
        for ((name, tensor), entry) in tensors.iter().zip(weights.entries()) {
            assert_eq!((&entry.name, entry.shape.as_slice(), entry.dtype), (name, tensor.shape(), dtype));
            let read = weights.get(name).unwrap();
            assert_eq!(read.shape(), tensor.shape());
            let expected: Vec<f32> = tensor.to_vec().into_iter().map(round).collect();
            assert_eq!(read.to_vec(), expected);
        }
        // The other reader.
        let bytes = std::fs::read(&path).unwrap();
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        for (name, tensor) in &tensors {
            let view = theirs.tensor(name).unwrap();
            assert_eq!(view.shape(), tensor.shape());
            assert_eq!(view.data(), weights.raw(name).unwrap().bytes);
        }
        assert_eq!(bytes.len() % 2, 0);
        assert_eq!(&bytes[8..9], b"{");
    }
    assert_eq!(folder.names(), ["model.any-ending"]);
}

#[test]
fn reads_what_the_crate_writes() {
    use ::safetensors::tensor::{Dtype as Theirs, TensorView};
    let bytes: Vec<u8> = (0..48).collect();
    for (theirs, ours, size) in [
        (Theirs::BOOL, Dtype::Bool, 1),
        (Theirs::U8, Dtype::U8, 1),
        (Theirs::I8, Dtype::I8, 1),
        (Theirs::U16, Dtype::U16, 2),
        (Theirs::I16, Dtype::I16, 2),
        (Theirs::U32, Dtype::U32, 4),
        (Theirs::I32, Dtype::I32, 4),
        (Theirs::U64, Dtype::U64, 8),
        (Theirs::I64, Dtype::I64, 8),
        (Theirs::F16, Dtype::F16, 2),
        (Theirs::BF16, Dtype::Bf16, 2),
        (Theirs::F32, Dtype::F32, 4),
        (Theirs::F64, Dtype::F64, 8),
    ] {
        let shape = vec![2, bytes.len() / size / 2];
        let views = [
            ("b", TensorView::new(theirs, shape.clone(), &bytes).unwrap()),
            ("a", TensorView::new(theirs, vec![0], &[]).unwrap()),
        ];
        let weights = from_bytes(::safetensors::serialize(views, None).unwrap(), "x").unwrap();
        let raw = weights.raw("b").unwrap();
        assert_eq!((raw.dtype, raw.shape, raw.bytes), (ours, shape, bytes.clone()));
    }
}

fn one(dtype: &str, count: usize, bytes: &[u8]) -> weights_import::Weights {
    let header =
        format!("{{\"x\":{{\"dtype\":\"{dtype}\",\"shape\":[{count}],\"data_offsets\":[0,{}]}}}}", bytes.len());
    from_bytes(safetensors(&header, bytes), "x").unwrap()
}

#[test]
fn values_become_f32_exactly_or_not_at_all() {
    let integers: Vec<u8> = [3i64, -16_777_216].iter().flat_map(|v| v.to_le_bytes()).collect();
    let weights = one("I64", 2, &integers);
    assert_eq!(weights.get("x").unwrap().to_vec(), [3., -16_777_216.]);
    assert_eq!(weights.get_i64("x").unwrap(), (vec![2], vec![3, -16_777_216]));

    let weights = one("I64", 1, &16_777_217i64.to_le_bytes());
    let error = weights.get("x").unwrap_err().to_string();
    assert_eq!(error, "tensor x: element 0 is 16777217, which F32 cannot hold exactly; read it as integers (get_i64)");
    assert_eq!(weights.get_i64("x").unwrap().1, [16_777_217]);
    for value in [i64::MAX, i64::MIN + 1] {
        assert!(one("I64", 1, &value.to_le_bytes()).get("x").is_err());
    }
    assert_eq!(one("I64", 1, &i64::MIN.to_le_bytes()).get("x").unwrap().to_vec(), [i64::MIN as f32]);
    let large = one("U64", 1, &u64::MAX.to_le_bytes());
    assert!(large.get("x").is_err() && large.get_i64("x").is_err());

    let doubles: Vec<u8> = [0.1f64, f64::INFINITY, f64::NAN, 1e-60].iter().flat_map(|v| v.to_le_bytes()).collect();
    let read = one("F64", 4, &doubles).get("x").unwrap().to_vec();
    assert_eq!((read[0], read[1], read[2].is_nan(), read[3]), (0.1f32, f32::INFINITY, true, 0.));
    let error = one("F64", 1, &1e300f64.to_le_bytes()).get("x").unwrap_err().to_string();
    assert!(error.contains("element 0 is 1") && error.contains("too large for F32"), "{error}");

    let error = one("F32", 1, &[0; 4]).get_i64("x").unwrap_err().to_string();
    assert!(error.contains("holds F32"), "{error}");
    let error = one("F8_E4M3", 4, &[0; 4]).get("x").unwrap_err().to_string();
    assert!(error.contains("F8_E4M3"), "{error}");
    assert_eq!(one("F8_E4M3", 4, &[1; 4]).raw("x").unwrap().bytes, [1; 4]);
}

#[test]
fn saving_refuses_what_the_type_cannot_hold() {
    let folder = Folder::new("range");
    let large = Tensor::from_vec(&[2], vec![1., 1e6]).unwrap();
    let path = folder.0.join("x");
    let error = save_safetensors(&path, &[("x".into(), &large)], &[], Dtype::F16).unwrap_err().to_string();
    assert_eq!(error, "tensor x: element 1 is 1000000, which is too large for F16; save as F32");
    save_safetensors(&path, &[("x".into(), &large)], &[], Dtype::Bf16).unwrap();
    let twice = [("x".into(), &large), ("x".into(), &large)];
    assert!(
        save_safetensors(&path, &twice, &[], Dtype::F32).unwrap_err().to_string().contains("two tensors are named x")
    );
    assert!(save_safetensors(&path, &[("x".into(), &large)], &[], Dtype::I64).is_err());
    assert_eq!(folder.names(), ["x"]);
}

/// A header, its data, and words that the error must have.
const WRONG: &[(&str, usize, &str)] = &[
    (
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
        4,
        "two entries are named a",
    ),
    (
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"\u0061":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
        4,
        "two entries are named a",
    ),
    (r#"{"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 2, "two fields are named dtype"),
    (r#"{"__metadata__":{"k":"1","k":"2"}}"#, 0, "named k"),
    (r#"{"__metadata__":{"k":1}}"#, 0, "'\"' expected"),
    (
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
        3,
        "the one before it ends at",
    ),
    (
        r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
        2,
        "the one before it ends at",
    ),
    (r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#, 3, "the one before it ends at"),
    (r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}}"#, 2, "the one before it ends at 0"),
    (
        r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}}"#,
        2,
        "which does not fit",
    ),
    (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "which does not fit"),
    (r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}"#, 0, "which does not fit"),
    (r#"{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}"#, 0, "which does not fit"),
    (
        r#"{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}"#,
        0,
        "which does not fit",
    ),
    (r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 1, "take 2 bytes, but 1 follow"),
    (r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 3, "take 2 bytes, but 3 follow"),
    (r#"{"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}}"#, 2, "whole number"),
    (r#"{"a":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}}"#, 2, "whole number"),
    (r#"{"a":{"dtype":"Q8","shape":[2],"data_offsets":[0,2]}}"#, 2, "tensor a: unknown element type Q8"),
    (r#"{"a":{"dtype":"U8","data_offsets":[0,2]}}"#, 2, "has no shape"),
    (r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2,2]}}"#, 2, "not two numbers"),
    (r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, 1, "which does not fit"),
    (r#"{"a":[]}"#, 0, "'{' expected"),
    (r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}x"#, 2, "text after the end"),
    ("{\"a\u{1}\":{}}", 0, "control character"),
];

#[test]
fn says_what_is_wrong() {
    for (header, data, words) in WRONG {
        let error = from_bytes(safetensors(header, &vec![0; *data]), "bad.safetensors").unwrap_err();
        assert!(matches!(error, Error::Corrupt { format: "safetensors", .. }), "{header}: {error:?}");
        let error = error.to_string();
        assert!(
            error.starts_with("bad.safetensors: broken safetensors file") && error.contains(words),
            "{header}: {error}"
        );
    }
    let mut not_utf8 = safetensors("{\"a\":1}", &[]);
    not_utf8[10] = 0xff;
    assert!(from_bytes(not_utf8, "x").unwrap_err().to_string().contains("utf-8"));
    for claim in [100_000_001, u64::MAX, 1 << 31, 3] {
        let mut file = safetensors("{}", &[]);
        file[..8].copy_from_slice(&claim.to_le_bytes());
        let error = from_bytes(file, "x").unwrap_err().to_string();
        assert!(error.contains(&format!("claims {claim} bytes")), "{error}");
    }
}

#[test]
fn unknown_fields_are_passed_over_and_an_empty_file_has_no_tensors() {
    let header = r#"{"a":{"dtype":"U8","extra":{"b":[1,"x",null]},"shape":[2],"data_offsets":[0,2]}}   "#;
    assert_eq!(from_bytes(safetensors(header, &[4, 5]), "x").unwrap().get("a").unwrap().to_vec(), [4., 5.]);
    assert!(from_bytes(safetensors("{}", &[]), "x").unwrap().entries().is_empty());
}

#[test]
fn an_unknown_name_tells_near_ones() {
    let folder = Folder::new("near");
    let x = Tensor::from_vec(&[3], numbers(3, 1)).unwrap();
    let path = folder.0.join("m");
    let list = [("layer1.0.conv1.weight".to_string(), &x), ("fc.weight".to_string(), &x), ("fc.bias".to_string(), &x)];
    save_safetensors(&path, &list, &[], Dtype::F32).unwrap();
    let error = open(&path).unwrap().get("model.fc.bias").unwrap_err().to_string();
    assert!(error.ends_with("no tensor named model.fc.bias (there is fc.bias)"), "{error}");
}

#[test]
fn a_file_cut_after_opening_is_an_error() {
    let folder = Folder::new("cut");
    let x = Tensor::from_vec(&[300], numbers(300, 1)).unwrap();
    let path = folder.0.join("m");
    save_safetensors(&path, &[("x".into(), &x)], &[], Dtype::F32).unwrap();
    let weights = open(&path).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(500).unwrap();
    let error = weights.get("x").unwrap_err();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
}
