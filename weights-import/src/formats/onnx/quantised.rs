//! `DequantizeLinear`: (integer - zero point) * scale, for the whole tensor or along an axis.

use super::FORMAT;
use super::tensor::Stored;
use crate::{Dtype, Error, Result, Source, dtype};

/// What turns a tensor's integers into floats.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub(super) scale: Stored,
    pub(super) zero: Option<Stored>,
    /// `None`: one scale for all.
    pub(super) axis: Option<usize>,
}

impl Scale {
    /// `Ok(None)`: not the integers, or not the scales, that are known here.
    pub(super) fn new(
        weight: &Stored,
        scale: &Stored,
        zero: Option<&Stored>,
        axis: i64,
    ) -> std::result::Result<Option<Self>, String> {
        let integers = matches!(weight.dtype, Dtype::I8 | Dtype::U8 | Dtype::I16 | Dtype::U16 | Dtype::I32);
        let floats = matches!(scale.dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16);
        if !integers || !floats || zero.is_some_and(|zero| zero.dtype != weight.dtype) {
            return Ok(None);
        }
        let axis = match scale.shape[..] {
            [] | [1] => None,
            [count] => {
                let from_end = i64::try_from(weight.shape.len()).unwrap_or(i64::MAX);
                let axis = usize::try_from(if axis < 0 { axis.saturating_add(from_end) } else { axis }).ok();
                match axis.filter(|&axis| weight.shape.get(axis) == Some(&count)) {
                    Some(axis) => Some(axis),
                    None => return Err(format!("has {count} scales, which do not fit the shape {:?}", weight.shape)),
                }
            }
            _ => return Ok(None),
        };
        let numbers = |stored: &Stored| stored.shape.iter().product::<usize>();
        if let Some(zero) = zero.filter(|&zero| numbers(zero) != numbers(scale)) {
            return Err(format!("has {} zero points for {} scales", numbers(zero), numbers(scale)));
        }
        Ok(Some(Self { scale: scale.clone(), zero: zero.cloned(), axis }))
    }

    /// What it is, in words.
    pub(super) fn words(&self, stored: &Stored) -> String {
        let axis = self.axis.map_or_else(|| "per tensor".to_string(), |axis| format!("along axis {axis}"));
        let zero = self.zero.as_ref().map_or_else(String::new, |zero| format!(", zero point {}", zero.name));
        format!("{} {axis}, scale {}{zero}", stored.dtype, self.scale.name)
    }

    /// The floats of `bytes`, the integers of `stored`.
    pub(super) fn apply(&self, source: &Source, name: &str, stored: &Stored, bytes: &[u8]) -> Result<Vec<u8>> {
        let scales = dtype::to_f32(name, self.scale.dtype, &self.scale.bytes(source, name)?)?;
        let zeros = match &self.zero {
            Some(zero) => dtype::to_i64(name, zero.dtype, &zero.bytes(source, name)?)?,
            None => vec![0; scales.len()],
        };
        if zeros.len() != scales.len() {
            let message = format!("tensor {name} has {} zero points for {} scales", zeros.len(), scales.len());
            return Err(Error::corrupt(source.name(), FORMAT, message));
        }
        // Elements that share a scale lie next to each other. (Where there is no element, there may be no scale.)
        let run = self.axis.map_or(usize::MAX, |axis| stored.shape[axis + 1..].iter().product());
        let mut floats = Vec::with_capacity(4 * bytes.len() / (stored.dtype.bits() / 8));
        for (index, integer) in dtype::to_i64(name, stored.dtype, bytes)?.into_iter().enumerate() {
            let at = index / run % scales.len();
            let float = (integer - zeros[at]) as f32 * scales[at];
            floats.extend_from_slice(&float.to_le_bytes());
        }
        Ok(floats)
    }
}
