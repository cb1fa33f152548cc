//! NumPy's arrays and archives that lie. (Zip archives are the same for all formats: what they may not be is tested here.)
#![allow(missing_docs)]

mod common;

use common::Random;
use common::archives::{Member, array, deflated, member, npy, zip};
use common::hostile::{self, LIES, mutate, poke, tried};
use weights_import::from_bytes;

fn golden(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(format!("../tests/import/numpy/{name}")).unwrap();
    assert!(poke(&bytes), "{name}");
    bytes
}

fn error(bytes: &[u8]) -> String {
    assert!(!poke(bytes));
    let weights = match from_bytes(bytes.to_vec(), "model") {
        Err(error) => return error.to_string(),
        Ok(weights) => weights,
    };
    let names = weights.entries().iter().map(|entry| &entry.name);
    names.map(|name| weights.raw(name)).find_map(Result::err).unwrap().to_string()
}

const SEEDS: [&str; 3] = ["fortran_big.npy", "version2.npy", "compressed.npz"];

#[test]
fn cut_at_every_byte() {
    for name in SEEDS {
        assert_eq!(hostile::cut_at_every_byte(&golden(name)), 0, "{name}");
    }
    tried(1700);
}

#[test]
fn every_bit_flipped() {
    SEEDS.iter().for_each(|name| hostile::every_bit_flipped(&golden(name)));
    tried(14_000);
}

#[test]
fn every_number_a_lie() {
    for name in SEEDS {
        let seed = golden(name);
        let mut opened = 0;
        for at in 0..seed.len().min(2048) {
            for width in [1, 2, 4, 8] {
                for lie in LIES {
                    let mut bytes = seed.clone();
                    let end = (at + width).min(bytes.len());
                    bytes[at..end].copy_from_slice(&lie.to_le_bytes()[..end - at]);
                    opened += usize::from(poke(&bytes));
                }
            }
        }
        assert!(opened < seed.len().min(2048) * 4 * LIES.len(), "{name}");
    }
    tried(50_000);
}

#[test]
fn seeded_mutations() {
    for (number, name) in SEEDS.iter().enumerate() {
        hostile::mutations(&golden(name), 60_000, 5 + number as u64);
    }
    tried(180_000);
}

/// Arrays that were changed before they were packed, so that all checksums are right; and packed bytes that were changed.
#[test]
fn mutations_within_archives() {
    let (array, other) = (golden("fortran_big.npy"), golden("five.npy"));
    let mut opened = 0;
    for case in 0..60_000 {
        let mut random = Random(case << 8 | 8);
        let mut bytes = array.clone();
        (0..1 + random.below(3)).for_each(|_| mutate(&mut bytes, &mut random));
        let changed = match random.below(3) {
            0 => member("a.npy", &bytes),
            1 => deflated("a.npy", &bytes),
            _ => {
                let mut changed = deflated("a.npy", &array);
                (0..1 + random.below(2)).for_each(|_| mutate(&mut changed.data, &mut random));
                changed
            }
        };
        opened += u64::from(poke(&zip(&[changed, member("b.npy", &other)])));
    }
    assert!((1000..40_000).contains(&opened), "{opened} opened");
    tried(60_000);
}

