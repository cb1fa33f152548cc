//! GGUF files that lie.
#![allow(missing_docs)]

mod common;

use common::gguf::{F32, Q4_K, Tensor, lengths};
use common::hostile::{self, LIES, poke, tried};

/// Every way in which a tensor is read.
fn seed() -> Vec<u8> {
    let bytes = std::fs::read("../tests/import/gguf/mixed.gguf").unwrap();
    assert!(poke(&bytes));
    bytes
}

#[test]
fn cut_at_every_byte() {
    let seed = seed();
    let padding = 28; // behind the last tensor
    assert_eq!(hostile::cut_at_every_byte(&seed), padding);
    tried(890);
}

#[test]
fn every_bit_flipped() {
    hostile::every_bit_flipped(&seed());
    tried(7000);
}

#[test]
fn every_length_a_lie() {
    let array = [9u32.to_le_bytes(), 8u32.to_le_bytes(), 2u32.to_le_bytes(), [0; 4]].concat();
    let array = [array, 1u64.to_le_bytes().to_vec(), b"a".to_vec(), 0u64.to_le_bytes().to_vec()].concat();
    let tensors = [
        Tensor { name: b"a", dims: &[2, 3], kind: F32, offset: 0 },
        Tensor { name: b"b", dims: &[256], kind: Q4_K, offset: 32 },
    ];
    let (seed, mut places) = lengths(&[("key", array)], &tensors, &[1; 176]);
    assert!(poke(&seed));
    assert_eq!(places.len(), 2 + 1 + 4 + 3);
    places.extend([43, 51]); // the array's count, and its first text's length
    for &at in &places {
        for lie in LIES {
            let mut bytes = seed.clone();
            bytes[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            poke(&bytes);
        }
        let mut bytes = seed.clone();
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(!poke(&bytes), "{at}");
    }
    tried(100);
}

#[test]
fn seeded_mutations() {
    hostile::mutations(&seed(), 100_000, 3);
    for (salt, name) in ["keys", "big-f32", "big-mixed"].into_iter().enumerate() {
        let seed = std::fs::read(format!("../tests/import/gguf/{name}.gguf")).unwrap();
        hostile::mutations(&seed, 50_000, 30 + salt as u64);
    }
    tried(250000);
}

#[test]
fn large_files_of_little_things() {
    // Pairs with the shortest keys and values that are longest as text.
    let keys: Vec<String> = (0..50_000).map(|i| format!("{i:x}")).collect();
    let value = [12u32.to_le_bytes().to_vec(), f64::from_bits(0x0010_1234_5678_9abc).to_le_bytes().to_vec()].concat();
    let pairs: Vec<(&str, Vec<u8>)> = keys.iter().map(|key| (key.as_str(), value.clone())).collect();
    assert!(poke(&common::gguf::file(&pairs, &[], &[])));
    let short: Vec<(&str, Vec<u8>)> = keys.iter().map(|key| (key.as_str(), vec![0, 0, 0, 0, 200])).collect();
    assert!(poke(&common::gguf::file(&short, &[], &[])));
    // Tensors without elements, quantised.
    let tensors: Vec<Tensor<'_>> =
        keys.iter().map(|key| Tensor { name: key.as_bytes(), dims: &[0], kind: Q4_K, offset: 0 }).collect();
    assert!(poke(&common::gguf::file(&[], &tensors, &[])));
    let tensors: Vec<Tensor<'_>> =
        tensors.iter().map(|t| Tensor { dims: &[0, 1, 1, 1, 1, 1, 1, 1], kind: 0, ..*t }).collect();
    assert!(poke(&common::gguf::file(&[], &tensors, &[])));
}
