//! Pictures: PNG and JPEG to rows of RGB.

use crate::error::{Error, Result, read};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
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
    /// Grey and palette become RGB; alpha is dropped, not blended; of 16 bits the upper 8 stay; CMYK becomes RGB; the
    /// orientation of EXIF is applied.
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
        let format = match image::guess_format(bytes) {
            _ if bytes.is_empty() => return Err(Error::content(source, "is empty; a PNG or JPEG is wanted")),
            Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => format,
            Ok(other) => {
                let message = format!("is {other:?} by its first bytes; only PNG and JPEG are read, convert it");
                return Err(Error::content(source, message));
            }
            Err(_) => {
                let start: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02X}")).collect();
                let message = format!("is neither PNG nor JPEG; it begins with the bytes {}", start.join(" "));
                return Err(Error::content(source, message));
            }
        };
        // A bug in a decoder must not end a run of thousands of pictures.
        let decoded = catch_unwind(AssertUnwindSafe(|| decode(bytes, format)));
        let picture = match decoded {
            Ok(Ok(picture)) => picture,
            Ok(Err(error)) => return Err(Error::content(source, format!("cannot be decoded: {error}"))),
            Err(_) => return Err(Error::content(source, "cannot be decoded: the decoder broke down on it")),
        };
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        Self::new(width, height, rgb(picture)).map_err(|e| Error::content(source, e.to_string()))
    }
}

fn decode(bytes: &[u8], format: ImageFormat) -> std::result::Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(65_535);
    limits.max_image_height = Some(65_535);
    limits.max_alloc = Some(MAX_PIXELS as u64 * 8);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS as u64 {
        let kind = image::error::LimitErrorKind::DimensionError;
        return Err(ImageError::Limits(image::error::LimitError::from_kind(kind)));
    }
    // A broken EXIF block is no reason to refuse a picture that can be seen.
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

fn rgb(picture: DynamicImage) -> Vec<u8> {
    let upper = |v: u16| (v >> 8) as u8;
    match picture {
        DynamicImage::ImageRgb8(p) => p.into_raw(),
        DynamicImage::ImageLuma8(p) => p.into_raw().into_iter().flat_map(|g| [g; 3]).collect(),
        DynamicImage::ImageLumaA8(p) => p.pixels().flat_map(|p| [p.0[0]; 3]).collect(),
        DynamicImage::ImageRgba8(p) => p.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect(),
        DynamicImage::ImageLuma16(p) => p.pixels().flat_map(|p| [upper(p.0[0]); 3]).collect(),
        DynamicImage::ImageLumaA16(p) => p.pixels().flat_map(|p| [upper(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(p) => p.into_raw().into_iter().map(upper).collect(),
        DynamicImage::ImageRgba16(p) => p.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(upper)).collect(),
        other => other.into_rgb8().into_raw(),
    }
}
