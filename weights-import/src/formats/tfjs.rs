//! TensorFlow.js: `model.json` of layers and graph models, and shards of bytes beside it.
//!
//! `weightsManifest` is a list of groups `{"paths": [..], "weights": [{"name", "shape", "dtype", "quantization"}]}`; the
//! shards of a group are one row of bytes, in which the weights follow each other. Quantised weights are given
//! dequantised as TensorFlow.js does, `v * scale + min` in double precision, with `quantised.<name>` in the metadata.
//! Metadata are also the texts beside the manifest, `class_name` and `layers` (a line `<class> <name>` each) of a layers
//! model, and the whole `modelTopology` if it is at most 1 MiB.
//!
//! Read, too: the manifest alone (`weights_manifest.json`), and JavaScript modules, as packages have them
//! ([`super::javascript`]): `model.min.js` exports the object, and each shard (`<path>.min.js`) exports its bytes in
//! base64. Source: <https://github.com/tensorflow/tfjs>, `tfjs-core/src/io`.

use super::javascript;
use crate::json::{self, Scanner};
use crate::{Dtype, Entry, Error, Links, Raw, Reader, Result, Source};
use half::f16;
use std::collections::{BTreeMap, BTreeSet};

const FORMAT: &str = "tfjs";

/// Longest topology that becomes metadata, in bytes.
const LARGEST_TOPOLOGY: usize = 1 << 20;

/// Most shards: a file each.
const MOST_SHARDS: usize = 10_000;

pub(super) fn probe(head: &[u8], _: &Source) -> bool {
    let text = String::from_utf8_lossy(head);
    let holds = |key: &str| text.contains(key);
    match text.trim_start().as_bytes().first() {
        Some(b'{') => holds("\"weightsManifest\"") || holds("\"modelTopology\"") || holds("\"graph-model\""),
        Some(b'[') => holds("\"paths\"") && holds("\"weights\""),
        _ => javascript::exported(&text).is_some() && (holds("weightsManifest") || holds("modelTopology")),
    }
}

#[derive(Debug)]
struct Tfjs {
    name: String,
    entries: Vec<Entry>,
    places: Vec<Place>,
    groups: Vec<Vec<Shard>>,
    metadata: BTreeMap<String, String>,
}

/// The bytes of a weight.
#[derive(Debug, Clone, Copy)]
struct Place {
    group: usize,
    start: u64,
    len: u64,
    stored: Stored,
}

#[derive(Debug, Clone, Copy)]
enum Stored {
    Plain,
    F16,
    U8 { scale: f64, min: f64 },
    U16 { scale: f64, min: f64 },
}

#[derive(Debug)]
struct Shard {
    bytes: Bytes,
    /// First byte in the group.
    start: u64,
    len: u64,
}

#[derive(Debug)]
enum Bytes {
    Plain(Source),
    Base64(javascript::Base64),
}

/// A weight as the manifest tells it.
struct Weight {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    stored: Stored,
}

/// What the model says.
#[derive(Default)]
struct Model {
    groups: Vec<(Vec<String>, Vec<Weight>)>,
    manifests: usize,
    shards: usize,
    metadata: BTreeMap<String, String>,
}

