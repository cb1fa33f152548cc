//! TensorFlow checkpoints of both forms and graphs that lie, and what is said of those that are wrong.
#![allow(missing_docs)]

mod common;

use common::hostile::{self, LIES, mutate, poke_source, tried};
use common::tables::{SHARD, block, masked_crc, one_block, packed, table};
use common::{Field, Folder, Random, encode, floats, message, varint};
use std::collections::BTreeMap;
use weights_import::{Error, Result, Source, Weights, from_bytes, from_source, open};

fn rows_table(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    one_block(block(rows))
}

fn shape(dims: &[u64]) -> Field {
    Field::Message(2, dims.iter().map(|&n| Field::Message(2, vec![Field::Varint(1, n)])).collect())
}

/// `TensorSliceProto`
fn slice(extents: &[(u64, u64)]) -> Vec<Field> {
    let extent =
        |&(start, length): &(u64, u64)| Field::Message(1, vec![Field::Varint(1, start), Field::Varint(2, length)]);
    extents.iter().map(extent).collect()
}

/// `BundleEntryProto` of bytes that lie in the first file of values.
fn bundle(kind: u64, dims: &[u64], offset: u64, bytes: &[u8]) -> Vec<Field> {
    vec![
        Field::Varint(1, kind),
        shape(dims),
        Field::Varint(4, offset),
        Field::Varint(5, bytes.len() as u64),
        Field::Fixed32(6, masked_crc(bytes).to_le_bytes()),
    ]
}

/// Key of a slice of `w` with two dimensions, all numbers below 64.
fn slice_key(extents: &[(u8, u8)]) -> Vec<u8> {
    let mut key = b"\0w\0\x01\x01\x02".to_vec();
    extents.iter().for_each(|&(start, length)| key.extend([0x80 | start, 0x80 | length]));
    key
}

/// Values of the checkpoint: a F32 [2, 3], b I16 [2], the two slices of w F32 [2, 2], strings.
fn values() -> Vec<u8> {
    [floats(&[1., 2., 3., 4., 5., 6.]), vec![7, 0, 0xff, 0xff], floats(&[1., 3.]), floats(&[2., 4.]), vec![1, b'x']]
        .concat()
}

type Rows = Vec<(Vec<u8>, Vec<Field>)>;

fn rows() -> Rows {
    let values = values();
    let sliced = vec![
        Field::Varint(1, 1),
        shape(&[2, 2]),
        Field::Message(7, slice(&[(0, 2), (0, 1)])),
        Field::Message(7, slice(&[(0, 2), (1, 1)])),
    ];
    vec![
        (vec![], vec![Field::Varint(1, 1), Field::Message(3, vec![Field::Varint(1, 1)])]),
        (slice_key(&[(0, 2), (0, 1)]), bundle(1, &[2, 2], 28, &values[28..36])),
        (slice_key(&[(0, 2), (1, 1)]), bundle(1, &[2, 2], 36, &values[36..44])),
        (b"a".to_vec(), bundle(1, &[2, 3], 0, &values[..24])),
        (b"b".to_vec(), bundle(5, &[2], 24, &values[24..28])),
        (b"text".to_vec(), bundle(7, &[1], 44, &values[44..46])),
        (b"w".to_vec(), sliced),
    ]
}

fn index(rows: &Rows) -> Vec<u8> {
    rows_table(&rows.iter().map(|(key, fields)| (key.clone(), message(fields))).collect::<Vec<_>>())
}

fn source(index: &[u8], values: &[u8]) -> Source {
    Source::memory_with(index.to_vec(), "m.index", BTreeMap::from([(SHARD.to_string(), values.to_vec())]))
}

fn poke(index: &[u8], values: &[u8]) -> bool {
    poke_source(&|| source(index, values), index.len() + values.len())
}

fn read(rows: &Rows) -> Result<Weights> {
    from_source(source(&index(rows), &values()))
}

