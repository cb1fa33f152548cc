//! Photos as a model takes them.

use crate::errors::{Failure, Result};
use crate::texts::table;
use crate::train::{self, Kept};
use std::path::Path;
use ukulele_data::{Augment, ImageBatch, ImageBatches, ImageDataset, Labels, Preprocess};
use ukulele_layers::Tensor;
use ukulele_training::{Batches, BoundaryValues, Classifier, Features, Labelled, Model};

/// Photos in a batch when nothing is learned.
const EVALUATED_AT_ONCE: usize = 32;

/// Reads a folder of a folder per class, or a table of paths and labels; paths are relative to the table. With `names`,
/// these are the classes.
pub(crate) fn read(data: &Path, path: &str, label: &str, names: Option<&Labels>) -> Result<ImageDataset> {
    if data.is_dir() {
        return Ok(match names {
            None => ImageDataset::from_folder(data)?,
            Some(names) => ImageDataset::from_folder_with_labels(data, names)?,
        });
    }
    let base = data.parent().unwrap_or(Path::new(""));
    let table = table(data)?;
    let found = match names {
        None => ImageDataset::from_table(&table, path, label, base),
        Some(names) => ImageDataset::from_table_with_labels(&table, path, label, base, names),
    };
    Ok(found?)
}

/// Decodes every photo once. A broken one ends the command, or with `skip` is named and left out; no class may be without
/// a photo then.
pub(crate) fn checked(data: ImageDataset, source: &str, skip: bool) -> Result<ImageDataset> {
    let rest = checked_some(data, skip)?;
    if let Some(class) = (0..rest.names.len()).find(|class| !rest.labels.contains(class)) {
        let name = rest.names.name(class).unwrap_or_default();
        return Err(Failure::run(format!("{source}: no readable photo of class `{name}` is left")));
    }
    Ok(rest)
}

/// As [`checked`], for data in which classes may be absent.
pub(crate) fn checked_some(data: ImageDataset, skip: bool) -> Result<ImageDataset> {
    let (rest, broken) = data.skip_broken();
    let Some(first) = broken.first() else { return Ok(rest) };
    if !skip {
        let more = match broken.len() {
            1 => String::new(),
            n => format!(" ({} more like it)", n - 1),
        };
        return Err(Failure::run(format!(
            "{first}{more}; mend or remove it, or leave out broken photos with --skip-broken"
        )));
    }
    for error in &broken {
        eprintln!("left out: {error}");
    }
    if rest.is_empty() { Err(Failure::run("no readable photo is left")) } else { Ok(rest) }
}

/// Most bytes of photos that are kept in memory; beyond, they are decoded whenever they are needed.
const KEPT: usize = 2 << 30;

/// Decodes, resizes and crops each photo once and keeps it, unless they are too many; returns also what is then left to
/// be done to them.
pub(crate) fn kept(data: ImageDataset, preprocess: &Preprocess) -> Result<(ImageDataset, Preprocess)> {
    let Some((height, width)) = preprocess.output_size() else { return Ok((data, preprocess.clone())) };
    if (height * width * 3).saturating_mul(data.len()) > KEPT {
        return Ok((data, preprocess.clone()));
    }
    let left = Preprocess { size: None, crop: None, ..preprocess.clone() };
    Ok((data.into_memory(|image| preprocess.shape(image))?, left))
}

/// How a saved model wants its photos.
pub(crate) fn saved_preprocess(model: &Model) -> Result<Preprocess> {
    let none = "this model does not say how photos are to be prepared, so it is none for photos";
    model.preprocess.clone().ok_or_else(|| Failure::run(none))
}

/// Batches for a pass in which nothing is learned.
pub(crate) fn still(photos: ImageDataset, preprocess: Preprocess) -> Result<ImageBatches> {
    Ok(ImageBatches::new(photos, preprocess, Augment::default(), EVALUATED_AT_ONCE, 0)?)
}

fn labelled(batch: ukulele_data::Result<ImageBatch>) -> ukulele_training::Result<Labelled<Tensor>> {
    let batch = batch.map_err(ukulele_training::Error::data)?;
    Ok(Labelled { inputs: batch.images, labels: batch.labels.iter().map(|&l| l as i64).collect() })
}

/// The batches of an epoch, counted from 1.
pub(crate) fn epoch(photos: &ImageBatches, epoch: usize) -> Batches<'static, Tensor> {
    Box::new(photos.epoch(epoch as u64).map(labelled))
}

/// All batches in the order of the data set, nothing changed.
pub(crate) fn in_order(photos: &ImageBatches) -> impl Iterator<Item = ukulele_training::Result<Labelled<Tensor>>> {
    photos.in_order().map(labelled)
}

/// What the frozen trunk of `net` says of the photos, in order and unchanged: see [`train::features`].
pub(crate) fn features<N: Classifier<Batch = Tensor>>(
    net: &mut N,
    kept: Kept<'_>,
    photos: &ImageBatches,
    quiet: bool,
) -> Result<Features> {
    train::features(net, kept, in_order(photos), photos.len(), quiet)
}

/// What the first `groups` groups of layers, which are frozen, say of the photos to learn from and to validate; `None` where that
/// is too much for memory and there is no folder, or no room in it: see [`train::boundary_values`].
pub(crate) fn boundary_values<N: Classifier<Batch = Tensor>>(
    net: &mut N,
    groups: usize,
    [learn, judge]: [(&ImageBatches, Kept<'_>); 2],
    quiet: bool,
) -> Result<Option<[BoundaryValues; 2]>> {
    let Some(first) = in_order(learn.0).next().transpose()? else { return Ok(None) };
    let (example, photos) = (first.inputs.narrow(0, 0, 1)?, learn.0.len() + judge.0.len());
    if !train::can_keep(net, groups, &example, photos as f64, learn.1.is_some())? {
        return Ok(None);
    }
    let mut of = |(photos, kept): (&ImageBatches, Kept<'_>)| {
        train::boundary_values(net, kept, in_order(photos), photos.len(), quiet)
    };
    let Some(values) = of(learn)? else { return Ok(None) };
    Ok(of(judge)?.map(|seen| [values, seen]))
}
