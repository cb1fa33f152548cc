//! Files written by Hugging Face's own package (`tests/import/safetensors`), value for value.
#![allow(missing_docs)]

use serde_json::Value;
use weights_import::{Dtype, from_bytes};

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0u32, |bits, b| bits << 6 | DIGITS.iter().position(|d| d == b).unwrap() as u32);
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

/// The value as f64; JSON cannot say all of them as numbers.
fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// Equal but for the last bit, in which serde_json may err when it reads a decimal number.
fn same(a: f64, b: f64) -> bool {
    a.to_bits().abs_diff(b.to_bits()) <= 1 || (a.is_nan() && b.is_nan())
}

#[test]
fn every_value_is_read() {
    let text = std::fs::read_to_string("../tests/import/safetensors/cases.json").unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let cases = all.get("cases").unwrap_or(&all).as_array().unwrap();
    let mut tensors = 0;
    for case in cases {
        let weights = from_bytes(base64(case["file"].as_str().unwrap()), "golden").unwrap();
        let said = case["metadata"].as_object().map_or(0, |m| m.len());
        assert_eq!(weights.metadata().len(), said);
        for (key, value) in weights.metadata() {
            assert_eq!(case["metadata"][key], *value);
        }
        let expected = case["tensors"].as_array().unwrap();
        assert_eq!(weights.entries().len(), expected.len());
        for tensor in expected {
            let name = tensor["name"].as_str().unwrap();
            let raw = weights.raw(name).unwrap();
            assert_eq!(raw.dtype.to_string(), tensor["dtype"].as_str().unwrap());
            let shape: Vec<u64> = raw.shape.iter().map(|&n| n as u64).collect();
            assert_eq!(Value::from(shape), tensor["shape"], "{name}");
            let values = tensor["values"].as_array().unwrap();
            match raw.dtype {
                Dtype::I64 => assert_eq!(Value::from(weights.get_i64(name).unwrap().1), tensor["values"], "{name}"),
                Dtype::F64 => {
                    let read = raw.bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()));
                    assert_eq!(raw.bytes.len(), 8 * values.len());
                    assert!(read.zip(values).all(|(a, b)| same(a, float(b))), "{name}");
                }
                _ => {
                    let read = weights.get(name).unwrap().to_vec();
                    assert_eq!(read.len(), values.len());
                    assert!(
                        read.iter()
                            .zip(values)
                            .all(|(&a, b)| a.to_bits() == (float(b) as f32).to_bits()
                                || (a.is_nan() && float(b).is_nan())),
                        "{name}"
                    );
                }
            }
            tensors += 1;
        }
    }
    assert!(tensors >= 10, "{tensors} tensors");
}
