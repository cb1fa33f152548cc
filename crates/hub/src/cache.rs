//! The folder of what was fetched.

use crate::client::Client;
use crate::fetch::{Progress, fetch, hash};
use crate::{Error, File, Model, Result, table};
use serde_json::{Map, Value as Json, json};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the hub works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The folder of what was fetched.
    pub folder: PathBuf,
    /// Whether the network is not to be used.
    pub offline: bool,
    /// `ADDRESS` of a mirror that has the files at `ADDRESS/host/path`; https, or http on this machine.
    pub mirror: Option<String>,
    /// How long a server may be silent: 30 s.
    pub patience: Duration,
    /// After how many attempts without a byte to give up: 4.
    pub attempts: u32,
    /// The pause before the second attempt, doubled before each further one: 1 s.
    pub pause: Duration,
}

impl Options {
    /// The usual ones, with this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let (patience, pause) = (Duration::from_secs(30), Duration::from_secs(1));
        Self { folder: folder.into(), offline: false, mirror: None, patience, attempts: 4, pause }
    }
}

/// Fetches models and keeps them.
pub struct Hub {
    options: Options,
}

/// What the cache remembers of its files: the sha256 and the size of each.
const HASHES: &str = "hashes.json";

impl Hub {
    /// A hub with these options.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// The folder is `UKE_CACHE`, or `ukulele` in the user's folder of caches; `UKE_OFFLINE=1` leaves the network alone;
    /// `UKE_HUB_MIRROR` names a mirror.
    ///
    /// # Errors
    /// No folder can be found out.
    pub fn from_environment() -> Result<Self> {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = path("UKE_CACHE")
            .or_else(|| path("XDG_CACHE_HOME").map(|caches| caches.join("ukulele")))
            .or_else(|| path("LOCALAPPDATA").map(|caches| caches.join("ukulele")))
            .or_else(|| path("HOME").map(|home| home.join(".cache/ukulele")))
            .ok_or_else(|| Error::Setting("no folder for what is fetched: set UKE_CACHE".to_owned()))?;
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let offline = text("UKE_OFFLINE").is_some_and(|value| value != "0");
        Ok(Self::new(Options { offline, mirror: text("UKE_HUB_MIRROR"), ..Options::new(folder) }))
    }

    /// The options, to be changed.
    pub fn options(&mut self) -> &mut Options {
        &mut self.options
    }

    /// The folder of a model.
    fn folder(&self, model: &Model) -> PathBuf {
        self.options.folder.join(model.name)
    }

    /// What [`Hub::pull`] gives for a model: its file, or its folder if it has several.
    pub fn path(&self, model: &Model) -> PathBuf {
        match model.files {
            [file] if !file.is_archive() => self.folder(model).join(file.name),
            _ => self.folder(model),
        }
    }

    /// Whether all files of a model are in the cache.
    pub fn has(&self, model: &Model) -> bool {
        model.files.iter().all(|file| self.is_there(&self.folder(model), file))
    }

    /// Whether a file is there, as long as it was when it came.
    fn is_there(&self, folder: &Path, file: &File) -> bool {
        let path = if file.is_archive() { folder.join(unpacked(file)) } else { folder.join(file.name) };
        let bytes = remembered(folder)[file.name]["bytes"].as_u64().filter(|_| !file.is_archive());
        path.metadata().is_ok_and(|about| about.is_file() && bytes.is_none_or(|bytes| bytes == about.len()))
    }

