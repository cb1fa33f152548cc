//! One file: from the network into its place, or into a part from which the next fetch goes on.

use crate::cache::Options;
use crate::check::{Check, Hasher, Hashes};
use crate::client::{Answer, Client};
use crate::{Error, File, Result};
use std::fs::{self, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// No file of weights is larger.
const LARGEST: u64 = 1 << 36;

const CHUNK: usize = 1 << 16;

/// How often it is looked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file.
    pub name: &'a str,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the whole, once they are known.
    pub total: Option<u64>,
}

/// `NAME.partial` and what is known of it.
pub(crate) struct Part {
    path: PathBuf,
    /// The version that the part is of.
    etag: PathBuf,
}

impl Part {
    pub(crate) fn of(path: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            path.with_file_name(name)
        };
        Self { path: beside(".partial"), etag: beside(".partial.etag") }
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.etag);
    }
}

/// Bytes of a file, hashed.
pub(crate) fn hash(path: &Path) -> Result<(u64, Hasher)> {
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let (mut reader, mut hasher, mut bytes, mut size) = (BufReader::new(file), Hasher::default(), vec![0; CHUNK], 0);
    loop {
        match reader.read(&mut bytes).map_err(Error::io("read", path))? {
            0 => return Ok((size, hasher)),
            count => {
                hasher.update(&bytes[..count]);
                size += count as u64;
            }
        }
    }
}

/// Why one attempt ended.
enum Ended {
    /// All of it came: its hashes, and the sha256 that the server states.
    Whole(Hashes, Option<String>),
    /// The rest can be asked for: why it broke off.
    Broken(String),
}

