//! Antialiased resize, byte for byte as Pillow does it.
//!
//! Each output pixel is a weighted mean of the input pixels under a filter that is widened by the scale when shrinking.
//! With scale s = in / out and support r·max(s, 1), output x sits at centre (x + 0.5)·s and reads the pixels from
//! ⌊centre − support + 0.5⌋ to ⌊centre + support + 0.5⌋, weights normalised to sum 1, then rounded to 22 bits of fixed
//! point. Each pass rounds and clips to 8 bits: rows first, then columns, or since Pillow 13 columns first if the height
//! shrinks by more than twice the pixels that the width does. Source: Pillow, `src/libImaging/Resample.c`.

use crate::error::{Error, Result};
use crate::image::{Image, MAX_PIXELS};

/// The kernel of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// Triangle of radius 1.
    #[default]
    Bilinear,
    /// Cubic convolution with a = −0.5, radius 2.
    Bicubic,
    /// The pixel that lies under the centre, alone; Keras' `load_img` does this unless told otherwise.
    Nearest,
    /// Triangle of radius 1 that is not widened when shrinking, as Keras' layer `Resizing` has it.
    BilinearNarrow,
}

impl Filter {
    fn radius(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            _ => 1.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear | Self::BilinearNarrow if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Bits after the point of a weight: products of 8 bits, with two to spare for sums that overshoot.
const PRECISION: u32 = 32 - 8 - 2;

/// What one output pixel reads.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn taps(filter: Filter, from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    if filter == Filter::Nearest {
        // Pillow adds up the places, so their rounding errors add up too.
        let places = std::iter::successors(Some(scale * 0.5), |place| Some(place + scale)).take(to);
        let tap = |place: f64| Taps { first: (place as usize).min(from - 1), weights: vec![1 << PRECISION] };
        return places.map(tap).collect();
    }
    let stretch = if filter == Filter::BilinearNarrow { 1.0 } else { scale.max(1.0) };
    let support = filter.radius() * stretch;
    let inverse = 1.0 / stretch;
    (0..to)
        .map(|x| {
            let centre = (x as f64 + 0.5) * scale;
            let first = ((centre - support + 0.5) as i64).max(0) as usize;
            let last = ((centre + support + 0.5) as usize).min(from);
            let weights: Vec<f64> = (first..last).map(|i| filter.weight((i as f64 - centre + 0.5) * inverse)).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |w: f64| {
                let w = if sum == 0.0 { w } else { w / sum };
                let scaled = w * f64::from(1 << PRECISION);
                (if w < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
            };
            Taps { first, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resizes an image to exactly `width` by `height`.
///
/// # Errors
/// A size of 0, or beyond the [limit of pixels](crate::MAX_PIXELS).
pub fn resize(image: &Image, width: usize, height: usize, filter: Filter) -> Result<Image> {
    let fits = |w: usize, h: usize| w.checked_mul(h).is_some_and(|n| n <= MAX_PIXELS);
    if width == 0 || height == 0 || !fits(width, height) || !fits(width, image.height()) || !fits(image.width(), height)
    {
        let message = format!(
            "{} x {} to {width} x {height}: sizes must be at least 1, and at most {MAX_PIXELS} pixels",
            image.width(),
            image.height()
        );
        return Err(Error::argument("resize", message));
    }
    let across = |image: &Image| match width == image.width() {
        true => image.clone(),
        false => rows(image, &taps(filter, image.width(), width)),
    };
    let down = |image: &Image| match height == image.height() {
        true => image.clone(),
        false => columns(image, &taps(filter, image.height(), height)),
    };
    let shrinks = |from: usize, to: usize| from as i64 - to as i64;
    let by_height = shrinks(image.height(), height);
    let columns_first = by_height > 0 && by_height > 2 * shrinks(image.width(), width);
    Ok(if columns_first { across(&down(image)) } else { down(&across(image)) })
}

/// Resizes so that the shorter side becomes `side`; the longer one keeps the proportion, rounded down.
///
/// # Errors
/// As [`resize()`].
pub fn resize_shorter(image: &Image, side: usize, filter: Filter) -> Result<Image> {
    let (w, h) = (image.width(), image.height());
    let longer = |long: usize, short: usize| ((side as f64 * long as f64) / short as f64) as usize;
    let (width, height) = if w <= h { (side, longer(h, w)) } else { (longer(w, h), side) };
    resize(image, width, height, filter)
}

fn rows(image: &Image, taps: &[Taps]) -> Image {
    let mut pixels = Vec::with_capacity(taps.len() * image.height() * 3);
    for row in image.pixels().chunks_exact(image.width() * 3) {
        for tap in taps {
            let mut sums = [1 << (PRECISION - 1); 3];
            for (pixel, &weight) in row[tap.first * 3..].chunks_exact(3).zip(&tap.weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixels.extend(sums.map(clip));
        }
    }
    Image::of(taps.len(), image.height(), pixels)
}

fn columns(image: &Image, taps: &[Taps]) -> Image {
    let stride = image.width() * 3;
    let mut pixels = Vec::with_capacity(taps.len() * stride);
    let mut sums = vec![0i32; stride];
    for tap in taps {
        sums.fill(1 << (PRECISION - 1));
        for (row, &weight) in image.pixels()[tap.first * stride..].chunks_exact(stride).zip(&tap.weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        pixels.extend(sums.iter().map(|&sum| clip(sum)));
    }
    Image::of(image.width(), taps.len(), pixels)
}
