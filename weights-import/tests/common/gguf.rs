//! GGUF files made by hand.

pub const F32: u32 = 0;
pub const Q4_K: u32 = 12;

/// An entry of the index, dimensions in the file's order.
#[derive(Clone, Copy)]
pub struct Tensor<'t> {
    pub name: &'t [u8],
    pub dims: &'t [u64],
    pub kind: u32,
    pub offset: u64,
}

/// A file of version 3. Pairs are a key and the type and value behind it.
pub fn file(pairs: &[(&str, Vec<u8>)], tensors: &[Tensor<'_>], data: &[u8]) -> Vec<u8> {
    lengths(pairs, tensors, data).0
}

/// [`file`], and where its counts, lengths, dimensions and offsets of 64 bits are.
pub fn lengths(pairs: &[(&str, Vec<u8>)], tensors: &[Tensor<'_>], data: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let mut out = [b"GGUF".to_vec(), 3u32.to_le_bytes().to_vec()].concat();
    let mut places = Vec::new();
    let mut number = |out: &mut Vec<u8>, value: u64| {
        places.push(out.len());
        out.extend(value.to_le_bytes());
    };
    number(&mut out, tensors.len() as u64);
    number(&mut out, pairs.len() as u64);
    for (key, value) in pairs {
        number(&mut out, key.len() as u64);
        out.extend(key.bytes());
        out.extend(value);
    }
    for tensor in tensors {
        number(&mut out, tensor.name.len() as u64);
        out.extend(tensor.name);
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        tensor.dims.iter().for_each(|&size| number(&mut out, size));
        out.extend(tensor.kind.to_le_bytes());
        number(&mut out, tensor.offset);
    }
    if !tensors.is_empty() {
        out.resize(out.len().next_multiple_of(32), 0);
    }
    out.extend(data);
    (out, places)
}
