//! Images, text and tables to batches.
//!
//! A text goes [`Table`] → [`TextDataset`] → [`split`] → [`TextBatches`]; a picture goes [`ImageDataset`] → [`split`] →
//! [`ImageBatches`], which decodes, changes ([`Augment`]) and normalises ([`Preprocess`]) it. Everything random is
//! determined by (seed, epoch, sample), whatever the number of threads. Data from outside never causes a panic: an
//! [`Error`] says what is wrong, in which file and line, and how to mend it.
//!
//! ```
//! use ukulele_data::{Casing, Table, TableFormat, TextBatches, TextDataset, Tokenizer, split};
//!
//! let csv = b"text,label\nso good,yes\nso bad,no\ngood good,yes\nbad bad,no".to_vec();
//! let data = TextDataset::from_table(&Table::parse(csv, "tweets.csv", TableFormat::default())?, "text", "label")?;
//! let parts = split::stratified(&data.labels, &[2, 2], 1)?; // half of each class in either part
//! let train = data.subset(&parts[0])?;
//!
//! let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nso\ngood\nbad\n##d";
//! let tokenizer = Tokenizer::from_vocab(vocab, Casing::Uncased)?;
//! assert_eq!(tokenizer.encode("So GÓOD!").ids, [2, 4, 5, 1, 3]);
//!
//! let batches = TextBatches::encode(&tokenizer, &train.texts, &train.labels, 128, 32, 1)?;
//! for batch in batches.epoch(0) {
//!     assert_eq!(batch.ids.len(), batch.batch * batch.length); // padded to the longest
//! }
//! # Ok::<(), ukulele_data::Error>(())
//! ```
//!
//! Pictures:
//!
//! ```no_run
//! use ukulele_data::{Augment, ImageBatches, ImageDataset, Preprocess};
//!
//! let (data, broken) = ImageDataset::from_folder("flowers")?.skip_broken(); // flowers/rose/1.jpg, flowers/tulip/1.png
//! broken.iter().for_each(|error| eprintln!("left out: {error}"));
//! let augment = Augment { flip_horizontal: true, ..Augment::default() };
//! let batches = ImageBatches::new(data, Preprocess::imagenet_torchvision(), augment, 32, 1)?;
//! for batch in batches.epoch(0) {
//!     let images = batch?.images; // (N, 3, 224, 224), channels-last
//! }
//! # Ok::<(), ukulele_data::Error>(())
//! ```
#![forbid(unsafe_code)]

mod augment;
mod batch;
mod encoding;
mod error;
mod exif;
mod folder;
pub mod geometry;
mod idx;
mod image;
mod image_batches;
mod jpeg;
mod labels;
mod normalize;
mod png;
mod preprocess;
mod preprocess_files;
mod random;
mod resize;
pub mod split;
mod table;
mod text;
mod text_batches;
mod tokenizer;
mod trie;
mod unicode;

pub use crate::augment::{Augment, RandomCrop};
pub use crate::encoding::{Encoding, Side, Truncation};
pub use crate::error::{Error, Result};
pub use crate::folder::{ImageDataset, Photo};
pub use crate::idx::Idx;
pub use crate::image::{Image, MAX_PIXELS};
pub use crate::image_batches::{ImageBatch, ImageBatches, ImageEpoch};
pub use crate::labels::Labels;
pub use crate::normalize::{Casing, Normalizer};
pub use crate::preprocess::{ColourOrder, Preprocess, Size};
pub use crate::random::Random;
pub use crate::resize::{Filter, resize, resize_shorter};
pub use crate::table::{Table, TableFormat};
pub use crate::text::TextDataset;
pub use crate::text_batches::{TextBatch, TextBatches};
pub use crate::tokenizer::{EncodeOptions, Padding, Tokenizer};
