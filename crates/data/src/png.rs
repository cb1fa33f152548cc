//! PNG to rows of RGB.

use crate::image::{Decoded, MAX_PIXELS, check_size};
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use std::io::Cursor;

pub(crate) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let words = |error: png::DecodingError| error.to_string();
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_PIXELS * 8 });
    // Palettes and 1, 2 and 4 bits of grey become 8 bits a channel.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(words)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    check_size(width, height)?;
    let size = reader.output_buffer_size().ok_or("its rows are too long")?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(words)?;
    samples.truncate(frame.buffer_size());
    let exif = reader.info().exif_metadata.as_ref().map(|exif| exif.to_vec());

    let wide = match frame.bit_depth {
        BitDepth::Eight => 1,
        BitDepth::Sixteen => 2,
        other => return Err(format!("{other:?} bits a channel were not expanded")),
    };
    let (channels, colour) = match frame.color_type {
        ColorType::Grayscale => (1, false),
        ColorType::GrayscaleAlpha => (2, false),
        ColorType::Rgb => (3, true),
        ColorType::Rgba => (4, true),
        ColorType::Indexed => return Err("its palette was not expanded".to_owned()),
    };
    // The first byte of a wide sample is the upper one.
    let rgb = match (channels, wide) {
        (3, 1) => samples,
        _ => samples
            .chunks_exact(channels * wide)
            .flat_map(|p| if colour { [p[0], p[wide], p[2 * wide]] } else { [p[0]; 3] })
            .collect(),
    };
    Ok(Decoded { width, height, rgb, exif })
}
