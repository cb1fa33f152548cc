//! From a file into a model.

use crate::dialect::{How, square};
use crate::report::{Misshapen, Report};
use crate::{Dialect, Entry, Error, Result, Weights, guess};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use ukulele_tensor::Tensor;

/// A place of a model that wants a tensor.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The model's name for it.
    pub name: String,
    /// Where it goes; its shape is the shape expected.
    pub tensor: &'a mut Tensor,
}

/// How to load.
#[derive(Default)]
pub struct Options<'a> {
    /// Called after each tensor with the number done and the number of all.
    pub progress: Option<&'a mut (dyn FnMut(usize, usize) + Send)>,
    /// Load whatever fits even if names and shapes tell of another architecture, e.g. the first half of a deeper network.
    pub any_architecture: bool,
}

/// Loads weights into the slots of a model.
///
/// Every tensor is read before the first slot is assigned: on an error the model is as it was. Four-dimensional tensors
/// are stored channels-last.
///
/// # Errors
/// A file that cannot be read, or weights of another architecture. Single tensors that are missing or misshapen are
/// not errors here: the [`Report`] tells of them, and its `only_missing` and `strict` judge.
pub fn load(slots: Vec<Slot<'_>>, weights: &Weights, dialect: &Dialect) -> Result<Report> {
    load_with(slots, weights, dialect, Options::default())
}

/// [`load`] with [`Options`].
///
/// # Errors
/// As [`load`].
pub fn load_with(slots: Vec<Slot<'_>>, weights: &Weights, dialect: &Dialect, options: Options<'_>) -> Result<Report> {
    let wanted: Vec<(String, Vec<usize>)> = slots.iter().map(|s| (s.name.clone(), s.tensor.shape().to_vec())).collect();
    let (mut tensors, report) = read(&wanted, weights, dialect, options)?;
    for slot in slots {
        if let Some(tensor) = tensors.remove(&slot.name) {
            *slot.tensor = tensor;
        }
    }
    Ok(report)
}

/// The first half of a load, for models whose slots cannot be borrowed all at once: reads the tensors for these names
/// and shapes. Names that are missing or misshapen are not in the map, but in the report.
///
/// # Errors
/// As [`load`].
pub fn read(
    wanted: &[(String, Vec<usize>)],
    weights: &Weights,
    dialect: &Dialect,
    options: Options<'_>,
) -> Result<(BTreeMap<String, Tensor>, Report)> {
    let mut report = Report { file: weights.source().to_string(), dialect: dialect.name(), ..Report::default() };
    let mut used = BTreeSet::new();
    let mut plans = BTreeMap::new();
    for (name, shape) in wanted {
        if plans.contains_key(name.as_str()) {
            return Err(Error::Argument(format!("the model has two tensors named {name}")));
        }
        let Some((how, sources)) = dialect.rule(name, weights) else {
            report.missing.push(name.clone());
            continue;
        };
        used.extend(sources.iter().map(|e| e.name.as_str()));
        if let Err(found) = fits(dialect, how, &sources, shape) {
            report.misshapen.push(Misshapen { name: name.clone(), expected: shape.clone(), found });
            continue;
        }
        match how {
            How::Fill(value) => report.filled.push((name.clone(), value)),
            How::Tied => report.tied.push((name.clone(), sources[0].name.clone())),
            _ => report.loaded.push(name.clone()),
        }
        plans.insert(name.as_str(), (how, sources, shape));
    }
    if !options.any_architecture {
        same_architecture(wanted, plans.len(), weights, dialect)?;
    }
    leftovers(&used, weights, dialect, &mut report)?;

    let total = plans.len();
    let done = Mutex::new((0, options.progress));
    let made: Vec<Result<(String, Tensor)>> = plans
        .into_par_iter()
        .map(|(name, (how, sources, shape))| {
            let tensor = make(name, how, &sources, shape, weights)?;
            let (count, progress) = &mut *done.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            if let Some(progress) = progress {
                progress(*count, total);
            }
            Ok((name.to_string(), tensor))
        })
        .collect();
    Ok((made.into_iter().collect::<Result<_>>()?, report))
}

/// Whether what `how` makes of the sources has the shape that is wanted; else the shape it has.
fn fits(dialect: &Dialect, how: How, sources: &[&Entry], wanted: &[usize]) -> std::result::Result<(), Vec<usize>> {
    let Some(first) = sources.first() else { return Ok(()) };
    let ones = dialect.table().leading_ones;
    let equal = |shape: &[usize]| {
        let extra = shape.len().saturating_sub(wanted.len());
        shape == wanted || (ones && shape[..extra].iter().all(|&n| n == 1) && &shape[extra..] == wanted)
    };
    let made = how.shape(&first.shape).ok_or_else(|| first.shape.clone())?;
    if !equal(&made) {
        return Err(made);
    }
    let factor = |entry: &Entry| entry.numel() == 1;
    match (how, sources) {
        (How::Ratio, [_, divisor]) if !factor(divisor) => Err(divisor.shape.clone()),
        (How::RatioMinus, [_, divisor, _]) if !factor(divisor) => Err(divisor.shape.clone()),
        (How::RatioMinus, [first, _, less]) | (How::Minus, [first, less]) if first.numel() != less.numel() => {
            Err(less.shape.clone())
        }
        _ => Ok(()),
    }
}