/// A checkpoint of the older form: `SavedTensorSlices`.
fn older_rows() -> Rows {
    let meta = |name: &str, dims: &[u64], kind: u64, slices: Vec<Vec<Field>>| {
        let mut fields = vec![Field::Bytes(1, name.into()), shape(dims), Field::Varint(3, kind)];
        fields.extend(slices.into_iter().map(|slice| Field::Message(4, slice)));
        Field::Message(1, fields)
    };
    let saved = |name: &str, slice: Vec<Field>, data: Vec<Field>| {
        let name = Field::Bytes(1, name.into());
        vec![Field::Message(2, vec![name, Field::Message(2, slice), Field::Message(3, data)])]
    };
    let all = |rank: usize| (0..rank).map(|_| Field::Message(1, vec![])).collect::<Vec<_>>();
    let halves = [slice(&[(0, 1), (0, 2)]), slice(&[(1, 1), (0, 2)])];
    vec![
        (
            vec![],
            vec![Field::Message(
                1,
                vec![
                    meta("w", &[2, 2], 1, halves.to_vec()),
                    meta("i", &[3], 3, vec![all(1)]),
                    meta("s", &[], 2, vec![vec![]]),
                    meta("text", &[1], 7, vec![all(1)]),
                ],
            )],
        ),
        (
            b"\0i".to_vec(),
            saved("i", all(1), vec![Field::Varint(7, 5), Field::Bytes(7, [varint(u64::MAX), varint(7)].concat())]),
        ),
        (b"\0s".to_vec(), saved("s", vec![], vec![Field::Fixed64(6, 2.5f64.to_le_bytes())])),
        (b"\0text".to_vec(), saved("text", all(1), vec![Field::Bytes(8, "x".into())])),
        (b"\0w1".to_vec(), saved("w", halves[0].clone(), vec![Field::Bytes(5, floats(&[1., 2.]))])),
        (b"\0w2".to_vec(), saved("w", halves[1].clone(), vec![Field::Bytes(5, floats(&[3., 4.]))])),
    ]
}

/// A graph with every way to store values.
fn graph() -> Vec<Field> {
    let constant = |name: &str, tensor: Vec<Field>| {
        let value = vec![Field::Message(8, tensor)];
        let attribute = vec![Field::Bytes(1, "value".into()), Field::Message(2, value)];
        Field::Message(
            1,
            vec![Field::Bytes(1, name.into()), Field::Bytes(2, "Const".into()), Field::Message(5, attribute)],
        )
    };
    vec![
        Field::Message(1, vec![Field::Bytes(1, "x".into()), Field::Bytes(2, "Placeholder".into())]),
        constant("raw", vec![Field::Varint(1, 1), shape(&[2]), Field::Bytes(4, floats(&[1., 2.]))]),
        constant("listed", vec![Field::Varint(1, 1), shape(&[2]), Field::Bytes(5, floats(&[3., 4.]))]),
        constant("short", vec![Field::Varint(1, 3), shape(&[2, 3]), Field::Varint(7, 5), Field::Varint(7, u64::MAX)]),
        constant("zero", vec![Field::Varint(1, 19), shape(&[2])]),
        constant("half", vec![Field::Varint(1, 19), shape(&[1, 1]), Field::Bytes(13, varint(0x3c00))]),
        constant("text", vec![Field::Varint(1, 7), shape(&[]), Field::Bytes(8, "words".into())]),
        Field::Message(4, vec![Field::Varint(1, 27)]),
    ]
}

fn tensors(weights: &Weights) -> Vec<String> {
    let entries = weights.entries().iter();
    entries
        .map(|e| format!("{} {}{:?} {:?}", e.name, e.dtype, e.shape, weights.get(&e.name).unwrap().to_vec()))
        .collect()
}

