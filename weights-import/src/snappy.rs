//! Snappy blocks, decompressed. Source: <https://github.com/google/snappy/blob/main/format_description.txt>.

/// A block may expand to this many times its size, which is the most that the format can.
const MOST: usize = 22;
/// Beyond this many bytes, to [`MOST_OF_LARGE`] times its size: weights and names do not compress better.
const LARGE: usize = 1 << 18;
pub(crate) const MOST_OF_LARGE: usize = 6;

fn little(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
}

/// The bytes of a block, or what is wrong with it.
pub(crate) fn decompress(mut input: &[u8]) -> Result<Vec<u8>, &'static str> {
    const SHORT: &str = "a snappy block ends too early";
    let compressed = input.len();
    let take = |count: usize, input: &mut &[u8]| {
        let (taken, rest) = input.split_at_checked(count).ok_or(SHORT)?;
        *input = rest;
        Ok::<_, &'static str>(little(taken))
    };
    let mut len = 0usize;
    for shift in (0..35).step_by(7) {
        let byte = take(1, &mut input)?;
        len |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    if len > compressed.saturating_mul(MOST_OF_LARGE).max(compressed.saturating_mul(MOST).min(LARGE)) {
        return Err("a snappy block claims to hold more than it can");
    }
    let mut out = Vec::with_capacity(len);
    while !input.is_empty() {
        let tag = take(1, &mut input)?;
        let (count, offset) = match tag & 3 {
            0 => {
                let short = tag >> 2;
                let count = if short < 60 { short } else { take(short - 59, &mut input)? } + 1;
                let (literal, rest) = input.split_at_checked(count).ok_or(SHORT)?;
                if count > len - out.len() {
                    return Err("a snappy block holds more than it claims");
                }
                out.extend_from_slice(literal);
                input = rest;
                continue;
            }
            1 => (4 + (tag >> 2 & 7), (tag >> 5) << 8 | take(1, &mut input)?),
            2 => (1 + (tag >> 2), take(2, &mut input)?),
            _ => (1 + (tag >> 2), take(4, &mut input)?),
        };
        if count > len - out.len() {
            return Err("a snappy block holds more than it claims");
        }
        let from =
            out.len().checked_sub(offset).filter(|_| offset > 0).ok_or("a snappy block copies from before it")?;
        // The copy may reach into itself.
        (0..count).for_each(|i| out.push(out[from + i]));
    }
    if out.len() == len { Ok(out) } else { Err(SHORT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_element() {
        // A literal, copies with offsets of one, two and four bytes, one of them into itself.
        let block = [18, 3 << 2, b'a', b'b', b'c', b'd', 1 | 2 << 2, 2, 2 | 4 << 2, 6, 0, 3 | 2 << 2, 1, 0, 0, 0];
        assert_eq!(decompress(&block).unwrap(), b"abcdcdcdcdcdcdcccc");
        let long = [&[70, 60 << 2, 69][..], &[b'x'; 70]].concat();
        assert_eq!(decompress(&long).unwrap(), [b'x'; 70]);
        assert_eq!(decompress(&[0]).unwrap(), b"");
    }

    #[test]
    fn refuses_what_is_wrong() {
        for (block, words) in [
            (&[][..], "too early"),
            (&[4, 3 << 2, b'a'], "too early"),
            (&[5, 3 << 2, 1, 2, 3, 4], "too early"),
            (&[1, 3 << 2, 1, 2, 3, 4], "more than it claims"),
            (&[9, 0, b'a', 1, 2], "copies from before"),
            (&[9, 0, b'a', 1, 0], "copies from before"),
            (&[2, 0, b'a', 2 | 4 << 2, 1, 0], "more than it claims"),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], "more than it can"),
            (&[8, 63 << 2, 255, 255, 255, 255, 0], "too early"),
        ] {
            assert!(decompress(block).unwrap_err().contains(words), "{block:?}");
        }
    }
}
