//! Writing: whole files or none.
#![allow(missing_docs)]

mod common;

use common::{Folder, tensor};
use std::io;
use std::path::Path;
use weights_import::{Dtype, Error, atomic_write, open, save_safetensors};

#[test]
fn replaces_a_file_or_leaves_it() {
    let folder = Folder::new("atomic");
    let path = folder.file("x.json", b"old");
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        let error = atomic_write(&path, |out| {
            out.write_all(&vec![1; 3 << 20])?; // more than any buffer
            Err(io::Error::from(kind))
        })
        .unwrap_err();
        assert!(matches!(error, Error::Io { action: "write", .. }));
        assert_eq!(error.to_string().contains("free some space"), kind == io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(folder.names(), ["x.json"]);
    }
    let panic = std::panic::catch_unwind(|| atomic_write(&path, |_| panic!("in the writer")));
    assert!(panic.is_err());
    assert_eq!(folder.names(), ["x.json"]);
    atomic_write(&path, |out| out.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(folder.names(), ["x.json"]);
}

#[test]
fn says_why_it_cannot() {
    let folder = Folder::new("unwritable");
    let error = atomic_write(folder.0.join("no/such/folder.json"), |_| Ok(())).unwrap_err().to_string();
    assert!(error.starts_with("cannot write into") && error.contains("no/such"), "{error}");
    let file = folder.file("file", b"");
    assert!(atomic_write(file.join("x"), |_| Ok(())).is_err());
    let error = atomic_write(&folder.0, |_| Ok(())).unwrap_err().to_string();
    assert!(error.ends_with("is a folder, not a file"), "{error}");
    assert!(atomic_write(Path::new("/"), |_| Ok(())).is_err());
    assert_eq!(folder.names(), ["file"]);
}

#[cfg(unix)]
#[test]
fn a_link_keeps_being_one_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new("link");
    let real = folder.file("real", b"old");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real", folder.0.join("link")).unwrap();
    atomic_write(folder.0.join("link"), |out| out.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read(&real).unwrap(), b"new");
    assert!(folder.0.join("link").is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(folder.names(), ["link", "real"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_written_to_and_never_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let error = atomic_write("/dev/full", |out| out.write_all(b"x")).unwrap_err().to_string();
    assert!(error.starts_with("cannot write /dev/full") && error.contains("free some space"), "{error}");
    atomic_write("/dev/null", |out| out.write_all(b"x")).unwrap();
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

/// Writing stops half-way: this test runs itself again where no file may grow above 64 KiB.
#[cfg(unix)]
#[test]
fn a_write_cut_short_leaves_the_old_file() {
    use std::process::Command;
    const LIMITED: &str = "UKULELE_TEST_LIMITED";
    if let Some(path) = std::env::var_os(LIMITED) {
        let error = save_safetensors(path, &[("x".into(), &tensor(&[100_000], 2))], &[], Dtype::F32).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("model.safetensors") && error.contains("nothing was changed"), "{error}");
        return;
    }
    let folder = Folder::new("limited");
    let path = folder.0.join("model.safetensors");
    let small = tensor(&[10], 1);
    save_safetensors(&path, &[("x".into(), &small)], &[], Dtype::F32).unwrap();
    // A shell counts blocks of 512 or 1,024 bytes. The signal is ignored, so that the write is what fails.
    let done = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact a_write_cut_short_leaves_the_old_file"])
        .arg(std::env::current_exe().unwrap())
        .env(LIMITED, &path)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
    assert_eq!(folder.names(), ["model.safetensors"]);
    assert_eq!(open(&path).unwrap().get("x").unwrap().to_vec(), small.to_vec());
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let folder = Folder::new("same");
    let (a, b) = (tensor(&[3, 4], 1), tensor(&[2], 2));
    let list = [("z".to_string(), &a), ("a".to_string(), &b)];
    let said = [("seed".to_string(), "1".to_string()), ("labels".to_string(), "[\"a\"]".to_string())];
    for name in ["1", "2"] {
        save_safetensors(folder.0.join(name), &list, &said, Dtype::F32).unwrap();
    }
    let bytes = std::fs::read(folder.0.join("1")).unwrap();
    assert_eq!(bytes, std::fs::read(folder.0.join("2")).unwrap());
    assert_eq!(bytes.len() % 8, (14 * 4) % 8);
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(header % 8, 0);
    assert_eq!(bytes.len() as u64, 8 + header + 14 * 4);
    let error = save_safetensors(folder.0.join("3"), &list, &[said[0].clone(), said[0].clone()], Dtype::F32);
    assert!(error.unwrap_err().to_string().contains("named seed"));
}