#[test]
fn the_seeds_are_read() {
    let weights = read(&rows()).unwrap();
    let expected =
        ["a F32[2, 3] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]", "b I16[2] [7.0, -1.0]", "w F32[2, 2] [1.0, 2.0, 3.0, 4.0]"];
    assert_eq!(tensors(&weights), expected);
    assert_eq!(weights.metadata()["skipped.text"], "strings");
    let weights = from_bytes(index(&older_rows()), "model.ckpt").unwrap();
    assert_eq!(tensors(&weights), ["w F32[2, 2] [1.0, 2.0, 3.0, 4.0]", "i I32[3] [5.0, -1.0, 7.0]", "s F64[] [2.5]"]);
    assert_eq!(weights.metadata()["skipped.text"], "strings");
    let weights = from_bytes(message(&graph()), "graph").unwrap();
    let expected = [
        "raw F32[2] [1.0, 2.0]",
        "listed F32[2] [3.0, 4.0]",
        "short I32[2, 3] [5.0, -1.0, -1.0, -1.0, -1.0, -1.0]",
        "zero F16[2] [0.0, 0.0]",
        "half F16[1, 1] [1.0]",
    ];
    assert_eq!(tensors(&weights), expected);
    assert!(poke(&index(&rows()), &values()));
    assert!(poke(&index(&older_rows()), &[]));
    assert!(hostile::poke(&message(&graph())));
}

#[test]
fn cut_at_every_byte() {
    let (rows, older, values) = (index(&rows()), index(&older_rows()), values());
    assert_eq!((0..rows.len()).filter(|&end| poke(&rows[..end], &values)).count(), 0);
    assert_eq!((0..values.len()).filter(|&end| poke(&rows, &values[..end])).count(), 0);
    assert_eq!((0..older.len()).filter(|&end| poke(&older[..end], &[])).count(), 0);
    // A protocol buffer has no end mark: cut between two nodes, it is a smaller graph.
    let graph = message(&graph());
    assert_eq!(hostile::cut_at_every_byte(&graph), 6);
    tried(960);
}

#[test]
fn every_bit_flipped() {
    hostile::every_bit_flipped(&message(&graph()));
    let values = values();
    // Every bit of the index and of the values is under a checksum, but for the block of filters, which is not read, and
    // the footer's filler.
    let flipped = |seed: &[u8], poke: &dyn Fn(&[u8]) -> bool| {
        let opened = (0..8 * seed.len()).filter(|bit| {
            let mut bytes = seed.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            poke(&bytes)
        });
        opened.count()
    };
    let seed = index(&rows());
    let filler = flipped(&seed, &|bytes| poke(bytes, &values));
    assert!(filler > 8 * (13 + 35) && filler < 8 * (13 + 40), "{filler}");
    assert_eq!(flipped(&values, &|bytes| poke(&seed, bytes)), 16); // of the strings, which are not read
    let opened = flipped(&index(&older_rows()), &|bytes| poke(bytes, &[]));
    assert!(opened > 100 && opened < 8 * 100, "{opened}");
    // With the right checksum.
    for (rows, values) in [(rows(), &values[..]), (older_rows(), &[])] {
        let rows: Vec<_> = rows.iter().map(|(key, fields)| (key.clone(), message(fields))).collect();
        let opened = flipped(&block(&rows), &|bytes| poke(&one_block(bytes.to_vec()), values));
        assert!(opened > 10, "{opened}");
    }
    tried(11_000);
}

