//! Names spelled nearly like another.

/// Up to three of `names` that are nearest to `name`, if they are near at all.
pub(crate) fn names<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<&str> = name.split(['.', '/']).collect();
    let mut found: Vec<(usize, &str)> = names
        .filter_map(|other| {
            let score = score(name, &wanted, other);
            (score > 0).then_some((score, other))
        })
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    found.truncate(3);
    found.into_iter().map(|(_, n)| n.to_string()).collect()
}

/// How much two names share: twice the components equal from the end, once those from the start; nothing below half.
fn score(name: &str, wanted: &[&str], other: &str) -> usize {
    let parts: Vec<&str> = other.split(['.', '/']).collect();
    let end = wanted.iter().rev().zip(parts.iter().rev()).take_while(|(a, b)| a == b).count();
    let start = wanted.iter().zip(&parts).take_while(|(a, b)| a == b).count();
    if name.eq_ignore_ascii_case(other) {
        return usize::MAX;
    }
    if 2 * end.max(start) < wanted.len().max(2) { 0 } else { 2 * end + start }
}
