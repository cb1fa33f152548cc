//! How the numbers of a value lie in memory: as its type has them, or rounded to bf16.

use crate::{Element, Error, Result, Tensor};
use ukulele_kernels::element::{as_f32, as_f32_mut};
use ukulele_kernels::numbers::{self, Numbers, NumbersMut};
use ukulele_tensor::Shape;

/// A tensor whose numbers are bf16: half the memory of f32, and a relative error of at most 2^-8. It is dense, channels last if it
/// is (N, C, H, W), else row-major.
#[derive(Debug, Clone)]
pub struct Short {
    shape: Shape,
    /// Two numbers in the place of one.
    memory: Tensor,
}

/// A tensor of `T`, or of bf16 in its stead. The gradient of a value lies as the value does.
#[derive(Debug, Clone)]
pub enum Data<T: Element = f32> {
    /// As it is.
    Full(Tensor<T>),
    /// Rounded.
    Short(Short),
}

impl Short {
    /// `fill` must write every number, in the order of memory.
    ///
    /// # Errors
    /// Too large a shape.
    pub fn build(shape: &[usize], fill: impl FnOnce(NumbersMut)) -> Result<Self> {
        let shape = Shape::new(shape)?;
        let n = shape.numel();
        let memory = Tensor::build(&[n.div_ceil(2)], |memory| {
            // Of an odd number of bf16 half a place is left.
            if let (true, [.., last]) = (n % 2 == 1, &mut *memory) {
                *last = 0.0;
            }
            fill(NumbersMut::within(memory, true, 0..n));
        })?;
        Ok(Self { shape, memory })
    }

    /// The numbers of a tensor, rounded.
    ///
    /// # Errors
    /// None that the tensor did not have.
    pub fn of<T: Element>(tensor: &Tensor<T>) -> Result<Self> {
        let tensor = tensor.channels_last();
        Self::build(tensor.shape(), |y| match as_f32(tensor.dense_memory()) {
            Some(x) => numbers::convert(Numbers::F32(x), y),
            None => {
                let x: Vec<f32> = tensor.dense_memory().iter().map(|x| x.to_f32()).collect();
                numbers::convert(Numbers::F32(&x), y);
            }
        })
    }

    /// The numbers as `T`.
    pub fn tensor<T: Element>(&self) -> Tensor<T> {
        let fill = |y: &mut [T]| match as_f32_mut(y) {
            Some(y) => numbers::convert(self.numbers(), NumbersMut::F32(y)),
            None => {
                let mut wide = vec![0.0; y.len()];
                numbers::convert(self.numbers(), NumbersMut::F32(&mut wide));
                y.iter_mut().zip(wide).for_each(|(y, wide)| *y = T::from_f32(wide));
            }
        };
        let tensor = match *self.shape() {
            [n, c, h, w] => Tensor::build_channels_last([n, c, h, w], fill),
            _ => Tensor::build(&self.shape, fill),
        };
        tensor.unwrap_or_else(|_| unreachable!("a shape that there is memory for: {:?}", self.shape))
    }

    /// (N, C/2, H, W) of pairs of channels, in the same memory, of an even number of channels.
    pub(crate) fn pairs(&self) -> Option<Tensor> {
        match *self.shape() {
            [n, c, h, w] if c % 2 == 0 => {
                self.memory.reshape(&[n, h, w, c / 2]).and_then(|pairs| pairs.permute(&[0, 3, 1, 2])).ok()
            }
            _ => None,
        }
    }

    /// Of pairs of channels (N, C/2, H, W), whose numbers are never touched.
    ///
    /// # Errors
    /// Another shape.
    pub(crate) fn of_pairs(pairs: &Tensor) -> Result<Self> {
        let [n, c, h, w] = pairs.dims::<4>("of_pairs", "(N, C/2, H, W)")?;
        let memory = pairs.channels_last().permute(&[0, 2, 3, 1])?.reshape(&[n * h * w * c])?;
        Ok(Self { shape: Shape::new(&[n, 2 * c, h, w])?, memory })
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, in the order of memory.
    pub fn numbers(&self) -> Numbers<'_> {
        Numbers::within(self.memory.dense_memory(), true, 0..self.shape.numel())
    }

    /// The same, to be changed: copied first if others have them too.
    pub fn numbers_mut(&mut self) -> NumbersMut<'_> {
        NumbersMut::within(self.memory.memory_mut(), true, 0..self.shape.numel())
    }
}

impl<T: Element> From<Tensor<T>> for Data<T> {
    fn from(tensor: Tensor<T>) -> Self {
        Self::Full(tensor)
    }
}

impl<T: Element> From<Short> for Data<T> {
    fn from(short: Short) -> Self {
        Self::Short(short)
    }
}