#[test]
fn every_length_a_lie() {
    let values = values();
    for rows in [rows(), older_rows()] {
        let mut lies = 0;
        for row in 0..rows.len() {
            let mut count = 0;
            encode(&rows[row].1, &mut count, None);
            for (at, lie) in (0..count).flat_map(|at| LIES.map(|lie| (at, lie))) {
                let mut table: Vec<_> = rows.iter().map(|(key, fields)| (key.clone(), message(fields))).collect();
                table[row].1 = encode(&rows[row].1, &mut 0, Some((at, lie)));
                poke(&rows_table(&table), &values);
                lies += 1;
            }
        }
        assert!(lies > 250, "{lies}");
        // The lengths of the first row, the points of restart, the blocks and the footer.
        let seed = index(&rows);
        for at in [0, 1, 2, seed.len() - 48, seed.len() - 47, seed.len() - 46, seed.len() - 45] {
            for lie in LIES {
                let mut bytes = seed.clone();
                bytes.splice(at..at + 1, varint(lie));
                poke(&bytes, &values);
            }
        }
        let plain: Vec<_> = rows.iter().map(|(key, fields)| (key.clone(), message(fields))).collect();
        for lie in LIES {
            for at in 0..3 {
                let mut block = block(&plain);
                block.splice(at..at + 1, varint(lie));
                poke(&one_block(block), &values);
            }
            let mut block = block(&plain);
            let end = block.len();
            block[end - 4..].copy_from_slice(&(lie as u32).to_le_bytes());
            assert_eq!(poke(&one_block(block), &values), lie as u32 == 1);
        }
    }
    let graph = graph();
    let mut count = 0;
    encode(&graph, &mut count, None);
    assert!(count > 60);
    for (at, lie) in (0..count).flat_map(|at| LIES.map(|lie| (at, lie))) {
        hostile::poke(&encode(&graph, &mut 0, Some((at, lie))));
    }
    tried(1500);
}

#[test]
fn seeded_mutations() {
    hostile::mutations(&message(&graph()), 100_000, 31);
    let values = values();
    for (number, (rows, values)) in [(rows(), &values[..]), (older_rows(), &[])].into_iter().enumerate() {
        let seed = block(&rows.iter().map(|(key, fields)| (key.clone(), message(fields))).collect::<Vec<_>>());
        let (file, cases) = (one_block(seed.clone()), 100_000);
        let mut opened = 0;
        for case in 0..cases {
            let mut random = Random(case << 8 | (32 + number as u64));
            let mut values = values.to_vec();
            // Most cases have the right checksum: without it, little is read.
            let bytes = match random.below(8) {
                0 => {
                    let mut bytes = file.clone();
                    mutate(&mut bytes, &mut random);
                    bytes
                }
                1 => {
                    mutate(&mut values, &mut random);
                    file.clone()
                }
                _ => {
                    let mut block = seed.clone();
                    (0..1 + random.below(3)).for_each(|_| mutate(&mut block, &mut random));
                    one_block(block)
                }
            };
            opened += u64::from(poke(&bytes, &values));
        }
        assert!((cases / 200..cases * 3 / 4).contains(&opened), "{opened} of {cases} opened");
    }
    tried(300000);
}

#[test]
fn snappy_blocks() {
    let rows = index(&rows());
    let inner = &rows[..rows.len() - 48];
    // All in literals of 60 bytes.
    let plain = block(&self::rows().iter().map(|(key, fields)| (key.clone(), message(fields))).collect::<Vec<_>>());
    let mut literals = varint(plain.len() as u64);
    plain.chunks(60).for_each(|part| literals.extend([&[(part.len() as u8 - 1) << 2], part].concat()));
    assert!(inner.starts_with(&plain));
    let file = packed(literals.clone());
    assert!(poke(&file, &values()));
    // A bomb: copies of 64 bytes, 100 MB from 5.
    let mut bomb = varint(64 * 1_500_000 + 1);
    bomb.extend([0, b'x']);
    bomb.extend([63 << 2 | 2, 1, 0].repeat(1_500_000));
    let file = packed(bomb);
    assert!(!poke(&file, &[]));
    let error = from_source(source(&file, &[])).unwrap_err().to_string();
    assert!(error.contains("claims to hold more than it can"), "{error}");
    for case in 0..40_000 {
        let mut random = Random(case << 8 | 41);
        let mut bytes = literals.clone();
        (0..1 + random.below(3)).for_each(|_| mutate(&mut bytes, &mut random));
        poke(&packed(bytes), &values());
    }
    tried(40000);
}

