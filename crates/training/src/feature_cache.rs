//! Features on disk: a trunk that does not learn is run but once, over all trainings.

use crate::boundary::lowest;
use crate::frozen::frozen;
use crate::trunk::each_of;
use crate::{BoundaryValues, Classifier, Error, Features, Labelled, Result};
use half::f16;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use ukulele_data::{ImageDataset, Photo, Preprocess};
use ukulele_layers::{Role, Tensor};
use ukulele_models::TokenBatch;
use weights_import::{Dtype, Entry, Raw};

/// The layout of the files and of their keys.
const LAYOUT: &str = "ukulele features 1";

/// A folder of features, a file for each trunk and data: `<key>.safetensors`.
///
/// The key is the sha256 of all that decides on the features: the trunk's parameters and measures, and the data with its
/// preprocessing ([`DataKey`]). A trunk that has learned in between (gradual unfreezing) has another key, as have other photos.
/// Of a trunk that is frozen in part, the values at the boundary are kept instead ([`FeatureCache::boundary`]).
/// Nothing is ever removed: what is no longer wanted may be deleted at any time.
///
/// Numbers are kept as f16, half the size of f32, and rounded in the run that computes them as well, so that both runs give the
/// same bits. Each is off by at most 2⁻¹¹ (0.05 %) of itself, below 6·10⁻⁵ by at most 3·10⁻⁸; logits of a linear head move by a
/// few times 10⁻⁴ of their norm. Features of which one is beyond f16's 65504 are kept as f32.
///
/// A file is written whole or not at all, and carries its key and the sha256 of its content: what is damaged or of something
/// else is computed anew, and said ([`Cached::warning`]).
///
/// ```
/// use ukulele_layers::{Init, Tensor};
/// use ukulele_models::{ResNet, ResNetConfig};
/// use ukulele_training::{Classifier, DataKey, FeatureCache, Labelled};
/// # let folder = std::env::temp_dir().join(format!("ukulele-features-doc-{}", std::process::id()));
/// let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
/// let mut net = ResNet::new(&config, &mut Init::new(0));
/// net.freeze_trunk();
/// let batch = || Labelled { inputs: Tensor::ones(&[4, 3, 32, 32]).unwrap(), labels: vec![0, 1, 0, 1] };
/// let key = DataKey::new("four images of ones", 4); // for real data: DataKey::photos, DataKey::tokens
/// let cache = FeatureCache::new(&folder)?;
/// let first = cache.features(&mut net, &key, std::iter::once(Ok(batch())))?;
/// let again = cache.features(&mut net, &key, std::iter::empty())?; // nothing is run
/// assert!(!first.read && again.read);
/// assert_eq!(first.features.values.to_vec(), again.features.values.to_vec());
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), ukulele_training::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FeatureCache {
    folder: PathBuf,
}

/// What a [`FeatureCache`] gave.
#[derive(Debug, Clone)]
pub struct Cached<T = Features> {
    /// The features, or values at a boundary.
    pub features: T,
    /// Whether they were read from a file.
    pub read: bool,
    /// What was wrong with the file that was there, or why none could be written. One line.
    pub warning: Option<String>,
}

/// Identifies data: what is in it, in which order, with which labels, and how it is prepared.
#[derive(Debug, Clone)]
pub struct DataKey {
    hash: Sha256,
    count: usize,
}

impl DataKey {
    /// Of `count` inputs, of which `what` says all or the beginning; see [`DataKey::add`].
    pub fn new(what: &str, count: usize) -> Self {
        let mut key = Self { hash: Sha256::new(), count };
        key.add(what.as_bytes());
        key
    }

    /// Adds a piece. Where one ends and the next begins counts.
    pub fn add(&mut self, piece: &[u8]) {
        self.hash.update((piece.len() as u64).to_le_bytes());
        self.hash.update(piece);
    }

