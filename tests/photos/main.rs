//! Pictures of every kind become the numbers that Pillow with torchvision, and Keras, make of them.
//!
//!     export JUDGES_PYTHON=$(scripts/judges | tail -n 1)
//!     cargo test --release --features judges --test photos
#![cfg(feature = "judges")]

use std::path::{Path, PathBuf};
use std::process::Command;
use ukulele::data::{Filter, Image, Preprocess, Size};

/// How each way of `judge.py` is called here.
fn ways() -> Vec<(&'static str, Preprocess)> {
    let torchvision = Preprocess::imagenet_torchvision();
    let shorter = |side: usize, crop: usize| Preprocess {
        size: Some(Size::Shorter(side)),
        crop: Some((crop, crop)),
        ..torchvision.clone()
    };
    vec![
        ("torchvision", torchvision.clone()),
        ("torchvision_v2", shorter(232, 224)),
        ("inception", shorter(342, 299)),
        ("timm", Preprocess { filter: Filter::Bicubic, ..shorter(235, 224) }),
        ("keras_caffe", Preprocess::keras_bgr()),
        ("keras_tf", Preprocess::symmetric(299)),
        ("keras_nearest", Preprocess { filter: Filter::Nearest, ..Preprocess::keras_bgr() }),
        ("keras_bicubic", Preprocess { filter: Filter::Bicubic, ..Preprocess::symmetric(299) }),
        ("keras_resizing", Preprocess { filter: Filter::BilinearNarrow, ..Preprocess::keras_bgr() }),
        (
            "keras_torch",
            Preprocess { size: Some(Size::Exact { height: 224, width: 224 }), crop: None, ..torchvision.clone() },
        ),
    ]
}

#[test]
fn photos_become_the_numbers_of_torchvision_and_keras() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("photos");
    let _ = std::fs::remove_dir_all(&folder);
    judge("judge.py", &folder);
    let expected = weights_import::open(folder.join("expected.safetensors")).unwrap();

    let mut names: Vec<String> =
        expected.entries().iter().filter_map(|e| e.name.strip_suffix(".rgb")).map(str::to_owned).collect();
    names.sort();
    assert!(names.len() >= 50);
    let mut broken = Vec::new();
    for name in &names {
        let image = Image::open(folder.join(name)).unwrap();
        let raw = expected.raw(&format!("{name}.rgb")).unwrap();
        assert_eq!(raw.shape, [image.height(), image.width(), 3], "{name}");
        let worst = image.pixels().iter().zip(&raw.bytes).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let mut line = format!("{name}: decoded within {worst}");
        if worst > 0 {
            broken.push(line.clone());
        }
        for (way, preprocess) in ways() {
            let (height, width, values) = preprocess.values(&image).unwrap();
            let want = expected.get(&format!("{name}.{way}")).unwrap();
            assert_eq!(want.shape(), [height, width, 3], "{name} {way}");
            // In units of 1/255 of the range of a picture.
            let unit: Vec<f64> = preprocess.std.iter().map(|std| std / preprocess.rescale).collect();
            let off = values.iter().zip(want.to_vec()).enumerate();
            let worst = off.map(|(i, (a, b))| f64::from(a - b).abs() * unit[i % 3]).fold(0.0, f64::max);
            line += &format!(", {way} {worst:.3}");
            // Keras' layer keeps fractions, where a resize here rounds to 8 bits.
            if worst > if way == "keras_resizing" { 1.001 } else { 1e-3 } {
                broken.push(format!("{name}: {way} off by {worst:.3} of 255"));
            }
        }
        println!("{line}");
    }
    assert!(broken.is_empty(), "{} of {} pictures\n{}", broken.len(), names.len(), broken.join("\n"));
}

#[test]
fn transformers_loads_what_is_saved() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("processors");
    let _ = std::fs::remove_dir_all(&folder);
    let (width, height) = (261, 261);
    let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    let image = Image::new(width, height, (0..width * height * 3).map(noise).collect()).unwrap();
    let mut ways = ways();
    ways.retain(|(_, p)| p.to_json().get("image_processor_type").is_some());
    // Of an odd margin transformers leaves the smaller half at the left and at the top, torchvision the even one.
    ways.retain(
        |(_, p)| !matches!((p.size, p.crop), (Some(Size::Shorter(side)), Some((crop, _))) if side % 2 != crop % 2),
    );
    assert!(ways.len() >= 5);
    for (way, preprocess) in &ways {
        std::fs::create_dir_all(folder.join(way)).unwrap();
        std::fs::write(folder.join(way).join("preprocessor_config.json"), preprocess.to_json().to_string()).unwrap();
    }
    std::fs::write(folder.join("261x261.rgb"), image.pixels()).unwrap();
    judge("processors.py", &folder);
    let expected = weights_import::open(folder.join("expected.safetensors")).unwrap();
    for (way, preprocess) in &ways {
        let (height, width, values) = preprocess.values(&image).unwrap();
        let want = expected.get(way).unwrap();
        assert_eq!(want.shape(), [height, width, 3], "{way}");
        let worst = values.iter().zip(want.to_vec()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{way}: off by {worst}");
    }
}

/// Runs a script of this folder in the environment of the judges.
fn judge(script: &str, folder: &Path) {
    let python = std::env::var("JUDGES_PYTHON").expect("JUDGES_PYTHON=$(scripts/judges | tail -n 1)");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos").join(script);
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
