//! JPEG to rows of RGB, byte for byte as libjpeg-turbo decodes it for Pillow: the inverse transform of integers
//! ([`idct`]), smooth chroma ([`upsample`]), and the same fixed point of the colours ([`colour`]).
//!
//! Read are 8 bits a sample, sequential and progressive, Huffman codes, 1, 3 or 4 components. Sources: ITU-T T.81; T.871
//! (JFIF); Adobe's note 5116 on APP14; libjpeg's `jidctint.c`, `jdsample.c` and `jdcolor.c` for what they round, and when.

mod bits;
mod colour;
mod idct;
mod scan;
mod upsample;

use crate::image::{Decoded, check_size};
use bits::Table;
use std::array::from_fn;

pub(crate) const SIGNATURE: &[u8] = b"\xff\xd8\xff";

/// Most passes over a picture: a progressive one of three components has about ten.
const MOST_SCANS: usize = 200;

type Result<T> = std::result::Result<T, String>;

/// Where the coefficients of a block lie, from low to high frequency.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// One component of the picture: brightness, or a colour.
struct Component {
    id: u8,
    /// Blocks in a unit of all components, across and down.
    h: usize,
    v: usize,
    /// Which table of factors.
    factors: usize,
    /// Samples that are part of the picture.
    width: usize,
    height: usize,
    /// Blocks in a row, filled up to whole units.
    across: usize,
    /// A progressive picture's coefficients, 64 for each block.
    coefficients: Vec<i16>,
    /// The samples, `across` · 8 in a row.
    samples: Vec<u8>,
    /// The factors at its first scan.
    latched: Option<[u16; 64]>,
}

impl Component {
    fn row(&self, y: usize) -> &[u8] {
        let y = y.min(self.height - 1);
        &self.samples[y * self.across * 8..][..self.width]
    }
}

/// The picture as its frame header has it.
struct Frame {
    width: usize,
    height: usize,
    progressive: bool,
    /// The largest `h` and `v`.
    h: usize,
    v: usize,
    components: Vec<Component>,
}

impl Frame {
    /// Units of all components in a row, and rows of them.
    fn units(&self) -> (usize, usize) {
        (self.width.div_ceil(8 * self.h), self.height.div_ceil(8 * self.v))
    }
}

