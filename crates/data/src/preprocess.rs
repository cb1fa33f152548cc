//! From a picture to the numbers a pretrained net was trained on. A preprocessor is data: it is saved with a model and
//! read from the `preprocessor_config.json` of Hugging Face.

use crate::error::{Error, Result};
use crate::geometry::centre_crop;
use crate::image::Image;
use crate::resize::{Filter, resize, resize_shorter};
use serde_json::{Map, Value, json};
use ukulele_tensor::Tensor;

/// The size a picture is brought to before the crop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The shorter side becomes this; the proportion stays.
    Shorter(usize),
    /// Exactly this, whatever the proportion.
    Exact {
        /// Rows.
        height: usize,
        /// Pixels a row.
        width: usize,
    },
}

/// Order of the colours in the input of a net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColourOrder {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as Caffe has it.
    Bgr,
}

/// Resize, crop the middle, order the colours, then (value · rescale − mean) / std for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// Size before the crop; `None` keeps the picture's own.
    pub size: Option<Size>,
    /// Kernel of the resize.
    pub filter: Filter,
    /// Height and width cut from the middle; `None` keeps all.
    pub crop: Option<(usize, usize)>,
    /// Order of the channels that come out.
    pub order: ColourOrder,
    /// What a value of 0 to 255 is multiplied by.
    pub rescale: f64,
    /// Subtracted, one for each channel in the order in which they come out.
    pub mean: [f64; 3],
    /// Divided by, in the same order.
    pub std: [f64; 3],
}

impl Preprocess {
    /// torchvision's ImageNet weights: shorter side 256, middle 224 x 224, RGB / 255, ImageNet's mean and deviation.
    pub fn imagenet_torchvision() -> Self {
        Self {
            size: Some(Size::Shorter(256)),
            filter: Filter::Bilinear,
            crop: Some((224, 224)),
            order: ColourOrder::Rgb,
            rescale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// Caffe's nets: 256 x 256, middle 224 x 224, BGR of 0 to 255 minus (104, 117, 123).
    pub fn caffe_bgr() -> Self {
        Self {
            size: Some(Size::Exact { height: 256, width: 256 }),
            filter: Filter::Bilinear,
            crop: Some((224, 224)),
            order: ColourOrder::Bgr,
            rescale: 1.0,
            mean: [104.0, 117.0, 123.0],
            std: [1.0; 3],
        }
    }

    /// Keras' ResNet and VGG: 224 x 224 by resize alone, BGR of 0 to 255 minus (103.939, 116.779, 123.68).
    pub fn keras_bgr() -> Self {
        let size = Some(Size::Exact { height: 224, width: 224 });
        Self { size, crop: None, mean: [103.939, 116.779, 123.68], ..Self::caffe_bgr() }
    }

    /// TF-slim's VGG and ResNet v1: shorter side 256, middle 224 x 224, RGB of 0 to 255 minus (123.68, 116.78, 103.94).
    pub fn vgg_rgb() -> Self {
        Self {
            size: Some(Size::Shorter(256)),
            order: ColourOrder::Rgb,
            mean: [123.68, 116.78, 103.94],
            ..Self::caffe_bgr()
        }
    }

    /// The preset that a dialect of weights names: `imagenet`, `caffe_bgr`, `keras_bgr`, `vgg_rgb`, `inception`,
    /// `inception_224`, `facenet`.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "imagenet" => Some(Self::imagenet_torchvision()),
            "caffe_bgr" => Some(Self::caffe_bgr()),
            "keras_bgr" => Some(Self::keras_bgr()),
            "vgg_rgb" => Some(Self::vgg_rgb()),
            "inception" => Some(Self::symmetric(299)),
            "inception_224" => Some(Self::symmetric(224)),
            "facenet" => Some(Self { std: [128.0 / 255.0; 3], ..Self::symmetric(160) }),
            _ => None,
        }
    }

    /// CIFAR-10: 32 x 32, RGB / 255, the data set's mean and deviation.
    pub fn cifar10() -> Self {
        Self {
            size: Some(Size::Exact { height: 32, width: 32 }),
            filter: Filter::Bilinear,
            crop: None,
            order: ColourOrder::Rgb,
            rescale: 1.0 / 255.0,
            mean: [0.4914, 0.4822, 0.4465],
            std: [0.2470, 0.2435, 0.2616],
        }
    }

