//! Zip archives, read so that a file means one thing only.
//!
//! The archive must be tiled without gaps: members one after the other from the first byte, the central directory, the
//! records of its end, and nothing behind them. Every local header must agree with the central directory. So no reader
//! of the same file can find other members or other bytes in it. Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3-4.5.

use crate::{Error, Result, Source};
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::collections::BTreeMap;
use std::io::{BufReader, Read};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const END: [u8; 4] = *b"PK\x05\x06";

/// The flags that change nothing here: the deflate level, a data descriptor, a UTF-8 name.
const FLAGS: u16 = 0x080e;
const WITH_DESCRIPTOR: u16 = 8;

/// Most that all deflated members together may unpack to: this many times their packed bytes, and [`SPARE`] more.
const RATIO: u64 = 16;
const SPARE: u64 = 32 << 20;

/// Memory for unpacked bytes is taken before they are there up to this many times the packed ones.
const LIKELY: u64 = 4;

/// Bytes read at once when a checksum is computed.
const CHUNK: usize = 1 << 16;

/// How a member's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
}

/// A file in the archive.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Bytes unpacked.
    pub(crate) size: u64,
    /// Bytes in the archive.
    pub(crate) packed: u64,
    pub(crate) method: Method,
    pub(crate) crc: u32,
    flags: u16,
    /// First byte of the local header; once the archive is open, of the packed bytes.
    start: u64,
}

/// An archive whose directory and local headers have been read and compared.
#[derive(Debug)]
pub(crate) struct Archive {
    source: Source,
    format: &'static str,
    members: Vec<Member>,
    index: BTreeMap<String, usize>,
}

/// Names of the members in the central directory; of a broken archive the name in the first local header.
pub(crate) fn names(head: &[u8], source: &Source) -> Vec<String> {
    if !head.starts_with(&LOCAL) {
        return Vec::new();
    }
    match directory(source, "zip") {
        Ok((members, _)) => members.into_iter().map(|m| m.name).collect(),
        Err(_) => {
            let len = head.get(26..28).map_or(0, |b| usize::from(u16_at(b, 0)));
            let name = plain(head.get(30..30 + len).unwrap_or(&[])).unwrap_or_default();
            vec![if name.contains(char::is_control) { String::new() } else { name }]
        }
    }
}

