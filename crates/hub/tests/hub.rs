//! Fetching from a server that answers well, badly, slowly, or with lies.
#![allow(missing_docs)]

mod common;

use common::{Act, Server, plain, sized};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ukulele_hub::{Check, Error, File, Hub, Model, Options};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ukulele-hub-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The files below the model's folder, but for the lock.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.join("model"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".lock")
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn body() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn model(check: Check) -> Model {
    let url = "https://weights.example/models/w.bin";
    let files = vec![File { name: "w.bin", url, mebibytes: None, check }];
    Model { name: "model", about: "a test", files: files.leak() }
}

/// A hub in a hurry, with this server.
fn hub(server: &Server, folder: &Folder) -> Hub {
    Hub::new(Options {
        mirror: Some(server.address.clone()),
        patience: Duration::from_millis(400),
        attempts: 3,
        pause: Duration::from_millis(20),
        ..Options::new(&folder.0)
    })
}

fn pull(acts: Vec<Act>, check: Check) -> (Folder, Server, ukulele_hub::Result<PathBuf>) {
    let (server, folder) = (Server::new(acts), Folder::new());
    let pulled = hub(&server, &folder).pull_model(&model(check), &mut |_| true);
    (folder, server, pulled)
}

fn linked(bytes: &[u8]) -> &'static str {
    format!("X-Linked-ETag: \"{}\"\r\n", sha256(bytes)).leak()
}

fn md5_of_body() -> &'static str {
    use md5::{Digest as _, Md5};
    Md5::digest(body()).iter().map(|byte| format!("{byte:02x}")).collect::<String>().leak()
}

#[test]
fn a_good_server_and_the_cache() {
    let checks = [
        Check::First,
        Check::Stated,
        Check::Md5(md5_of_body()),
        Check::Sha256Prefix(sha256(&body())[..8].to_owned().leak()),
    ];
    for check in checks {
        let (server, folder) = (Server::new(vec![Act::Well(body(), "\"v1\"", linked(&body()))]), Folder::new());
        let (hub, model) = (hub(&server, &folder), model(check));
        assert!(!hub.has(&model));
        let mut told = Vec::new();
        let path = hub.pull_model(&model, &mut |p| {
            told.push((p.done, p.total));
            true
        });
        let path = path.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), body());
        assert_eq!(folder.names(), ["hashes.json", "w.bin"]);
        assert!(hub.has(&model) && told.contains(&(300_000, Some(300_000))), "{told:?}");
        // The second time it is there.
        assert_eq!(hub.pull_model(&model, &mut |_| true).unwrap(), path);
        assert_eq!(server.requests.lock().unwrap().len(), 1);
        let request = server.requests.lock().unwrap()[0].clone();
        assert!(request.starts_with("GET /weights.example/models/w.bin HTTP/1.1"), "{request}");
    }
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let all = body();
    let acts =
        vec![Act::Cut(all.clone(), 100_000), Act::Cut(all.clone(), 50_000), Act::Well(all.clone(), "\"v1\"", "")];
    let (folder, server, pulled) = pull(acts, Check::Md5(md5_of_body()));
    assert_eq!(std::fs::read(pulled.unwrap()).unwrap(), all);
    let ranges = server.ranges();
    assert_eq!(ranges[0], None);
    // No byte came twice.
    assert_eq!((ranges[1].as_deref(), ranges[2].as_deref()), (Some("bytes=100000-"), Some("bytes=150000-")));
    assert!(server.requests.lock().unwrap()[1].to_ascii_lowercase().contains("if-range: \"v1\""));
    assert_eq!(folder.names(), ["hashes.json", "w.bin"]);
}

#[test]
fn a_later_process_goes_on() {
    let folder = Folder::new();
    let model = model(Check::Md5(md5_of_body()));
    let first = Server::new(vec![Act::Cut(body(), 120_000), Act::Raw(Vec::new())]);
    let error = hub(&first, &folder).pull_model(&model, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("try again: what came is kept"), "{error}");
    assert_eq!(folder.names(), ["w.bin.partial", "w.bin.partial.etag"]);
    let second = Server::new(vec![Act::Well(body(), "\"v1\"", "")]);
    hub(&second, &folder).pull_model(&model, &mut |_| true).unwrap();
    assert_eq!(second.ranges(), [Some("bytes=120000-".to_owned())]);
    assert_eq!(folder.names(), ["hashes.json", "w.bin"]);
}

