//! Labelled pictures: a folder of folders, a table of paths, or pictures in memory.

use crate::error::{Error, Result};
use crate::image::Image;
use crate::labels::{Labels, listed};
use crate::table::Table;
use crate::text::{check, numbers};
use rayon::prelude::*;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A picture of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Photo {
    /// A file, decoded whenever it is needed.
    File(PathBuf),
    /// Decoded already; copies of a data set share it.
    Memory(Arc<Image>),
}

impl Photo {
    /// The decoded picture.
    ///
    /// # Errors
    /// The file cannot be read or decoded; the message names it.
    pub fn load(&self) -> Result<Cow<'_, Image>> {
        match self {
            Self::File(path) => Image::open(path).map(Cow::Owned),
            Self::Memory(image) => Ok(Cow::Borrowed(image)),
        }
    }
}

/// Pictures, each with its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDataset {
    /// The pictures.
    pub photos: Vec<Photo>,
    /// The class of each picture.
    pub labels: Vec<usize>,
    /// Names of the classes.
    pub names: Labels,
}

impl ImageDataset {
    /// A folder that holds one folder for each class, with its `.png`, `.jpg` and `.jpeg` files, also in folders below.
    /// Classes and files are in the order of their names. Other files, and names that begin with a dot, are ignored.
    ///
    /// # Errors
    /// There is no such folder, a class has no pictures, or there are not two classes.
    pub fn from_folder(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let classes = class_folders(path)?;
        let names = Labels::new(classes.iter().map(|(name, _)| name.clone()).collect());
        let names = names.map_err(|e| Error::content(path.display(), format!("one folder for each class: {e}")))?;
        Self::read_classes(path, &classes, &names)
    }

    /// As [`ImageDataset::from_folder`], with the classes of the training data. Classes may be absent.
    ///
    /// # Errors
    /// A folder is none of the classes, or has no pictures.
    pub fn from_folder_with_labels(path: impl AsRef<Path>, names: &Labels) -> Result<Self> {
        let path = path.as_ref();
        let classes = class_folders(path)?;
        if classes.is_empty() {
            return Err(Error::content(path.display(), "holds no folders; one for each class is wanted"));
        }
        Self::read_classes(path, &classes, names)
    }

    fn read_classes(path: &Path, classes: &[(String, PathBuf)], names: &Labels) -> Result<Self> {
        let mut data = Self { photos: vec![], labels: vec![], names: names.clone() };
        for (name, folder) in classes {
            let label = names.number(name).map_err(|_| Error::content(path.display(), names.unknown(name)))?;
            let mut files = vec![];
            pictures(folder, 0, &mut files)?;
            if files.is_empty() {
                let message = "holds no .png, .jpg or .jpeg files; remove the class or add pictures";
                return Err(Error::content(folder.display(), message));
            }
            data.labels.extend(std::iter::repeat_n(label, files.len()));
            data.photos.extend(files.into_iter().map(Photo::File));
        }
        Ok(data)
    }

    /// A table with a column of paths, relative to `base`, and one of labels.
    ///
    /// # Errors
    /// A column is missing, a label is empty, a file does not exist, or there are not two classes.
    pub fn from_table(table: &Table, path: &str, label: &str, base: impl AsRef<Path>) -> Result<Self> {
        let values = table.values(label)?.into_iter().map(str::trim).filter(|v| !v.is_empty());
        let names = Labels::from_values(values);
        let names = names.map_err(|e| Error::content(table.source(), format!("column `{label}`: {e}")))?;
        Self::from_table_with_labels(table, path, label, base, &names)
    }