impl Archive {
    /// Reads the directory; `format` stands in errors.
    pub(crate) fn open(source: &Source, format: &'static str) -> Result<Self> {
        let (mut members, end) = directory(source, format)?;
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&i| members[i].start);
        let mut at = 0;
        for (i, &number) in order.iter().enumerate() {
            let next = order.get(i + 1).map_or(end, |&n| members[n].start);
            at = local(source, format, &mut members[number], at, next)?;
        }
        if at != end {
            return fail(source, format, format!("has {end} bytes before its directory, but {at} belong to members"));
        }
        let deflated = || members.iter().filter(|m| m.method == Method::Deflated);
        let packed = deflated().fold(0u64, |sum, m| sum.saturating_add(m.packed));
        let size = deflated().fold(0u64, |sum, m| sum.saturating_add(m.size));
        if size > packed.saturating_mul(RATIO).saturating_add(SPARE) {
            return fail(source, format, bomb("it", packed, size));
        }
        // Folders hold nothing.
        members.retain(|m| !m.name.ends_with('/'));
        let index = members.iter().enumerate().map(|(i, m)| (m.name.clone(), i)).collect();
        Ok(Self { source: source.clone(), format, members, index })
    }

    /// The files in the order of the directory.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of a name.
    pub(crate) fn find(&self, name: &str) -> Option<&Member> {
        self.members.get(*self.index.get(name)?)
    }

    /// First byte of a stored member.
    pub(crate) fn place(&self, member: &Member) -> Option<u64> {
        (member.method == Method::Stored).then_some(member.start)
    }

    /// A member's bytes. Stored ones stay in the archive: only [`Archive::check`] compares their checksum. Deflated ones
    /// are unpacked and checked.
    pub(crate) fn source(&self, member: &Member) -> Result<Source> {
        let name = format!("{}/{}", self.source.name(), member.name);
        match member.method {
            Method::Stored => self.source.window(member.start, member.size, &name),
            Method::Deflated => Ok(Source::memory(self.inflate(member)?, &name)),
        }
    }

    /// All bytes of a member, checked.
    pub(crate) fn read(&self, member: &Member) -> Result<Vec<u8>> {
        match member.method {
            Method::Stored => {
                let bytes = self.source.read(member.start, member.size)?;
                let mut crc = Crc::new();
                crc.update(&bytes);
                self.compare(member, &crc)?;
                Ok(bytes)
            }
            Method::Deflated => self.inflate(member),
        }
    }

    /// The first `len` bytes of a member or all if it has fewer, unchecked.
    pub(crate) fn head(&self, member: &Member, len: u64) -> Result<Vec<u8>> {
        match member.method {
            Method::Stored => self.source.read(member.start, len.min(member.size)),
            Method::Deflated => {
                let mut bytes = Vec::new();
                let head = self.deflated(member).take(len.min(member.size)).read_to_end(&mut bytes);
                head.or_else(|e| self.fail(format!("member {}: {e}", member.name)))?;
                Ok(bytes)
            }
        }
    }

    /// Compares the checksum of a stored member with its bytes.
    pub(crate) fn check(&self, member: &Member) -> Result<()> {
        let (mut crc, mut at) = (Crc::new(), 0);
        while member.method == Method::Stored && at < member.size {
            let chunk = self.source.read(member.start + at, (member.size - at).min(CHUNK as u64))?;
            at += chunk.len() as u64;
            crc.update(&chunk);
        }
        if member.method == Method::Stored { self.compare(member, &crc) } else { Ok(()) }
    }

    fn fail<T>(&self, message: String) -> Result<T> {
        fail(&self.source, self.format, message)
    }

    fn compare(&self, member: &Member, crc: &Crc) -> Result<()> {
        if crc.sum() == member.crc {
            return Ok(());
        }
        let (found, said) = (crc.sum(), member.crc);
        self.fail(format!("member {} has the checksum {found:08x}, not {said:08x}: its bytes changed", member.name))
    }

    fn deflated(&self, member: &Member) -> DeflateDecoder<BufReader<Packed<'_>>> {
        let packed = Packed { source: &self.source, at: member.start, left: member.packed };
        DeflateDecoder::new(BufReader::with_capacity(CHUNK.min(member.packed as usize), packed))
    }

    fn inflate(&self, member: &Member) -> Result<Vec<u8>> {
        let Member { name, size, packed, .. } = member;
        let mut decoder = self.deflated(member);
        let likely = packed.saturating_mul(LIKELY).min(*size);
        let mut bytes = Vec::with_capacity(likely as usize);
        let mut read = decoder.by_ref().take(likely).read_to_end(&mut bytes);
        if bytes.len() as u64 == likely {
            bytes.reserve_exact((size - likely) as usize);
            read = read.and_then(|_| decoder.by_ref().take(size - likely).read_to_end(&mut bytes));
        }
        let more = read.and_then(|_| decoder.read(&mut [0]));
        let more = more.or_else(|e| self.fail(format!("member {name} cannot be unpacked: {e}")))?;
        if bytes.len() as u64 != *size || more > 0 || decoder.total_in() != *packed {
            return self.fail(format!(
                "member {name} unpacks {} of {packed} bytes to {} of {size}",
                decoder.total_in(),
                bytes.len()
            ));
        }
        let mut crc = Crc::new();
        crc.update(&bytes);
        self.compare(member, &crc)?;
        Ok(bytes)
    }
}

/// What is said of a claim to unpack to very much.
pub(crate) fn bomb(what: &str, packed: u64, size: u64) -> String {
    format!(
        "{what} claims to unpack from {packed} to {size} bytes: refused; if that is right, write the file uncompressed"
    )
}

/// The packed bytes of a member.
struct Packed<'s> {
    source: &'s Source,
    at: u64,
    left: u64,
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(piece) = buffer.get_mut(..len) else { return Ok(0) };
        self.source.read_into(self.at, piece).map_err(std::io::Error::other)?;
        self.at += len as u64;
        self.left -= len as u64;
        Ok(len)
    }
}