#[test]
fn a_file_that_changed_or_a_server_without_ranges_begins_anew() {
    let other: Vec<u8> = body().into_iter().map(|byte| !byte).collect();
    for second in [Act::Well(body(), "\"v2\"", ""), Act::Raw(sized("200 OK", "", &body()))] {
        let (_folder, server, pulled) = pull(vec![Act::Cut(other.clone(), 100_000), second], Check::Md5(md5_of_body()));
        assert_eq!(std::fs::read(pulled.unwrap()).unwrap(), body());
        assert_eq!(server.ranges()[1].as_deref(), Some("bytes=100000-"));
    }
}

#[test]
fn another_part_than_asked_for_is_not_put_in() {
    let lie = plain(
        "206 Partial Content",
        "Content-Range: bytes 5-299999/300000\r\nContent-Length: 299995\r\n",
        &body()[5..],
    );
    let acts = vec![Act::Cut(body(), 100_000), Act::Raw(lie.clone()), Act::Well(body(), "\"v1\"", "")];
    let (_folder, _, pulled) = pull(acts, Check::Md5(md5_of_body()));
    assert_eq!(std::fs::read(pulled.unwrap()).unwrap(), body());
    let (folder, _, pulled) = pull(vec![Act::Cut(body(), 100_000), Act::Raw(lie)], Check::First);
    assert!(pulled.is_err() && folder.names().is_empty(), "{:?}", folder.names());
}