impl<T: Element> Data<T> {
    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Full(tensor) => tensor.shape(),
            Self::Short(short) => short.shape(),
        }
    }

    /// What the numbers take.
    pub(crate) fn bytes(&self) -> u64 {
        let each = if self.is_short() { 2 } else { size_of::<T>() };
        (self.shape().iter().product::<usize>() * each) as u64
    }

    /// Whether the numbers are bf16.
    pub fn is_short(&self) -> bool {
        matches!(self, Self::Short(_))
    }

    /// As a tensor of `T`: the one that it is, or a new one.
    pub fn tensor(&self) -> Tensor<T> {
        self.clone().into_tensor()
    }

    /// As [`Data::tensor`], of who needs it no longer.
    pub fn into_tensor(self) -> Tensor<T> {
        match self {
            Self::Full(tensor) => tensor,
            Self::Short(short) => short.tensor(),
        }
    }

    /// As bf16: the one that it is, or a new one.
    ///
    /// # Errors
    /// As [`Short::of`].
    pub fn into_short(self) -> Result<Short> {
        match self {
            Self::Full(tensor) => Short::of(&tensor),
            Self::Short(short) => Ok(short),
        }
    }

    /// The numbers, if they lie as f32 or as bf16; none of f64.
    ///
    /// # Panics
    /// They are a view with gaps: a bug of the caller.
    pub(crate) fn numbers(&self) -> Option<Numbers<'_>> {
        match self {
            Self::Full(tensor) => as_f32(tensor.dense_memory()).map(Numbers::F32),
            Self::Short(short) => Some(short.numbers()),
        }
    }

    /// As [`Data::numbers`], to be changed.
    pub(crate) fn numbers_mut(&mut self) -> Option<NumbersMut<'_>> {
        match self {
            Self::Full(tensor) => as_f32_mut(tensor.memory_mut()).map(NumbersMut::F32),
            Self::Short(short) => Some(short.numbers_mut()),
        }
    }

    /// The memory of what does not lie as bf16, to be changed.
    pub(crate) fn full_mut(&mut self) -> Option<&mut [T]> {
        match self {
            Self::Full(tensor) => Some(tensor.memory_mut()),
            Self::Short(_) => None,
        }
    }

    /// Room for numbers whose channels lie last, or row-major if there are not four dimensions; each must be written.
    ///
    /// # Errors
    /// Too large a shape.
    pub(crate) fn room(shape: &[usize], short: bool) -> Result<Self> {
        Ok(match (short, shape) {
            (true, _) => Short::build(shape, |_| ())?.into(),
            (false, &[n, c, h, w]) => Tensor::build_channels_last([n, c, h, w], |_| ())?.into(),
            (false, _) => Tensor::build(shape, |_| ())?.into(),
        })
    }

    /// The same with channels last in memory, or row-major.
    pub(crate) fn channels_last(self) -> Self {
        match self {
            // What has one handle still has one after it.
            Self::Full(tensor) if tensor.is_channels_last() => tensor.into(),
            Self::Full(tensor) => tensor.channels_last().into(),
            short => short,
        }
    }

    /// The same numbers lying as asked.
    pub(crate) fn lying(self, short: bool) -> Result<Self> {
        match (self, short) {
            (Self::Full(tensor), true) => Ok(Short::of(&tensor)?.into()),
            (Self::Short(short), false) => Ok(short.tensor().into()),
            (data, _) => Ok(data),
        }
    }

    /// The sum with what has the same shape and lies in the same way.
    pub(crate) fn plus(self, other: Self) -> Result<Self> {
        match (self, other) {
            (Self::Full(sum), Self::Full(more)) => {
                let mut dense = sum.dense();
                // A second handle would make `memory_mut` copy.
                drop(sum);
                let more = more.laid_as(&dense)?;
                ukulele_kernels::elementwise::axpy(T::ONE, more.memory()?, dense.memory_mut());
                Ok(dense.into())
            }
            (Self::Short(mut sum), Self::Short(more)) => {
                numbers::add(more.numbers(), sum.numbers_mut());
                Ok(sum.into())
            }
            (sum, more) => Err(Error::shapes("the sum of gradients that lie differently", sum.shape(), more.shape())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(shape, (0..shape.iter().product()).map(|i| i as f32).collect())
    }

    #[test]
    fn numbers_come_back_in_their_places() -> Result<()> {
        for shape in [&[2, 3, 5, 4][..], &[3, 7], &[0, 4], &[]] {
            for tensor in [count(shape)?, count(shape)?.channels_last()] {
                let short = Short::of(&tensor)?;
                assert_eq!((short.tensor::<f32>().to_vec(), short.shape()), (tensor.to_vec(), shape));
                assert_eq!(short.tensor::<f64>().to_vec(), tensor.cast::<f64>().to_vec());
                let sum = Data::<f32>::from(short.clone()).plus(short.clone().into())?;
                assert_eq!(sum.tensor().to_vec(), tensor.to_vec().iter().map(|x| 2.0 * x).collect::<Vec<_>>());
                assert_eq!(short.tensor::<f32>().to_vec(), tensor.to_vec(), "a sum changes no other's memory");
            }
        }
        Ok(())
    }

    #[test]
    fn pairs_of_channels_are_other_names_of_the_same_numbers() -> Result<()> {
        let x = count(&[2, 6, 3, 2])?;
        let short = Short::of(&x)?;
        let pairs = short.pairs().unwrap();
        assert_eq!(pairs.shape(), [2, 3, 3, 2]);
        assert_eq!(Short::of_pairs(&pairs)?.tensor::<f32>().to_vec(), x.to_vec());
        let part = Short::of_pairs(&pairs.narrow(1, 1, 2)?)?.tensor::<f32>();
        assert_eq!(part.to_vec(), x.narrow(1, 2, 4)?.to_vec());
        assert!(Short::of(&count(&[2, 3, 1, 1])?)?.pairs().is_none());
        Ok(())
    }

    #[test]
    fn what_lies_differently_is_not_added() -> Result<()> {
        let (full, short) = (Data::from(count(&[2])?), Data::from(Short::of(&count(&[2])?)?));
        assert!(full.clone().plus(short.clone()).is_err());
        assert!(full.clone().lying(true)?.is_short() && !short.clone().lying(false)?.is_short());
        assert!(!full.lying(false)?.is_short() && short.lying(true)?.is_short());
        Ok(())
    }
}
