//! yᵢ = row idᵢ of a table; ∂L/∂table adds ∂L/∂yᵢ to row idᵢ, but for that of padding.

use crate::gradcheck::{Example, numbers};
use crate::{Element, Error, Keeps, Kept, Op, Result, Slots, Tensor, Value, Way, Work};
use ukulele_kernels::embedding::{gather, scatter_add};

/// Rows of a table (rows, dim) by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding {
    /// The numbers of the rows.
    pub ids: Vec<i64>,
    /// The dimensions of the ids: those of the output but the last.
    pub shape: Vec<usize>,
    /// A row that does not learn.
    pub padding: Option<i64>,
}

impl<T: Element> Op<T> for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn work(&self, shapes: &[&[usize]], _: &[bool]) -> Work {
        // The rows that are looked up, read and written.
        let numbers = Some(2 * (self.ids.len() * shapes[0].last().unwrap_or(&0)) as u64);
        Work { forward: Way { numbers, ..Way::default() }, ..Work::plain("embedding") }
    }

    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps::NOTHING
    }

    fn forward(&mut self, inputs: &[&Tensor<T>], _: bool) -> Result<Tensor<T>> {
        let table = inputs[0].contiguous();
        let [rows, dim] = table.dims("embedding", "a table (rows, dim)")?;
        let (ids, shape) = (&self.ids, &self.shape);
        if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(ids.len()) {
            return Err(Error::argument("embedding", format!("{} ids do not fill the shape {shape:?}", ids.len())));
        }
        if let Some(at) = ids.iter().position(|&id| !(0..rows as i64).contains(&id)) {
            let message = format!("id {} at position {at} is not in the table of {rows} rows", ids[at]);
            return Err(Error::argument("embedding", message));
        }
        Tensor::build(&[shape, &[dim][..]].concat(), |y| gather(table.dense_memory(), dim, ids, y))
    }

    fn backward(&self, _: &Kept<T>, grad: Tensor<T>, slots: &mut Slots<T>) -> Result<()> {
        let grad = grad.contiguous();
        let dim = slots.shape(0)[1];
        let mut table = Tensor::zeros(slots.shape(0))?;
        scatter_add(grad.dense_memory(), dim, &self.ids, self.padding, table.memory_mut());
        slots.add(0, table)
    }
}

impl<T: Element> Value<T> {
    /// The rows `ids` of the table `self` (rows, dim): of the shape `shape` and one more dimension, dim.
    ///
    /// ```
    /// # use ukulele_autograd::{Tensor, Value};
    /// let table: Value = Tensor::from_vec(&[2, 2], vec![1., 2., 3., 4.])?.into();
    /// assert_eq!(table.embedding(&[1, 0], &[2])?.tensor().to_vec(), [3., 4., 1., 2.]);
    /// let error = table.embedding(&[1, 2], &[2]).unwrap_err();
    /// assert_eq!(error.to_string(), "embedding: id 2 at position 1 is not in the table of 2 rows");
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// An id beyond the table, with its position; ids that do not fill `shape`.
    pub fn embedding(&self, ids: &[usize], shape: &[usize]) -> Result<Self> {
        self.embedding_with(ids, shape, None)
    }

    /// As [`Value::embedding`], with a row that gets no gradient, as torch's `padding_idx`.
    ///
    /// ```
    /// # use ukulele_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let table = tape.leaf("table", Tensor::from_vec(&[2, 1], vec![1., 2.])?);
    /// let loss = table.embedding_with(&[1, 0], &[2], Some(0))?.sum()?;
    /// assert_eq!(tape.backward(&loss)?.of(&table).unwrap().to_vec(), [0., 1.]);
    /// # Ok::<(), ukulele_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn embedding_with(&self, ids: &[usize], shape: &[usize], padding: Option<usize>) -> Result<Self> {
        let signed = |id: usize| i64::try_from(id).unwrap_or(i64::MAX);
        let ids = ids.iter().map(|&id| signed(id)).collect();
        Self::apply(Embedding { ids, shape: shape.to_vec(), padding: padding.map(signed) }, &[self])
    }
}

/// Where the op is proven.
pub fn examples<T: Element>() -> Vec<Example<T>> {
    let example = |label, table: [usize; 2], ids: &'static [usize], shape: &'static [usize]| {
        Example::new(label, vec![numbers(1, &table)], move |v| v[0].embedding(ids, shape))
    };
    vec![
        example("sentence", [5, 3], &[4, 0, 2], &[3]),
        example("repeated", [3, 2], &[1, 1, 2, 1], &[2, 2]),
        example("one", [1, 1], &[0], &[]),
        example("no ids", [3, 2], &[], &[0]),
        example("rows without elements", [3, 0], &[1, 2], &[2]),
    ]
}