    /// Of photos: the content of their files (not the names), in order, their labels, and what is done to them.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn photos(data: &ImageDataset, preprocess: &Preprocess) -> Result<Self> {
        let mut key = Self::new(&format!("photos {}", preprocess.to_json()), data.len());
        for (photo, &label) in data.photos.iter().zip(&data.labels) {
            match photo {
                Photo::File(path) => key.add(&digest(path).map_err(|e| Error::io("read", path, e))?),
                Photo::Memory(image) => {
                    key.add(format!("{} x {}", image.width(), image.height()).as_bytes());
                    key.add(image.pixels());
                }
            }
            key.add(&(label as u64).to_le_bytes());
        }
        Ok(key)
    }

    /// Of texts as the model sees them.
    ///
    /// # Errors
    /// Those of `batches`.
    pub fn tokens(batches: impl Iterator<Item = Result<Labelled<TokenBatch>>>) -> Result<Self> {
        let mut key = Self::new("tokens", 0);
        for batch in batches {
            let Labelled { inputs, labels } = batch?;
            key.count += inputs.batch;
            key.add(&(inputs.length as u64).to_le_bytes());
            for list in [&inputs.ids, &inputs.types] {
                key.add(&list.iter().flat_map(|&id| (id as u64).to_le_bytes()).collect::<Vec<u8>>());
            }
            key.add(&bytes(&inputs.mask));
            key.add(&labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>());
        }
        Ok(key)
    }
}

impl fmt::Display for DataKey {
    /// The sha256 of all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut whole = self.hash.clone();
        whole.update((self.count as u64).to_le_bytes());
        whole.finalize().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FeatureCache {
    /// The cache in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, e))?;
        Ok(Self { folder })
    }

    /// As [`Features::of`] these batches, which `data` identifies; they are not asked for if the features are there.
    ///
    /// # Errors
    /// As [`Features::of`]; another number of inputs than `data` tells of.
    pub fn features<N: Classifier>(
        &self,
        net: &mut N,
        data: &DataKey,
        mut batches: impl Iterator<Item = Result<Labelled<N::Batch>>>,
    ) -> Result<Cached> {
        frozen(net)?;
        let key = key(net, None, data);
        self.read_or(&key, data.count, Content::into_features, &mut || {
            let Features { values, labels } = Features::of(net, &mut batches)?;
            let mut content = Content::new(vec![labels.len(), values.numel() / labels.len().max(1)], true);
            content.push(&values.to_vec());
            content.labels = labels;
            Ok(content)
        })
    }

    /// As [`FeatureCache::features`], of the frozen groups of layers of which [`BoundaryValues::of`] tells. The key tells how many
    /// they are: groups that learn in between, as in gradual unfreezing, have no part in it.
    ///
    /// # Errors
    /// As [`BoundaryValues::of`]; another number of inputs than `data` tells of.
    pub fn boundary<N: Classifier>(
        &self,
        net: &mut N,
        data: &DataKey,
        mut batches: impl Iterator<Item = Result<Labelled<N::Batch>>>,
    ) -> Result<Cached<BoundaryValues>> {
        let boundary = lowest(net)?;
        let key = key(net, Some(boundary), data);
        let open = |content| BoundaryValues::open(boundary, content);
        self.read_or(&key, data.count, open, &mut || BoundaryValues::content(net, boundary, true, &mut batches))
    }

    /// What is kept under this key, computed if it is not there.
    fn read_or<T>(
        &self,
        key: &str,
        count: usize,
        open: impl Fn(Content) -> std::result::Result<T, String>,
        compute: &mut dyn FnMut() -> Result<Content>,
    ) -> Result<Cached<T>> {
        let path = self.folder.join(format!("{key}.safetensors"));
        let mut warning = None;
        let there = fs::symlink_metadata(&path).ok();
        // A link leads out of the folder, and a pipe never ends.
        let foreign = there.as_ref().is_some_and(|there| !there.is_file());
        if there.is_some() && !foreign {
            match read(&path, key, count).and_then(&open) {
                Ok(features) => return Ok(Cached { features, read: true, warning }),
                Err(why) => warning = Some(format!("{}: {why}; computed anew", path.display()).replace('\n', " ")),
            }
        }
        let content = compute()?;
        if content.labels.len() != count {
            return Err(Error::Argument(format!("{} inputs came, the key is of {count}", content.labels.len())));
        }
        let kept = if foreign {
            Err(format!("{} is no regular file", path.display()))
        } else {
            content.write(&path, key).map_err(|error| error.to_string())
        };
        if let Err(why) = kept {
            let before = warning.map(|warning| warning + "; ").unwrap_or_default();
            warning = Some(format!("{before}features are not kept: {why}").replace('\n', " "));
        }
        Ok(Cached { features: open(content).map_err(Error::Argument)?, read: false, warning })
    }
}

