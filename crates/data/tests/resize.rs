//! Resize and decoding against Pillow.

use serde_json::Value;
use std::path::{Path, PathBuf};
use ukulele_data::{Filter, Image, resize};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/resize")
}

fn cases(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone()
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

/// Element `index` of the formula for `image`, as an integer below 256 (`tests/parity/formula.py`).
fn noise(index: usize) -> u8 {
    let mut z = fnv1a(b"image").wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    ((z >> 40) as f64 / f64::from(1 << 24) * 256.0) as u8
}

fn picture(content: &str, width: usize, height: usize, channels: usize) -> Vec<u8> {
    (0..width * height * channels)
        .map(|i| {
            let (c, x, y) = (i % channels, i / channels % width, i / channels / width);
            match content {
                "noise" => noise(i),
                "ramp" => ((3 * x + 5 * y + 85 * c) % 256) as u8,
                "edges" => 255 * ((x / 4 + y / 3 + c) % 2) as u8,
                other => panic!("unknown content {other}"),
            }
        })
        .collect()
}

fn pair(value: &Value) -> (usize, usize) {
    (value[0].as_u64().unwrap() as usize, value[1].as_u64().unwrap() as usize)
}

#[test]
fn resize_equals_pillow() {
    let cases = cases("resize.json");
    assert!(cases.len() >= 40);
    for case in cases {
        let ((w, h), (ow, oh)) = (pair(&case["from"]), pair(&case["to"]));
        let channels = if case["mode"] == "L" { 1 } else { 3 };
        let pixels = picture(case["content"].as_str().unwrap(), w, h, channels);
        let image =
            if channels == 1 { Image::from_grey(w, h, &pixels).unwrap() } else { Image::new(w, h, pixels).unwrap() };
        let filter = if case["filter"] == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
        let out = resize(&image, ow, oh, filter).unwrap();
        let bytes: Vec<u8> = out.pixels().iter().step_by(if channels == 1 { 3 } else { 1 }).copied().collect();
        if let Some(pixels) = case["pixels"].as_array() {
            assert_eq!(bytes, pixels.iter().map(|v| v.as_u64().unwrap() as u8).collect::<Vec<_>>(), "{case}");
        }
        assert_eq!(format!("{:016x}", fnv1a(&bytes)), case["fnv1a"].as_str().unwrap(), "{case}");
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    };
    let mut out = vec![];
    for four in text.as_bytes().chunks(4) {
        let bits = four.iter().fold(0u32, |bits, &c| (bits << 6) | u32::from(value(c)));
        let padding = four.iter().filter(|&&c| c == b'=').count();
        out.extend(&bits.to_be_bytes()[1..4 - padding]);
    }
    out
}

#[test]
fn decoding_equals_pillow() {
    let cases = cases("files.json");
    assert!(cases.len() >= 14);
    for case in cases {
        let name = case["file"].as_str().unwrap();
        let image = Image::open(folder().join("files").join(name)).unwrap();
        let upright = case.get("upright").unwrap_or(&case);
        let expected = base64(upright["rgb"].as_str().unwrap());
        assert_eq!((image.width(), image.height()), pair(&upright["size"]), "{name}");
        assert!(image.pixels() == expected, "{name}");
    }
}
