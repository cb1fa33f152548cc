//! Pictures: PNG and JPEG to rows of RGB.

use crate::error::{Error, Result, read};
use crate::{exif, jpeg, png};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Most pixels of a picture: a small file can claim to be huge, and must not eat the memory.
pub const MAX_PIXELS: usize = 178_956_970;

/// A picture of 8 bits a channel: rows from the top, red, green and blue of a pixel side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// From pixels, 3 bytes each.
    ///
    /// # Errors
    /// A size of 0 or beyond [`MAX_PIXELS`], or not width · height · 3 bytes.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        let count = width.checked_mul(height).filter(|&n| n > 0 && n <= MAX_PIXELS);
        if count.is_none_or(|n| n * 3 != pixels.len()) {
            let message = format!("{width} x {height} pixels of 3 bytes do not fit {} bytes", pixels.len());
            return Err(Error::argument("image", message));
        }
        Ok(Self { width, height, pixels })
    }

    /// From one byte a pixel, which becomes red, green and blue.
    ///
    /// # Errors
    /// As [`Image::new`].
    pub fn from_grey(width: usize, height: usize, grey: &[u8]) -> Result<Self> {
        Self::new(width, height, grey.iter().flat_map(|&g| [g; 3]).collect())
    }

    /// Sizes known to fit.
    pub(crate) fn of(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(width * height * 3, pixels.len());
        Self { width, height, pixels }
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green, blue of each pixel, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Red, green, blue of column `x`, row `y`.
    ///
    /// # Panics
    /// Outside of the picture.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "pixel ({x}, {y}) of {} x {}", self.width, self.height);
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Reads a PNG or JPEG file; the content decides which, not the name.
    ///
    /// # Errors
    /// The file cannot be read or decoded; the message names it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::decode_named(&read(path)?, &path.display().to_string())
    }

    /// Decodes a PNG or JPEG.
    ///
    /// As Pillow's `convert("RGB")`: grey and palette become RGB; alpha is dropped, not blended; CMYK becomes RGB. Unlike
    /// Pillow, of 16 bits of grey the upper 8 stay (Pillow makes all beyond 255 white), and the orientation of EXIF is
    /// applied, as `ImageOps.exif_transpose` does.
    ///
    /// # Errors
    /// Another format, broken content, or more than [`MAX_PIXELS`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::decode_named(bytes, "image bytes")
    }

    /// As [`Image::decode`]; errors name the source.
    ///
    /// # Errors
    /// As [`Image::decode`].
    pub fn decode_named(bytes: &[u8], source: &str) -> Result<Self> {
        let decode = match bytes {
            [] => return Err(Error::content(source, "is empty; a PNG or JPEG is wanted")),
            _ if bytes.starts_with(png::SIGNATURE) => png::decode,
            _ if bytes.starts_with(jpeg::SIGNATURE) => jpeg::decode,
            _ => return Err(Error::content(source, other_format(bytes))),
        };
        // A bug in a decoder must not end a run of thousands of pictures.
        match catch_unwind(AssertUnwindSafe(|| decode(bytes))) {
            Ok(Ok(Decoded { width, height, rgb, exif })) => {
                let (width, height, rgb) = match exif.as_deref().and_then(exif::orientation) {
                    Some(orientation) => exif::upright(width, height, rgb, orientation),
                    None => (width, height, rgb),
                };
                Self::new(width, height, rgb).map_err(|e| Error::content(source, e.to_string()))
            }
            Ok(Err(error)) => Err(Error::content(source, format!("cannot be decoded: {error}"))),
            Err(_) => Err(Error::content(source, "cannot be decoded: the decoder broke down on it")),
        }
    }
}

/// What a decoder gives.
pub(crate) struct Decoded {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb: Vec<u8>,
    /// The block of EXIF, from its byte order on.
    pub(crate) exif: Option<Vec<u8>>,
}

/// Refuses a size before memory is taken for it.
pub(crate) fn check_size(width: usize, height: usize) -> std::result::Result<(), String> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(format!("it claims {width} x {height} pixels; at most {MAX_PIXELS} are read")),
    }
}

/// Signatures of other pictures.
const OTHERS: &[(&[u8], &str)] = &[
    (b"GIF8", "Gif"),
    (b"RIFF", "WebP"),
    (b"BM", "Bmp"),
    (b"II*\0", "Tiff"),
    (b"MM\0*", "Tiff"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
];

fn other_format(bytes: &[u8]) -> String {
    let box_of =
        |kinds: &[&[u8]]| bytes.get(4..8) == Some(b"ftyp") && kinds.iter().any(|kind| bytes.get(8..12) == Some(kind));
    let name = OTHERS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name);
    let name = name.or(box_of(&[b"avif"]).then_some("Avif")).or(box_of(&[b"heic", b"heix", b"mif1"]).then_some("Heic"));
    match name {
        Some(name) => format!("is {name} by its first bytes; only PNG and JPEG are read, convert it"),
        None => {
            let start: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02X}")).collect();
            format!("is neither PNG nor JPEG; it begins with the bytes {}", start.join(" "))
        }
    }
}
