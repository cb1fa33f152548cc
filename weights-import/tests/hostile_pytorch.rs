//! PyTorch and NumPy files that lie, and the attacks that are known by name.
#![allow(missing_docs)]

mod common;

use common::archives::{Member, deflated, dict, legacy, member, pytorch, tar, tensor, zip};
use common::hostile::{self, LIES, poke, tried};
use weights_import::{Error, from_bytes};

fn golden(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(format!("../tests/import/{name}")).unwrap();
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

/// Zip by torch (zip64, data descriptors; without checksums, so that changes reach the pickle) and by Python, legacy, tar.
const SEEDS: [&str; 5] = [
    "pytorch/no_checksums.pth",
    "pytorch/oldest_zip.pth",
    "pytorch/legacy_pieces.pth",
    "pytorch/legacy_views.pth",
    "pytorch/tar.pth",
];

#[test]
fn cut_at_every_byte() {
    for name in SEEDS {
        // The end of a tar is two empty blocks, of which one is enough.
        let enough = if name.ends_with("tar.pth") { 512 } else { 0 };
        assert_eq!(hostile::cut_at_every_byte(&golden(name)), enough, "{name}");
    }
    tried(9000);
}

#[test]
fn every_bit_flipped() {
    SEEDS.iter().for_each(|name| hostile::every_bit_flipped(&golden(name)));
    tried(60000);
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
    tried(150000);
}

#[test]
fn seeded_mutations() {
    for (number, name) in SEEDS.iter().enumerate() {
        hostile::mutations(&golden(name), 100_000, number as u64);
    }
    tried(500000);
}

/// CVE-2025-32434: code that runs although only weights were asked for, in any of the three forms and as TorchScript.
#[test]
fn cve_2025_32434_a_pickle_that_calls() {
    let good = dict(&tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85"));
    assert!(poke(&pytorch(&good)) && poke(&legacy(&good)) && poke(&tar(&dict(b"K\x09Q"))));
    let calls: [&[u8]; 7] = [
        b"cposix\nsystem\nU\x02id\x85R",
        b"\x8c\x05posix\x8c\x06system\x93U\x02id\x85R",
        b"(U\x02idiposix\nsystem\n",
        b"(cposix\nsystem\nU\x02ido",
        b"cposix\nsystem\n)\x81",
        b"cposix\nsystem\n)}\x92",
        b"cposix\nsystem\n}b",
    ];
    for call in calls {
        for file in [pytorch(&dict(call)), legacy(&dict(call)), tar(&dict(call))] {
            let error = error(&file);
            assert!(error.contains("wants to call posix.system") && error.contains("state_dict"), "{error}");
        }
    }
    for (name, words) in [
        ("torch.nn.modules.conv\nConv2d", "is a whole pickled model (torch.nn.modules.conv.Conv2d)"),
        ("torchvision.models.resnet\nResNet", "save its state_dict"),
        ("torch.storage\n_load_from_bytes", "a file within the file"),
        ("torch._utils\n_rebuild_sparse_tensor", "save it dense"),
        ("builtins\neval", "wants to call builtins.eval"),
        ("builtins\ngetattr", "wants to call builtins.getattr"),
        ("torch\nload", "torch.load, which is not read"),
        ("torch.hub\nload", "wants to call torch.hub.load"),
        ("__main__\nNet", "wants to call __main__.Net"),
    ] {
        let error = error(&pytorch(&dict(format!("c{name}\n)R").as_bytes())));
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// CVE-2026-24747: items set on what is no dictionary, and storages of other sizes than they say.
#[test]
fn cve_2026_24747_a_pickle_that_confuses_types() {
    let t = tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85");
    for (value, words) in [
        ([&t[..], b"U\x01bNs"].concat(), "sets an item of what is no dictionary"),
        (b"]U\x01bNs".to_vec(), "sets an item of what is no dictionary"),
        (b"K\x01U\x01bNs".to_vec(), "sets an item of what is no dictionary"),
        (b"}Na".to_vec(), "appends to what is no list"),
        (b"K\x01}b".to_vec(), "sets attributes of what has none"),
        (tensor("FloatStorage", b"K\x04", b"K\0", b"K\x03\x85", b"K\x01\x85"), "storage 0 has 12 bytes, not 16"),
        (tensor("DoubleStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85"), "storage 0 has 12 bytes, not 24"),
        (tensor("FloatStorage", b"J\xff\xff\xff\xff", b"K\0", b"K\x03\x85", b"K\x01\x85"), "a storage's id is not"),
        (tensor("FloatStorage", b"\x8a\x08\0\0\0\0\0\0\0\x40", b"K\0", b"K\x03\x85", b"K\x01\x85"), "too large"),
        (tensor("FloatStorage", b"K\x03", b"K\x01", b"K\x03\x85", b"K\x01\x85"), "reaches beyond its storage"),
        (tensor("FloatStorage", b"K\x03", b"K\0", b"K\x02\x85", b"K\x03\x85"), "reaches beyond its storage"),
        (tensor("FloatStorage", b"K\x03", b"J\xff\xff\xff\xff", b"K\x02\x85", b"K\x01\x85"), "a negative number"),
        (tensor("FloatStorage", b"K\x03", b"K\0", b"K\x02\x85", b"J\xff\xff\xff\xff\x85"), "a negative number"),
        (tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03K\x01\x86", b"K\x01\x85"), "not as many strides"),
        // The product of sizes and element size overflows.
        (tensor("FloatStorage", b"K\x03", b"K\0", b"\x8a\x08\0\0\0\0\0\0\0\x40\x85", b"K\0\x85"), "too large"),
        (
            tensor("FloatStorage", b"K\x03", b"K\0", b"J\0\0\0\x40J\0\0\0\x40J\0\0\0\x40\x87", b"K\0K\0K\0\x87"),
            "too large",
        ),
        // An expanded tensor of four gigabytes.
        (tensor("FloatStorage", b"K\x03", b"K\0", b"J\0\0\0\x40\x85", b"K\0\x85"), "repeats a storage"),
    ] {
        let error = error(&pytorch(&dict(&value)));
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(error(&pytorch(&[&dict(&t)[..], b"N."].concat())).contains("more than one pickle"));
    assert!(error(&pytorch(b"\x80\x02}.")).contains("without any tensor"));
    assert!(error(&legacy(b"\x80\x02}.")).contains("lists a storage that no tensor has"));
    let both = [b"\x80\x02}(U\x03a.b", &t[..], b"U\x01a}U\x01b", &t[..], b"su."].concat();
    assert!(error(&pytorch(&both)).contains("two tensors are named a.b"));
    let lazy = [&t[..t.len() - 2], b"}U\x04conj\x88stR"].concat();
    assert!(error(&pytorch(&dict(&lazy))).contains("holds a lazy conjugate"));
    let module = b"\x80\x02(U\x06moduleNU\x01aU\x01btQ.";
    assert!(error(&legacy(module)).contains("is a whole pickled model"));
}

/// Code where only weights belong: TorchScript is a program, and so is what torch.export saves.
#[test]
fn archives_of_programs() {
    let script =
        zip(&[member("m/data.pkl", b"\x80\x02N."), member("m/code/a.py", b""), member("m/constants.pkl", b"")]);
    assert!(error(&script).contains("is a TorchScript archive"));
    let exported = zip(&[member("m/archive_format", b"pt2"), member("m/data/weights/a", b"")]);
    assert!(error(&exported).contains("is a program of torch.export (.pt2)"));
    let two = zip(&[member("a/data.pkl", b"\x80\x02N."), member("b/data.pkl", b"\x80\x02N.")]);
    assert!(error(&two).contains("has 2 members named data.pkl"));
    let good = dict(&tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85"));
    let odd = zip(&[member("m/data.pkl", &good), member("m/data/0", &[0; 12]), member("m/byteorder", b"middle")]);
    assert!(error(&odd).contains("its byte order is \"middle\""));
    let packed = zip(&[member("m/data.pkl", &good), deflated("m/data/0", &[0; 12])]);
    assert!(error(&packed).contains("storage 0 is compressed"));
    let changed = zip(&[Member { crc: 7, ..member("m/data.pkl", &good) }, member("m/data/0", &[0; 12])]);
    assert!(error(&changed).contains("has the checksum"));
}

/// Whether a file opens; if not, that the error is one of the file's.
fn typed(bytes: &[u8]) -> bool {
    match from_bytes(bytes.to_vec(), "model") {
        Ok(_) => true,
        Err(Error::Corrupt { .. } | Error::Format { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn every_opcode_at_depth_0_and_1() {
    let t = tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85");
    // A stack of one value, of a mark and two values, of a function and its arguments ...
    let stacks: [&[u8]; 6] = [b"", b"N", b"(NN", b"}U\x01aK\x01", b"ccollections\nOrderedDict\n)", b"]q\0(K\x01"];
    let arguments: [&[u8]; 5] =
        [b"", b"\0\0\0\0\0\0\0\0\0", b"\x01a\n1\n", b"a\nb\n", b"\xff\xff\xff\xff\xff\xff\xff\xff"];
    // Each form with its own way to write a tensor.
    type Form = fn(&[u8]) -> Vec<u8>;
    let forms: [(Form, &[u8]); 3] = [(pytorch, &t), (legacy, &t), (tar, b"K\x09Q")];
    for (number, (form, t)) in forms.into_iter().enumerate() {
        let (mut opened, mut closed) = (0, 0);
        for opcode in 0..=255u8 {
            for stack in stacks {
                for argument in arguments {
                    for end in [&b"."[..], b"0.", b"1N."] {
                        let code = [b"\x80\x02", stack, &[opcode], argument, end].concat();
                        let inner =
                            [b"\x80\x02}(U\x01a", t, b"U\x01b", stack, &[opcode], argument, end, b"u."].concat();
                        for code in [code, inner] {
                            let file = form(&code);
                            opened += usize::from(poke(&file));
                            typed(&file);
                        }
                    }
                }
            }
            // And with what follows it in order: the value of "b" is made by the opcode.
            let inner = [b"\x80\x02}(U\x01a", t, b"U\x01b", &[opcode], b"u."].concat();
            closed += usize::from(poke(&form(&inner)));
        }
        // Those that take the end for their argument, so that the dictionary is closed: a float, two integers, a memo.
        assert_eq!(opened, 8, "form {number}");
        // None, True, False, an empty tuple, list, dictionary or set, "b" again, "b" dropped, the pair of tensor and "b",
        // and "b" as the tensor's attributes, which a tensor outside of the pickle has not.
        assert_eq!(closed, if number == 2 { 10 } else { 11 }, "form {number}");
    }
    tried(3 * 256 * (6 * 5 * 3 * 2 + 1));
}

/// Programs of whole opcodes in any order.
#[test]
fn random_programs() {
    let t = tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85");
    let id = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x03tQ";
    let pieces: [&[u8]; 40] = [
        &t,
        &t,
        id,
        b"(",
        b"(",
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"K\x01",
        b"K\x02\x85",
        b"J\xff\xff\xff\xff",
        b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\0",
        b"G\x7f\xf0\0\0\0\0\0\0",
        b"U\x01a",
        b"X\x01\0\0\0b",
        b"C\x02\xff\xff",
        b")",
        b"\x85",
        b"\x86",
        b"\x87",
        b"t",
        b"]",
        b"l",
        b"}",
        b"d",
        b"a",
        b"e",
        b"s",
        b"u",
        b"q\x01",
        b"h\x01",
        b"\x94",
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_parameter\n",
        b"R",
        b"\x81",
        b"b",
    ];
    let mut opened = 0;
    for case in 0..200_000 {
        let mut random = common::Random(case);
        let mut code = [b"\x80\x02}q\0(U\x01t", &t[..], b"U\x01u"].concat();
        for _ in 0..random.below(12) {
            code.extend(pieces[random.below(pieces.len())]);
        }
        code.extend(b"u.");
        opened += usize::from(poke(&legacy(&code)));
    }
    assert!((2_000..100_000).contains(&opened), "{opened} opened");
    tried(200000);
}

#[test]
fn large_files_of_little_pickles() {
    let t = tensor("FloatStorage", b"K\x03", b"K\0", b"K\x03\x85", b"K\x01\x85");
    // Tuples of tuples: 2^60 values by reference.
    let laughs = [&[b'N'; 1][..], &b"q\0h\0\x86".repeat(60)].concat();
    assert!(!poke(&pytorch(&dict(&laughs))));
    let laughs = [b"}U\x01x", &t[..], b"sq\0", &b"0}(U\x01ah\0U\x01bh\0uq\0".repeat(60)].concat();
    assert!(!poke(&pytorch(&dict(&laughs))));
    // A dictionary within itself, deep nesting, endless marks, values, memos.
    assert!(error(&pytorch(b"\x80\x02}q\0U\x01ah\0s.")).contains("nested deeper"));
    for unit in [&b"("[..], b"N", b"}", b"]", b"2", b")\x85", b"K\x01", b"K\x01K\x01\x86q\0", b"Nr\0\0\0\0", b"}q\0"] {
        poke(&pytorch(&[b"\x80\x02N", &unit.repeat(1_000_000 / unit.len())[..], b"."].concat()));
        poke(&legacy(&[b"\x80\x02N", &unit.repeat(1_000_000 / unit.len())[..], b"."].concat()));
    }
    let memos: Vec<u8> = (0..200_000u32).flat_map(|i| [b'r'].into_iter().chain(i.to_le_bytes())).collect();
    poke(&pytorch(&[b"\x80\x02N", &memos[..], b"."].concat()));
    assert!(!poke(&pytorch(&dict(&[&b"}U\x01a".repeat(100_000)[..], b"N", &b"s".repeat(100_000)].concat()))));
    // Many small tensors: a name each, the rest by reference.
    let mut many = [b"\x80\x02}(U\x01a", &t[..], b"q\0"].concat();
    for i in 0..100_000 {
        let name = format!("{i:x}");
        many.extend([b"U", &[name.len() as u8][..], name.as_bytes(), b"h\0"].concat());
    }
    many.extend(b"u.");
    poke(&pytorch(&many));
    // A long name above many tensors.
    let mut long = [b"\x80\x02}X\0\x80\0\0", &[b'n'; 0x8000][..], b"}(U\x01a", &t[..], b"q\0"].concat();
    for i in 0..5_000 {
        long.extend([b"U\x04", format!("{i:04}").as_bytes(), b"h\0"].concat());
    }
    long.extend(b"us.");
    assert!(error(&pytorch(&long)).contains("more tensors and values"));
}
