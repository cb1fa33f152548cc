//! IDX files (MNIST and its kin), plain or gzipped.
//!
//! Two zero bytes, the type of the elements (0x08: unsigned bytes), the number of dimensions, each dimension as 32 bits
//! big-endian, then the elements in row-major order.

use crate::error::{Error, Result, read};
use crate::image::Image;
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;

/// An array of bytes out of an IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// Dimensions, slowest first.
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub bytes: Vec<u8>,
}

/// Most bytes of an array: a small gzip file can claim to be huge.
const MAX_BYTES: usize = 1 << 31;

impl Idx {
    /// Reads a file; gzip is found by the first bytes.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold what its header says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(&read(path)?, &path.display().to_string())
    }

    /// Reads bytes; errors call them `source`.
    ///
    /// # Errors
    /// As [`Idx::open`].
    pub fn parse(bytes: &[u8], source: &str) -> Result<Self> {
        if bytes.starts_with(&[0x1F, 0x8B]) {
            let whole = bytes.len().saturating_mul(1100); // gzip shrinks to no less than 1/1032
            return Self::from_reader(GzDecoder::new(bytes), whole, source);
        }
        Self::from_reader(bytes, bytes.len(), source)
    }

    /// `available` bounds the bytes that `reader` can have.
    fn from_reader(mut reader: impl Read, available: usize, source: &str) -> Result<Self> {
        let wrong = |message: String| Error::content(source, message);
        let mut exactly = |buffer: &mut [u8], what: &str| {
            reader.read_exact(buffer).map_err(|e| wrong(format!("ends or breaks in {what}: {e}")))
        };
        let mut head = [0; 4];
        exactly(&mut head, "the header of an IDX file")?;
        let [zero, zero_too, kind, rank] = head;
        if (zero, zero_too) != (0, 0) {
            return Err(wrong(format!("is no IDX file: it begins with {head:02X?}, not with two zeros")));
        }
        if kind != 0x08 {
            return Err(wrong(format!("holds elements of type 0x{kind:02X}; only 0x08, unsigned bytes, is read")));
        }
        if !(1..=4).contains(&rank) {
            return Err(wrong(format!("has {rank} dimensions; 1 to 4 are read")));
        }
        let mut shape = vec![];
        for dim in 0..rank {
            let mut size = [0; 4];
            exactly(&mut size, &format!("dimension {dim}"))?;
            shape.push(u32::from_be_bytes(size) as usize);
        }
        let count = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let Some(count) = count.filter(|&n| n <= MAX_BYTES.min(available)) else {
            return Err(wrong(format!("claims the shape {shape:?}, more than the file can hold")));
        };
        let mut bytes = vec![];
        let mut rest = reader.take(count as u64 + 1);
        rest.read_to_end(&mut bytes).map_err(|e| wrong(format!("breaks in its elements: {e}")))?;
        if bytes.len() != count {
            let there = if bytes.len() > count { "more".to_owned() } else { bytes.len().to_string() };
            return Err(wrong(format!("claims the shape {shape:?}, {count} elements, but has {there}")));
        }
        Ok(Self { shape, bytes })
    }

    /// The pictures of an array of shape (N, H, W), grey, or (N, H, W, 3).
    ///
    /// # Errors
    /// Another shape.
    pub fn images(&self) -> Result<Vec<Image>> {
        let (height, width, channels) = match self.shape[..] {
            [_, height, width] => (height, width, 1),
            [_, height, width, 3] => (height, width, 3),
            _ => {
                let message = format!("shape {:?} is none of pictures, [N, H, W] or [N, H, W, 3]", self.shape);
                return Err(Error::argument("idx", message));
            }
        };
        if height == 0 || width == 0 {
            return Err(Error::argument("idx", format!("pictures of shape {:?} have no pixels", self.shape)));
        }
        let pictures = self.bytes.chunks_exact(height * width * channels);
        pictures
            .map(
                |p| {
                    if channels == 1 {
                        Image::from_grey(width, height, p)
                    } else {
                        Image::new(width, height, p.to_vec())
                    }
                },
            )
            .collect()
    }

    /// The labels of an array of shape (N).
    ///
    /// # Errors
    /// Another shape.
    pub fn labels(&self) -> Result<Vec<usize>> {
        if self.shape.len() != 1 {
            let message = format!("shape {:?} is none of labels, [N]", self.shape);
            return Err(Error::argument("idx", message));
        }
        Ok(self.bytes.iter().map(|&b| usize::from(b)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn idx(shape: &[u32], elements: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        shape.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes.extend((0..elements).map(|i| i as u8));
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_gzipped() {
        let bytes = idx(&[2, 2, 3], 12);
        let array = Idx::parse(&bytes, "a").unwrap();
        assert_eq!(Idx::parse(&gzip(&bytes), "a").as_ref(), Ok(&array));
        let images = array.images().unwrap();
        assert_eq!((images.len(), images[1].width(), images[1].pixel(2, 1)), (2, 3, [11; 3]));
        assert_eq!(Idx::parse(&idx(&[3], 3), "l").unwrap().labels(), Ok(vec![0, 1, 2]));
        assert!(array.labels().is_err());
        let zeros = idx(&[3_000_000], 0).into_iter().chain(vec![0; 3_000_000]).collect::<Vec<_>>();
        assert_eq!(Idx::parse(&gzip(&zeros), "z").unwrap().bytes.len(), 3_000_000);
    }

    #[test]
    fn bad_files() {
        let message = |bytes: &[u8]| Idx::parse(bytes, "a.idx").unwrap_err().to_string();
        assert!(message(&[]).starts_with("a.idx: ends"));
        assert!(message(b"PK\x03\x04").contains("no IDX file"));
        assert!(message(&[0, 0, 0x0D, 1, 0, 0, 0, 0]).contains("0x0D"));
        assert!(message(&[0, 0, 8, 200]).contains("200 dimensions"));
        assert!(message(&idx(&[u32::MAX, u32::MAX, u32::MAX], 0)).contains("more than the file can hold"));
        assert!(message(&idx(&[4], 3)).contains("4 elements, but has 3"));
        assert!(message(&idx(&[3], 4)).contains("more"));
        let gz = gzip(&idx(&[400], 400));
        assert!(Idx::parse(&gz[..gz.len() / 2], "a").is_err());
        assert!(Idx::parse(&idx(&[2, 0, 3], 0), "a").unwrap().images().is_err());
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..100), header: bool) {
            if header && bytes.len() > 4 {
                bytes[..3].copy_from_slice(&[0, 0, 8]);
                bytes[3] %= 5;
            }
            if let Ok(array) = Idx::parse(&bytes, "a") {
                let _ = (array.images(), array.labels());
            }
            let _ = Idx::parse(&gzip(&bytes), "a");
        }
    }
}
