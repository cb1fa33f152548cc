//! Stratified splits: each part has the classes in the proportions of the whole, as exactly as whole samples allow.

use crate::error::{Error, Result};
use crate::random::Random;

/// Purpose of a random stream, so that a split and a shuffle of one seed have nothing in common.
const SPLIT: u64 = 0x53_504C_4954;

/// Splits samples into parts of the given sizes; what is left over is in none. The parts hold sample numbers, shuffled.
///
/// The classes of each part are apportioned by largest remainder among the samples that are still free, so no class is
/// off by a whole sample from its share of these. The same labels, sizes and seed give the same parts.
///
/// # Errors
/// More samples are asked for than there are.
pub fn stratified(labels: &[usize], sizes: &[usize], seed: u64) -> Result<Vec<Vec<usize>>> {
    let wanted = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
    if wanted.is_none_or(|wanted| wanted > labels.len()) {
        let message = format!("parts of {sizes:?} samples are asked for, but there are only {} samples", labels.len());
        return Err(Error::argument("split", message));
    }
    let mut free = by_class(labels, seed);
    let mut parts = Vec::with_capacity(sizes.len());
    for (number, &size) in sizes.iter().enumerate() {
        let available: Vec<usize> = free.iter().map(Vec::len).collect();
        let shares = apportion(size, &available);
        let mut part = Vec::with_capacity(size);
        for (class, share) in free.iter_mut().zip(shares) {
            part.extend(class.drain(class.len() - share..));
        }
        Random::new(&[seed, SPLIT, 1, number as u64]).shuffle(&mut part);
        parts.push(part);
    }
    Ok(parts)
}

/// Stratified subsets of growing sizes, each inside the next: the 50 labels of `[50, 200]` are among the 200.
///
/// # Errors
/// The sizes do not grow, or there are fewer samples than the largest.
pub fn nested(labels: &[usize], sizes: &[usize], seed: u64) -> Result<Vec<Vec<usize>>> {
    if !sizes.is_sorted() {
        return Err(Error::argument("split", format!("nested subsets must grow, their sizes are {sizes:?}")));
    }
    let mut subsets: Vec<Vec<usize>> = Vec::with_capacity(sizes.len());
    for &size in sizes.iter().rev() {
        let smaller = match subsets.last() {
            None => stratified(labels, &[size], seed)?.swap_remove(0),
            Some(larger) => {
                let inside: Vec<usize> = larger.iter().map(|&sample| labels[sample]).collect();
                let picked = stratified(&inside, &[size], seed)?.swap_remove(0);
                picked.into_iter().map(|i| larger[i]).collect()
            }
        };
        subsets.push(smaller);
    }
    subsets.reverse();
    Ok(subsets)
}

/// The numbers below `count`, shuffled.
pub fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    Random::new(&[seed, SPLIT, 2]).shuffle(&mut order);
    order
}

/// The samples of each class, shuffled.
fn by_class(labels: &[usize], seed: u64) -> Vec<Vec<usize>> {
    // Class numbers may be far apart; sorting keeps memory in proportion to the samples.
    let mut samples: Vec<usize> = (0..labels.len()).collect();
    samples.sort_by_key(|&i| labels[i]);
    let classes = samples.chunk_by(|&a, &b| labels[a] == labels[b]);
    classes
        .map(|class| {
            let mut class = class.to_vec();
            let number = labels[class[0]] as u64;
            Random::new(&[seed, SPLIT, 0, number]).shuffle(&mut class);
            class
        })
        .collect()
}

/// Shares of `size` in proportion to `available`, whose sum is not smaller: floors, then one more for the largest
/// remainders (of equal ones the first).
fn apportion(size: usize, available: &[usize]) -> Vec<usize> {
    let total: u128 = available.iter().map(|&n| n as u128).sum();
    if total == 0 {
        return vec![0; available.len()];
    }
    let exact = |n: usize| size as u128 * n as u128;
    let mut shares: Vec<usize> = available.iter().map(|&n| (exact(n) / total) as usize).collect();
    let mut order: Vec<usize> = (0..available.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(exact(available[class]) % total));
    let missing = size - shares.iter().sum::<usize>();
    for &class in &order[..missing] {
        shares[class] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn proportions_are_exact() {
        let labels: Vec<usize> = (0..1000).map(|i| usize::from(i % 10 < 3)).collect();
        let parts = stratified(&labels, &[200, 600], 5).unwrap();
        for part in &parts {
            let ones = part.iter().filter(|&&i| labels[i] == 1).count();
            assert_eq!(ones * 10, part.len() * 3);
        }
        assert_eq!(parts, stratified(&labels, &[200, 600], 5).unwrap());
        assert_ne!(parts, stratified(&labels, &[200, 600], 6).unwrap());
    }

    #[test]
    fn too_much_is_an_error() {
        assert!(stratified(&[0, 1], &[2, 1], 0).unwrap_err().to_string().contains("only 2 samples"));
        assert!(stratified(&[0, 1], &[usize::MAX, 2], 0).is_err());
        assert!(nested(&[0, 1, 1], &[2, 1], 0).unwrap_err().to_string().contains("must grow"));
        assert_eq!(stratified(&[], &[], 0), Ok(vec![]));
        assert_eq!(stratified(&[usize::MAX], &[0, 1], 0), Ok(vec![vec![], vec![0]]));
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_and_fair(labels in prop::collection::vec(0usize..4, 1..200), a in 0usize..100, b in 0usize..100, seed: u64) {
            let (a, b) = (a.min(labels.len()), b.min(labels.len() - a.min(labels.len())));
            let parts = stratified(&labels, &[a, b], seed).unwrap();
            prop_assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), vec![a, b]);
            let all: BTreeSet<usize> = parts.iter().flatten().copied().collect();
            prop_assert_eq!(all.len(), a + b);
            for class in 0..4 {
                let total = labels.iter().filter(|&&l| l == class).count();
                let here = parts[0].iter().filter(|&&i| labels[i] == class).count();
                let share = a as f64 * total as f64 / labels.len() as f64;
                prop_assert!((here as f64 - share).abs() < 1.0);
            }
        }

        #[test]
        fn subsets_are_nested(labels in prop::collection::vec(0usize..3, 60..200), seed: u64) {
            let subsets = nested(&labels, &[5, 20, 60], seed).unwrap();
            let sets: Vec<BTreeSet<usize>> = subsets.iter().map(|s| s.iter().copied().collect()).collect();
            prop_assert!(sets[0].is_subset(&sets[1]) && sets[1].is_subset(&sets[2]));
            prop_assert_eq!(sets.iter().map(BTreeSet::len).collect::<Vec<_>>(), vec![5, 20, 60]);
        }
    }
}