/// The name of what the trunk, or so many groups of it, say of data: sha256 of both.
fn key<N: Classifier>(net: &mut N, boundary: Option<usize>, data: &DataKey) -> String {
    let mut key = DataKey::new(LAYOUT, 0);
    if let Some(boundary) = boundary {
        key.add(format!("behind {boundary} groups").as_bytes());
    }
    key.add(net.measures().as_bytes());
    each_of(net, boundary, &mut |name, param| {
        if param.role != Role::Rate {
            key.add(name.as_bytes());
            key.add(format!("{:?}", param.value.shape()).as_bytes());
            key.add(&bytes(&param.value.to_vec()));
        }
    });
    key.add(data.to_string().as_bytes());
    key.to_string()
}

/// What a file holds: rows of numbers, and labels.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// f16, or f32 where that does not hold a number or is not wanted.
    dtype: Dtype,
    /// Rows, and the dimensions of each.
    pub(crate) shape: Vec<usize>,
    numbers: Vec<u8>,
    /// Rows of each input, where it has any number of them.
    pub(crate) lengths: Option<Vec<usize>>,
    pub(crate) labels: Vec<i64>,
}

impl Content {
    /// Without numbers yet.
    pub(crate) fn new(shape: Vec<usize>, narrow: bool) -> Self {
        let dtype = if narrow { Dtype::F16 } else { Dtype::F32 };
        Self { dtype, shape, numbers: Vec::new(), lengths: None, labels: Vec::new() }
    }