    /// A square of this side by resize alone, RGB from −1 to 1.
    pub fn symmetric(side: usize) -> Self {
        Self {
            size: Some(Size::Exact { height: side, width: side }),
            filter: Filter::Bilinear,
            crop: None,
            order: ColourOrder::Rgb,
            rescale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }

    /// The same for squares of another side; a crop keeps its share of the picture (224 of 256).
    #[must_use]
    pub fn with_side(mut self, side: usize) -> Self {
        let scaled = |n: usize, from: usize| (n as f64 * side as f64 / from.max(1) as f64).round() as usize;
        if let Some((height, width)) = self.crop {
            let from = height.min(width);
            self.size = self.size.map(|size| match size {
                Size::Shorter(n) => Size::Shorter(scaled(n, from)),
                Size::Exact { height, width } => {
                    Size::Exact { height: scaled(height, from), width: scaled(width, from) }
                }
            });
            self.crop = Some((side, side));
        } else {
            self.size = Some(Size::Exact { height: side, width: side });
        }
        self
    }

    /// Height and width of what comes out, if they do not depend on the picture.
    pub fn output_size(&self) -> Option<(usize, usize)> {
        self.crop.or(match self.size {
            Some(Size::Exact { height, width }) => Some((height, width)),
            _ => None,
        })
    }

    /// Resize and crop.
    ///
    /// # Errors
    /// Sizes of 0 or too large.
    pub fn shape(&self, image: &Image) -> Result<Image> {
        let resized = match self.size {
            None => None,
            Some(Size::Shorter(side)) => Some(resize_shorter(image, side, self.filter)?),
            Some(Size::Exact { height, width }) => Some(resize(image, width, height, self.filter)?),
        };
        match (self.crop, resized) {
            (Some((height, width)), resized) => centre_crop(resized.as_ref().unwrap_or(image), width, height),
            (None, Some(resized)) => Ok(resized),
            (None, None) => Ok(image.clone()),
        }
    }

    /// Resize, crop and normalise one picture: height, width, and the values in the order height, width, channel.
    ///
    /// # Errors
    /// As [`Preprocess::shape`].
    pub fn values(&self, image: &Image) -> Result<(usize, usize, Vec<f32>)> {
        let image = self.shape(image)?;
        let mut values = vec![0.0; image.pixels().len()];
        self.normalize(&image, &mut values);
        Ok((image.height(), image.width(), values))
    }

    /// (value · rescale − mean) / std of each pixel, channels in order. `values` has one number for each byte.
    pub(crate) fn normalize(&self, image: &Image, values: &mut [f32]) {
        let tables = self.tables();
        let source: [usize; 3] = match self.order {
            ColourOrder::Rgb => [0, 1, 2],
            ColourOrder::Bgr => [2, 1, 0],
        };
        for (out, pixel) in values.chunks_exact_mut(3).zip(image.pixels().chunks_exact(3)) {
            for c in 0..3 {
                out[c] = tables[c][usize::from(pixel[source[c]])];
            }
        }
    }

    /// What becomes of each value of each channel.
    fn tables(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| {
            std::array::from_fn(|v| ((v as f64 * self.rescale - self.mean[c]) / self.std[c]) as f32)
        })
    }

    /// A batch of shape (N, 3, H, W) in channels-last memory.
    ///
    /// # Errors
    /// No pictures, or they come out in different sizes: then `crop` or an exact `size` is needed.
    pub fn batch(&self, images: &[Image]) -> Result<Tensor> {
        let shaped: Vec<Image> = images.iter().map(|image| self.shape(image)).collect::<Result<_>>()?;
        self.stack(&shaped)
    }

    /// As [`Preprocess::batch`], of pictures that are resized and cropped already.
    ///
    /// # Errors
    /// As [`Preprocess::batch`].
    pub fn stack(&self, images: &[Image]) -> Result<Tensor> {
        let Some(first) = images.first() else {
            return Err(Error::argument("preprocess", "a batch needs at least one picture"));
        };
        let (height, width) = (first.height(), first.width());
        if let Some(other) = images.iter().find(|i| (i.height(), i.width()) != (height, width)) {
            let message = format!(
                "pictures of one batch come out as {width} x {height} and {} x {}; set `crop`, or an exact `size`",
                other.width(),
                other.height()
            );
            return Err(Error::argument("preprocess", message));
        }
        let tensor = Tensor::build_channels_last([images.len(), 3, height, width], |out| {
            for (values, image) in out.chunks_exact_mut(height * width * 3).zip(images) {
                self.normalize(image, values);
            }
        })?;
        Ok(tensor)
    }

