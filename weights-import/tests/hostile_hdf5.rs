//! HDF5 and Keras files that lie, and the attacks that are known by name.
#![allow(missing_docs)]

mod common;

use common::Random;
use common::hostile::{self, LIES, poke};
use std::collections::BTreeSet;
use std::path::Path;
use weights_import::{Error, from_bytes, open};

/// Old and new groups, attributes, layouts, indexes and filters; whole models of Keras.
const SEEDS: [&str; 9] = [
    "layouts-earliest.h5",
    "packed-v200.h5",
    "growing-v200.h5",
    "links-v200.h5",
    "attributes-v200.h5",
    "texts-latest.h5",
    "small-addresses.h5",
    "split.h5",
    "optimiser.keras",
];

/// Of those an old one and a new one, which are tried at every place.
const NEAR: [&str; 2] = ["layouts-earliest.h5", "growing-v200.h5"];

fn golden(name: &str) -> Vec<u8> {
    hostile::allow(64 << 20);
    std::fs::read(Path::new("../tests/import/hdf5").join(name)).unwrap()
}

fn error(bytes: &[u8]) -> String {
    assert!(!poke(bytes));
    let weights = match from_bytes(bytes.to_vec(), "model.h5") {
        Err(error) => return error.to_string(),
        Ok(weights) => weights,
    };
    let names = weights.entries().iter().map(|entry| &entry.name);
    names.map(|name| weights.raw(name)).find_map(Result::err).unwrap().to_string()
}

/// Bob Jenkins' lookup3, as his `hashlittle` says it.
fn lookup3(bytes: &[u8]) -> u32 {
    let mut state = [0xdead_beef_u32.wrapping_add(bytes.len() as u32); 3];
    let add = |state: &mut [u32; 3], block: &[u8]| {
        for (i, &byte) in block.iter().enumerate() {
            state[i / 4] = state[i / 4].wrapping_add(u32::from(byte) << (8 * (i % 4)));
        }
    };
    let mut rest = bytes;
    while rest.len() > 12 {
        add(&mut state, &rest[..12]);
        let [mut a, mut b, mut c] = state;
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
        state = [a, b, c];
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return state[2];
    }
    add(&mut state, rest);
    let [mut a, mut b, mut c] = state;
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// A checksum: of the bytes from `start` to `end`, with zeros where it stands itself.
#[derive(Clone, Copy)]
struct Seal {
    start: usize,
    end: usize,
    at: usize,
}

impl Seal {
    fn sum(self, bytes: &[u8]) -> [u8; 4] {
        let mut data = bytes[self.start..self.end].to_vec();
        if self.at < self.end {
            data[self.at - self.start..][..4].fill(0);
        }
        lookup3(&data).to_le_bytes()
    }
}

/// The checksums of a file, found by what they are.
fn seals(bytes: &[u8]) -> Vec<Seal> {
    const NAMES: [&[u8; 4]; 13] = [
        b"\x89HDF", b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"EAHD", b"EAIB",
        b"EADB",
    ];
    let mut seals = Vec::new();
    for start in 0..bytes.len().saturating_sub(8) {
        let name = &bytes[start..start + 4];
        let right = |seal: &Seal| bytes.get(seal.at..seal.at + 4) == Some(&seal.sum(bytes)[..]);
        if NAMES.iter().any(|known| known[..] == *name) {
            let ends = start + 8..bytes.len().min(start + 3000) - 3;
            seals.extend(ends.map(|end| Seal { start, end, at: end }).find(right));
        } else if name == b"FHDB" {
            let sizes = (8..17).map(|power| start + (1 << power)).filter(|&end| end <= bytes.len());
            seals
                .extend(sizes.flat_map(|end| (1..9).map(move |n| Seal { start, end, at: start + 13 + n })).find(right));
        }
    }
    seals
}

/// Makes the checksums right again: whoever lies can do so, too.
fn seal(bytes: &mut [u8], seals: &[Seal], changed: usize) {
    for seal in seals.iter().filter(|seal| (seal.start..seal.end.max(seal.at + 4)).contains(&changed)) {
        let sum = seal.sum(bytes);
        bytes[seal.at..seal.at + 4].copy_from_slice(&sum);
    }
}

#[test]
fn cut_at_every_byte() {
    for name in NEAR.into_iter().chain(["optimiser.keras"]) {
        assert_eq!(hostile::cut_at_every_byte(&golden(name)), 0, "{name}");
    }
}

#[test]
fn every_bit_flipped() {
    for name in NEAR {
        let seed = golden(name);
        let seals = seals(&seed);
        let bits = 8 * seed.len().min(4096);
        let mut opened = 0;
        for bit in 0..bits {
            let mut bytes = seed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Whoever lies can make the checksums right.
            seal(&mut bytes, &seals, bit / 8);
            opened += usize::from(poke(&bytes));
        }
        assert!(opened > 0 && opened < bits, "{name}: {opened} opened");
    }
}

#[test]
fn every_number_a_lie() {
    for name in NEAR {
        let seed = golden(name);
        let seals = seals(&seed);
        let (mut opened, mut cases) = (0, 0);
        for at in 0..seed.len().min(384) {
            for width in [1, 2, 4, 8] {
                let lies: BTreeSet<[u8; 8]> =
                    LIES.iter().map(|lie| (lie & (u64::MAX >> (64 - 8 * width))).to_le_bytes()).collect();
                for lie in lies {
                    let mut bytes = seed.clone();
                    bytes[at..at + width].copy_from_slice(&lie[..width]);
                    seal(&mut bytes, &seals, at);
                    opened += usize::from(poke(&bytes));
                    cases += 1;
                }
            }
        }
        assert!(opened < cases, "{name}");
    }
}

#[test]
fn seeded_mutations() {
    for (number, name) in SEEDS.iter().enumerate() {
        hostile::mutations(&golden(name), 5_600, number as u64);
    }
}

/// Changes that keep the length, and all checksums right: they reach what lies behind.
#[test]
fn seeded_mutations_with_checksums_mended() {
    for (number, name) in SEEDS.iter().enumerate() {
        let seed = golden(name);
        let seals = seals(&seed);
        assert!(!name.contains("v200") || seals.len() > 5, "{name}: {} checksums", seals.len());
        let mut opened = 0;
        for case in 0..5_600u64 {
            let mut random = Random(case << 8 | number as u64 | 0x80);
            let mut bytes = seed.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                let len = (1 << random.below(4)).min(bytes.len() - at);
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.next() as u8,
                    2 => bytes[at..at + len].copy_from_slice(&LIES[random.below(LIES.len())].to_le_bytes()[..len]),
                    _ => {
                        let from = random.below(bytes.len() - len + 1);
                        bytes.copy_within(from..from + len, at);
                    }
                }
                seal(&mut bytes, &seals, at);
            }
            opened += usize::from(poke(&bytes));
        }
        assert!((6..5_600).contains(&opened), "{name}: {opened} opened");
    }
}