    /// Fetches what is not in the cache of a model, and checks it: the path for `weights_import::open`. `progress` is told
    /// the bytes, and stops the fetch by `false`.
    ///
    /// # Errors
    /// No such model, no network, a server that lies, a full disk. What came of a file is kept for the next fetch, unless it
    /// was wrong.
    pub fn pull(&self, name: &str, progress: &mut dyn FnMut(Progress<'_>) -> bool) -> Result<PathBuf> {
        self.pull_model(table::find(name)?, progress)
    }

    /// [`Hub::pull`] for a model that is in no table.
    ///
    /// # Errors
    /// As [`Hub::pull`].
    pub fn pull_model(&self, model: &Model, progress: &mut dyn FnMut(Progress<'_>) -> bool) -> Result<PathBuf> {
        let folder = self.folder(model);
        fs::create_dir_all(&folder).map_err(Error::io("make the folder", &folder))?;
        let lock = folder.join(".lock");
        let lock_file = OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
        let lock_file = lock_file.map_err(Error::io("open", &lock))?;
        // Another process may be fetching the same; it holds the lock until it ends, however it ends.
        lock_file.lock().map_err(Error::io("lock", &lock))?;
        let mut client = None;
        for file in model.files.iter().filter(|file| !self.is_there(&folder, file)) {
            let path = folder.join(file.name);
            if self.options.offline {
                return Err(Error::Offline { path, url: file.url.to_owned() });
            }
            let client = match &mut client {
                Some(client) => client,
                none => none.insert(Client::new(&self.options)?),
            };
            let remembered = remembered(&folder);
            let known = remembered[file.name]["sha256"].as_str();
            let sha256 = fetch(client, &self.options, file, &path, known, progress)?;
            self.keep(&folder, file, &path, sha256)?;
        }
        Ok(self.path(model))
    }

    /// Unpacks a file that was found to be right, and notes its size and hash: not before, as an archive of which nothing is
    /// published may still be broken.
    fn keep(&self, folder: &Path, file: &File, path: &Path, sha256: String) -> Result<()> {
        let bytes = fs::metadata(path).map_err(Error::io("read", path))?.len();
        if file.is_archive()
            && let Err(error) = weights_import::unpack(path, folder)
        {
            let _ = fs::remove_file(path);
            return Err(Error::Archive(error));
        }
        let mut known = remembered(folder).as_object().cloned().unwrap_or_default();
        known.insert(file.name.to_owned(), json!({"sha256": sha256, "bytes": bytes}));
        let text = format!("{:#}\n", Json::from(known));
        weights_import::atomic_write(folder.join(HASHES), |out| out.write_all(text.as_bytes()))
            .map_err(Error::Archive)?;
        if file.is_archive() {
            let done = folder.join(unpacked(file));
            fs::write(&done, b"").map_err(Error::io("write", &done))?;
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Takes a file of a model that came by other means; it is checked as a fetched one.
    ///
    /// # Errors
    /// No such model, or no file of its table has this name; bytes that are not the publisher's.
    pub fn import(&self, name: &str, from: &Path) -> Result<PathBuf> {
        let model = table::find(name)?;
        let given = from.file_name().unwrap_or_default();
        let found = model.files.iter().find(|file| file.name == given).or(match model.files {
            [only] => Some(only),
            _ => None,
        });
        let Some(file) = found else {
            let names: Vec<&str> = model.files.iter().map(|file| file.name).collect();
            let message = format!("{}: {name} has the files {}; give one of them", from.display(), names.join(", "));
            return Err(Error::Setting(message));
        };
        let folder = self.folder(model);
        fs::create_dir_all(&folder).map_err(Error::io("make the folder", &folder))?;
        let (_, hasher) = hash(from)?;
        let hashes = hasher.finish();
        let remembered = remembered(&folder);
        if let Some(difference) = hashes.differ(file.check, remembered[file.name]["sha256"].as_str()) {
            return Err(Error::wrong(&from.display().to_string(), difference));
        }
        let path = folder.join(file.name);
        let mut source = fs::File::open(from).map_err(Error::io("open", from))?;
        weights_import::atomic_write(&path, |out| std::io::copy(&mut source, out).map(drop)).map_err(Error::Archive)?;
        self.keep(&folder, file, &path, hashes.sha256)?;
        Ok(self.path(model))
    }

    /// Reads every file of a model in the cache again and throws away what is no longer what was fetched; whether all was
    /// right.
    ///
    /// # Errors
    /// No such model, or a file that cannot be read.
    pub fn verify(&self, name: &str) -> Result<bool> {
        let model = table::find(name)?;
        let folder = self.folder(model);
        let remembered = remembered(&folder);
        let mut right = true;
        for file in model.files.iter().filter(|file| !file.is_archive()) {
            let path = folder.join(file.name);
            if path.is_file() {
                let hashes = hash(&path)?.1.finish();
                let known = remembered[file.name]["sha256"].as_str();
                let changed = known.is_some_and(|known| known != hashes.sha256);
                if changed || hashes.differ(file.check, known).is_some() {
                    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                    right = false;
                }
            }
        }
        Ok(right)
    }
}

/// The name of the mark that an archive was unpacked.
fn unpacked(file: &File) -> String {
    format!(".{}.unpacked", file.name)
}

/// By file: `sha256` and `bytes`.
fn remembered(folder: &Path) -> Json {
    let text = fs::read(folder.join(HASHES)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_else(|_| Map::new().into())
}