fn fail<T>(source: &Source, format: &'static str, message: impl Into<String>) -> Result<T> {
    Err(Error::corrupt(source.name(), format, format!("zip: {}", message.into())))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The members of the central directory with unique, plain names, and the byte at which the directory starts.
fn directory(source: &Source, format: &'static str) -> Result<(Vec<Member>, u64)> {
    let fail = |message: String| fail(source, format, message);
    let len = source.len();
    let end = match len.checked_sub(22) {
        Some(at) => source.read(at, 22)?,
        None => return fail("is too short for an archive".into()),
    };
    if !end.starts_with(&END) || u16_at(&end, 20) != 0 {
        return fail("does not end with the record that ends an archive (is the download complete?)".into());
    }
    // Disks, numbers of members, size and place of the directory: [this disk, its disk, here, in all, size, start].
    let short = [u16_at(&end, 4), u16_at(&end, 6), u16_at(&end, 8), u16_at(&end, 10)].map(u64::from);
    let short = [short[0], short[1], short[2], short[3], u32_at(&end, 12).into(), u32_at(&end, 16).into()];
    let (mut said, mut tail) = (short, len - 22);
    if let Some(at) = tail.checked_sub(20) {
        let locator = source.read(at, 20)?;
        if locator.starts_with(&LOCATOR64) {
            // The long record is 56 bytes right before its locator; it may not be longer.
            let Some(start) = at.checked_sub(56) else { return fail("has no room for its zip64 record".into()) };
            let end = source.read(start, 56)?;
            let right = end.starts_with(&END64) && u64_at(&end, 4) == 44;
            if !right || u64_at(&locator, 8) != start || u32_at(&locator, 4) != 0 || u32_at(&locator, 16) != 1 {
                return fail("its zip64 record is not where its locator says".into());
            }
            said = [u32_at(&end, 16).into(), u32_at(&end, 20).into(), 0, 0, 0, 0];
            (2..6).for_each(|i| said[i] = u64_at(&end, 8 + 8 * i));
            tail = start;
        }
    }
    let limits = [0xffff, 0xffff, 0xffff, 0xffff, 0xffff_ffff, 0xffff_ffff];
    if (0..6).any(|i| short[i] != said[i] && short[i] != limits[i]) {
        return fail("its two ends of the directory differ".into());
    }
    let [disk, its_disk, here, all, size, start] = said;
    if disk != 0 || its_disk != 0 || here != all {
        return fail("is one of several parts".into());
    }
    if start.checked_add(size) != Some(tail) {
        return fail(format!("its directory of {size} bytes from byte {start} does not end at byte {tail}"));
    }
    if all > size / 46 {
        return fail(format!("claims {all} members in a directory of {size} bytes"));
    }
    let bytes = source.read(start, size)?;
    let mut rest = bytes.as_slice();
    let mut members: Vec<Member> = Vec::with_capacity(all as usize);
    for number in 0..all {
        let (member, after) = match central(rest) {
            Ok(read) => read,
            Err(e) => return fail(format!("member number {number}: {e}")),
        };
        if member.start >= start {
            return fail(format!("member {} begins at byte {}, behind the members", member.name, member.start));
        }
        rest = after;
        members.push(member);
    }
    if !rest.is_empty() {
        return fail(format!("its directory holds more than {all} members"));
    }
    let mut names: Vec<&str> = members.iter().map(|m| m.name.trim_end_matches('/')).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return fail(format!("two members are named {}", twice[0]));
    }
    Ok((members, start))
}

/// A record of the central directory, and what follows it.
fn central(bytes: &[u8]) -> std::result::Result<(Member, &[u8]), String> {
    let Some((fixed, rest)) = bytes.split_at_checked(46).filter(|(fixed, _)| fixed.starts_with(&CENTRAL)) else {
        return Err("has no record in the directory".into());
    };
    let lens = [28, 30, 32].map(|at| usize::from(u16_at(fixed, at)));
    let split = rest.split_at_checked(lens[0]).and_then(|(name, rest)| {
        let (extra, rest) = rest.split_at_checked(lens[1])?;
        Some((name, extra, rest.get(lens[2]..)?))
    });
    let Some((name, extra, rest)) = split else { return Err("its record is longer than the directory".into()) };
    let name = plain(name)?;
    let mut sizes = [u32_at(fixed, 24), u32_at(fixed, 20), u32_at(fixed, 42)].map(u64::from);
    wide(extra, &mut sizes, false).map_err(|e| format!("{name}: {e}"))?;
    let [size, packed, start] = sizes;
    let flags = u16_at(fixed, 8);
    if flags & !FLAGS != 0 {
        let what = if flags & 0x2041 != 0 { "is encrypted" } else { "has unknown flags" };
        return Err(format!("{name} {what}"));
    }
    let method = match u16_at(fixed, 10) {
        0 if size == packed => Method::Stored,
        0 => return Err(format!("{name} is stored, but its sizes {size} and {packed} differ")),
        8 => Method::Deflated,
        method => return Err(format!("{name} is packed by method {method}; only stored and deflated are read")),
    };
    if u16_at(fixed, 34) != 0 {
        return Err(format!("{name} is in another part of the archive"));
    }
    let folder = name.ends_with('/');
    match (u32_at(fixed, 38) >> 28, folder) {
        (0, _) | (0o10, false) | (0o04, true) => {}
        (0o12, _) => return Err(format!("{name} is a symbolic link: refused")),
        _ => return Err(format!("{name} is no regular file")),
    }
    if folder && size != 0 {
        return Err(format!("{name} is a folder with bytes"));
    }
    Ok((Member { name, size, packed, method, crc: u32_at(fixed, 16), flags, start }, rest))
}

