//! Random changes of training pictures. The same (seed, epoch, sample) gives the same change.

use crate::error::{Error, Result};
use crate::geometry::{crop, flip_horizontal, flip_vertical, rotate};
use crate::image::Image;
use crate::preprocess::Preprocess;
use crate::random::Random;
use crate::resize::resize;

/// What may happen to a training picture. All off: [`Augment::default`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Augment {
    /// Crop a random part and resize it to the size of the net's input, instead of resize and middle crop.
    pub crop: Option<RandomCrop>,
    /// Swap left and right half of the time.
    pub flip_horizontal: bool,
    /// Swap top and bottom half of the time.
    pub flip_vertical: bool,
    /// Turn by 0, 1, 2 or 3 quarters.
    pub rotate: bool,
    /// Multiply all values by 1 − b to 1 + b.
    pub brightness: f64,
    /// Move all values away from, or to, their mean: factor 1 − c to 1 + c.
    pub contrast: f64,
}

/// The part that a random crop takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomCrop {
    /// Least and largest share of the picture's area.
    pub area: (f64, f64),
    /// Least and largest width / height, drawn on a logarithmic scale.
    pub ratio: (f64, f64),
}

impl RandomCrop {
    /// As torchvision trains on ImageNet: 8 % to all of the area, 3:4 to 4:3.
    pub const IMAGENET: Self = Self { area: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) };

    /// For fine-tuning: most of the picture stays.
    pub const GENTLE: Self = Self { area: (0.6, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) };

    fn check(&self) -> Result<()> {
        let ordered = |(low, high): (f64, f64), most: f64| low > 0.0 && low <= high && high <= most;
        if ordered(self.area, 1.0) && ordered(self.ratio, f64::MAX) {
            return Ok(());
        }
        let message = format!("{self:?}: want 0 < least <= largest, and areas of at most 1");
        Err(Error::argument("augment", message))
    }

    /// Left, top, width, height. Source: torchvision, `RandomResizedCrop`: ten tries, then the middle.
    fn place(&self, width: usize, height: usize, random: &mut Random) -> [usize; 4] {
        let area = (width * height) as f64;
        for _ in 0..10 {
            let target = area * random.between(self.area.0, self.area.1);
            let ratio = random.between(self.ratio.0.ln(), self.ratio.1.ln()).exp();
            let w = (target * ratio).sqrt().round() as usize;
            let h = (target / ratio).sqrt().round() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return [random.below(width - w + 1), random.below(height - h + 1), w, h];
            }
        }
        let ratio = (width as f64 / height as f64).clamp(self.ratio.0, self.ratio.1);
        let w = ((height as f64 * ratio).round() as usize).clamp(1, width);
        let h = ((width as f64 / ratio).round() as usize).clamp(1, height);
        [(width - w) / 2, (height - h) / 2, w, h]
    }
}

impl Augment {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// One that does not; the message names it.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("brightness", self.brightness), ("contrast", self.contrast)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::argument("augment", format!("{name} is {value}, it must be between 0 and 1")));
            }
        }
        self.crop.map_or(Ok(()), |crop| crop.check())
    }

    /// A changed picture in the size of the net's input.
    ///
    /// # Errors
    /// As [`Augment::check`] and [`Preprocess::shape`]; a random crop with a preprocessor that has no fixed output size.
    pub fn apply(&self, image: &Image, preprocess: &Preprocess, random: &mut Random) -> Result<Image> {
        self.check()?;
        let mut image = match self.crop {
            None => preprocess.shape(image)?,
            Some(part) => {
                let Some((height, width)) = preprocess.output_size() else {
                    let message = "a random crop needs a preprocessor with `crop` or an exact `size`";
                    return Err(Error::argument("augment", message));
                };
                let [left, top, w, h] = part.place(image.width(), image.height(), random);
                resize(&crop(image, left, top, w, h)?, width, height, preprocess.filter)?
            }
        };
        if self.flip_horizontal && random.chance(0.5) {
            image = flip_horizontal(&image);
        }
        if self.flip_vertical && random.chance(0.5) {
            image = flip_vertical(&image);
        }
        if self.rotate {
            let square = image.width() == image.height();
            // Turning by one quarter would swap the sides of the input.
            let quarters = if square { random.below(4) } else { 2 * random.below(2) };
            image = rotate(&image, quarters);
        }
        if self.brightness > 0.0 || self.contrast > 0.0 {
            let bright = random.between(1.0 - self.brightness, 1.0 + self.brightness);
            let contrast = random.between(1.0 - self.contrast, 1.0 + self.contrast);
            image = light(&image, bright, contrast);
        }
        Ok(image)
    }
}

