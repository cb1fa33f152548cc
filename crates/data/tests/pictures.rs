//! Pictures out of files and folders: what is read, and what is refused.

use proptest::prelude::*;
use std::path::{Path, PathBuf};
use ukulele_data::{Image, ImageDataset, Labels, Photo, Preprocess, Table, TableFormat};

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/resize/files")
}

/// A fresh folder with copies of a picture; a name that ends in `.txt` or `broken.png` gets a few letters instead.
fn folder(name: &str, names: &[&str]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    for name in names {
        let file = path.join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(&file).unwrap();
            continue;
        }
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        if name.ends_with(".txt") || name.ends_with("broken.png") {
            std::fs::write(&file, "letters").unwrap();
        } else {
            std::fs::copy(files().join("rgb.png"), &file).unwrap();
        }
    }
    path
}

#[test]
fn a_folder_for_each_class() {
    let path = folder(
        "classes",
        &["b/2.PNG", "b/1.jpg", "b/deep/3.jpeg", "a/x.png", "a/notes.txt", ".git/y.png", "readme.txt"],
    );
    let data = ImageDataset::from_folder(&path).unwrap();
    assert_eq!(data.names.names(), ["a", "b"]);
    assert_eq!(data.labels, [0, 1, 1, 1]);
    let expected = ["a/x.png", "b/1.jpg", "b/2.PNG", "b/deep/3.jpeg"].map(|f| Photo::File(path.join(f)));
    assert_eq!(data.photos, expected);
    assert_eq!(data.subset(&[3, 0]).unwrap().labels, [1, 0]);
    assert!(data.subset(&[4]).is_err());
    let kept = data.clone().into_memory(|image| Preprocess::cifar10().shape(image)).unwrap();
    assert!(matches!(&kept.photos[2], Photo::Memory(image) if image.width() == 32));
    let names = Labels::from_values(["a", "b", "c"]).unwrap();
    assert_eq!(ImageDataset::from_folder_with_labels(&path, &names).unwrap().labels, [0, 1, 1, 1]);
    let fewer = Labels::from_values(["a", "c"]).unwrap();
    let unseen = ImageDataset::from_folder_with_labels(&path, &fewer).unwrap_err().to_string();
    assert!(unseen.contains("`b`") && unseen.contains("`a`, `c`"), "{unseen}");
}

#[test]
fn bad_folders() {
    let message = |path: PathBuf| ImageDataset::from_folder(path).unwrap_err().to_string();
    assert!(message("/no/such".into()).contains("/no/such"));
    assert!(message(files().join("rgb.png")).contains("is a file"));
    assert!(message(folder("nothing", &[])).contains("no classes"));
    assert!(message(folder("one", &["a/x.png"])).contains("one class only, `a`"));
    let empty = message(folder("empty", &["a/x.png", "b/"]));
    assert!(empty.contains("empty/b") && empty.contains("holds no .png"), "{empty}");
}

#[test]
fn broken_pictures_are_named_or_left_out() {
    let data = ImageDataset::from_folder(folder("broken", &["a/1.png", "a/broken.png", "b/2.png"])).unwrap();
    let error = data.clone().into_memory(|image| Ok(image.clone())).unwrap_err().to_string();
    assert!(error.contains("a/broken.png") && error.contains("neither PNG nor JPEG"), "{error}");
    let (rest, errors) = data.skip_broken();
    assert_eq!((rest.labels, errors.len()), (vec![0, 1], 1));
    assert!(errors[0].to_string().contains("a/broken.png"));
}

#[test]
fn paths_in_a_table() {
    let path = folder("table", &["1.png", "2.png"]);
    let table = |text: &str| Table::parse(text.as_bytes().to_vec(), "t.csv", TableFormat::default()).unwrap();
    let data = ImageDataset::from_table(&table("path,label\n2.png,x\n1.png,w"), "path", "label", &path).unwrap();
    assert_eq!((data.labels, &data.photos[0]), (vec![1, 0], &Photo::File(path.join("2.png"))));
    let missing = ImageDataset::from_table(&table("path,label\n2.png,x\n3.png,w"), "path", "label", &path).unwrap_err();
    assert!(missing.to_string().contains("line 3") && missing.to_string().contains("3.png"), "{missing}");
}

#[test]
fn bad_pictures() {
    let message = |bytes: &[u8]| Image::decode_named(bytes, "p.png").unwrap_err().to_string();
    assert!(message(b"").contains("p.png: is empty"));
    assert!(message(b"GIF89a\x01\0\x01\0").contains("Gif"));
    assert!(message(b"hello there").contains("68 65 6C"));
    let png = std::fs::read(files().join("rgb.png")).unwrap();
    assert!(message(&png[..png.len() / 2]).contains("cannot be decoded"));
    // A header that claims 60,000 x 60,000 pixels, with a checksum that is right.
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let check = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&check.to_be_bytes());
    assert!(message(&huge).contains("cannot be decoded"), "{}", message(&huge));
    assert!(Image::open("/no/such.png").unwrap_err().to_string().contains("/no/such.png"));
    assert!(Image::new(2, 2, vec![0; 11]).is_err() && Image::new(0, 2, vec![]).is_err());
    assert!(Image::new(usize::MAX, 2, vec![]).is_err());
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    };
    !bytes.iter().fold(!0, step)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..3) {
        let start: &[u8] = [&b""[..], b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF"][kind];
        let _ = Image::decode(&[start, &bytes].concat());
    }

    #[test]
    fn damaged_files(file in 0usize..14, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut: prop::sample::Index) {
        let mut all: Vec<PathBuf> = std::fs::read_dir(files()).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        let mut bytes = std::fs::read(&all[file % all.len()]).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = Image::decode(&bytes);
        let _ = Image::decode(&bytes[..cut.index(bytes.len())]);
    }
}
