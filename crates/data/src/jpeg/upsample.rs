//! Colours have fewer samples than brightness; between two of them, a pixel takes three parts of the nearer one and one of
//! the other. Source: libjpeg's "fancy" upsampling, whose roundings alternate.

use super::Component;

/// Row `y` of the picture in one component, which has `h` times fewer columns and `v` times fewer rows; a row may come out
/// longer than the picture.
pub(super) fn row(component: &Component, h: usize, v: usize, y: usize, out: &mut Vec<u8>) {
    out.clear();
    let near = component.row(y / v);
    // The row on the other side; the first and the last are their own neighbours.
    let far = component.row(if y.is_multiple_of(2) { (y / v).saturating_sub(1) } else { y / v + 1 });
    match (h, v) {
        (1, 1) => out.extend_from_slice(near),
        (1, 2) => out.extend(near.iter().zip(far).map(|(&n, &f)| {
            let bias = if y.is_multiple_of(2) { 1 } else { 2 };
            ((u16::from(n) * 3 + u16::from(f) + bias) >> 2) as u8
        })),
        (2, 1) if near.len() > 2 => double(near.len(), |x| u16::from(near[x]), 2, [1, 2], out),
        (2, 2) if near.len() > 2 => {
            double(near.len(), |x| u16::from(near[x]) * 3 + u16::from(far[x]), 4, [8, 7], out);
        }
        _ => out.extend(near.iter().flat_map(|&sample| std::iter::repeat_n(sample, h))),
    }
}

/// Two pixels for each of `count` samples, which are 2^(`shift` − 2) times too large. `bias` is added to the left and the
/// right one before the division.
fn double(count: usize, sample: impl Fn(usize) -> u16, shift: u32, bias: [u16; 2], out: &mut Vec<u8>) {
    for x in 0..count {
        let here = sample(x);
        let (left, right) = (sample(x.saturating_sub(1)), sample((x + 1).min(count - 1)));
        out.extend([((here * 3 + left + bias[0]) >> shift) as u8, ((here * 3 + right + bias[1]) >> shift) as u8]);
    }
}