pub(super) fn open(source: Source) -> Result<Box<dyn Reader>> {
    let broken = |message: String| Error::corrupt(source.name(), FORMAT, message);
    let mut text = String::from_utf8(source.head(source.len())?).map_err(|e| broken(e.to_string()))?;
    let packed = !text.trim_start().starts_with(['{', '[']);
    if packed {
        let at = javascript::exported(&text).ok_or_else(|| broken("exports no object".into()))?;
        text = javascript::to_json(&text[at..]).map_err(broken)?;
    }
    let Model { groups: said, metadata, .. } = model(&text).map_err(broken)?;
    drop(text);
    // `model.min.js` has the shards `group1-shard1of2.min.js` ...
    let ending = source.file_name().find('.').map_or("", |at| &source.file_name()[at..]);

    let (mut entries, mut places, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let mut files = BTreeSet::new();
    let mut metadata = metadata;
    for (paths, weights) in said {
        let (mut shards, mut end) = (Vec::new(), 0u64);
        for path in paths {
            let file = if packed { format!("{path}{ending}") } else { path };
            let bytes = source.sibling(&file, Links::Refuse)?;
            let (bytes, len) = match packed {
                false => (Bytes::Plain(bytes.clone()), bytes.len()),
                true => {
                    let base64 = javascript::Base64::open(bytes)?;
                    let len = base64.len();
                    (Bytes::Base64(base64), len)
                }
            };
            shards.push(Shard { bytes, start: end, len });
            end = end.checked_add(len).ok_or_else(|| broken("its shards are too large".into()))?;
            if let Some(file) = files.replace(file) {
                return Err(broken(format!("names the shard {file} twice")));
            }
        }
        let mut start = 0u64;
        for Weight { name, dtype, shape, stored } in weights {
            let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
            let bits = match stored {
                Stored::Plain => dtype.bits(),
                Stored::U8 { .. } => 8,
                Stored::F16 | Stored::U16 { .. } => 16,
            };
            // What is given fits into memory as well as what is stored.
            let len = count.filter(|&count| dtype.bytes(count).is_some()).and_then(|count| count.checked_mul(bits / 8));
            let Some(last) = len.and_then(|len| start.checked_add(len as u64)).filter(|&last| last <= end) else {
                return Err(broken(format!(
                    "weight {name} of the shape {shape:?} begins at byte {start} of its shards, which have {end} (is \
                     the download complete?)"
                )));
            };
            let said = match stored {
                Stored::Plain => None,
                Stored::F16 => Some("float16"),
                Stored::U8 { .. } => Some("uint8"),
                Stored::U16 { .. } => Some("uint16"),
            };
            if let Some(said) = said {
                metadata.insert(format!("quantised.{name}"), said.to_string());
            }
            entries.push(Entry { name, shape, dtype });
            places.push(Place { group: groups.len(), start, len: last - start, stored });
            start = last;
        }
        if start != end {
            let message = format!("its weights take {start} bytes, but the shards have {end} (of another model?)");
            return Err(broken(message));
        }
        groups.push(shards);
    }
    let mut names: Vec<&str> = entries.iter().map(|e: &Entry| e.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(broken(format!("two weights are named {}", twice[0])));
    }
    drop(names);
    Ok(Box::new(Tfjs { name: source.name().to_string(), entries, places, groups, metadata }))
}

fn model(text: &str) -> json::Result<Model> {
    let mut model = Model::default();
    let mut scanner = Scanner::new(text);
    if scanner.peek() == Some(b'[') {
        manifest(&mut scanner, &mut model)?;
    } else {
        scanner.object(|s, key| match (key.as_str(), s.peek()) {
            ("weightsManifest", _) => manifest(s, &mut model),
            ("modelTopology", Some(b'{')) => {
                let raw = s.raw()?;
                topology(raw, &mut model.metadata);
                if raw.len() <= LARGEST_TOPOLOGY {
                    model.metadata.insert(key, raw.to_string());
                }
                Ok(())
            }
            (_, Some(b'"')) => {
                let value = s.string()?;
                model.metadata.insert(key, value);
                Ok(())
            }
            _ => s.skip(),
        })?;
    }
    scanner.end()?;
    match model.manifests {
        0 => Err("there is no weightsManifest (a model without weights?)".to_string()),
        1 => Ok(model),
        _ => Err("there are two of weightsManifest".to_string()),
    }
}

fn manifest(s: &mut Scanner<'_>, model: &mut Model) -> json::Result<()> {
    model.manifests += 1;
    s.array(|s| {
        let (mut paths, mut weights) = (None, None);
        s.object(|s, key| match key.as_str() {
            "paths" => {
                let mut found = Vec::new();
                s.array(|s| {
                    model.shards += 1;
                    if model.shards > MOST_SHARDS {
                        return Err(format!("more than {MOST_SHARDS} shards"));
                    }
                    s.string().map(|path| found.push(path))
                })?;
                once(&mut paths, found, "paths")
            }
            "weights" => {
                let mut found = Vec::new();
                s.array(|s| weight(s).map(|weight| found.push(weight)))?;
                once(&mut weights, found, "weights")
            }
            _ => s.skip(),
        })?;
        model.groups.push((paths.ok_or("a group has no paths")?, weights.ok_or("a group has no weights")?));
        Ok(())
    })
}

fn once<T>(field: &mut Option<T>, value: T, key: &str) -> json::Result<()> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("two fields are named {key}")),
    }
}