/// Brings `file` to `path`; its sha256. `remembered` is that of an earlier fetch.
pub(crate) fn fetch(
    client: &Client,
    options: &Options,
    file: &File,
    path: &Path,
    remembered: Option<&str>,
    progress: &mut dyn FnMut(Progress<'_>) -> bool,
) -> Result<String> {
    let part = Part::of(path);
    let mut fails = 0;
    loop {
        let before = fs::metadata(&part.path).map_or(0, |about| about.len());
        match attempt(client, options, file, &part, progress)? {
            Ended::Whole(hashes, stated) => {
                let known = stated.as_deref().or(remembered);
                if let Some(difference) = hashes.differ(file.check, known) {
                    let page = fs::read(&part.path).is_ok_and(|bytes| bytes.trim_ascii_start().starts_with(b"<"));
                    let hint = if page { " (it is a web page, perhaps of a login)" } else { "" };
                    part.remove();
                    return Err(Error::wrong(file.url, format!("{difference}{hint}")));
                }
                fs::rename(&part.path, path).map_err(Error::io("replace", path))?;
                let _ = fs::remove_file(&part.etag);
                // The new name is on disk only after the folder is.
                let _ = path.parent().map(|folder| fs::File::open(folder).and_then(|f| f.sync_all()));
                return Ok(hashes.sha256);
            }
            Ended::Broken(why) => {
                let now = fs::metadata(&part.path).map_or(0, |about| about.len());
                fails = if now > before { 1 } else { fails + 1 };
                if fails >= options.attempts {
                    return Err(Error::network(file.url, why));
                }
                wait(options.pause * 2u32.pow(fails.min(6) - 1), &part, progress, file)?;
            }
        }
    }
}

/// Waits before the next attempt, unless asked to stop.
fn wait(time: Duration, part: &Part, progress: &mut dyn FnMut(Progress<'_>) -> bool, file: &File) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        let done = fs::metadata(&part.path).map_or(0, |about| about.len());
        if !progress(Progress { name: file.name, done, total: None }) {
            return Err(Error::Interrupted { partial: part.path.clone(), bytes: done });
        }
        std::thread::sleep(TICK.min(time));
    }
    Ok(())
}

fn attempt(
    client: &Client,
    options: &Options,
    file: &File,
    part: &Part,
    progress: &mut dyn FnMut(Progress<'_>) -> bool,
) -> Result<Ended> {
    let (mut start, mut hasher) = match part.path.exists() {
        true => hash(&part.path)?,
        false => (0, Hasher::default()),
    };
    let etag = fs::read_to_string(&part.etag).ok().filter(|etag| !etag.is_empty());
    // Of an unknown version only a hash could tell that the rest belongs to the part.
    if start > 0 && etag.is_none() && file.check == Check::First {
        (start, hasher) = (0, Hasher::default());
    }
    let answer = match client.get(file.url, start, etag.as_deref()) {
        Err(Error::Network { message, .. }) => return Ok(Ended::Broken(message)),
        other => other?,
    };
    match answer.status {
        200 if start > 0 => (start, hasher) = (0, Hasher::default()),
        200 => {}
        206 if start > 0 && answer.range.is_some_and(|(first, _)| first == start) => {}
        206 | 416 => {
            part.remove();
            return Ok(Ended::Broken(format!("the server gave another part than the one from byte {start}")));
        }
        status @ (408 | 425 | 429 | 500..=599) => {
            return Ok(Ended::Broken(format!("the server is not ready ({status})")));
        }
        status => {
            let hint = match status {
                401 | 403 => "it gives this file to nobody without a login",
                404 | 410 => "the file is no longer there",
                _ => "it does not give the file",
            };
            return Err(Error::network(file.url, format!("the server answered {status}: {hint}")));
        }
    }
    let whole = answer.range.and_then(|(_, whole)| whole);
    let total = whole.or(answer.length.map(|length| length.saturating_add(start)));
    let limit = file.largest().unwrap_or(LARGEST);
    if let Some(total) = total.filter(|&total| total > limit) {
        part.remove();
        return Err(Error::wrong(
            file.url,
            format!("the server announces {total} bytes, at most {limit} were expected"),
        ));
    }
    if file.check == Check::Stated && answer.stated.is_none() {
        part.remove();
        return Err(Error::wrong(file.url, "the server does not state the sha256 of the file"));
    }
    if total.is_none() && !answer.chunked && file.check == Check::First {
        part.remove();
        return Err(Error::wrong(file.url, "the server does not say how long the file is"));
    }
    write_etag(part, answer.etag.as_deref())?;
    let mut out = OpenOptions::new();
    let out = if start > 0 { out.append(true) } else { out.write(true).create(true).truncate(true) };
    let mut out = out.open(&part.path).map_err(Error::io("open", &part.path))?;
    let (stated, chunks) = (answer.stated.clone(), receive(answer));
    let (mut done, mut last) = (start, Instant::now());
    let limit = total.unwrap_or(limit);
    loop {
        if !progress(Progress { name: file.name, done, total }) {
            return Err(Error::Interrupted { partial: part.path.clone(), bytes: done });
        }
        match chunks.recv_timeout(TICK) {
            Ok(Ok(bytes)) => {
                last = Instant::now();
                done += bytes.len() as u64;
                if done > limit {
                    part.remove();
                    return Err(Error::wrong(
                        file.url,
                        format!("more than the {limit} bytes that were announced came"),
                    ));
                }
                hasher.update(&bytes);
                out.write_all(&bytes).map_err(Error::io("write", &part.path))?;
            }
            Ok(Err(error)) => return Ok(Ended::Broken(format!("the connection broke after {done} bytes: {error}"))),
            Err(RecvTimeoutError::Timeout) if last.elapsed() > options.patience => {
                return Ok(Ended::Broken(format!("nothing came for {:?}, after {done} bytes", options.patience)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if total.is_some_and(|total| done < total) {
        return Ok(Ended::Broken(format!("the connection ended after {done} of {} bytes", total.unwrap_or_default())));
    }
    out.sync_all().map_err(Error::io("write", &part.path))?;
    Ok(Ended::Whole(hasher.finish(), stated))
}

fn write_etag(part: &Part, etag: Option<&str>) -> Result<()> {
    match etag {
        Some(etag) => fs::write(&part.etag, etag).map_err(Error::io("write", &part.etag)),
        None => {
            let _ = fs::remove_file(&part.etag);
            Ok(())
        }
    }
}

/// The body in chunks, read by a thread of its own: a server that falls silent then keeps nobody waiting.
fn receive(answer: Answer) -> Receiver<std::io::Result<Vec<u8>>> {
    let (send, chunks) = sync_channel(4);
    std::thread::spawn(move || {
        let mut reader = answer.body.into_reader();
        loop {
            let mut bytes = vec![0; CHUNK];
            let read = reader.read(&mut bytes);
            let end = matches!(read, Ok(0));
            let read = read.map(|count| {
                bytes.truncate(count);
                bytes
            });
            let broken = read.is_err();
            if end || send.send(read).is_err() || broken {
                return;
            }
        }
    });
    chunks
}
