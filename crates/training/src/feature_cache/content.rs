//! Rows of numbers with labels: they grow in a file or in memory, and are read from there.

use super::file::Draft;
use crate::{Error, Features, Result};
use half::f16;
use ukulele_layers::Tensor;
use weights_import::{Dtype, Entry, Source};

/// How many numbers are read at a time.
const STRETCH: usize = 1 << 16;

/// Rows of numbers, and labels.
#[derive(Debug, Clone)]
pub(crate) struct Content<N = Source> {
    /// f16, or f32 where that does not hold a number or is not wanted.
    pub(super) dtype: Dtype,
    /// Rows, and the dimensions of each.
    pub(crate) shape: Vec<usize>,
    pub(super) numbers: N,
    /// Rows of each input, where it has any number of them.
    pub(crate) lengths: Option<Vec<usize>>,
    pub(crate) labels: Vec<i64>,
}

/// Numbers that come one after the other.
#[derive(Debug)]
pub(crate) struct Growing {
    /// Where they are; without it they are in memory.
    file: Option<Draft>,
    memory: Vec<u8>,
    /// Most bytes in memory.
    most: usize,
    /// Why there is no file.
    unkept: Option<String>,
}

impl Content<Growing> {
    /// As f32 in memory, without a limit.
    pub(crate) fn in_memory() -> Self {
        let numbers = Growing { file: None, memory: Vec::new(), most: usize::MAX, unkept: None };
        Self { dtype: Dtype::F32, shape: Vec::new(), numbers, lengths: None, labels: Vec::new() }
    }

    /// As f16 in a file; where there is none, or it cannot be written, in memory, up to so many bytes.
    pub(super) fn in_file(file: std::result::Result<Draft, String>, most: usize) -> Self {
        let (file, unkept) = file.map_or_else(|why| (None, Some(why)), |file| (Some(file), None));
        let numbers = Growing { file, memory: Vec::new(), most, unkept };
        Self { dtype: Dtype::F16, numbers, ..Self::in_memory() }
    }

    /// Adds numbers; if f16 does not hold one of them, or all of them to a thousandth of their norm, all are f32 from now on.
    pub(crate) fn push(&mut self, numbers: &[f32]) -> Result<()> {
        if self.dtype == Dtype::F16 {
            let off = |x: f32| f64::from(f16::from_f32(x).to_f32() - x).powi(2);
            let norm = |f: &dyn Fn(f32) -> f64| numbers.iter().filter(|x| x.is_finite()).map(|&x| f(x)).sum::<f64>();
            let finite = numbers.iter().all(|&x| f16::from_f32(x).is_finite() || !x.is_finite());
            if finite && norm(&off) <= 1e-6 * norm(&|x| f64::from(x).powi(2)) {
                let narrow: Vec<u8> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
                return self.numbers.add(&narrow);
            }
            self.numbers.widen()?;
            self.dtype = Dtype::F32;
        }
        self.numbers.add(&super::bytes(numbers))
    }

    /// The whole, kept under this key; and why it is not kept, where it was to be.
    pub(crate) fn finish(mut self, key: &str) -> Result<(Content, Option<String>)> {
        let mut kept = None;
        if let Some(mut file) = self.numbers.file.take() {
            match file.finish(key, &self) {
                Ok(numbers) => kept = Some(numbers),
                Err(why) => self.numbers.hold(&file, &why)?,
            }
        }
        let Self { dtype, shape, numbers, lengths, labels } = self;
        let unkept = numbers.unkept;
        let numbers = kept.unwrap_or_else(|| Source::memory(numbers.memory, "features"));
        Ok((Content { dtype, shape, numbers, lengths, labels }, unkept))
    }
}

impl Growing {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(mut file) = self.file.take() {
            match file.add(bytes) {
                Ok(()) => {
                    self.file = Some(file);
                    return Ok(());
                }
                Err(why) => self.hold(&file, &why)?,
            }
        }
        self.check(self.memory.len().saturating_add(bytes.len()))?;
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    /// From f16 to f32.
    fn widen(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            match file.widened() {
                Ok(wide) => {
                    self.file = Some(wide);
                    return Ok(());
                }
                Err(why) => self.hold(&file, &why)?,
            }
        }
        self.check(self.memory.len().saturating_mul(2))?;
        self.memory = widened(&self.memory);
        Ok(())
    }

    /// Goes on in memory with what is in a file that cannot be written to.
    fn hold(&mut self, file: &Draft, why: &Error) -> Result<()> {
        self.unkept = Some(why.to_string());
        self.check(file.len())?;
        self.memory = file.read_back().map_err(|error| Error::NoRoom(format!("{why}; and then: {error}")))?;
        Ok(())
    }

    fn check(&self, bytes: usize) -> Result<()> {
        match &self.unkept {
            Some(why) if bytes > self.most => Err(Error::NoRoom(format!(
                "what frozen layers say is not kept: {why}; and it is more than the {} bytes that may be held in memory",
                self.most
            ))),
            _ => Ok(()),
        }
    }
}