/// What the segments have said so far.
#[derive(Default)]
struct State {
    frame: Option<Frame>,
    factors: [Option<[u16; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    /// Units between two restarts; 0 is none.
    restart: usize,
    jfif: bool,
    /// The transform that Adobe's segment names.
    adobe: Option<u8>,
    exif: Option<Vec<u8>>,
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded> {
    let mut state = State::default();
    let (mut at, mut scans) = (2, 0);
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            0xd9 => return state.finish(),
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = bytes.get(at..at + 2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        let Some(body) = bytes.get(at + 2..at + length).filter(|_| length >= 2) else {
            return Err(breaks_off(&format!("in segment FF{marker:02X} at byte {at}")));
        };
        at += length;
        match marker {
            0xc0..=0xc2 if state.frame.is_none() => state.frame = Some(frame(body, marker == 0xc2, bytes.len())?),
            0xc4 => state.codes(body)?,
            0xc0..=0xc2 => return Err("it holds two frames".to_owned()),
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => return Err("lossless and layered JPEG are not read".to_owned()),
            0xc9 | 0xca => return Err("arithmetic codes are not read; save it with Huffman codes".to_owned()),
            0xda => {
                scans += 1;
                if scans > MOST_SCANS {
                    return Err(format!("it has more than {MOST_SCANS} scans"));
                }
                at += state.scan(body, &bytes[at..])?;
            }
            0xdb => state.factors(body)?,
            0xdd => state.restart = usize::from(body.first_chunk().map_or(0, |b| u16::from_be_bytes(*b))),
            0xe0 if body.starts_with(b"JFIF\0") => state.jfif = true,
            0xe1 if body.starts_with(b"Exif\0\0") && state.exif.is_none() => state.exif = Some(body[6..].to_vec()),
            0xee if body.starts_with(b"Adobe") && body.len() >= 12 => state.adobe = Some(body[11]),
            _ => {}
        }
    }
    Err(breaks_off("before its end marker"))
}

fn breaks_off(place: &str) -> String {
    format!("it breaks off {place} (is the download complete?)")
}

/// The next marker, and `at` behind it. What lies before it is skipped, as every reader does.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let from = *at;
    let pairs = bytes.get(from..)?.windows(2);
    let found = pairs.enumerate().find(|(_, pair)| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
    *at = from + found.0 + 2;
    Some(found.1[1])
}

fn frame(body: &[u8], progressive: bool, file: usize) -> Result<Frame> {
    let [precision, h1, h0, w1, w0, count, rest @ ..] = body else {
        return Err("its frame header is too short".to_owned());
    };
    let (width, height) = (usize::from(u16::from_be_bytes([*w1, *w0])), usize::from(u16::from_be_bytes([*h1, *h0])));
    check_size(width, height)?;
    if *precision != 8 {
        return Err(format!("it has {precision} bits a sample; only 8 are read"));
    }
    if !matches!(count, 1 | 3 | 4) || rest.len() < usize::from(*count) * 3 {
        return Err(format!("it has {count} components in {} bytes; 1, 3 or 4 are read", rest.len()));
    }
    let rest = &rest[..usize::from(*count) * 3];
    let sides = |c: &[u8]| (usize::from(c[1] >> 4), usize::from(c[1] & 15));
    if rest.chunks_exact(3).map(sides).any(|(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err("a component's sampling is not 1 to 4".to_owned());
    }
    let most = |side: fn((usize, usize)) -> usize| rest.chunks_exact(3).map(|c| side(sides(c))).max().unwrap_or(1);
    let mut frame = Frame { width, height, progressive, h: most(|s| s.0), v: most(|s| s.1), components: vec![] };
    let (across, down) = frame.units();
    // Even an empty block takes a bit: memory is taken for no more of them than the file can fill.
    let blocks_of = |(h, v): (usize, usize)| (width * h).div_ceil(8 * frame.h) * (height * v).div_ceil(8 * frame.v);
    let blocks: usize = rest.chunks_exact(3).map(|c| blocks_of(sides(c))).sum();
    if blocks > file.saturating_mul(8) {
        return Err(breaks_off(&format!("or lies: {width} x {height} pixels do not fit {file} bytes")));
    }
    for c in rest.chunks_exact(3) {
        let (h, v) = sides(c);
        if !frame.h.is_multiple_of(h) || !frame.v.is_multiple_of(v) {
            return Err(format!("sampling of {h} x {v} in {} x {} is not read", frame.h, frame.v));
        }
        let (across, down) = (across * h, down * v);
        frame.components.push(Component {
            id: c[0],
            h,
            v,
            factors: usize::from(c[2] & 3),
            width: (width * h).div_ceil(frame.h),
            height: (height * v).div_ceil(frame.v),
            across,

            coefficients: if progressive { vec![0; across * down * 64] } else { vec![] },
            samples: vec![0; across * down * 64],
            latched: None,
        });
    }
    Ok(frame)
}

impl State {
    /// Tables of factors, DQT.
    fn factors(&mut self, mut body: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = body {
            let wide = 1 + usize::from(head >> 4 != 0);
            if head & 15 > 3 || rest.len() < 64 * wide {
                return Err("a table of factors is broken".to_owned());
            }
            let mut table = [0; 64];
            for (&to, from) in ZIGZAG.iter().zip(rest.chunks_exact(wide)) {
                table[usize::from(to)] = from.iter().fold(0, |sum, &b| sum << 8 | u16::from(b));
            }
            self.factors[usize::from(head & 15)] = Some(table);
            body = &rest[64 * wide..];
        }
        Ok(())
    }

    /// Tables of codes, DHT.
    fn codes(&mut self, mut body: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or("a table of codes is too short")?;
            let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let tables = match head >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err("a table of codes is of no known kind".to_owned()),
            };
            let place = tables.get_mut(usize::from(head & 15)).ok_or("a table of codes has a number beyond 3")?;
            let symbols = rest.get(..total).ok_or("a table of codes is too short")?;
            *place = Some(Table::new(counts, symbols)?);
            body = &rest[total..];
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Decoded> {
        let Some(mut frame) = self.frame.take() else { return Err("it has no frame".to_owned()) };
        for (i, component) in frame.components.iter_mut().enumerate() {
            let Some(factors) = component.latched else { return Err(breaks_off(&format!("before component {i}"))) };
            let stride = component.across * 8;
            for (block, coefficients) in component.coefficients.chunks_exact(64).enumerate() {
                let at = block / component.across * 8 * stride + block % component.across * 8;
                let coefficients: &[i16; 64] = &from_fn(|i| coefficients[i]);
                idct::block(coefficients, &factors, &mut component.samples[at..], stride);
            }
            component.coefficients = vec![];
        }
        let model = self.model(&frame);
        let mut rgb = vec![0; frame.width * frame.height * 3];
        let mut rows: Vec<Vec<u8>> = frame.components.iter().map(|_| Vec::with_capacity(frame.width + 8)).collect();
        for (y, out) in rgb.chunks_exact_mut(frame.width * 3).enumerate() {
            for (component, row) in frame.components.iter().zip(&mut rows) {
                upsample::row(component, frame.h / component.h, frame.v / component.v, y, row);
            }
            colour::row(model, &rows, out);
        }
        Ok(Decoded { width: frame.width, height: frame.height, rgb, exif: self.exif })
    }

    /// What the components mean, as libjpeg guesses it.
    fn model(&self, frame: &Frame) -> colour::Model {
        use colour::Model;
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        match (frame.components.len(), self.adobe) {
            (1, _) => Model::Grey,
            (3, _) if self.jfif => Model::YCbCr,
            (3, Some(0)) => Model::Rgb,
            (3, None) if ids == *b"RGB" => Model::Rgb,
            (3, _) => Model::YCbCr,
            (_, None | Some(0)) => Model::Cmyk,
            _ => Model::Ycck,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// JPEGs of several kinds, in the order of their names.
    fn files() -> Vec<Vec<u8>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/resize/files");
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "jpg"));
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn what_breaks_off_is_refused() {
        let files = files();
        assert!(files.len() >= 4);
        for bytes in files {
            assert!(decode(&bytes).is_ok());
            for end in 2..bytes.len() {
                let error = decode(&bytes[..end]).err().unwrap_or_else(|| panic!("{end} of {} bytes", bytes.len()));
                assert!(error.contains("breaks off"), "{end} of {} bytes: {error}", bytes.len());
            }
        }
    }

    #[test]
    fn memory_is_paid_for_by_bytes() {
        for marker in [0xc0, 0xc2] {
            let head = [0xff, 0xd8, 0xff, marker, 0, 11, 8, 0x2e, 0xe0, 0x2e, 0xe0, 1, 1, 0x11, 0, 0xff, 0xd9];
            assert!(decode(&head).err().unwrap().contains("do not fit 17 bytes"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// Whatever is changed in a file, the decoder comes to an end, and does not break down.
        #[test]
        fn any_damage(file: prop::sample::Index, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let files = files();
            let mut bytes = files[file.index(files.len())].clone();
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(picture) = decode(&bytes) {
                prop_assert_eq!(picture.rgb.len(), picture.width * picture.height * 3);
            }
        }
    }
}