fn weight(s: &mut Scanner<'_>) -> json::Result<Weight> {
    let (mut name, mut shape, mut dtype, mut quantised) = (None, None, None, None);
    s.object(|s, key| match key.as_str() {
        "name" => once(&mut name, s.string()?, &key),
        "dtype" => once(&mut dtype, s.string()?, &key),
        "shape" => {
            let mut sizes = Vec::new();
            s.array(|s| {
                sizes.push(usize::try_from(s.integer()?).map_err(|_| "a size too large for this machine".to_string())?);
                Ok(())
            })?;
            once(&mut shape, sizes, &key)
        }
        "quantization" => once(&mut quantised, quantisation(s)?, &key),
        _ => s.skip(),
    })?;
    let name: String = name.ok_or("a weight has no name")?;
    let dtype = dtype.ok_or_else(|| format!("weight {name} has no dtype"))?;
    let dtype = match dtype.as_str() {
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "int32" => Dtype::I32,
        "bool" => Dtype::Bool,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "complex64" => Dtype::Other { name: "C64", bits: 64 },
        "string" => return Err(format!("weight {name} holds texts, which are no weights: convert without them")),
        other => return Err(format!("weight {name} has the unknown dtype {other}")),
    };
    let stored = quantised.unwrap_or(Stored::Plain);
    match (stored, dtype) {
        (Stored::Plain, _) | (_, Dtype::F32) | (Stored::U8 { .. } | Stored::U16 { .. }, Dtype::I32) => {}
        _ => return Err(format!("weight {name} is quantised, but of {dtype}")),
    }
    let shape = shape.ok_or_else(|| format!("weight {name} has no shape"))?;
    Ok(Weight { name, dtype, shape, stored })
}

fn quantisation(s: &mut Scanner<'_>) -> json::Result<Stored> {
    let (mut dtype, mut scale, mut min) = (None, None, None);
    s.object(|s, key| match key.as_str() {
        "dtype" => once(&mut dtype, s.string()?, &key),
        "scale" => once(&mut scale, s.number()?, &key),
        "min" => once(&mut min, s.number()?, &key),
        _ => s.skip(),
    })?;
    match (dtype.as_deref(), scale, min) {
        (Some("float16"), ..) => Ok(Stored::F16),
        (Some("uint8"), Some(scale), Some(min)) => Ok(Stored::U8 { scale, min }),
        (Some("uint16"), Some(scale), Some(min)) => Ok(Stored::U16 { scale, min }),
        (Some("uint8" | "uint16"), ..) => Err("a quantization has no scale or no min".to_string()),
        (other, ..) => Err(format!("a quantization has the unknown dtype {}", other.unwrap_or("(none)"))),
    }
}