impl<N> Content<N> {
    /// The lists of whole numbers beside the numbers, by name.
    pub(super) fn lists(&self) -> Vec<(&'static str, Vec<u8>)> {
        let labels = self.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        let lengths = self.lengths.iter().map(|all| all.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect());
        std::iter::once(("labels", labels)).chain(lengths.map(|all| ("lengths", all))).collect()
    }

    /// The numbers and the lists, as a file names them.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |name: &str, shape: &[usize], dtype| Entry { name: name.to_owned(), shape: shape.to_vec(), dtype };
        let lists = self.lists().into_iter().map(|(name, _)| entry(name, &[self.labels.len()], Dtype::I64));
        std::iter::once(entry("features", &self.shape, self.dtype)).chain(lists).collect()
    }
}

impl Content {
    /// The numbers from one of them on.
    ///
    /// # Errors
    /// A file that has been cut, or cannot be read any more.
    pub(crate) fn read(&self, start: usize, numbers: &mut [f32]) -> Result<()> {
        let size = if self.dtype == Dtype::F16 { 2 } else { 4 };
        let mut bytes = vec![0; size * STRETCH.min(numbers.len())];
        for (i, part) in numbers.chunks_mut(STRETCH).enumerate() {
            let bytes = &mut bytes[..size * part.len()];
            self.numbers.read_into((size * (start + i * STRETCH)) as u64, bytes).map_err(|error| {
                let mend = "it was whole when it was opened; train again: what is damaged is then computed anew";
                Error::data(format!("{error}; {mend}"))
            })?;
            match self.dtype {
                Dtype::F16 => {
                    let bytes = bytes.as_chunks().0;
                    part.iter_mut().zip(bytes).for_each(|(x, b)| *x = f16::from_le_bytes(*b).to_f32());
                }
                _ => part.iter_mut().zip(bytes.as_chunks().0).for_each(|(x, b)| *x = f32::from_le_bytes(*b)),
            }
        }
        Ok(())
    }

    pub(super) fn into_features(self) -> std::result::Result<Features, String> {
        let ([_, _], None) = (&self.shape[..], &self.lengths) else {
            return Err("holds no rows of features".to_owned());
        };
        let mut read = Ok(());
        let values = Tensor::build(&self.shape, |numbers| read = self.read(0, numbers));
        read.map_err(|error| error.to_string())?;
        Ok(Features { values: values.map_err(|error| error.to_string())?, labels: self.labels })
    }
}

/// f16 as f32.
pub(super) fn widened(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks().0.iter().flat_map(|b| f16::from_le_bytes(*b).to_f32().to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_f16_does_not_hold_is_f32() {
        for (numbers, narrow) in
            [([0.5, -3.0, 0.0], true), ([1.0, 1e-9, 2.0], true), ([1e-9, 2e-9, -3e-8], false), ([1.0, 7e4, 2.0], false)]
        {
            let mut content = Content::in_file(Err("in memory".to_owned()), 24);
            content.push(&[1.0, 2.0, f32::NAN]).unwrap();
            content.push(&numbers).unwrap();
            assert_eq!(content.dtype == Dtype::F16, narrow, "{numbers:?}");
            let mut read = [0.0; 6];
            content.finish("").unwrap().0.read(0, &mut read).unwrap();
            assert!(read[..2] == [1.0, 2.0] && read[2].is_nan(), "{read:?}");
            assert!(
                read[3..]
                    .iter()
                    .zip(numbers)
                    .all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(if narrow { 1e-3 } else { 0.0 })),
                "{read:?}"
            );
        }
    }

    /// 12 bytes as f16, 24 as f32.
    #[test]
    fn memory_has_a_limit() {
        for (most, numbers, fits) in [(12, 1.0, true), (11, 1.0, false), (24, 7e4, true), (23, 7e4, false)] {
            let mut content = Content::in_file(Err("no disk".to_owned()), most);
            content.push(&[1.0; 3]).unwrap();
            match content.push(&[numbers; 3]) {
                Ok(()) => assert!(fits, "{most}"),
                Err(error) => assert!(!fits && error.to_string().contains("no disk"), "{most}: {error}"),
            }
        }
    }
}