/// Reads the sources and makes the tensor.
fn make(name: &str, how: How, sources: &[&Entry], shape: &[usize], weights: &Weights) -> Result<Tensor> {
    let source = |index: usize| match sources.get(index) {
        Some(entry) => weights.get(&entry.name),
        None => Err(Error::Argument(format!("the rule for {name} names too few sources"))),
    };
    let tensor = match how {
        How::Copy | How::Tied => source(0)?.reshape(shape)?,
        How::Permute(order) => source(0)?.permute(order)?.contiguous(),
        How::Flatten(order) => source(0)?.permute(order)?.contiguous().reshape(shape)?,
        How::Pixel => source(0)?.permute(&[1, 0])?.contiguous().reshape(shape)?,
        How::FlattenedHwc(channels) => {
            let matrix = source(0)?;
            let side = matrix.shape().first().and_then(|rows| square(rows.checked_div(channels)?)).unwrap_or(0);
            matrix.reshape(&[side, side, channels, shape[0]])?.permute(&[3, 2, 0, 1])?.contiguous().reshape(shape)?
        }
        How::Minus => {
            let (mut values, less) = (source(0)?.to_vec(), source(1)?.to_vec());
            values.iter_mut().zip(less).for_each(|(value, less)| *value = (f64::from(*value) - f64::from(less)) as f32);
            Tensor::from_vec(shape, values)?
        }
        How::Fill(value) => Tensor::full(shape, value)?,
        How::Ratio | How::RatioMinus => {
            let divisor = f64::from(source(1)?.item()?);
            let factor = if divisor == 0.0 { 0.0 } else { 1.0 / divisor };
            let mut values = source(0)?.to_vec();
            let less = if how == How::RatioMinus { source(2)?.to_vec() } else { vec![0.0; values.len()] };
            for (value, less) in values.iter_mut().zip(less) {
                *value = (f64::from(*value) * factor - f64::from(less)) as f32;
            }
            Tensor::from_vec(shape, values)?
        }
    };
    Ok(if tensor.rank() == 4 { tensor.channels_last() } else { tensor })
}

/// Stops a load that would fill a model with the weights of another.
fn same_architecture(
    wanted: &[(String, Vec<usize>)],
    fitting: usize,
    weights: &Weights,
    dialect: &Dialect,
) -> Result<()> {
    let found = guess::guess(weights, dialect);
    let expected = guess::guess_from(wanted);
    let same = match (&found, &expected) {
        (Some(found), Some(expected)) => found.same_trunk(expected),
        _ => 2 * fitting >= wanted.len(),
    };
    if same {
        return Ok(());
    }
    let examples = |names: Vec<&str>| format!("tensors named like {}", names.join(", "));
    let found = found.map(|a| a.to_string()).unwrap_or_else(|| {
        let names: Vec<&str> = weights.entries().iter().take(2).map(|e| e.name.as_str()).collect();
        format!("{} tensors of another model ({})", weights.entries().len(), examples(names))
    });
    let expected = expected.map(|a| a.to_string()).unwrap_or_else(|| {
        let names = wanted.iter().take(2).map(|(name, _)| name.as_str()).collect();
        format!("one with {} tensors ({})", wanted.len(), examples(names))
    });
    let found = format!("{found} in {} naming", dialect.name());
    Err(Error::Architecture { file: weights.source().to_string(), found, expected })
}

/// Sorts the tensors of the file that no slot took: ignored with a reason, tied to one that was taken, or unexpected.
fn leftovers(used: &BTreeSet<&str>, weights: &Weights, dialect: &Dialect, report: &mut Report) -> Result<()> {
    for entry in weights.entries().iter().filter(|e| !used.contains(e.name.as_str())) {
        let inner = dialect.inner(&entry.name);
        if let Some(why) = dialect.why_ignored(inner) {
            report.ignored.push((entry.name.clone(), why.to_string()));
            continue;
        }
        let twin = dialect.table().tied.iter().find_map(|(copy, original)| {
            let original = (*copy == inner).then(|| dialect.find(original, weights))??;
            used.contains(original.name.as_str()).then_some(original)
        });
        if let Some(twin) = twin
            && twin.shape == entry.shape
            && weights.raw(&twin.name)? == weights.raw(&entry.name)?
        {
            report.ignored.push((entry.name.clone(), format!("equals {}, which shares its values", twin.name)));
        } else {
            report.unexpected.push(entry.name.clone());
        }
    }
    Ok(())
}