    /// As [`ImageDataset::from_table`], with the classes of the training data.
    ///
    /// # Errors
    /// As [`ImageDataset::from_table`], and a label that is none of the classes.
    pub fn from_table_with_labels(
        table: &Table,
        path: &str,
        label: &str,
        base: impl AsRef<Path>,
        names: &Labels,
    ) -> Result<Self> {
        let labels = numbers(table, label, names)?;
        let photo = |(row, value): (usize, &str)| {
            let file = base.as_ref().join(value.trim());
            if !file.is_file() {
                let message =
                    format!("there is no file {}; paths are taken from {}", file.display(), base.as_ref().display());
                return Err(Error::at_line(table.source(), table.line(row), message));
            }
            Ok(Photo::File(file))
        };
        let photos = table.values(path)?.into_iter().enumerate().map(photo).collect::<Result<_>>()?;
        Ok(Self { photos, labels, names: names.clone() })
    }

    /// Pictures in memory.
    ///
    /// # Errors
    /// Lists of unequal length, or a label that is no class.
    pub fn from_images(images: Vec<Image>, labels: Vec<usize>, names: Labels) -> Result<Self> {
        if images.len() != labels.len() {
            let message = format!("{} pictures, but {} labels", images.len(), labels.len());
            return Err(Error::argument("data set", message));
        }
        if let Some(label) = labels.iter().find(|&&l| l >= names.len()) {
            let message = format!("label {label} is no class, there are {}: {}", names.len(), listed(names.names()));
            return Err(Error::argument("data set", message));
        }
        Ok(Self { photos: images.into_iter().map(|image| Photo::Memory(Arc::new(image))).collect(), labels, names })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.photos.len()
    }

    /// Whether there are no pictures.
    pub fn is_empty(&self) -> bool {
        self.photos.is_empty()
    }

    /// These samples, in this order.
    ///
    /// # Errors
    /// A number that is no sample.
    pub fn subset(&self, samples: &[usize]) -> Result<Self> {
        check(samples, self.len())?;
        Ok(Self {
            photos: samples.iter().map(|&i| self.photos[i].clone()).collect(),
            labels: samples.iter().map(|&i| self.labels[i]).collect(),
            names: self.names.clone(),
        })
    }

    /// Decodes every picture and leaves out those that cannot be; returns the rest and what was wrong with each of the
    /// others, in order.
    pub fn skip_broken(self) -> (Self, Vec<Error>) {
        let checked: Vec<Option<Error>> = self.photos.par_iter().map(|photo| photo.load().err()).collect();
        let mut rest = Self { photos: vec![], labels: vec![], names: self.names };
        let mut errors = vec![];
        for ((photo, label), error) in self.photos.into_iter().zip(self.labels).zip(checked) {
            match error {
                Some(error) => errors.push(error),
                None => {
                    rest.photos.push(photo);
                    rest.labels.push(label);
                }
            }
        }
        (rest, errors)
    }

    /// Decodes every picture, shapes it with `shape` and keeps it in memory: for data that is read many times.
    ///
    /// # Errors
    /// The first picture, in order, that cannot be decoded or shaped.
    pub fn into_memory(mut self, shape: impl Fn(&Image) -> Result<Image> + Sync) -> Result<Self> {
        let photos: Vec<Result<Photo>> =
            self.photos.par_iter().map(|photo| Ok(Photo::Memory(Arc::new(shape(&*photo.load()?)?)))).collect();
        self.photos = photos.into_iter().collect::<Result<_>>()?;
        Ok(self)
    }
}

/// Folders deeper than this are a loop of links.
const DEEPEST: usize = 16;

/// What a folder holds, in the order of the names, without hidden names.
fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = vec![];
    for entry in std::fs::read_dir(path).map_err(|e| Error::io(path, &e))? {
        let entry = entry.map_err(|e| Error::io(path, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn class_folders(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    if path.is_file() {
        return Err(Error::content(path.display(), "is a file; a folder with one folder for each class is wanted"));
    }
    Ok(entries(path)?.into_iter().filter(|(_, path)| path.is_dir()).collect())
}

fn pictures(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    if depth > DEEPEST {
        return Err(Error::content(folder.display(), "folders lie too deep in each other; is there a loop of links?"));
    }
    for (_, path) in entries(folder)? {
        if path.is_dir() {
            pictures(&path, depth + 1, files)?;
        } else if is_picture(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
}
