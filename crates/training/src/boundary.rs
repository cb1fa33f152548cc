//! Training above a boundary: frozen groups of layers are run once, and those above learn from what they said.

use crate::feature_cache::{Content, Growing};
use crate::trunk::{frozen_groups, learning, over};
use crate::{Batches, Classifier, Error, Labelled, Result};
use ukulele_inference::PlanOptions;
use ukulele_layers::{Module, ModuleId, Param, Pass, Tensor, Value};

/// A batch at a boundary of a model: what the groups of layers below it say.
#[derive(Debug, Clone)]
pub struct Boundary {
    /// (N, ..), of texts (N, T, D).
    pub value: Tensor,
    /// As [`Classifier::mask`] has it.
    pub mask: Option<Tensor>,
}

/// What the frozen groups of layers below a boundary say of labelled examples, in order. [`AboveBoundary`] learns from it.
///
/// ```
/// use ukulele_layers::{Init, Tensor};
/// use ukulele_models::{ResNet, ResNetConfig};
/// use ukulele_training::{AdamW, BoundaryValues, Classifier, Control, FitOptions, AboveBoundary, Labelled, fit};
/// let config = ResNetConfig { width: 4, layers: [1, 1, 1, 1], ..ResNetConfig::depth(18, 2).unwrap() };
/// let mut net = ResNet::new(&config, &mut Init::new(0));
/// net.freeze_groups(3); // stem, layer1, layer2
/// let batch = Labelled { inputs: Tensor::ones(&[4, 3, 32, 32])?, labels: vec![0, 1, 0, 1] };
/// let values = BoundaryValues::of(&mut net, std::iter::once(Ok(batch)))?;
/// assert_eq!((values.boundary(), values.len()), (3, 4));
/// fit(
///     &mut AboveBoundary { net: &mut net, boundary: values.boundary() },
///     &mut AdamW::new(1e-3),
///     &FitOptions { epochs: 2, ..Default::default() },
///     &mut |_epoch| Ok(values.batches(vec![vec![0, 1], vec![2, 3]])),
///     &mut |_net| Ok(None),
///     &mut |_event| Control::Continue,
/// )?;
/// # Ok::<(), ukulele_training::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BoundaryValues {
    boundary: usize,
    content: Content,
    /// The first row of each example, and behind the last.
    starts: Vec<usize>,
}

/// The groups of layers below the first that learns.
///
/// # Errors
/// There is none, or the model is not cut.
pub(crate) fn lowest<N: Classifier>(net: &mut N) -> Result<usize> {
    match frozen_groups(net) {
        0 => Err(Error::Argument(match (net.stages(), learning(net)) {
            (1.., Some(name)) => {
                format!("no group of layers is frozen as a whole below `{name}`; freeze the first groups")
            }
            _ => "this model is not cut at a boundary: it runs as a whole alone".to_owned(),
        })),
        boundary => Ok(boundary),
    }
}

impl BoundaryValues {
    /// Runs the groups of layers below the first that is not frozen in all its parts (weights, statistics, dropout) once over
    /// all batches, by a plan if they are many. What the rest makes of the result is what it would make of the inputs, as long
    /// as they stay frozen and preprocessing has no randomness. It takes 4 bytes a number: 0.8 MB for a photo of 224×224 below
    /// the last stage of a ResNet-50.
    ///
    /// # Errors
    /// A first group that learns, a model that is not cut ([`Classifier::stages`]), no batches, or one that cannot be made or
    /// run; inputs of unequal size, other than texts; texts with padding before their end.
    pub fn of<N: Classifier>(
        net: &mut N,
        mut batches: impl Iterator<Item = Result<Labelled<N::Batch>>>,
    ) -> Result<Self> {
        let boundary = lowest(net)?;
        let mut content = Content::in_memory();
        Self::fill(&mut content, net, boundary, &mut batches)?;
        Self::open(boundary, content.finish("")?.0).map_err(Error::Argument)
    }

    /// Adds the values at this boundary.
    pub(crate) fn fill<N: Classifier>(
        content: &mut Content<Growing>,
        net: &N,
        boundary: usize,
        batches: &mut dyn Iterator<Item = Result<Labelled<N::Batch>>>,
    ) -> Result<()> {
        over(net, Some(boundary), PlanOptions::default(), batches, &mut |value, batch| {
            let mask = N::mask(&batch.inputs);
            add(content, value.tensor(), mask.as_ref())?;
            content.labels.extend(batch.labels);
            Ok(())
        })?;
        match content.shape.is_empty() {
            true => Err(Error::Argument("no batches to take values of".into())),
            false => Ok(()),
        }
    }

    pub(crate) fn open(boundary: usize, content: Content) -> std::result::Result<Self, String> {
        let (rows, examples) = (content.shape[0], content.labels.len());
        let mut starts = vec![0];
        match &content.lengths {
            Some(lengths) => starts.extend(lengths.iter().scan(0, |sum, n| {
                *sum += n;
                Some(*sum)
            })),
            None => starts.extend(1..=rows),
        }
        if starts.len() != examples + 1 || (content.lengths.is_some() && content.shape.len() != 2) {
            return Err(format!("{} inputs with {examples} labels", starts.len() - 1));
        }
        Ok(Self { boundary, content, starts })
    }

    /// How many groups of layers are below the boundary.
    pub fn boundary(&self) -> usize {
        self.boundary
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.content.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.content.labels.is_empty()
    }