#[test]
fn what_leads_out_of_the_file() {
    for (name, words) in [
        // CVE-2026-1669: Keras read any file of the machine through such links and data sets.
        ("external-link", "x is an external link (to another file), which could lead anywhere: refused"),
        ("soft-link", "x is a soft link, which could lead anywhere: refused"),
        ("soft-link-latest", "x is a soft link, which could lead anywhere: refused"),
        ("external-storage", "the values of x are in other files (external storage): refused"),
        ("virtual", "the values of x are in other data sets (a virtual one): refused"),
        ("lzf", "x is packed with lzf (filter 32000), which is not read: repack it"),
    ] {
        let bytes = golden(&format!("attacks/{name}.h5"));
        let error = error(&bytes);
        assert!(error.contains(words), "{name}: {error}");
        assert!(matches!(from_bytes(bytes, "model.h5"), Err(Error::Format { .. })), "{name}");
    }
}

#[test]
fn what_claims_too_much() {
    for (name, words) in [
        // CVE-2026-0897: a shape for which Keras asked for petabytes.
        ("shape-bomb.h5", "x claims F32[1048576, 1048576], which a file of"),
        ("late-bomb.h5", "x claims F64[2147483648], which a file of"),
        ("deflate-bomb.h5", "x claims U8[209715200], which a file of"),
        ("many-names.h5", "claims more values than a file of"),
        ("doubled.h5", "refers to more than a file of its size can have"),
        ("loop.h5", "its group a/b/c/up is within itself"),
        ("loop-latest.h5", "its group a/b/c/up is within itself"),
        ("zip-bomb.keras", "member model.weights.h5 claims to unpack to 31457280 bytes: refused"),
        ("overlap.h5", "two chunks share the byte"),
    ] {
        let error = error(&golden(&format!("attacks/{name}")));
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn lengths_of_exabytes() {
    // The heap of the root's names: a length of 7.6e18 bytes.
    let mut bytes = golden("layouts-earliest.h5");
    let heap = bytes.windows(4).position(|name| name == b"HEAP").unwrap();
    bytes[heap + 8..heap + 16].copy_from_slice(&7_600_000_000_000_000_000u64.to_le_bytes());
    let error = error(&bytes);
    assert!(error.contains("refers to 7600000000000000000 bytes from byte"), "{error}");
}

#[test]
fn a_download_that_ended_early() {
    let bytes = golden("optimiser-full.h5");
    let error = from_bytes(bytes[..bytes.len() - 1].to_vec(), "model.h5").unwrap_err();
    assert!(matches!(error, Error::Corrupt { format: "HDF5", .. }), "{error:?}");
    assert!(error.to_string().contains("(is the download complete?)"), "{error}");
}

#[test]
fn a_packed_archive_stays_within_the_bound() {
    assert!(poke(&golden("deflated.keras")));
}

#[test]
fn changed_bytes_are_seen() {
    // A chunk under Fletcher's checksum.
    let bytes = golden("packed-v200.h5");
    let weights = from_bytes(bytes.clone(), "model.h5").unwrap();
    let raw = weights.raw("fletcher").unwrap().bytes;
    let row = &raw[..12];
    let at: Vec<usize> = (0..bytes.len() - 12).filter(|&at| bytes[at..at + 12] == *row).collect();
    let seen = at.iter().filter(|&&at| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let weights = from_bytes(bytes, "model.h5").unwrap();
        let changed = weights.raw("fletcher");
        changed.is_err_and(|error| error.to_string().contains("the checksum of a chunk is wrong"))
    });
    assert_eq!(seen.count(), 1, "{at:?}");
    // A header.
    let mut bytes = golden("links-v200.h5");
    let at = bytes.windows(4).position(|name| name == b"OHDR").unwrap();
    bytes[at + 10] ^= 1;
    assert!(error(&bytes).contains("the checksum of the object header at byte"), "{}", error(&bytes));
    // An archive.
    let mut bytes = golden("optimiser.keras");
    let at = bytes.windows(8).position(|name| name == b"\x89HDF\r\n\x1a\n").unwrap();
    bytes[at + 3000] ^= 1;
    assert!(error(&bytes).contains("member model.weights.h5 has the checksum"), "{}", error(&bytes));
}

/// Layouts of HDF5 before 1.6, which nothing writes any more: the message of a data set in one piece, rewritten in its place.
#[test]
fn layouts_of_old_versions() {
    let bytes = golden("layouts-earliest.h5");
    let weights = from_bytes(bytes.clone(), "model.h5").unwrap();
    let expected = weights.raw("contiguous").unwrap();
    let found: Vec<usize> = (0..bytes.len() - 24)
        .filter(|&at| bytes[at..at + 2] == [3, 1] && bytes[at - 8..at - 4] == [8, 0, 24, 0])
        .collect();
    let mut read = 0;
    for version in [1, 2] {
        for &at in &found {
            let mut bytes = bytes.clone();
            let address = bytes[at + 2..at + 10].to_vec();
            let message = [vec![version, 2, 1, 0, 0, 0, 0, 0], address, vec![2, 0, 0, 0, 3, 0, 0, 0]].concat();
            bytes[at..at + 24].copy_from_slice(&message);
            let weights = from_bytes(bytes, "model.h5").unwrap();
            read += usize::from(weights.raw("contiguous").unwrap() == expected);
        }
    }
    assert_eq!(read, 2 * found.len());
    assert!(found.len() >= 3, "{found:?}");
}

#[test]
fn an_empty_file_and_a_folder() {
    let folder = common::Folder::new("keras");
    folder.file("model.h5", &golden("nothing.h5"));
    let weights = open(&folder.0).unwrap();
    assert_eq!((weights.format(), weights.entries().len()), ("hdf5", 0));
}