/// Class and layers of a Keras model, in short. What is built otherwise says nothing.
fn topology(text: &str, metadata: &mut BTreeMap<String, String>) {
    let mut class = None;
    let mut lines = String::new();
    // {"model_config": {"class_name", "config": {"layers": [..]}}}, or what is in model_config alone; the oldest
    // Sequential has the list itself as its config.
    let mut layers = |s: &mut Scanner<'_>| {
        s.array(|s| {
            let (mut class, mut name) = (String::new(), String::new());
            s.object(|s, key| match (key.as_str(), s.peek()) {
                ("class_name", Some(b'"')) => s.string().map(|text| class = text),
                ("config", Some(b'{')) => s.object(|s, key| match (key.as_str(), s.peek()) {
                    ("name", Some(b'"')) => s.string().map(|text| name = text),
                    _ => s.skip(),
                }),
                _ => s.skip(),
            })?;
            lines += &format!("{class} {name}\n");
            Ok(())
        })
    };
    let mut part = |s: &mut Scanner<'_>, key: &str| match (key, s.peek()) {
        ("class_name", Some(b'"')) => s.string().map(|text| class = Some(text)),
        ("config", Some(b'[')) => layers(s),
        ("config", Some(b'{')) => s.object(|s, key| match (key.as_str(), s.peek()) {
            ("layers", Some(b'[')) => layers(s),
            _ => s.skip(),
        }),
        _ => s.skip(),
    };
    let read = Scanner::new(text).object(|s, key| match (key.as_str(), s.peek()) {
        ("model_config", Some(b'{')) => s.object(|s, key| part(s, &key)),
        _ => part(s, &key),
    });
    if let (Ok(()), Some(class)) = (read, class) {
        metadata.insert("class_name".into(), class);
        metadata.insert("layers".into(), lines);
    }
}

impl Tfjs {
    /// The bytes of a place as they are stored.
    fn stored(&self, place: &Place) -> Result<Vec<u8>> {
        // The shards are known to hold all of it.
        let mut bytes = vec![0; place.len as usize];
        let (mut at, mut rest) = (place.start, bytes.as_mut_slice());
        let shards = self.groups.get(place.group).map_or(&[][..], Vec::as_slice);
        let first = shards.partition_point(|shard| shard.start + shard.len <= at);
        for shard in &shards[first..] {
            if rest.is_empty() {
                break;
            }
            let inside = at - shard.start;
            let len = (shard.len - inside).min(rest.len() as u64) as usize;
            let (piece, after) = rest.split_at_mut(len);
            match &shard.bytes {
                Bytes::Plain(source) => source.read_into(inside, piece)?,
                Bytes::Base64(base64) => base64.read_into(inside, piece)?,
            }
            (at, rest) = (at + len as u64, after);
        }
        Ok(bytes)
    }
}

impl Reader for Tfjs {
    fn format(&self) -> &'static str {
        FORMAT
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, index: usize) -> Result<Raw> {
        let Some((entry, place)) = self.entries.get(index).zip(self.places.get(index)) else {
            return Err(Error::Argument(format!("no tensor number {index} in {}", self.name)));
        };
        let stored = self.stored(place)?;
        let pair = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
        let mut bytes = Vec::new();
        let mut give = |value: f64| -> Result<()> {
            if entry.dtype == Dtype::F32 {
                bytes.extend_from_slice(&(value as f32).to_le_bytes());
                return Ok(());
            }
            // As JavaScript rounds: halves go up.
            let down = value.floor();
            let whole = if value - down >= 0.5 { down + 1.0 } else { down };
            if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole) {
                let message = format!("holds {value}, which is too large for I32");
                return Err(Error::Values { name: entry.name.clone(), message });
            }
            bytes.extend_from_slice(&(whole as i32).to_le_bytes());
            Ok(())
        };
        match place.stored {
            Stored::Plain => bytes = stored,
            Stored::F16 => stored.chunks_exact(2).try_for_each(|b| give(f16::from_bits(pair(b)).to_f64()))?,
            Stored::U8 { scale, min } => stored.iter().try_for_each(|&v| give(f64::from(v) * scale + min))?,
            Stored::U16 { scale, min } => {
                stored.chunks_exact(2).try_for_each(|b| give(f64::from(pair(b)) * scale + min))?;
            }
        }
        Ok(Raw { dtype: entry.dtype, shape: entry.shape.clone(), bytes })
    }

    fn place(&self, index: usize) -> Option<(&Source, u64)> {
        let place = self.places.get(index)?;
        let shards = self.groups.get(place.group)?;
        let shard = shards.get(shards.partition_point(|shard| shard.start + shard.len <= place.start))?;
        match (place.stored, &shard.bytes) {
            (Stored::Plain, Bytes::Plain(source)) if place.start + place.len <= shard.start + shard.len => {
                Some((source, place.start - shard.start))
            }
            _ => None,
        }
    }

    fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
