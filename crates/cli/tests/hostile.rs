//! `uke inspect` and `uke convert` on files that lie: an error or a result, soon, and nothing half written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/import");

/// A file of each format.
const SEEDS: [&str; 12] = [
    "pytorch/no_checksums.pth",
    "pytorch/legacy_views.pth",
    "pytorch/tar.pth",
    "numpy/fortran_big.npy",
    "numpy/compressed.npz",
    "onnx/quantised.onnx",
    "tf_checkpoint/older_dtypes",
    "tf_graph/repeated_last.pb",
    "gguf/mixed.gguf",
    "caffe/v0.caffemodel",
    "caffe/batch-norm.caffemodel",
    "sharded/two/model-00001-of-00002.safetensors",
];

fn uke(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_uke")).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{args:?}: {:?}: {errors}", output.status);
    assert!(!errors.contains("panicked"), "{args:?}: {errors}");
    assert_eq!(output.status.success(), !errors.contains("error: "), "{args:?}: {errors}");
    output
}

fn names(folder: &Path) -> Vec<String> {
    let items = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = items.map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_that_lie_are_refused_or_read() {
    let folder: PathBuf = std::env::temp_dir().join(format!("uke-hostile-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let (mut refused, mut written) = (0, 0);
    for seed in SEEDS {
        let bytes = fs::read(Path::new(GOLDEN).join(seed)).unwrap();
        let file = folder.join(Path::new(seed).file_name().unwrap());
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let path = file.display().to_string();
        let mut random = 7u64;
        for case in 0..16 {
            let mut bad = bytes.clone();
            let mut below = |end: usize| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) as usize % end
            };
            match case % 4 {
                0 => bad.truncate(below(bytes.len())),
                1 => bad[below(bytes.len())] ^= 1 << (case % 8),
                2 => {
                    let at = below(bytes.len() - 8);
                    bad[at..at + 8].copy_from_slice(&[u64::MAX, 1 << 63, 1 << 31, 0][case / 4].to_le_bytes());
                }
                // Values only, where they lie last.
                _ => bad[bytes.len() - 1 - below(8)] = 0xff,
            }
            fs::write(&file, &bad).unwrap();
            let inspected = uke(&["inspect", &path, "--json"]);
            if inspected.status.success() {
                serde_json::from_slice::<serde_json::Value>(&inspected.stdout).unwrap();
            }
            for ending in ["safetensors", "pth", "npz"] {
                let out = folder.join(format!("out.{ending}"));
                let done = uke(&["convert", &path, &out.display().to_string(), "-q"]).status.success();
                let mut expected = if done { vec![name.clone(), format!("out.{ending}")] } else { vec![name.clone()] };
                expected.sort();
                assert_eq!(names(&folder), expected, "{seed}, case {case}");
                if done {
                    assert!(
                        uke(&["inspect", &out.display().to_string(), "-q"]).status.success(),
                        "{seed}, case {case}"
                    );
                    fs::remove_file(out).unwrap();
                }
                (refused, written) = (refused + usize::from(!done), written + usize::from(done));
            }
        }
        fs::remove_file(file).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(refused > 200 && written > 50, "{refused} refused, {written} written");
}

/// Names that would move a terminal's cursor or change its title.
#[test]
fn names_do_not_reach_the_terminal() {
    let folder: PathBuf = std::env::temp_dir().join(format!("uke-names-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a.safetensors");
    let path = file.display().to_string();
    let header = |dtype: &str| {
        format!(r#"{{"\u001b]0;title\u0007\u009b2J\r":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,4]}}}}"#)
    };
    for (dtype, good) in [("F32", true), ("F99", false)] {
        let header = header(dtype);
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0, 0, 0x80, 0x3f]].concat();
        fs::write(&file, bytes).unwrap();
        let output = uke(&["inspect", &path]);
        assert_eq!(output.status.success(), good);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("]0;title"), "{said}");
        assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