/// Each of these never gives a file; what is said, and whether a part is kept.
#[test]
fn lies_and_failures() {
    let all = body();
    let html = b" <!DOCTYPE html><html>Please log in".as_slice();
    let redirect = |to: &str| Act::Raw(sized("302 Found", &format!("Location: {to}\r\n"), b""));
    let status = |status: &str| Act::Raw(sized(status, "", b"no"));
    let first = Check::First;
    let wrong = Check::Sha256Prefix("00000000");
    let cases: Vec<(&str, Act, Check, &str, bool)> = vec![
        ("wrong bytes", Act::Well(all.clone(), "", ""), wrong, "00000000 was expected; nothing of it was kept", false),
        (
            "wrong md5",
            Act::Well(all.clone(), "", ""),
            Check::Md5("11111111111111111111111111111111"),
            "its md5 is",
            false,
        ),
        ("other than stated", Act::Well(all.clone(), "", linked(b"other")), Check::Stated, "its sha256 is", false),
        ("a page", Act::Raw(sized("200 OK", "", html)), wrong, "it is a web page", false),
        (
            "too short",
            Act::Raw(plain("200 OK", "Content-Length: 400000\r\n", &all)),
            first,
            "broke after 300000 bytes",
            true,
        ),
        ("too long", Act::Raw(plain("200 OK", "Content-Length: 1000\r\n", &all)), wrong, "was expected", false),
        (
            "huge",
            Act::Raw(plain("200 OK", "Content-Length: 99999999999999\r\n", b"x")),
            first,
            "announces 99999999999999",
            false,
        ),
        (
            "beyond counting",
            Act::Raw(plain("200 OK", "Content-Length: 99999999999999999999999\r\n", b"x")),
            first,
            "",
            false,
        ),
        ("negative", Act::Raw(plain("200 OK", "Content-Length: -1\r\n", b"x")), first, "", false),
        ("no length", Act::Raw(plain("200 OK", "", b"cut?")), first, "does not say how long the file is", false),
        ("nothing stated", Act::Well(all.clone(), "", ""), Check::Stated, "does not state the sha256", false),
        ("gone", status("404 Not Found"), first, "answered 404: the file is no longer there", false),
        ("forbidden", status("403 Forbidden"), first, "answered 403: it gives this file to nobody without", false),
        ("odd", status("418 I'm a teapot"), first, "answered 418", false),
        ("busy", status("429 Too Many Requests"), first, "not ready (429)", false),
        ("down", status("503 Service Unavailable"), first, "not ready (503)", false),
        ("no range", status("416 Range Not Satisfiable"), first, "another part", false),
        ("loop", redirect("/weights.example/models/w.bin"), first, "more than 5 redirects", false),
        ("other host", redirect("http://weights.example/w.bin"), first, "is not https: refused", false),
        ("a file", redirect("file:///etc/passwd"), first, "a redirect to", false),
        ("nowhere", Act::Raw(sized("302 Found", "", b"")), first, "leads nowhere", false),
        ("silent", Act::Stall(Vec::new()), first, "", false),
        (
            "silent in the body",
            Act::Stall(plain("200 OK", "Content-Length: 9000\r\n", b"abc")),
            first,
            "nothing came for",
            true,
        ),
        ("garbage", Act::Raw(b"\x00\x01\x02 garbage \xff\r\n\r\n".to_vec()), first, "", false),
        ("empty", Act::Raw(Vec::new()), first, "", false),
        ("headers without end", Act::Headers, first, "", false),
    ];
    for (name, act, check, words, kept) in cases {
        let start = Instant::now();
        let (folder, _, pulled) = pull(vec![act], check);
        let error = pulled.expect_err(name);
        assert!(matches!(error, Error::Network { .. } | Error::Wrong { .. }), "{name}: {error:?}");
        let error = error.to_string();
        assert!(
            error.starts_with("https://weights.example/models/w.bin: ") && error.contains(words),
            "{name}: {error}"
        );
        let part = folder.names().contains(&"w.bin.partial".to_owned());
        assert_eq!(part, kept, "{name}: {:?}", folder.names());
        assert!(!folder.0.join("model/w.bin").exists(), "{name}");
        assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn more_than_the_table_says_is_cut_off() {
    let url = "https://weights.example/w.bin";
    let files = vec![File { name: "w.bin", url, mebibytes: Some(0.1), check: Check::First }];
    let small = Model { name: "model", about: "a test", files: files.leak() };
    // Without a length, in chunks that do not end.
    let mut chunked = plain("200 OK", "Transfer-Encoding: chunked\r\n", b"");
    (0..40).for_each(|_| chunked.extend([b"4000\r\n".as_slice(), &[7; 0x4000], b"\r\n"].concat()));
    for act in [Act::Well(body(), "", ""), Act::Raw(chunked)] {
        let (server, folder) = (Server::new(vec![act]), Folder::new());
        let mut most = 0;
        let error = hub(&server, &folder).pull_model(&small, &mut |p| {
            most = p.done.max(most);
            true
        });
        assert!(matches!(error.unwrap_err(), Error::Wrong { .. }));
        assert!(most <= 112_000 && folder.names().is_empty(), "{most}");
    }
}

#[test]
fn redirects_that_stay_here_are_followed() {
    let redirect = |to: &str| Act::Raw(sized("302 Found", &format!("{}Location: {to}\r\n", linked(&body())), b""));
    for to in ["/elsewhere/w.bin", "other.bin", "?signed=1"] {
        let (_folder, server, pulled) = pull(vec![redirect(to), Act::Well(body(), "", "")], Check::Stated);
        assert_eq!(std::fs::read(pulled.unwrap()).unwrap(), body());
        let second = server.requests.lock().unwrap()[1].clone();
        assert!(second.lines().next().unwrap().contains(to.trim_start_matches('/')), "{second}");
    }
    // What the first server states holds for what the second sends.
    let (_folder, _, pulled) = pull(vec![redirect("/x"), Act::Well(b"other".to_vec(), "", "")], Check::Stated);
    assert!(matches!(pulled.unwrap_err(), Error::Wrong { .. }));
}

#[test]
fn a_server_that_recovers_is_asked_again() {
    let busy = Act::Raw(sized("503 Service Unavailable", "", b""));
    let (_folder, server, pulled) = pull(vec![busy.clone(), busy, Act::Well(body(), "", "")], Check::First);
    assert_eq!(std::fs::read(pulled.unwrap()).unwrap(), body());
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[test]
fn interrupted_it_keeps_what_came() {
    let (server, folder) =
        (Server::new(vec![Act::Stall(plain("200 OK", "Content-Length: 9000\r\n", &[1; 5000]))]), Folder::new());
    let model = model(Check::First);
    let error = hub(&server, &folder).pull_model(&model, &mut |p| p.done < 5000).unwrap_err();
    assert!(matches!(&error, Error::Interrupted { bytes: 5000, .. }), "{error:?}");
    assert_eq!(std::fs::read(folder.0.join("model/w.bin.partial")).unwrap(), [1; 5000]);
}

#[test]
fn offline_and_by_other_means() {
    let (server, folder) = (Server::new(vec![Act::Well(body(), "", "")]), Folder::new());
    let mut hub = hub(&server, &folder);
    hub.options().offline = true;
    let error = hub.pull_model(&model(Check::First), &mut |_| true).unwrap_err();
    assert!(matches!(&error, Error::Offline { .. }) && error.to_string().contains("give it with --from"), "{error}");
    assert!(server.requests.lock().unwrap().is_empty());

    let error = hub.pull("resnet5", &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("no weights named resnet5 are known (there is resnet50"), "{error}");
    // A file that is not the publisher's is not taken.
    let given = folder.0.join("given.pth");
    std::fs::write(&given, body()).unwrap();
    let error = hub.import("resnet50", &given).unwrap_err().to_string();
    assert!(error.contains("0676ba61 was expected"), "{error}");
    assert!(!folder.0.join("resnet50/resnet50-0676ba61.pth").exists());
    // Of several files it is known by its name.
    let error = hub.import("bert-base-uncased", &given).unwrap_err().to_string();
    assert!(error.contains("model.safetensors, config.json, vocab.txt"), "{error}");
    for name in ["model.safetensors", "config.json", "vocab.txt", "tokenizer_config.json"] {
        std::fs::write(folder.0.join(name), name).unwrap();
        hub.import("bert-base-uncased", &folder.0.join(name)).unwrap();
    }
    let pulled = hub.pull("bert-base-uncased", &mut |_| true).unwrap();
    assert_eq!(std::fs::read(pulled.join("vocab.txt")).unwrap(), b"vocab.txt");
    // What changed in the cache is found out.
    assert!(hub.verify("bert-base-uncased").unwrap());
    std::fs::write(pulled.join("vocab.txt"), "changed").unwrap();
    assert!(!hub.verify("bert-base-uncased").unwrap());
    assert!(!pulled.join("vocab.txt").exists());
}

#[test]
fn two_at_once_fetch_it_once() {
    let (server, folder) = (Server::new(vec![Act::Well(body(), "\"v1\"", "")]), Folder::new());
    let (hub, model) = (hub(&server, &folder), model(Check::First));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(std::fs::read(hub.pull_model(&model, &mut |_| true).unwrap()).unwrap(), body()));
        }
    });
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