    /// The classes of the examples.
    pub fn labels(&self) -> &[i64] {
        &self.content.labels
    }

    /// The examples at these places. Texts are padded to the longest of them.
    ///
    /// # Errors
    /// A place past the end; a file of a [`crate::FeatureCache`] that cannot be read any more.
    pub fn batch(&self, places: &[usize]) -> Result<Labelled<Boundary>> {
        if let Some(place) = places.iter().find(|&&place| place >= self.len()) {
            return Err(Error::Argument(format!("example {place} of {}", self.len())));
        }
        let labels = places.iter().map(|&place| self.content.labels[place]).collect();
        let row = &self.content.shape[1..];
        let width: usize = row.iter().product();
        let length = |place: usize| self.starts[place + 1] - self.starts[place];
        let longest = places.iter().map(|&place| length(place)).max().unwrap_or(1);
        let mut read = Ok(());
        let fill = |numbers: &mut [f32]| {
            for (numbers, &place) in numbers.chunks_mut((longest * width).max(1)).zip(places) {
                let (text, padding) = numbers.split_at_mut(length(place) * width);
                if read.is_ok() {
                    read = self.content.read(self.starts[place] * width, text);
                }
                padding.fill(0.0);
            }
        };
        let count = places.len();
        let value = match (row, self.content.lengths.is_some()) {
            (&[width], true) => Tensor::build(&[count, longest, width], fill)?,
            (&[h, w, c], false) => Tensor::build_channels_last([count, c, h, w], fill)?,
            _ => Tensor::build(&[&[count], row].concat(), fill)?,
        };
        read?;
        let mask = self.content.lengths.as_ref().map(|_| {
            let there = |place: usize| (0..longest).map(move |t| f32::from(u8::from(t < length(place))));
            Tensor::from_vec(&[count, longest], places.iter().flat_map(|&place| there(place)).collect())
        });
        Ok(Labelled { inputs: Boundary { value, mask: mask.transpose()? }, labels })
    }

    /// One batch for each list of places: an epoch.
    pub fn batches(&self, lists: Vec<Vec<usize>>) -> Batches<'_, Boundary> {
        Box::new(lists.into_iter().map(|places| self.batch(&places)))
    }
}

/// Adds a batch: images as rows (H, W, C), of texts each token that is no padding as a row.
fn add(content: &mut Content<Growing>, value: &Tensor, mask: Option<&Tensor>) -> Result<()> {
    let wrong = |message: String| Err(Error::Argument(message));
    let (row, rows) = match (value.shape(), mask) {
        (&[n, t, d], Some(mask)) if mask.shape() == [n, t] => {
            let (mask, numbers) = (mask.to_vec(), value.contiguous());
            let mut rows = 0;
            for (mask, text) in mask.chunks(t.max(1)).zip(numbers.dense_memory().chunks((t * d).max(1))) {
                let length = mask.iter().take_while(|&&m| m != 0.0).count();
                if length == 0 || mask[length..].iter().any(|&m| m != 0.0) {
                    return wrong("a text without tokens, or with padding before its end, is not kept".to_owned());
                }
                content.lengths.get_or_insert_default().push(length);
                rows += length;
                content.push(&text[..length * d])?;
            }
            (vec![d], rows)
        }
        (&[n, c, h, w], None) => {
            content.push(value.channels_last().dense_memory())?;
            (vec![h, w, c], n)
        }
        (&[n, ref row @ ..], None) if !row.is_empty() => {
            content.push(value.contiguous().dense_memory())?;
            (row.to_vec(), n)
        }
        (shape, _) => return wrong(format!("values of shape {shape:?} at a boundary are not kept")),
    };
    match content.shape.split_first_mut() {
        None => content.shape = [&[rows], &row[..]].concat(),
        Some((all, known)) if *known == row[..] => *all += rows,
        Some((_, known)) => return wrong(format!("inputs of unequal size: {known:?} and {row:?} at the boundary")),
    }
    Ok(())
}

/// A model seen from a boundary: it takes [`Boundary`] values for inputs. [`crate::fit`] then trains what is above.
#[derive(Debug)]
pub struct AboveBoundary<'a, N> {
    /// The model.
    pub net: &'a mut N,
    /// How many groups of layers are below: [`BoundaryValues::boundary`].
    pub boundary: usize,
}

impl<N: Classifier> Module for AboveBoundary<'_, N> {
    fn each(&mut self, path: &str, f: &mut dyn FnMut(&str, &mut Param)) {
        self.net.each(path, f);
    }

    fn modules(&self, path: &str, f: &mut dyn FnMut(&str, ModuleId)) {
        self.net.modules(path, f);
    }
}

impl<N: Classifier> Classifier for AboveBoundary<'_, N> {
    type Batch = Boundary;

    fn features(&self, batch: &Boundary, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        self.net.above(&batch.value.clone().into(), batch.mask.as_ref(), self.boundary, pass)
    }

    fn head(&self, features: &Value, pass: &mut Pass) -> ukulele_layers::Result<Value> {
        self.net.head(features, pass)
    }

    fn classes(&self) -> usize {
        self.net.classes()
    }

    fn head_names(&self) -> Vec<String> {
        self.net.head_names()
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.net.groups()
    }

    fn count(batch: &Boundary) -> usize {
        batch.value.shape().first().copied().unwrap_or(0)
    }

    fn measures(&self) -> String {
        self.net.measures()
    }
}
