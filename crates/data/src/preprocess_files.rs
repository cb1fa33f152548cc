//! The preprocessing that comes with a file of weights: beside it, or known by its name.

use crate::error::{Error, Result, read_text};
use crate::preprocess::{ColourOrder, Preprocess, Size};
use crate::resize::Filter;
use serde_json::Value;
use std::path::Path;

/// Endings of the names of torchvision's weights that learned from pictures of 232 pixels. Source: torchvision
/// `models/resnet.py`, the weights with `resize_size=232`.
const OF_232: [&str; 8] =
    ["11ad3fa6", "cd907fc2", "f82ba261", "1a0047aa", "110c445d", "173b62eb", "9ba9bcbe", "d733dc28"];

impl Preprocess {
    /// What the weights at `path`, a file or a folder, say of their pictures: `preprocessor_config.json` beside them (Hugging
    /// Face), the entry `pretrained_cfg` of `config.json` (timm), or the name of the file, where torchvision gave it. `None` if
    /// nothing is said; the dialect's [`Preprocess::preset`] then holds.
    ///
    /// # Errors
    /// A file that is there, but cannot be read or understood.
    pub fn beside(path: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = path.as_ref();
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let parsed = |name: &str| -> Result<Option<Value>> {
            let file = folder.join(name);
            if !file.is_file() {
                return Ok(None);
            }
            let broken = |e: serde_json::Error| {
                Error::at_line(file.display(), e.line() as u64, format!("is broken JSON: {e}; repair or remove it"))
            };
            serde_json::from_str(&read_text(&file)?).map(Some).map_err(broken)
        };
        // timm's own comes first: a preprocessor_config.json beside it is another program's guess.
        if let Some(config) = parsed("config.json")?
            && (config["pretrained_cfg"].is_object() || config["crop_pct"].is_number())
        {
            return Self::from_timm(&config).map(Some);
        }
        if let Some(config) = parsed("preprocessor_config.json")? {
            return Self::from_json(&config).map(Some);
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let known = stem.rsplit_once('-').is_some_and(|(_, hash)| OF_232.contains(&hash));
        Ok(known.then(|| Self { size: Some(Size::Shorter(232)), ..Self::imagenet_torchvision() }))
    }

    /// [`Preprocess::beside`]; where that says no size, the preset of this name, or else ImageNet's, at `side` pixels.
    ///
    /// # Errors
    /// As [`Preprocess::beside`].
    pub fn of_weights(path: impl AsRef<Path>, preset: &str, side: usize) -> Result<Self> {
        let said = Self::beside(path)?.filter(|said| said.output_size().is_some());
        let usual = || Self::preset(preset).unwrap_or_else(Self::imagenet_torchvision).with_side(side);
        Ok(said.unwrap_or_else(usual))
    }

    /// From timm's `config.json`: the shorter side becomes `input_size` / `crop_pct`, rounded down, and the middle is cut out
    /// (`crop_mode` center), or the picture is stretched to that size first (squash). Source: timm `data/transforms_factory.py`.
    ///
    /// # Errors
    /// An entry that is not understood; the message names it.
    pub fn from_timm(config: &Value) -> Result<Self> {
        let cfg = if config["pretrained_cfg"].is_object() { &config["pretrained_cfg"] } else { config };
        let bad = |key: &str, wanted: &str| {
            Err(Error::content("config.json", format!("`{key}` is {}, {wanted} is wanted", cfg[key])))
        };
        let three = |key: &str, default: [f64; 3]| match &cfg[key] {
            Value::Null => Some(default),
            value => <[f64; 3]>::try_from(value.as_array()?.iter().filter_map(Value::as_f64).collect::<Vec<_>>()).ok(),
        };
        let Some([3, height, width]) = (match &cfg["input_size"] {
            Value::Null => Some([3, 224, 224]),
            value => value.as_array().and_then(|list| {
                let sides: Vec<usize> = list.iter().filter_map(|n| usize::try_from(n.as_u64()?).ok()).collect();
                <[usize; 3]>::try_from(sides).ok().filter(|sides| sides.iter().all(|side| (1..=65_535).contains(side)))
            }),
        }) else {
            return bad("input_size", "[3, height, width]");
        };
        let share = match &cfg["crop_pct"] {
            Value::Null => 0.875,
            value => match value.as_f64().filter(|share| (0.01..=1.0).contains(share)) {
                Some(share) => share,
                None => return bad("crop_pct", "a number of 0.01 to 1"),
            },
        };
        let filter = match cfg["interpolation"].as_str() {
            None | Some("bilinear") => Filter::Bilinear,
            Some("bicubic") => Filter::Bicubic,
            Some("nearest") => Filter::Nearest,
            Some(_) => return bad("interpolation", "bilinear, bicubic or nearest"),
        };
        let before = |side: usize| (side as f64 / share).floor() as usize;
        let size = match cfg["crop_mode"].as_str() {
            Some("squash") => Size::Exact { height: before(height), width: before(width) },
            None | Some("center") if height == width => Size::Shorter(before(height)),
            _ => return bad("crop_mode", "center, of a square, or squash"),
        };
        let (Some(mean), Some(std)) = (three("mean", [0.485, 0.456, 0.406]), three("std", [0.229, 0.224, 0.225]))
        else {
            return bad(if three("mean", [0.0; 3]).is_none() { "mean" } else { "std" }, "three numbers");
        };
        if std.iter().any(|&s| s <= 0.0) {
            return bad("std", "three numbers above 0");
        }
        let crop = Some((height, width));
        Ok(Self { size: Some(size), filter, crop, order: ColourOrder::Rgb, rescale: 1.0 / 255.0, mean, std })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn timm_says_how_pictures_are_cut() {
        let config = json!({"architecture": "resnet50", "pretrained_cfg": {
            "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}});
        let want = Preprocess {
            size: Some(Size::Shorter(235)),
            filter: Filter::Bicubic,
            ..Preprocess::imagenet_torchvision()
        };
        assert_eq!(Preprocess::from_timm(&config), Ok(want));
        let plain = Preprocess::from_timm(&json!({"crop_pct": 0.875}));
        assert_eq!(plain, Ok(Preprocess::imagenet_torchvision()));
        for (key, value) in [
            ("input_size", json!([1, 224, 224])),
            ("input_size", json!([3, 0, 224])),
            ("input_size", json!("224")),
            ("crop_pct", json!(0)),
            ("crop_pct", json!("all")),
            ("interpolation", json!("lanczos")),
            ("crop_mode", json!("border")),
            ("mean", json!([1, 2])),
            ("std", json!([1, 0, 1])),
        ] {
            let mut wrong = config.clone();
            wrong["pretrained_cfg"][key] = value;
            let message = Preprocess::from_timm(&wrong).unwrap_err().to_string();
            assert!(message.contains(&format!("`{key}`")), "{message}");
        }
    }

    #[test]
    fn what_lies_beside_weights_is_found() {
        let folder = std::env::temp_dir().join(format!("ukulele-beside-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let of = |name: &str| Preprocess::beside(folder.join(name));
        let v2 = Preprocess { size: Some(Size::Shorter(232)), ..Preprocess::imagenet_torchvision() };
        assert_eq!(of("resnet50-11ad3fa6.pth"), Ok(Some(v2)));
        assert_eq!(of("resnet50-0676ba61.pth"), Ok(None));
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("preprocessor_config.json", &Preprocess::keras_bgr().to_json().to_string());
        assert_eq!(of("model.safetensors"), Ok(Some(Preprocess::keras_bgr())));
        assert_eq!(Preprocess::beside(&folder), Ok(Some(Preprocess::keras_bgr())));
        write("config.json", r#"{"model_type": "resnet"}"#);
        assert_eq!(of("model.safetensors"), Ok(Some(Preprocess::keras_bgr())));
        write("config.json", r#"{"pretrained_cfg": {"crop_pct": 0.875}}"#);
        assert_eq!(of("model.safetensors"), Ok(Some(Preprocess::imagenet_torchvision())));
        write("config.json", "{");
        assert!(of("model.safetensors").unwrap_err().to_string().contains("config.json, line 1"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