    /// As Hugging Face writes it in `preprocessor_config.json`; `do_flip_channel_order` is BGR, and `antialias` (false for
    /// [`Filter::BilinearNarrow`] alone) is our own.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        // No class of Hugging Face flips colours and normalises: better none than one that leaves something out.
        if self.order == ColourOrder::Rgb && self.filter != Filter::BilinearNarrow {
            let exact = self.crop.is_none() && !matches!(self.size, Some(Size::Shorter(_)));
            let class = if exact { "ViTImageProcessor" } else { "BitImageProcessor" };
            map.insert("image_processor_type".into(), json!(class));
        }
        map.insert("do_resize".into(), json!(self.size.is_some()));
        match self.size {
            Some(Size::Shorter(side)) => map.insert("size".into(), json!({ "shortest_edge": side })),
            Some(Size::Exact { height, width }) => {
                map.insert("size".into(), json!({ "height": height, "width": width }))
            }
            None => None,
        };
        let resample = match self.filter {
            Filter::Nearest => 0,
            Filter::Bilinear | Filter::BilinearNarrow => 2,
            Filter::Bicubic => 3,
        };
        map.insert("resample".into(), json!(resample));
        if self.filter == Filter::BilinearNarrow {
            map.insert("antialias".into(), json!(false));
        }
        map.insert("do_center_crop".into(), json!(self.crop.is_some()));
        if let Some((height, width)) = self.crop {
            map.insert("crop_size".into(), json!({ "height": height, "width": width }));
        }
        map.insert("do_flip_channel_order".into(), json!(self.order == ColourOrder::Bgr));
        map.insert("do_rescale".into(), json!(true));
        map.insert("rescale_factor".into(), json!(self.rescale));
        map.insert("do_normalize".into(), json!(true));
        map.insert("image_mean".into(), json!(self.mean));
        map.insert("image_std".into(), json!(self.std));
        Value::Object(map)
    }

    /// From a `preprocessor_config.json`.
    ///
    /// # Errors
    /// A key has a value that is not understood; the message names the key.
    pub fn from_json(config: &Value) -> Result<Self> {
        let bad = |key: &str, message: String| Error::content("preprocessor_config.json", format!("`{key}` {message}"));
        let Some(config) = config.as_object() else {
            return Err(Error::content("preprocessor_config.json", "is not a JSON object"));
        };
        let switch = |key: &str, default: bool| match config.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| bad(key, format!("is {value}, true or false is wanted"))),
        };
        let side = |key: &str, value: Option<&Value>| {
            let value = value.unwrap_or(&Value::Null);
            let fits = value.as_u64().filter(|n| (1..=65_535).contains(n)).map(|n| n as usize);
            fits.ok_or_else(|| bad(key, format!("is {value}, a side of 1 to 65535 pixels is wanted")))
        };
        let both = |key: &str, value: &Value| match value {
            Value::Object(map) => Ok((side(key, map.get("height"))?, side(key, map.get("width"))?)),
            value => side(key, Some(value)).map(|n| (n, n)),
        };
        let need = |key: &str| config.get(key).ok_or_else(|| bad(key, "is missing".into()));
        let three = |key: &str, default: f64| {
            let Some(value) = config.get(key) else { return Ok([default; 3]) };
            let numbers: Option<Vec<f64>> =
                value.as_array().map(|list| list.iter().filter_map(Value::as_f64).collect());
            numbers
                .and_then(|n| <[f64; 3]>::try_from(n).ok())
                .ok_or_else(|| bad(key, format!("is {value}, three numbers are wanted")))
        };
        let size = match switch("do_resize", config.contains_key("size"))? {
            false => None,
            true => Some(match need("size")? {
                Value::Object(map) if map.contains_key("shortest_edge") => {
                    Size::Shorter(side("size", map.get("shortest_edge"))?)
                }
                // An old file's plain number is the shorter side if a crop follows.
                value if value.is_number() && switch("do_center_crop", false)? => {
                    Size::Shorter(side("size", Some(value))?)
                }
                value => {
                    let (height, width) = both("size", value)?;
                    Size::Exact { height, width }
                }
            }),
        };
        let filter = match (config.get("resample").map(|v| (v, v.as_u64())), switch("antialias", true)?) {
            (Some((_, Some(0))), _) => Filter::Nearest,
            (None | Some((_, Some(2))), true) => Filter::Bilinear,
            (None | Some((_, Some(2))), false) => Filter::BilinearNarrow,
            (Some((_, Some(3))), true) => Filter::Bicubic,
            (Some((_, Some(3))), false) => return Err(bad("antialias", "is false, which only bilinear can be".into())),
            (Some((value, _)), _) => {
                let message = format!("is {value}; only 0 (nearest), 2 (bilinear) and 3 (bicubic) exist");
                return Err(bad("resample", message));
            }
        };
        let crop = match switch("do_center_crop", false)? {
            true => Some(both("crop_size", need("crop_size")?)?),
            false => None,
        };
        let rescale = match (switch("do_rescale", true)?, config.get("rescale_factor")) {
            (false, _) => 1.0,
            (true, None) => 1.0 / 255.0,
            (true, Some(value)) => {
                value.as_f64().ok_or_else(|| bad("rescale_factor", format!("is {value}, a number is wanted")))?
            }
        };
        let (mean, std) = match switch("do_normalize", config.contains_key("image_mean"))? {
            true => (three("image_mean", 0.0)?, three("image_std", 1.0)?),
            false => ([0.0; 3], [1.0; 3]),
        };
        if std.iter().any(|&s| s <= 0.0) {
            return Err(bad("image_std", "holds a number that is not above 0, nothing can be divided by it".into()));
        }
        let scaled = |v: f64, c: usize| ((v * rescale - mean[c]) / std[c]) as f32;
        if !(0..3).all(|c| scaled(0.0, c).is_finite() && scaled(255.0, c).is_finite()) {
            return Err(bad("rescale_factor", "with `image_mean` and `image_std` makes infinite numbers".into()));
        }
        let order = match switch("do_flip_channel_order", false)? {
            true => ColourOrder::Bgr,
            false => ColourOrder::Rgb,
        };
        Ok(Self { size, filter, crop, order, rescale, mean, std })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_there_and_back() {
        let all = [
            Preprocess::imagenet_torchvision(),
            Preprocess::caffe_bgr(),
            Preprocess::cifar10(),
            Preprocess { size: None, crop: None, filter: Filter::Bicubic, ..Preprocess::symmetric(9) },
            Preprocess { filter: Filter::Nearest, ..Preprocess::keras_bgr() },
            Preprocess { filter: Filter::BilinearNarrow, ..Preprocess::keras_bgr() },
        ];
        for preprocess in all {
            assert_eq!(Preprocess::from_json(&preprocess.to_json()), Ok(preprocess));
        }
    }

    #[test]
    fn hugging_face_files() {
        let old = json!({ "do_center_crop": true, "crop_size": 224, "do_normalize": true, "do_resize": true, "size": 256,
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 2 });
        assert_eq!(Preprocess::from_json(&old), Ok(Preprocess::imagenet_torchvision()));
        for (key, value) in [
            ("size", json!("big")),
            ("size", json!({ "shortest_edge": 0 })),
            ("resample", json!(1)),
            ("image_mean", json!([1, 2])),
            ("image_std", json!([1, 0, 1])),
            ("image_std", json!([1, -2, 1])),
            ("antialias", json!(3)),
            ("rescale_factor", json!(1e308)),
            ("crop_size", json!({ "height": 3 })),
            ("do_resize", json!(3)),
        ] {
            let mut config = old.clone();
            config[key] = value;
            let message = Preprocess::from_json(&config).unwrap_err().to_string();
            assert!(message.contains(&format!("`{key}`")), "{message}");
        }
        assert!(Preprocess::from_json(&json!([1])).is_err());
    }

    #[test]
    fn values_by_hand() {
        let image = Image::new(1, 1, vec![255, 0, 51]).unwrap();
        let plain = Preprocess { size: None, crop: None, ..Preprocess::imagenet_torchvision() };
        let (_, _, values) = plain.values(&image).unwrap();
        let by_hand = [(1.0 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225];
        assert!(values.iter().zip(by_hand).all(|(a, b): (&f32, f64)| (f64::from(*a) - b).abs() < 1e-6), "{values:?}");
        let caffe = Preprocess { size: None, crop: None, ..Preprocess::caffe_bgr() };
        assert_eq!(caffe.values(&image).unwrap().2, [51.0 - 104.0, -117.0, 255.0 - 123.0]);
    }

    #[test]
    fn batches_are_channels_last() {
        let plain = Preprocess { size: None, crop: None, mean: [0.0; 3], rescale: 1.0, ..Preprocess::caffe_bgr() };
        let image = Image::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let batch = plain.batch(&[image.clone(), image.clone()]).unwrap();
        assert_eq!(batch.shape(), [2, 3, 1, 2]);
        assert!(batch.is_channels_last());
        assert_eq!(batch.to_vec()[..6], [3.0, 6.0, 2.0, 5.0, 1.0, 4.0]);
        let other = Image::new(1, 1, vec![1, 2, 3]).unwrap();
        assert!(plain.batch(&[image, other]).unwrap_err().to_string().contains("2 x 1 and 1 x 1"));
        assert!(plain.batch(&[]).is_err());
    }

    #[test]
    fn other_sides() {
        let half = Preprocess::imagenet_torchvision().with_side(112);
        assert_eq!((half.size, half.crop), (Some(Size::Shorter(128)), Some((112, 112))));
        assert_eq!(Preprocess::cifar10().with_side(48).output_size(), Some((48, 48)));
    }
}
