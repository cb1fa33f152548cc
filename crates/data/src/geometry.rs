//! Moving pixels: crop, flip, quarter turns.

use crate::error::{Error, Result};
use crate::image::Image;

/// The rectangle of this size whose upper left corner is at (`left`, `top`).
///
/// # Errors
/// It does not lie in the picture.
pub fn crop(image: &Image, left: usize, top: usize, width: usize, height: usize) -> Result<Image> {
    let inside =
        |start: usize, size: usize, whole: usize| size > 0 && start.checked_add(size).is_some_and(|end| end <= whole);
    if !inside(left, width, image.width()) || !inside(top, height, image.height()) {
        let message = format!(
            "{width} x {height} at ({left}, {top}) does not lie in a picture of {} x {}",
            image.width(),
            image.height()
        );
        return Err(Error::argument("crop", message));
    }
    let rows = image.pixels().chunks_exact(image.width() * 3).skip(top).take(height);
    let pixels = rows.flat_map(|row| &row[left * 3..(left + width) * 3]).copied().collect();
    Ok(Image::of(width, height, pixels))
}

/// The middle of a picture, which is padded with black where it is smaller. An odd margin is halved to the even number,
/// as torchvision does.
///
/// # Errors
/// A size of 0, or one beyond [`MAX_PIXELS`](crate::MAX_PIXELS).
pub fn centre_crop(image: &Image, width: usize, height: usize) -> Result<Image> {
    let padded;
    let mut image = image;
    if width > image.width() || height > image.height() {
        let before = |want: usize, have: usize| want.saturating_sub(have) / 2;
        padded = pad(image, before(width, image.width()), before(height, image.height()), width, height)?;
        image = &padded;
    }
    let margin = |have: usize, want: usize| ((have - want) as f64 / 2.0).round_ties_even() as usize;
    crop(image, margin(image.width(), width), margin(image.height(), height), width, height)
}

/// At least `width` by `height`, with `left` black columns and `top` black rows before the picture.
fn pad(image: &Image, left: usize, top: usize, width: usize, height: usize) -> Result<Image> {
    let (width, height) = (width.max(image.width()), height.max(image.height()));
    if width.checked_mul(height).is_none_or(|n| n > crate::MAX_PIXELS) {
        return Err(Error::argument("crop", format!("{width} x {height} pixels are too many")));
    }
    let mut pixels = vec![0; width * height * 3];
    for (y, row) in image.pixels().chunks_exact(image.width() * 3).enumerate() {
        let start = ((top + y) * width + left) * 3;
        pixels[start..start + row.len()].copy_from_slice(row);
    }
    Image::new(width, height, pixels)
}

/// Left and right swapped.
pub fn flip_horizontal(image: &Image) -> Image {
    let rows = image.pixels().chunks_exact(image.width() * 3);
    let pixels = rows.flat_map(|row| row.rchunks_exact(3).flatten()).copied().collect();
    Image::of(image.width(), image.height(), pixels)
}

/// Top and bottom swapped.
pub fn flip_vertical(image: &Image) -> Image {
    let pixels = image.pixels().rchunks_exact(image.width() * 3).flatten().copied().collect();
    Image::of(image.width(), image.height(), pixels)
}

/// Turned anticlockwise by this many quarters.
pub fn rotate(image: &Image, quarters: usize) -> Image {
    let (w, h) = (image.width(), image.height());
    match quarters % 4 {
        0 => image.clone(),
        2 => flip_horizontal(&flip_vertical(image)),
        odd => {
            let mut pixels = Vec::with_capacity(w * h * 3);
            for y in 0..w {
                for x in 0..h {
                    let (from_x, from_y) = if odd == 1 { (w - 1 - y, x) } else { (y, h - 1 - x) };
                    pixels.extend(image.pixel(from_x, from_y));
                }
            }
            Image::of(h, w, pixels)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Image {
        Image::from_grey(3, 2, &[1, 2, 3, 4, 5, 6]).unwrap()
    }

    fn grey(image: &Image) -> Vec<u8> {
        image.pixels().chunks(3).map(|p| p[0]).collect()
    }

    #[test]
    fn moves_pixels() {
        let p = picture();
        assert_eq!(grey(&flip_horizontal(&p)), [3, 2, 1, 6, 5, 4]);
        assert_eq!(grey(&flip_vertical(&p)), [4, 5, 6, 1, 2, 3]);
        let left = rotate(&p, 1);
        assert_eq!((left.width(), left.height(), grey(&left)), (2, 3, vec![3, 6, 2, 5, 1, 4]));
        assert_eq!(grey(&rotate(&p, 3)), [4, 1, 5, 2, 6, 3]);
        assert_eq!(rotate(&left, 3), p);
        assert_eq!(grey(&rotate(&p, 2)), [6, 5, 4, 3, 2, 1]);
        assert_eq!(grey(&crop(&p, 1, 0, 2, 2).unwrap()), [2, 3, 5, 6]);
    }

    #[test]
    fn crops() {
        let p = picture();
        assert!(crop(&p, 2, 0, 2, 1).unwrap_err().to_string().contains("does not lie"));
        assert!(crop(&p, 0, 0, 0, 1).is_err() && crop(&p, usize::MAX, 0, 2, 1).is_err());
        assert_eq!(grey(&centre_crop(&p, 2, 2).unwrap()), [1, 2, 4, 5]);
        assert_eq!(grey(&centre_crop(&p, 1, 4).unwrap()), [0, 2, 5, 0]);
        assert!(centre_crop(&p, usize::MAX, 2).is_err());
    }
}