/// value ↦ clip((value · bright − m) · contrast + m), m the mean of value · bright.
fn light(image: &Image, bright: f64, contrast: f64) -> Image {
    let sum: u64 = image.pixels().iter().map(|&v| u64::from(v)).sum();
    let mean = bright * sum as f64 / image.pixels().len() as f64;
    let table: [u8; 256] =
        std::array::from_fn(|v| ((v as f64 * bright - mean) * contrast + mean).round().clamp(0.0, 255.0) as u8);
    let pixels = image.pixels().iter().map(|&v| table[usize::from(v)]).collect();
    Image::of(image.width(), image.height(), pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Size;
    use proptest::prelude::*;

    fn picture(width: usize, height: usize) -> Image {
        Image::new(width, height, (0..width * height * 3).map(|i| (i * 7 % 251) as u8).collect()).unwrap()
    }

    fn all() -> Augment {
        Augment {
            crop: Some(RandomCrop::IMAGENET),
            flip_horizontal: true,
            flip_vertical: true,
            rotate: true,
            brightness: 0.3,
            contrast: 0.3,
        }
    }

    #[test]
    fn key_determines_the_change() {
        let (image, preprocess) = (picture(40, 30), Preprocess::cifar10());
        let change = |key: &[u64]| all().apply(&image, &preprocess, &mut Random::new(key)).unwrap();
        assert_eq!(change(&[1, 2, 3]), change(&[1, 2, 3]));
        assert_ne!(change(&[1, 2, 3]), change(&[1, 2, 4]));
    }

    #[test]
    fn nothing_by_default() {
        let (image, preprocess) = (picture(40, 30), Preprocess::cifar10());
        let same = Augment::default().apply(&image, &preprocess, &mut Random::new(&[1])).unwrap();
        assert_eq!(same, preprocess.shape(&image).unwrap());
    }

    #[test]
    fn flips_about_half() {
        let image = picture(32, 32);
        let preprocess = Preprocess::cifar10();
        let augment = Augment { flip_horizontal: true, ..Augment::default() };
        let flipped =
            (0..400).filter(|&i| augment.apply(&image, &preprocess, &mut Random::new(&[i])).unwrap() != image).count();
        assert!((160..=240).contains(&flipped), "{flipped}");
    }

    #[test]
    fn bad_numbers() {
        let image = picture(4, 4);
        let apply =
            |a: Augment| a.apply(&image, &Preprocess::cifar10(), &mut Random::new(&[])).unwrap_err().to_string();
        assert!(apply(Augment { brightness: 2.0, ..Augment::default() }).contains("brightness"));
        assert!(apply(Augment { contrast: f64::NAN, ..Augment::default() }).contains("contrast"));
        let part = RandomCrop { area: (0.5, 2.0), ratio: (1.0, 1.0) };
        assert!(apply(Augment { crop: Some(part), ..Augment::default() }).contains("at most 1"));
        let free = Preprocess { size: Some(Size::Shorter(9)), crop: None, ..Preprocess::cifar10() };
        assert!(all().apply(&image, &free, &mut Random::new(&[])).is_err());
    }

    proptest! {
        #[test]
        fn crops_lie_inside(width in 1usize..200, height in 1usize..200, key: u64) {
            let [left, top, w, h] = RandomCrop::IMAGENET.place(width, height, &mut Random::new(&[key]));
            prop_assert!(w >= 1 && h >= 1 && left + w <= width && top + h <= height);
        }

        #[test]
        fn always_the_size_of_the_input(width in 1usize..60, height in 1usize..60, key: u64) {
            let out = all().apply(&picture(width, height), &Preprocess::cifar10(), &mut Random::new(&[key])).unwrap();
            prop_assert_eq!((out.width(), out.height()), (32, 32));
        }
    }
}