#[test]
fn a_zip_that_can_be_read_in_two_ways() {
    let (a, b) = (member("a.npy", &array()), member("b.npy", &array()));
    let plain = zip(&[a.clone(), b.clone()]);
    assert!(poke(&plain) && poke(&zip(&[deflated("a.npy", &array()), b.clone()])));
    let with = |change: fn(&mut Member)| {
        let mut changed = b.clone();
        change(&mut changed);
        zip(&[a.clone(), changed])
    };
    let inside = |change: fn(&mut Vec<u8>)| {
        let mut changed = plain.clone();
        change(&mut changed);
        changed
    };
    let end = plain.len() - 22;
    assert_eq!(&plain[end..end + 4], b"PK\x05\x06");
    let directory = u32::from_le_bytes(plain[end + 16..end + 20].try_into().unwrap()) as usize;
    let gap = {
        let mut bytes = plain.clone();
        bytes.splice(directory..directory, [0; 4]);
        let at = bytes.len() - 6;
        bytes[at..at + 4].copy_from_slice(&(directory as u32 + 4).to_le_bytes());
        bytes
    };
    let bomb = deflated("a.npy", &npy("'|u1'", "(80000000,)", &vec![0; 80_000_000]));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (with(|m| m.local = b"c.npy".to_vec()), "another name"),
        (with(|m| m.name = b"a.npy".to_vec()), "two members are named a.npy"),
        (with(|m| m.attributes = 0o120_777 << 16), "symbolic link: refused"),
        (with(|m| m.attributes = 0o060_777 << 16), "no regular file"),
        (with(|m| m.flags = 1), "is encrypted"),
        (with(|m| m.flags = 0x40), "is encrypted"),
        (with(|m| m.method = 12), "packed by method 12"),
        (with(|m| m.name = b"../b.npy".to_vec()), "leads out of the archive"),
        (with(|m| m.name = b"/b.npy".to_vec()), "leads out of the archive"),
        (with(|m| m.name = b"x/./b.npy".to_vec()), "leads out of the archive"),
        (with(|m| m.name = b"x\\b.npy".to_vec()), "leads out of the archive"),
        (with(|m| m.name = b"C:b.npy".to_vec()), "leads out of the archive"),
        (with(|m| m.name = b"b\xff.npy".to_vec()), "not UTF-8"),
        (with(|m| m.start = Some(0)), "runs into what follows it"),
        (with(|m| m.size -= 1), "its sizes"),
        (with(|m| m.extra = vec![0x75, 0x70, 0, 0]), "a second name"),
        (with(|m| m.extra = vec![1, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0]), "zip64 field is too long"),
        (with(|m| m.extra = vec![1, 0, 9, 0]), "extra fields are broken"),
        (with(|m| (m.method, m.crc) = (8, 7)), "signature"),
        (zip(&[Member { crc: 7, ..deflated("a.npy", &array()) }]), "has the checksum"),
        (zip(&[Member { crc: 7, ..member("a.npy", &array()) }]), "has the checksum"),
        (zip(&[Member { size: array().len() as u32 + 8, ..deflated("a.npy", &array()) }]), "does not fit"),
        (zip(&[bomb]), "claims to unpack"),
        (inside(|z| z.push(0)), "does not end with the record"),
        (inside(|z| z.extend(z[z.len() - 22..].to_vec())), "does not end at byte"),
        (inside(|z| z.splice(0..0, *b"PK\x03\x04").for_each(drop)), "broken zip archive"),
        (gap, "belong to"),
        (inside(|z| (z.len() - 18..z.len() - 16).for_each(|i| z[i] = 1)), "one of several parts"),
        (inside(|z| (z.len() - 14..z.len() - 10).step_by(2).for_each(|i| z[i] = 1)), "more than 1 members"),
        (inside(|z| (z.len() - 14..z.len() - 10).step_by(2).for_each(|i| z[i] = 9)), "claims 9 members"),
    ];
    for (number, (bytes, words)) in cases.into_iter().enumerate() {
        let error = error(&bytes);
        assert!(error.contains(words), "case {number}: {words}: {error}");
    }
}

#[test]
fn arrays_that_lie() {
    assert!(poke(&array()));
    for (bytes, words) in [
        (npy("'|O'", "(1,)", b"\x80\x02cposix\nsystem\nU\x02id\x85R."), "CVE-2019-6446"),
        (npy("[('a', '<f4')]", "(1,)", &[0; 4]), "records of several fields"),
        (npy("'<U3'", "(1,)", &[0; 12]), "the type \"<U3\", which are not read"),
        (npy("'<M8[ns]'", "(1,)", &[0; 8]), "which are not read"),
        (npy("'|f4'", "(1,)", &[0; 4]), "which are not read"),
        (npy("'<f4'", "(3,)", &[0; 8]), "does not fit F32[3]"),
        (npy("'<f4'", "(2)", &[0; 8]), "not a tuple"),
        (npy("'<f4'", "(-2,)", &[0; 8]), "where a size should be"),
        (npy("'<f8'", "(4611686018427387904, 4)", &[0; 8]), "does not fit"),
        (npy("'<f4'", "(99999999999999999999,)", &[0; 8]), "where a size should be"),
        (npy("'<f4'", &format!("({})", "1,".repeat(65)), &[0; 4]), "more than 64 dimensions"),
        (npy("'<f4', 'x': 1", "(1,)", &[0; 4]), "unknown key \"x\""),
        (npy("'<f4', 'descr': '<f4'", "(1,)", &[0; 4]), "two keys \"descr\""),
        (npy("__import__('os')", "(1,)", &[0; 4]), "its header needs"),
        ([b"\x93NUMPY\x04\0", &[0; 60][..]].concat(), "unknown version"),
        ([b"\x93NUMPY\x02\0\xff\xff\xff\xff", &[0; 60][..]].concat(), "its header ends at byte 4294967307"),
    ] {
        let error = error(&bytes);
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(error(&zip(&[member("a.npy", b"")])).contains("signature"));
    assert!(error(&zip(&[member("a.npy", &array()), member("b.npy/c", b"")])).contains("unpack it first"));
    // Archives of very many members.
    let members: Vec<Member> = (0..30_000).map(|i| member(&format!("{i:x}.npy"), b"")).collect();
    poke(&zip(&members));
    let members: Vec<Member> = (0..10_000).map(|i| member(&format!("{i:x}.npy"), &npy("'|u1'", "()", &[1]))).collect();
    assert!(poke(&zip(&members)));
}