/// Without a version and a hash nothing tells that the rest belongs to the part.
#[test]
fn a_part_of_an_unknown_version_is_not_continued() {
    let cut = Act::Raw(plain("200 OK", "Content-Length: 300000\r\n", &body()[..1000]));
    let (_folder, server, pulled) = pull(vec![cut, Act::Well(body(), "", "")], Check::First);
    assert_eq!(std::fs::read(pulled.unwrap()).unwrap(), body());
    assert_eq!(server.ranges(), [None, None]);
}

#[test]
fn a_file_that_was_cut_in_the_cache_is_fetched_again() {
    let (server, folder) = (Server::new(vec![Act::Well(body(), "\"v1\"", "")]), Folder::new());
    let (hub, model) = (hub(&server, &folder), model(Check::First));
    let path = hub.pull_model(&model, &mut |_| true).unwrap();
    std::fs::write(&path, &body()[..7]).unwrap();
    assert!(!hub.has(&model));
    hub.pull_model(&model, &mut |_| true).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), body());
}

#[test]
fn mirrors_must_be_safe() {
    for (mirror, fine) in [("http://weights.example", false), ("ftp://127.0.0.1", false), ("", false)] {
        let folder = Folder::new();
        let options = Options { mirror: Some(mirror.to_owned()), ..Options::new(&folder.0) };
        let error = Hub::new(options).pull_model(&model(Check::First), &mut |_| true).unwrap_err();
        assert_eq!(!matches!(error, Error::Setting(_)), fine, "{mirror}: {error}");
    }
}

/// google-research's archives become a folder that opens.
#[test]
fn an_archive_is_unpacked() {
    let folder = Folder::new();
    let npz = folder.0.join("a.npz");
    let tensor = ukulele_tensor::Tensor::from_vec(&[2], vec![1.0, 2.0]).unwrap();
    weights_import::save_npz(&npz, &[("folder/w".to_owned(), &tensor)], weights_import::Dtype::F32).unwrap();
    let server = Server::new(vec![Act::Well(std::fs::read(&npz).unwrap(), "", "")]);
    let files =
        vec![File { name: "w.zip", url: "https://weights.example/w.zip", mebibytes: None, check: Check::First }];
    let model = Model { name: "model", about: "a test", files: files.leak() };
    let hub = hub(&server, &folder);
    let path = hub.pull_model(&model, &mut |_| true).unwrap();
    assert_eq!(folder.names(), [".w.zip.unpacked", "hashes.json", "w.npy"]);
    assert_eq!(weights_import::open(&path).unwrap().entries().len(), 1);
    assert_eq!(hub.pull_model(&model, &mut |_| true).unwrap(), path);
    assert_eq!(server.requests.lock().unwrap().len(), 1);

    // A broken one leaves no hash behind that a good one would be measured by.
    let folder = Folder::new();
    let good = std::fs::read(&npz).unwrap();
    let server = Server::new(vec![Act::Well(good[..good.len() - 9].to_vec(), "", ""), Act::Well(good, "", "")]);
    let hub = self::hub(&server, &folder);
    assert!(matches!(hub.pull_model(&model, &mut |_| true).unwrap_err(), Error::Archive(_)));
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    hub.pull_model(&model, &mut |_| true).unwrap();
}