#[test]
fn a_short_list_is_no_bomb() {
    let graph = |dims: &[u64]| {
        let tensor = vec![Field::Varint(1, 1), shape(dims), Field::Bytes(5, floats(&[7.]))];
        let attribute = vec![Field::Bytes(1, "value".into()), Field::Message(2, vec![Field::Message(8, tensor)])];
        message(&[Field::Message(
            1,
            vec![Field::Bytes(1, "a".into()), Field::Bytes(2, "Const".into()), Field::Message(5, attribute)],
        )])
    };
    assert!(hostile::poke(&graph(&[1 << 16])));
    for dims in [&[1 << 20][..], &[1 << 40], &[1 << 32, 1 << 32]] {
        let error = from_bytes(graph(dims), "g").unwrap_err().to_string();
        assert!(error.contains("tensor a "), "{error}");
        assert!(!hostile::poke(&graph(dims)));
    }
}

#[test]
fn says_what_is_wrong_with_a_checkpoint() {
    let change = |row: usize, fields: Vec<Field>| {
        let mut rows = rows();
        rows[row].1 = fields;
        read(&rows).unwrap_err().to_string()
    };
    let values = values();
    let a = &values[..24];
    let sliced = |slices: &[Vec<Field>]| {
        let mut fields = vec![Field::Varint(1, 1), shape(&[2, 2])];
        fields.extend(slices.iter().map(|slice| Field::Message(7, slice.clone())));
        fields
    };
    let (left, right) = (slice(&[(0, 2), (0, 1)]), slice(&[(0, 2), (1, 1)]));
    for (error, words) in [
        (change(0, vec![Field::Varint(1, 2)]), "needs the file m.data-00000-of-00002 beside it"),
        (change(0, vec![Field::Varint(1, u64::MAX)]), "claims -1 files of values"),
        (change(0, vec![Field::Varint(1, 1), Field::Varint(2, 2)]), "unknown byte order 2"),
        (change(0, vec![Field::Bytes(9, vec![])]), "is a LevelDB table, but no TensorFlow checkpoint"),
        (change(3, bundle(1, &[2, 2], 0, a)), "tensor a, F32[2, 2], takes 24 bytes"),
        (change(3, bundle(1, &[1 << 63], 0, a)), "a dimension of the size"),
        (change(3, bundle(1, &[1 << 32, 1 << 32], 0, a)), "which is too large"),
        (change(3, bundle(1, &[1; 33], 0, a)), "more than 32 dimensions"),
        (change(3, bundle(1, &[2, 3], 30, a)), "a claims 24 bytes from byte 30 of file 0 of 1"),
        (change(3, bundle(1, &[2, 3], u64::MAX, a)), "which do not exist"),
        (change(3, [bundle(1, &[2, 3], 0, a), vec![Field::Varint(3, 1)]].concat()), "of file 1 of 1"),
        (change(4, bundle(1, &[2, 3], 0, a)), "its tensors claim 66 bytes, but its files have 46"),
        (change(6, sliced(&[left.clone(), left.clone(), right.clone()])), "have 6 elements"),
        (change(6, sliced(std::slice::from_ref(&left))), "have 2 elements"),
        (change(6, sliced(&[left.clone(), slice(&[(0, 2), (1, 2)])])), "does not lie within its shape"),
        (change(6, sliced(&[left.clone(), slice(&[(0, 2)])])), "does not lie within its shape"),
        (change(6, sliced(&[slice(&[(u64::MAX, 2), (0, 1)])])), "does not lie within its shape"),
        (change(6, sliced(&[slice(&[(0, 1), (0, 1)])])), "is not in the index"),
        (change(2, bundle(1, &[2, 2], 36, &values[36..40])), "a slice of tensor w"),
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    // Slices that overlap, and values that do not fit their checksum, are seen when they are read.
    let weights = {
        let mut rows = rows();
        rows[6].1 = sliced(&[left.clone(), left]);
        read(&rows).unwrap()
    };
    assert!(weights.raw("w").unwrap_err().to_string().contains("overlap"));
    let mut wrong = values.clone();
    wrong[5] ^= 1;
    wrong[30] ^= 1;
    let weights = from_source(source(&index(&rows()), &wrong)).unwrap();
    for name in ["a", "w"] {
        let error = weights.get(name).unwrap_err().to_string();
        assert!(error.contains(SHARD) && error.contains("does not fit its checksum"), "{error}");
    }
    assert!(weights.raw("b").is_ok());
}

#[test]
fn says_what_is_wrong_with_a_table() {
    let plain: Vec<_> = rows().iter().map(|(key, fields)| (key.clone(), message(fields))).collect();
    let mut swapped = plain.clone();
    swapped.swap(3, 4);
    let mut twice = plain.clone();
    twice[4].0 = b"a".to_vec();
    let mut latin = plain.clone();
    latin[6].0 = vec![0xff];
    let first = plain[..3].to_vec();
    let mut flipped = index(&rows());
    flipped[20] ^= 1;
    let far = rows_table(&plain);
    let mut far_footer = far.clone();
    let footer = far.len() - 48;
    far_footer.splice(
        footer..footer + 40,
        [vec![0, 0], varint(1 << 40), varint(9), vec![0; 32]].concat().into_iter().take(40),
    );
    for (file, words) in [
        (rows_table(&swapped), "not in order"),
        (rows_table(&twice), "not in order"),
        (rows_table(&latin), "is not UTF-8"),
        (table(&[(vec![1], block(&first)), (vec![2], block(&plain))], 0), "not in order"),
        (table(&[(vec![1], block(&plain))], 2), "compressed in an unknown way"),
        (one_block(vec![0; 3]), "a block without an end"),
        (one_block([vec![1, 0, 0], block(&plain)].concat()), "the key of a row at byte 0 of a block is too long"),
        (one_block([varint(0), varint(9000), varint(0), vec![b'k'; 9000], vec![0; 8]].concat()), "too long"),
        (flipped, "its checksum does not fit"),
        (far_footer, "ends after the file's"),
    ] {
        let error = from_source(source(&file, &values())).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. } | Error::Format { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn says_what_is_wrong_with_an_older_checkpoint() {
    let change = |row: usize, fields: Vec<Field>| {
        let mut rows = older_rows();
        rows[row].1 = fields;
        from_bytes(index(&rows), "model.ckpt").unwrap_err().to_string()
    };
    let saved = |name: &str, slice: Vec<Field>| {
        let data = Field::Message(3, vec![Field::Bytes(5, floats(&[1., 2.]))]);
        vec![Field::Message(2, vec![Field::Bytes(1, name.into()), Field::Message(2, slice), data])]
    };
    let second = slice(&[(1, 1), (0, 2)]);
    for (error, words) in [
        (change(5, saved("none", second.clone())), "values of tensor none, which is not listed"),
        (change(5, saved("w", slice(&[(2, 1), (0, 2)]))), "does not lie within its shape"),
        (change(5, vec![]), "values for 2 elements"),
        (change(5, saved("w", slice(&[(0, 2), (0, 2)]))), "values for 6 elements"),
        (
            change(
                1,
                saved("i", vec![Field::Message(1, vec![])])
                    .into_iter()
                    .chain(saved("i", vec![Field::Message(1, vec![])]))
                    .collect(),
            ),
            "values for 6",
        ),
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let mut rows = older_rows();
    rows[5].1 = saved("w", slice(&[(0, 1), (0, 2)]));
    let weights = from_bytes(index(&rows), "model.ckpt").unwrap();
    assert!(weights.raw("w").unwrap_err().to_string().contains("overlap"));
    let mut bytes = index(&older_rows());
    let at = bytes.windows(4).position(|w| w == 3f32.to_le_bytes()).unwrap();
    bytes[at] ^= 1;
    let weights = from_bytes(bytes, "model.ckpt").unwrap();
    assert!(weights.raw("w").unwrap_err().to_string().contains("checksum does not fit"));
    let error = from_source(Source::memory(index(&older_rows()), "m.ckpt-00000-of-00002")).unwrap_err().to_string();
    assert!(error.contains("needs the file m.ckpt-00001-of-00002 beside it"), "{error}");
}

#[test]
fn a_checkpoint_is_opened_by_any_of_its_names() {
    let folder = Folder::new("checkpoint");
    std::fs::create_dir_all(folder.0.join("saved/variables")).unwrap();
    let index = index(&rows());
    folder.file("m.index", &index);
    folder.file(SHARD, &values());
    folder.file("checkpoint", b"model_checkpoint_path: \"m\"\nall_model_checkpoint_paths: \"m\"\n");
    for name in ["m", "m.index", "."] {
        assert_eq!(tensors(&open(folder.0.join(name)).unwrap()).len(), 3, "{name}");
    }
    for (name, words) in [
        (SHARD, "holds the values of a TensorFlow checkpoint without their names: open m.index"),
        ("checkpoint", "list of a folder's TensorFlow checkpoints: open one of them"),
        ("n", "cannot open"),
    ] {
        let error = open(folder.0.join(name)).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = open(folder.file("m.meta", b"\x0a\x02\x2a\0\x12\0")).unwrap_err().to_string();
    assert!(error.contains("without its values: open m.index"), "{error}");
    let error = open(folder.file("renamed", &index)).unwrap_err().to_string();
    assert!(error.contains("name it PREFIX.index"), "{error}");
    std::fs::remove_file(folder.0.join(SHARD)).unwrap();
    let error = open(folder.0.join("m")).unwrap_err().to_string();
    assert!(error.contains("needs the file m.data-00000-of-00001 beside it"), "{error}");

    // A SavedModel: schema version 1 and a graph with its variables elsewhere.
    let meta = Field::Message(2, vec![Field::Message(1, vec![Field::Varint(1, 1)]), Field::Message(2, graph())]);
    let saved = message(&[Field::Varint(1, 1), meta]);
    let error = open(folder.file("saved/saved_model.pb", &saved)).unwrap_err().to_string();
    assert!(error.contains("open the SavedModel's folder, or variables/variables.index"), "{error}");
    folder.file("saved/variables/variables.index", &index);
    folder.file("saved/variables/variables.data-00000-of-00001", &values());
    assert_eq!(tensors(&open(folder.0.join("saved")).unwrap()).len(), 3);
}

#[test]
fn large_files_of_little_things() {
    // Rows that share all but the last bytes of a long name.
    let mut rows = [varint(0), varint(0), vec![2, 8, 1]].concat();
    rows.extend([vec![0], varint(4000), vec![0], vec![b'n'; 4000]].concat());
    for i in 0..100_000u32 {
        rows.extend([varint(3997), vec![3, 0], (0x61_6161 + i).to_be_bytes()[1..].to_vec()].concat());
    }
    rows.extend([0; 8]);
    assert!(!poke(&one_block(rows), &[]));
    // Small rows.
    let mut rows = [varint(0), varint(0), vec![2, 8, 1]].concat();
    for i in 0..100_000u32 {
        rows.extend([vec![0, 4, 2], i.to_be_bytes().map(|b| b & 0x7f | 1).to_vec(), vec![8, 1]].concat());
    }
    rows.extend([0; 8]);
    poke(&one_block(rows), &[]);
    // Slices without end.
    let many = vec![Field::Bytes(7, [0x0a, 0].repeat(20)); 40_000];
    let rows: Rows = vec![(vec![], vec![Field::Varint(1, 1)]), (b"w".to_vec(), many)];
    poke(&index(&rows), &[]);
    // Small nodes and constants.
    let node = message(&graph()[1..2]);
    hostile::poke(&node.repeat(30_000));
    let mut file = Vec::new();
    for i in 0..40_000u32 {
        let name = format!("{i:x}");
        let node = [
            vec![0x0a, name.len() as u8],
            name.into_bytes(),
            vec![0x12, 5],
            b"Const".to_vec(),
            vec![0x2a, 15, 0x0a, 5],
            b"value".to_vec(),
            vec![0x12, 6, 0x42, 4, 0x08, 4, 0x12, 0],
        ]
        .concat();
        file.extend([vec![0x0a, node.len() as u8], node].concat());
    }
    hostile::poke(&file);
}