    /// Adds numbers; if f16 does not hold one of them, or all of them to a thousandth of their norm, all are f32 from now on.
    pub(crate) fn push(&mut self, numbers: &[f32]) {
        if self.dtype == Dtype::F16 {
            let off = |x: f32| f64::from(f16::from_f32(x).to_f32() - x).powi(2);
            let norm = |f: &dyn Fn(f32) -> f64| numbers.iter().filter(|x| x.is_finite()).map(|&x| f(x)).sum::<f64>();
            let finite = numbers.iter().all(|&x| f16::from_f32(x).is_finite() || !x.is_finite());
            if finite && norm(&off) <= 1e-6 * norm(&|x| f64::from(x).powi(2)) {
                self.numbers.extend(numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
                return;
            }
            let mut wide = vec![0.0; self.numbers.len() / 2];
            self.read(0, &mut wide);
            (self.dtype, self.numbers) = (Dtype::F32, bytes(&wide));
        }
        self.numbers.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    }

    /// The numbers from one of them on.
    pub(crate) fn read(&self, start: usize, numbers: &mut [f32]) {
        match self.dtype {
            Dtype::F16 => {
                let bytes = self.numbers[2 * start..].as_chunks().0;
                numbers.iter_mut().zip(bytes).for_each(|(x, b)| *x = f16::from_le_bytes(*b).to_f32());
            }
            _ => {
                let bytes = self.numbers[4 * start..].as_chunks().0;
                numbers.iter_mut().zip(bytes).for_each(|(x, b)| *x = f32::from_le_bytes(*b));
            }
        }
    }

    fn into_features(self) -> std::result::Result<Features, String> {
        let ([_, _], None) = (&self.shape[..], &self.lengths) else {
            return Err("holds no rows of features".to_owned());
        };
        let values = Tensor::build(&self.shape, |numbers| self.read(0, numbers)).map_err(|error| error.to_string())?;
        Ok(Features { values, labels: self.labels })
    }

    /// The lists of whole numbers beside the numbers, by name.
    fn lists(&self) -> Vec<(&'static str, Vec<u8>)> {
        let labels = self.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        let lengths = self.lengths.iter().map(|all| all.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect());
        std::iter::once(("labels", labels)).chain(lengths.map(|all| ("lengths", all))).collect()
    }

    /// The sha256 of key and content.
    fn hash(&self, key: &str) -> String {
        let mut hash = DataKey::new(key, 0);
        hash.add(format!("{} {:?}", self.dtype, self.shape).as_bytes());
        hash.add(&self.numbers);
        self.lists().iter().for_each(|(_, list)| hash.add(list));
        hash.to_string()
    }

    fn write(&self, path: &Path, key: &str) -> Result<()> {
        let mut entries = vec![Entry { name: "features".to_owned(), shape: self.shape.clone(), dtype: self.dtype }];
        let lists = self.lists();
        entries.extend(lists.iter().map(|(name, _)| Entry {
            name: (*name).to_owned(),
            shape: vec![self.labels.len()],
            dtype: Dtype::I64,
        }));
        let said = [("layout", LAYOUT), ("key", key), ("sha256", &self.hash(key))];
        let said = said.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let part = |index: usize| Ok(index.checked_sub(1).map_or(&self.numbers, |list| &lists[list].1).clone());
        Ok(weights_import::write_safetensors(path, &entries, &said, part)?)
    }
}

/// The content of a file, if it is what its name says.
fn read(path: &Path, key: &str, count: usize) -> std::result::Result<Content, String> {
    let text = |error: weights_import::Error| error.to_string();
    let file = weights_import::open(path).map_err(text)?;
    let said = |name: &str| file.metadata().get(name).map(String::as_str).unwrap_or_default();
    if said("layout") != LAYOUT || said("key") != key {
        return Err("holds no features of this trunk and data".to_owned());
    }
    let (features, labels) = (file.raw("features").map_err(text)?, file.raw("labels").map_err(text)?);
    let several = file.entries().iter().any(|entry| entry.name == "lengths");
    let lengths = several.then(|| file.raw("lengths")).transpose().map_err(text)?;
    let list = |raw: &Raw| raw.dtype == Dtype::I64 && raw.shape == [count];
    let kinds = matches!(features.dtype, Dtype::F16 | Dtype::F32) && list(&labels) && lengths.as_ref().is_none_or(list);
    let numbers = |raw: &Raw| raw.bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect::<Vec<_>>();
    let lengths = lengths.as_ref().map(|raw| {
        numbers(raw).into_iter().map(|n| usize::try_from(n).ok().filter(|&n| n > 0)).collect::<Option<Vec<_>>>()
    });
    let rows = match &lengths {
        None => Some(count),
        Some(lengths) => lengths.as_ref().and_then(|all| all.iter().try_fold(0usize, |sum, &n| sum.checked_add(n))),
    };
    if !kinds || features.shape.len() < 2 || rows != Some(features.shape[0]) {
        let shape = &features.shape;
        return Err(format!("holds features {shape:?} where there are {count} inputs, or other types than it should"));
    }
    let content = Content {
        dtype: features.dtype,
        shape: features.shape,
        numbers: features.bytes,
        lengths: lengths.flatten(),
        labels: numbers(&labels),
    };
    if said("sha256") != content.hash(key) {
        return Err("is damaged: its content is not that of its hash".to_owned());
    }
    Ok(content)
}

/// Little-endian.
fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The sha256 of a file.
fn digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let (mut file, mut hash, mut piece) = (fs::File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            len => hash.update(&piece[..len]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_f16_does_not_hold_is_f32() {
        for (numbers, narrow) in
            [([0.5, -3.0, 0.0], true), ([1.0, 1e-9, 2.0], true), ([1e-9, 2e-9, -3e-8], false), ([1.0, 7e4, 2.0], false)]
        {
            let mut content = Content::new(vec![2, 3], true);
            content.push(&[1.0, 2.0, f32::NAN]);
            content.push(&numbers);
            assert_eq!(content.dtype == Dtype::F16, narrow, "{numbers:?}");
            let mut read = [0.0; 3];
            content.read(3, &mut read);
            assert!(
                read.iter()
                    .zip(numbers)
                    .all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(if narrow { 1e-3 } else { 0.0 })),
                "{read:?}"
            );
        }
    }
}
