//! Small files made by hand, so that a test can also make them wrong.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod archives;
pub mod gguf;
pub mod golden;
pub mod hostile;
pub mod tables;

use std::path::PathBuf;
use ukulele_tensor::Tensor;
use weights_import::Source;

/// A safetensors file with this header and data.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// A tree of protocol buffer fields, with which a message is written.
#[derive(Clone)]
pub enum Field {
    Varint(u64, u64),
    Bytes(u64, Vec<u8>),
    Fixed32(u64, [u8; 4]),
    Fixed64(u64, [u8; 8]),
    Message(u64, Vec<Field>),
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The message of these fields. `lie` replaces the length (or number) with that index by a claim.
pub fn encode(fields: &[Field], count: &mut usize, lie: Option<(usize, u64)>) -> Vec<u8> {
    let mut out = Vec::new();
    let number = |true_value: u64, count: &mut usize| {
        *count += 1;
        varint(lie.filter(|(at, _)| at + 1 == *count).map_or(true_value, |(_, claim)| claim))
    };
    for field in fields {
        match field {
            Field::Varint(field, value) => {
                out.extend(varint(field << 3));
                out.extend(number(*value, count));
            }
            Field::Fixed64(field, value) => {
                out.extend(varint(field << 3 | 1));
                out.extend(value);
            }
            Field::Fixed32(field, value) => {
                out.extend(varint(field << 3 | 5));
                out.extend(value);
            }
            Field::Bytes(field, value) => {
                out.extend(varint(field << 3 | 2));
                out.extend(number(value.len() as u64, count));
                out.extend(value);
            }
            Field::Message(field, fields) => {
                out.extend(varint(field << 3 | 2));
                let at = *count;
                *count += 1;
                let inner = encode(fields, count, lie);
                let len = lie.filter(|(index, _)| *index == at).map_or(inner.len() as u64, |(_, claim)| claim);
                out.extend(varint(len));
                out.extend(inner);
            }
        }
    }
    out
}

pub fn message(fields: &[Field]) -> Vec<u8> {
    encode(fields, &mut 0, None)
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A blob in the current form.
pub fn blob(shape: &[u64], values: &[f32]) -> Vec<Field> {
    let dims = shape.iter().flat_map(|&n| varint(n)).collect();
    vec![Field::Message(7, vec![Field::Bytes(1, dims)]), Field::Bytes(5, floats(values))]
}

/// A layer in the current form.
pub fn layer(name: &str, kind: &str, blobs: &[Vec<Field>]) -> Field {
    let mut fields = vec![Field::Bytes(1, name.into()), Field::Bytes(2, kind.into())];
    fields.extend(blobs.iter().map(|b| Field::Message(7, b.clone())));
    Field::Message(100, fields)
}

/// A small network with every way to write a blob.
pub fn caffe_seed() -> Vec<Field> {
    let legacy = |n: u64, c: u64, h: u64, w: u64, more: Field| {
        vec![Field::Varint(1, n), Field::Varint(2, c), Field::Varint(3, h), Field::Varint(4, w), more]
    };
    let double = [1.5f64, -2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    let unpacked: Vec<Field> = [7f32, 8., 9.].iter().map(|v| Field::Fixed32(5, v.to_le_bytes())).collect();
    let mut convolution =
        layer("conv", "Convolution", &[blob(&[2, 1, 1, 2], &[1., 2., 3., 4.]), blob(&[2], &[5., 6.])]);
    if let Field::Message(_, fields) = &mut convolution {
        fields.push(Field::Message(106, vec![Field::Varint(3, 1), Field::Varint(4, 3), Field::Varint(6, 2)]));
    }
    let mut norm = layer("bn", "BatchNorm", &[[vec![Field::Message(7, vec![Field::Varint(1, 3)])], unpacked].concat()]);
    if let Field::Message(_, fields) = &mut norm {
        fields.push(Field::Message(139, vec![Field::Fixed32(3, 0.001f32.to_le_bytes())]));
    }
    let old = Field::Message(
        2,
        vec![
            Field::Bytes(4, "ip".into()),
            Field::Varint(5, 14),
            Field::Message(6, legacy(1, 1, 1, 2, Field::Bytes(8, double))),
        ],
    );
    vec![Field::Bytes(1, "net".into()), convolution, norm, old, Field::Varint(5, 1)]
}

/// Values without a pattern, the same every time.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| (random.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

pub fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(shape, numbers(shape.iter().product(), seed)).unwrap()
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A folder of this test's own, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weights-import-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn names(&self) -> Vec<String> {
        let items = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = items.map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Files that lie beside each other; the first is the one that is opened.
#[derive(Clone)]
pub struct Files {
    pub files: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// Those of a folder.
    pub fn read(root: &str, folder: &str, names: &[&str]) -> Self {
        let path = PathBuf::from(root).join(folder);
        let read = |name: &&str| (name.to_string(), std::fs::read(path.join(name)).unwrap());
        Self { files: names.iter().map(read).collect() }
    }

    pub fn source(&self) -> Source {
        let (name, bytes) = &self.files[0];
        Source::memory_with(bytes.clone(), name, self.files[1..].iter().cloned().collect())
    }

    /// [`hostile::poke_source`].
    pub fn poke(&self) -> bool {
        hostile::poke_source(&|| self.source(), self.files.iter().map(|(_, bytes)| bytes.len()).sum())
    }
}
