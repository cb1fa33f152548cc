//! JPEG to rows of RGB.

use crate::image::{Decoded, check_size};
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

pub(crate) const SIGNATURE: &[u8] = b"\xff\xd8\xff";

/// The end of the picture.
const END: [u8; 2] = [0xff, 0xd9];

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    // The decoder paints what is missing grey; a picture that breaks off must not be taken for a whole one.
    if !bytes.windows(2).any(|pair| pair == END) {
        return Err("it breaks off: it has no end marker (is the download complete?)".to_owned());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(65_535)
        .set_max_height(65_535)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("it has no header")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;
    let exif = decoder.exif().cloned();
    let rgb = decoder.decode().map_err(|error| error.to_string())?;
    Ok(Decoded { width, height, rgb, exif })
}
