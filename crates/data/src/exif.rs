//! The orientation that a camera noted, and how a picture is turned upright.

/// Tag 0x0112 of the first directory of an EXIF block: 1 to 8. A broken block is no reason to refuse a picture.
/// Source: TIFF 6.0, EXIF 2.3.
pub(crate) fn orientation(block: &[u8]) -> Option<u8> {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let little = match block.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| -> Option<usize> {
        let bytes = block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize)
    };
    let directory = long(4)?;
    let count = usize::from(short(directory)?);
    let entry = (0..count).map(|i| directory + 2 + 12 * i).find(|&entry| short(entry) == Some(0x0112))?;
    // One SHORT, in the first bytes of the value.
    let value = (short(entry + 2)? == 3 && long(entry + 4)? == 1).then(|| short(entry + 8))??;
    u8::try_from(value).ok().filter(|value| (1..=8).contains(value))
}

/// Turns and mirrors a picture of this orientation.
pub(crate) fn upright(width: usize, height: usize, rgb: Vec<u8>, orientation: u8) -> (usize, usize, Vec<u8>) {
    if orientation == 1 || rgb.len() != width * height * 3 {
        return (width, height, rgb);
    }
    let (w, h) = if orientation >= 5 { (height, width) } else { (width, height) };
    let mut turned = Vec::with_capacity(rgb.len());
    for y in 0..h {
        for x in 0..w {
            // The pixel that the upright picture shows at (x, y).
            let (column, row) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            let at = (row * width + column) * 3;
            turned.extend_from_slice(&rgb[at..at + 3]);
        }
    }
    (w, h, turned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(little: bool, entries: &[(u16, u16, u32, u16)]) -> Vec<u8> {
        let short = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let long = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut bytes = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(entries.len() as u16));
        for &(tag, kind, count, value) in entries {
            bytes
                .extend(short(tag).into_iter().chain(short(kind)).chain(long(count)).chain(short(value)).chain([0, 0]));
        }
        bytes
    }

    #[test]
    fn orientations_are_found_or_nothing_is() {
        for little in [true, false] {
            let good = block(little, &[(0x0100, 4, 1, 9), (0x0112, 3, 1, 6)]);
            assert_eq!(orientation(&good), Some(6));
            assert_eq!(orientation(&[b"Exif\0\0".as_slice(), &good].concat()), Some(6));
            for cut in 0..30 {
                assert_eq!(orientation(&good[..cut]), None, "{cut}");
            }
            for bad in [(0x0112, 4, 1, 6), (0x0112, 3, 2, 6), (0x0112, 3, 1, 9), (0x0112, 3, 1, 0), (0x0113, 3, 1, 6)] {
                assert_eq!(orientation(&block(little, &[bad])), None, "{bad:?}");
            }
        }
    }

    #[test]
    fn eight_orientations() {
        // Two columns a b, three rows; each letter a pixel.
        let show = |orientation| {
            let rgb = b"abcdef".iter().flat_map(|&p| [p; 3]).collect();
            let (w, _, rgb) = upright(2, 3, rgb, orientation);
            let letters: String = rgb.chunks(3).map(|p| p[0] as char).collect();
            letters
                .as_bytes()
                .chunks(w)
                .map(|row| String::from_utf8_lossy(row).into_owned())
                .collect::<Vec<_>>()
                .join("/")
        };
        let want = ["ab/cd/ef", "ba/dc/fe", "fe/dc/ba", "ef/cd/ab", "ace/bdf", "eca/fdb", "fdb/eca", "bdf/ace"];
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8].map(show), want);
    }
}
