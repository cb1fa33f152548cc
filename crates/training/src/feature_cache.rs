//! Features on disk: a trunk that does not learn is run but once, over all trainings.

mod content;
mod file;

pub(crate) use content::{Content, Growing};

use crate::boundary::lowest;
use crate::frozen::frozen;
use crate::trunk::each_of;
use crate::{BoundaryValues, Classifier, Error, Features, Labelled, Result};
use file::Draft;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use ukulele_data::{ImageDataset, Photo, Preprocess};
use ukulele_layers::Role;
use ukulele_models::TokenBatch;
use weights_import::NewFile;

/// The layout of the files and of their keys.
const LAYOUT: &str = "ukulele features 2";

/// A folder of features, a file for each trunk and data: `<key>.safetensors`.
///
/// The key is the sha256 of all that decides on the features: the trunk's parameters and measures, and the data with its
/// preprocessing ([`DataKey`]). A trunk that has learned in between (gradual unfreezing) has another key, as have other photos.
/// Of a trunk that is frozen in part, the values at the boundary are kept instead ([`FeatureCache::boundary`]).
/// What is whole is never removed: what is no longer wanted may be deleted at any time.
///
/// Numbers are kept as f16, half the size of f32, and rounded in the run that computes them as well, so that both runs give the
/// same bits. Each is off by at most 2⁻¹¹ (0.05 %) of itself, below 6·10⁻⁵ by at most 3·10⁻⁸; logits of a linear head move by a
/// few times 10⁻⁴ of their norm. Features of which one is beyond f16's 65504 are kept as f32.
///
/// A file is written whole or not at all, and carries its key and the sha256 of its content: what is damaged or of something
/// else is removed and computed anew, and said ([`Cached::warning`]). Until it is whole its name begins with a dot and ends in
/// `.tmp`; what a killed process leaves of that the next [`FeatureCache::new`] removes. While values are in use their file may be
/// deleted or replaced, but not changed. Where a late number is beyond f16, what is there is written again as f32, which takes three
/// times the room for a while.
///
/// Where nothing can be written, values are held in memory, if they are few enough, and that is said.
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
    held: usize,
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
    /// So many bytes of what is said of one data set at a boundary are held in memory where they cannot be written, unless
    /// [`FeatureCache::held_at_most`] says otherwise. While they grow their room may be twice that.
    pub const HELD: usize = 2_000_000_000;

    /// The cache in this folder, which is made if it is not there; what killed processes have left half written is removed.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, e))?;
        NewFile::sweep(&folder, |name| {
            let key = name.strip_suffix(".safetensors").unwrap_or_default();
            key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        Ok(Self { folder, held: Self::HELD })
    }

    /// Another limit than [`FeatureCache::HELD`].
    #[must_use]
    pub fn held_at_most(self, bytes: usize) -> Self {
        Self { held: bytes, ..self }
    }

    /// As [`Features::of`] these batches, which `data` identifies; they are not asked for if the features are there. They are in
    /// memory as a whole.
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
        self.read_or(&key, data.count, usize::MAX, Content::into_features, &mut |content| {
            let Features { values, labels } = Features::of(net, &mut batches)?;
            content.shape = values.shape().to_vec();
            content.labels = labels;
            content.push(values.dense_memory())
        })
    }

    /// As [`FeatureCache::features`], of the frozen groups of layers of which [`BoundaryValues::of`] tells. The key tells how many
    /// they are: groups that learn in between, as in gradual unfreezing, have no part in it.
    ///
    /// The values go to the file as they are computed, and each batch is read from there: in memory are its rows alone.
    ///
    /// # Errors
    /// As [`BoundaryValues::of`]; another number of inputs than `data` tells of; [`Error::NoRoom`] where the values cannot be
    /// written, and are too many to be held in memory.
    pub fn boundary<N: Classifier>(
        &self,
        net: &mut N,
        data: &DataKey,
        mut batches: impl Iterator<Item = Result<Labelled<N::Batch>>>,
    ) -> Result<Cached<BoundaryValues>> {
        let boundary = lowest(net)?;
        let key = key(net, Some(boundary), data);
        let open = |content| BoundaryValues::open(boundary, content);
        self.read_or(&key, data.count, self.held, open, &mut |content| {
            BoundaryValues::fill(content, net, boundary, &mut batches)
        })
    }

    /// What is kept under this key, computed if it is not there; so many bytes of it may be in memory.
    fn read_or<T>(
        &self,
        key: &str,
        count: usize,
        held: usize,
        open: impl Fn(Content) -> std::result::Result<T, String>,
        compute: &mut dyn FnMut(&mut Content<Growing>) -> Result<()>,
    ) -> Result<Cached<T>> {
        let path = self.folder.join(format!("{key}.safetensors"));
        let mut warning = None;
        let there = fs::symlink_metadata(&path).ok();
        // A link leads out of the folder, and a pipe never ends.
        let foreign = there.as_ref().is_some_and(|there| !there.is_file());
        if there.is_some() && !foreign {
            match file::open(&path, key, count).and_then(&open) {
                Ok(features) => return Ok(Cached { features, read: true, warning }),
                Err(why) => {
                    // Two of the size may be more than the disk holds.
                    let _ = fs::remove_file(&path);
                    warning = Some(format!("{}: {why}; computed anew", path.display()).replace('\n', " "));
                }
            }
        }
        let draft = match foreign {
            true => Err(format!("{} is no regular file", path.display())),
            false => Draft::create(&path).map_err(|error| error.to_string()),
        };
        let mut content = Content::in_file(draft, held);
        compute(&mut content)?;
        if content.labels.len() != count {
            return Err(Error::Argument(format!("{} inputs came, the key is of {count}", content.labels.len())));
        }
        let (content, unkept) = content.finish(key)?;
        if let Some(why) = unkept {
            let before = warning.map(|warning| warning + "; ").unwrap_or_default();
            let now = "features are not kept, but held in memory for now";
            warning = Some(format!("{before}{now}: {why}").replace('\n', " "));
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
