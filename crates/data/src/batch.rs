//! Order and size of batches, for texts and pictures alike.

use crate::error::{Error, Result};

/// Purpose of the random streams, so that the orders of texts and pictures and their changes are independent.
pub(crate) mod purpose {
    /// The order of texts.
    pub(crate) const TEXTS: u64 = 0x7465_7874;
    /// The order of pictures.
    pub(crate) const IMAGES: u64 = 0x696D_6167;
    /// The change of a picture.
    pub(crate) const AUGMENT: u64 = 0x6175_676D;
}

/// Cuts an order of samples into the fewest batches of at most `batch` samples. Their sizes differ by one at most, so
/// that no small rest weighs as much as a full batch.
pub(crate) fn cut(order: &[usize], batch: usize) -> Vec<Vec<usize>> {
    let count = order.len().div_ceil(batch.max(1));
    (0..count).map(|i| order[i * order.len() / count..(i + 1) * order.len() / count].to_vec()).collect()
}

/// Checks what every kind of batches needs.
pub(crate) fn check(samples: usize, labels: usize, batch: usize) -> Result<()> {
    if batch == 0 {
        return Err(Error::argument("batches", "a batch needs at least one sample"));
    }
    if samples != labels {
        return Err(Error::argument("batches", format!("{samples} samples, but {labels} labels")));
    }
    if samples == 0 {
        return Err(Error::argument("batches", "there are no samples"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_sizes() {
        let sizes = |n: usize, batch| {
            let order: Vec<usize> = (0..n).collect();
            let batches = cut(&order, batch);
            assert_eq!(batches.concat(), order);
            batches.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(9, 4), [3, 3, 3]);
        assert_eq!(sizes(8, 4), [4, 4]);
        assert_eq!(sizes(10, 4), [3, 3, 4]);
        assert_eq!(sizes(0, 4), [0; 0]);
        assert!(check(1, 1, 0).is_err() && check(1, 2, 1).is_err() && check(0, 0, 1).is_err());
    }
}