/// A name that leads nowhere else, on no system (`C:` is a drive; `kernel:0` is a name of TensorFlow's).
pub(crate) fn plain(name: &[u8]) -> std::result::Result<String, String> {
    let Ok(name) = std::str::from_utf8(name) else { return Err("its name is not UTF-8".into()) };
    let parts = name.strip_suffix('/').unwrap_or(name);
    let drive = name.as_bytes().get(1) == Some(&b':');
    if drive || name.contains(['\\', '\0']) || parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("is named {name:?}, which leads out of the archive: refused"));
    }
    Ok(name.to_string())
}

/// Replaces those of `sizes` that are saturated by the numbers of the zip64 field, which has no others unless it is
/// `longer` (PyTorch puts numbers into local headers that have a data descriptor).
fn wide(mut extra: &[u8], sizes: &mut [u64], longer: bool) -> std::result::Result<(), String> {
    let mut seen = false;
    while !extra.is_empty() {
        let split = extra.split_at_checked(4).and_then(|(head, rest)| {
            let (data, rest) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
            Some((u16_at(head, 0), data, rest))
        });
        let Some((id, data, rest)) = split else { return Err("its extra fields are broken".into()) };
        match id {
            1 if seen => return Err("has two zip64 fields".into()),
            1 => {
                seen = true;
                let mut numbers = data.chunks_exact(8);
                for size in sizes.iter_mut().filter(|size| **size == 0xffff_ffff) {
                    let Some(number) = numbers.next() else { return Err("its zip64 field is too short".into()) };
                    *size = u64_at(number, 0);
                }
                if (numbers.next().is_some() && !longer) || !data.len().is_multiple_of(8) {
                    return Err("its zip64 field is too long".into());
                }
            }
            0x7075 => return Err("has a second name: refused".into()),
            0x9901 => return Err("is encrypted".into()),
            _ => {}
        }
        extra = rest;
    }
    match sizes.contains(&0xffff_ffff) && !seen {
        true => Err("needs a zip64 field and has none".into()),
        false => Ok(()),
    }
}

/// Compares the local header at `at` with the directory and moves the member's start to its packed bytes; the member
/// must end at `next`, which is returned.
fn local(source: &Source, format: &'static str, member: &mut Member, at: u64, next: u64) -> Result<u64> {
    let name = member.name.clone();
    let fail = |message: &str| fail(source, format, format!("member {name} {message}"));
    if member.start != at {
        return fail(&format!("begins at byte {}, but the one before it ends at {at}", member.start));
    }
    let fixed = source.read(at, 30)?;
    let named = u64::from(u16_at(&fixed, 26));
    let more = source.read(at + 30, named + u64::from(u16_at(&fixed, 28)))?;
    if !fixed.starts_with(&LOCAL) {
        return fail("has no local header");
    }
    let (theirs, extra) = more.split_at(named as usize);
    let method = if member.method == Method::Stored { 0 } else { 8 };
    if theirs != name.as_bytes() || u16_at(&fixed, 6) != member.flags || u16_at(&fixed, 8) != method {
        return fail("has another name, method or other flags in its local header");
    }
    let described = member.flags & WITH_DESCRIPTOR != 0;
    let mut sizes = [u32_at(&fixed, 22), u32_at(&fixed, 18)].map(u64::from);
    if let Err(e) = wide(extra, &mut sizes, described) {
        return fail(&e);
    }
    let found = [sizes[0], sizes[1], u32_at(&fixed, 14).into()];
    let expected = [member.size, member.packed, member.crc.into()];
    if found != expected && !(described && found == [0; 3]) {
        return fail("has other sizes or another checksum in its local header");
    }
    member.start = at + 30 + more.len() as u64;
    let end = match member.start.checked_add(member.packed) {
        Some(end) if end <= next => end,
        _ => return fail("runs into what follows it"),
    };
    let left = next - end;
    if !described {
        return if left == 0 { Ok(next) } else { fail(&format!("is followed by {left} bytes that belong to nothing")) };
    }
    // The checksum and sizes of 4 or 8 bytes, with or without a signature.
    if !matches!(left, 12 | 16 | 20 | 24) {
        return fail(&format!("is followed by {left} bytes, which are no data descriptor"));
    }
    let bytes = source.read(end, left)?;
    let (signature, wide) = (left == 16 || left == 24, left >= 20);
    let numbers = if signature { &bytes[4..] } else { &bytes[..] };
    let sizes = match wide {
        true => [u64_at(numbers, 4), u64_at(numbers, 12)],
        false => [u32_at(numbers, 4), u32_at(numbers, 8)].map(u64::from),
    };
    let right = [sizes[1], sizes[0], u32_at(numbers, 0).into()] == expected;
    if !right || (signature && !bytes.starts_with(&DESCRIPTOR)) {
        return fail("has a data descriptor that differs from the directory");
    }
    Ok(next)
}
