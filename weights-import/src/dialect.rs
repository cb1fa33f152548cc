//! Dialects: the same architecture, named and shaped differently by different sources.
//!
//! A dialect is data: a [`Table`] of name rules, fills and numeric [`Knobs`]. The tables live in `dialects/`, one a
//! file; to add one, write its table and list it in `dialects/mod.rs`.

use crate::{Entry, Error, Result, TextFamily, Weights, dialects, pattern, quantised};
use std::collections::{BTreeMap, BTreeSet};

/// Most prefixes of names that are looked at as wrappers of a whole model.
const MOST_WRAPPERS: usize = 64;

/// How a tensor of the model is made from tensors of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// The first source as it is.
    Copy,
    /// The first source, which the file keeps for another tensor too (shared weights); reported as tied.
    Tied,
    /// The first source with its axes in this order, e.g. `[3, 2, 0, 1]` for a kernel HWIO to OIHW.
    Permute(&'static [usize]),
    /// As `Permute`, then all axes but the first made one: the kernel of a convolution that is a linear layer elsewhere.
    Flatten(&'static [usize]),
    /// A matrix (in, out) as a kernel (out, in, 1, 1): a linear layer that is a convolution elsewhere.
    Pixel,
    /// A matrix (H·W·C, out) as (out, C·H·W) for this many channels C, with H = W: a linear layer after a flatten of
    /// channels-last images.
    FlattenedHwc(usize),
    /// first / second, the second having one element; 0 if that is 0. Caffe stores sums and their weight.
    Ratio,
    /// first / second - third: a running mean that takes in the bias of the convolution before it.
    RatioMinus,
    /// first - second: as `RatioMinus`.
    Minus,
    /// No source: every element has this value. Reported as filled.
    Fill(f32),
}

/// One name rule: where the tensor `target` of the model comes from.
///
/// Names are patterns: `{s}` is a number, `{s-1}` that number less one, `{s:a}` that number as a letter (a is 0), `{*}` any
/// text. The first rule of a table whose
/// target matches and whose sources are all in the file is taken.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Name in the model.
    pub target: &'static str,
    /// Names in the file.
    pub sources: &'static [&'static str],
    /// What is done with them.
    pub how: How,
}

/// A [`Rule`] for one tensor by exact names, made up by a table for one file: where numbers of names depend on the depth of
/// the network, or count (`conv2d_17`).
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Name in the model.
    pub target: String,
    /// Names in the file, without wrapper.
    pub sources: Vec<String>,
    /// What is done with them.
    pub how: How,
}

/// The activation of BERT's feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// x Φ(x), by the error function: Hugging Face's `gelu`.
    Erf,
    /// The tanh approximation: `gelu_new`, `gelu_pytorch_tanh`, google-research.
    Tanh,
}

/// Numbers and choices that names and shapes do not tell, but that change what the network computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knobs {
    /// Batch norm: y = (x - mean) / sqrt(variance + eps).
    pub bn_eps: f64,
    /// Bottleneck blocks: the stride is at the first 1x1 convolution (Caffe, Keras v1), not at the 3x3 (torchvision).
    pub stride_on_1x1: bool,
    /// Padding of the stem's 3x3 max pooling: top, bottom, left, right.
    pub stem_pool_padding: [usize; 4],
    /// The stem's max pooling rounds its output size up (Caffe), windows then reach over the edge.
    pub stem_pool_ceil: bool,
    /// The stride of a ResNet's stage is in its last block, not in the first; the shortcut there takes every second pixel
    /// (TF-slim, Keras' V2).
    pub stride_in_last_block: bool,
    /// Around the map that the stem's max pooling reads lie zeros, which count, as in Keras; it matters where no ReLU is
    /// before it (ResNet V2).
    pub stem_pool_zeros: bool,
    /// Average pools of Inception count the padding (torchvision), or not (Keras, TF-slim).
    pub pool_counts_padding: bool,
    /// The last block of Inception v3 pools by maximum (the Inception of the Frechet distance).
    pub last_pool_max: bool,
    /// Convolutions of stride 2 (in ResNet V2 the stem's pool) pad as TensorFlow's "same": of an even size below and to the
    /// right only.
    pub same_padding: bool,
    /// Convolutions have biases of their own. (A dialect may fold them into the batch norm's mean instead.)
    pub conv_bias: bool,
    /// Classes before the first real one (TF-slim counts the background as class 0).
    pub class_offset: usize,
    /// Which GELU.
    pub gelu: Gelu,
    /// Layer norm: as `bn_eps`.
    pub layer_norm_eps: f64,
}

impl Knobs {
    /// torchvision's and Hugging Face's.
    pub const STANDARD: Self = Self {
        bn_eps: 1e-5,
        stride_on_1x1: false,
        stem_pool_padding: [1; 4],
        stem_pool_ceil: false,
        stride_in_last_block: false,
        stem_pool_zeros: false,
        pool_counts_padding: true,
        last_pool_max: false,
        same_padding: false,
        conv_bias: false,
        class_offset: 0,
        gelu: Gelu::Erf,
        layer_norm_eps: 1e-12,
    };
}

impl Default for Knobs {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// A tensor's name, without wrapper and optional suffix, and its shape.
pub type Named<'w> = (&'w str, &'w [usize]);

/// Makes the rules for one file from its names.
pub type MakeMappings = fn(&[Named<'_>]) -> Vec<Mapping>;

/// A dialect as data.
#[derive(Debug)]
pub struct Table {
    /// Its name, e.g. `torchvision`.
    pub name: &'static str,
    /// Who writes it, for people.
    pub about: &'static str,
    /// What gives it away: of one of these groups, each pattern must match a tensor of the file, all behind the same
    /// prefix (which is then a wrapper such as `module.`, and is stripped).
    pub signs: &'static [&'static [&'static str]],
    /// A further condition on the names without wrapper and on shapes, where names alone do not tell.
    pub when: Option<fn(&[Named<'_>]) -> bool>,
    /// What `config.json` calls such a model, where names alone do not tell: beside another `model_type` the table is passed
    /// over, beside one of these `when` is not asked. Empty if it does not matter.
    pub model_types: &'static [&'static str],
    /// Which relative of BERT it is, if it is one.
    pub family: Option<TextFamily>,
    /// A prefix that the model's names may have and the file's not, or the other way round, e.g. `bert.`; or empty.
    pub optional_prefix: &'static str,
    /// An ending that the file's names may have beyond those of the rules, e.g. `:0`; or empty.
    pub optional_suffix: &'static str,
    /// The name rules, tried in order.
    pub rules: &'static [Rule],
    /// Rules for this very file, which go before `rules`. It is given the names without wrapper and optional suffix, in
    /// the file's order, with their shapes.
    pub map: Option<MakeMappings>,
    /// Tensors of the file that no model needs: pattern and why.
    pub ignored: &'static [(&'static str, &'static str)],
    /// Pairs of tensors of the file that hold the same values: the first may go unused if they are equal.
    pub tied: &'static [(&'static str, &'static str)],
    /// Shapes are filled up with ones on the left (Caffe's old four dimensions).
    pub leading_ones: bool,
    /// The numeric choices.
    pub knobs: Knobs,
    /// The preset of image preprocessing, see [`Dialect::preprocess`].
    pub preprocess: &'static str,
    /// Corrects the knobs by what the file itself says; an error if it turns out to be something else.
    pub tune: Option<fn(&Weights, &mut Knobs) -> Result<()>>,
}

impl Table {
    /// A table without a name or rules, whose fields a new one keeps where it has nothing to say.
    pub const EMPTY: Self = Self {
        name: "",
        about: "",
        signs: &[],
        when: None,
        model_types: &[],
        family: None,
        optional_prefix: "",
        optional_suffix: "",
        rules: &[],
        map: None,
        ignored: &[],
        tied: &[],
        leading_ones: false,
        knobs: Knobs::STANDARD,
        preprocess: "none",
        tune: None,
    };
}

/// A [`Table`] as it applies to one file.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// The numeric choices, corrected by what the file says.
    pub knobs: Knobs,
    table: &'static Table,
    wrapper: String,
    evidence: String,
    mappings: Vec<Mapping>,
}

impl Dialect {
    /// Finds the dialect of a file from its names.
    ///
    /// # Errors
    /// No known dialect, several models in one file, or one quantised by a scheme that is not read.
    pub fn detect(weights: &Weights) -> Result<Self> {
        if let Some(message) = quantised::words(weights) {
            return Err(Error::Dialect { file: weights.source().to_string(), message });
        }
        for table in dialects::ALL {
            if let Some(dialect) = Self::recognise(table, weights)? {
                return Ok(dialect);
            }
        }
        let names: Vec<&str> = weights.entries().iter().take(3).map(|e| e.name.as_str()).collect();
        let seen = match names.as_slice() {
            [] => "it holds no tensors".to_string(),
            names => format!("its tensors are named like {}", names.join(", ")),
        };
        let message = format!("naming not recognised: {seen}; known are {}", Self::names().join(", "));
        Err(Error::Dialect { file: weights.source().to_string(), message })
    }

    /// The dialect of this name, for weights that [`Dialect::detect`] does not recognise.
    ///
    /// # Errors
    /// The name is not known, or the table rejects the file.
    pub fn named(name: &str, weights: &Weights) -> Result<Self> {
        let Some(table) = dialects::ALL.iter().copied().chain([&dialects::PLAIN]).find(|t| t.name == name) else {
            return Err(Error::Argument(format!("no dialect named {name}; known are {}", Self::names().join(", "))));
        };
        match Self::recognise(table, weights)? {
            Some(dialect) => Ok(dialect),
            None => Self::of(table, weights, String::new(), "chosen by name".to_string()),
        }
    }

    /// Names as they are, nothing transformed: for weights that this library saved.
    pub fn plain() -> Self {
        Self::from_table(&dialects::PLAIN)
    }

    /// A dialect of one's own.
    pub fn from_table(table: &'static Table) -> Self {
        Self { knobs: table.knobs, table, wrapper: String::new(), evidence: "chosen".to_string(), mappings: Vec::new() }
    }

    /// The names of all dialects.
    pub fn names() -> Vec<&'static str> {
        dialects::ALL.iter().map(|t| t.name).chain([dialects::PLAIN.name]).collect()
    }

    /// Its name, e.g. `torchvision`.
    pub fn name(&self) -> &'static str {
        self.table.name
    }

    /// Which relative of BERT the table is of, if it is of one.
    pub fn family(&self) -> Option<TextFamily> {
        self.table.family
    }

    /// What the recognition rests on, in words.
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// The preset of image preprocessing that these weights expect: `imagenet` (RGB, mean and deviation), `caffe_bgr`
    /// (BGR 0..255 minus Caffe's means), `keras_bgr` (the same by Keras' means, no crop), `vgg_rgb` (RGB 0..255 minus means),
    /// `inception` (RGB -1..1), `inception_224` (the same at 224 pixels), `facenet` (nearly the same at
    /// 160) or `none`.
    pub fn preprocess(&self) -> &'static str {
        self.table.preprocess
    }

    /// The prefix of all names that is stripped, e.g. `module.`; often empty.
    pub fn wrapper(&self) -> &str {
        &self.wrapper
    }

    pub(crate) fn table(&self) -> &'static Table {
        self.table
    }

    fn of(table: &'static Table, weights: &Weights, wrapper: String, evidence: String) -> Result<Self> {
        let mut knobs = table.knobs;
        if let Some(tune) = table.tune {
            tune(weights, &mut knobs)?;
        }
        let mut dialect = Self { knobs, table, wrapper, evidence, mappings: Vec::new() };
        if let Some(map) = table.map {
            dialect.mappings = map(&inner_names(table, &dialect.wrapper, weights));
        }
        Ok(dialect)
    }

    fn recognise(table: &'static Table, weights: &Weights) -> Result<Option<Self>> {
        for signs in table.signs {
            // By wrapper: how many tensors match the first sign, and the first of them.
            let mut wrappers: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
            for entry in weights.entries() {
                let Some(wrapper) = wrapper(table, signs[0], &entry.name) else { continue };
                wrappers.entry(wrapper).or_insert((0, &entry.name)).0 += 1;
            }
            // None, or more models than any file has: looking at each would take too long.
            if wrappers.is_empty() || wrappers.len() > MOST_WRAPPERS {
                continue;
            }
            let mut claimed = false;
            if !table.model_types.is_empty()
                && let Some(config) = weights.config()?
                && let Some(said) = config["model_type"].as_str()
            {
                claimed = table.model_types.contains(&said);
                if !claimed {
                    return Ok(None);
                }
            }
            let mut found: Vec<(&str, usize, &str)> = wrappers.into_iter().map(|(w, (n, name))| (w, n, name)).collect();
            found.retain(|(known, ..)| {
                (claimed || table.when.is_none_or(|when| when(&inner_names(table, known, weights))))
                    && signs[1..]
                        .iter()
                        .all(|sign| weights.entries().iter().any(|e| wrapper(table, sign, &e.name) == Some(known)))
            });
            match found.as_slice() {
                [] => {}
                [(wrapper, count, example)] => {
                    let mut evidence = format!("{count} tensors are named like {example}");
                    if !wrapper.is_empty() {
                        evidence += &format!(", all behind {wrapper}");
                    }
                    return Self::of(table, weights, wrapper.to_string(), evidence).map(Some);
                }
                several => {
                    let wrappers: Vec<&str> = several.iter().map(|(w, ..)| *w).collect();
                    return Err(Error::Dialect {
                        file: weights.source().to_string(),
                        message: format!(
                            "holds {} models of the {} naming (under {}); save the one you want alone",
                            several.len(),
                            table.name,
                            wrappers.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", "),
                        ),
                    });
                }
            }
        }
        Ok(None)
    }

    /// The entry of the file that holds `name`, with the wrapper, with or without the optional prefix and suffix.
    pub(crate) fn find<'w>(&self, name: &str, weights: &'w Weights) -> Option<&'w Entry> {
        let Table { optional_prefix: prefix, optional_suffix: suffix, .. } = self.table;
        let wrapper = &self.wrapper;
        let entry = |name: &str| {
            let found = weights.entry(&format!("{wrapper}{name}"));
            found.or_else(|| (!suffix.is_empty()).then(|| weights.entry(&format!("{wrapper}{name}{suffix}")))?)
        };
        entry(name).or_else(|| match name.strip_prefix(prefix) {
            _ if prefix.is_empty() => None,
            Some(rest) => entry(rest),
            None => entry(&format!("{prefix}{name}")),
        })
    }

    /// Where the model's tensor `target` comes from: the first rule that can be followed.
    pub(crate) fn rule<'w>(&self, target: &str, weights: &'w Weights) -> Option<(How, Vec<&'w Entry>)> {
        let exact = self.mappings.iter().filter(|mapping| mapping.target == target).find_map(|mapping| {
            let sources =
                mapping.sources.iter().map(|source| self.find(source, weights)).collect::<Option<Vec<_>>>()?;
            Some((mapping.how, sources))
        });
        exact.or_else(|| {
            self.table.rules.iter().find_map(|rule| {
                let captures = pattern::matches(rule.target, target)?;
                let sources = rule
                    .sources
                    .iter()
                    .map(|source| self.find(&pattern::fill(source, &captures)?, weights))
                    .collect::<Option<Vec<_>>>()?;
                Some((rule.how, sources))
            })
        })
    }

    /// [`Dialect::targets`], and the scales of batch norms that the file leaves out because they are ones: everything
    /// that a model can be filled with.
    pub fn all_targets(&self, weights: &Weights) -> Vec<(String, Vec<usize>)> {
        let mut targets = self.targets(weights);
        let names: BTreeSet<String> = targets.iter().map(|(name, _)| name.clone()).collect();
        let scales: Vec<(String, Vec<usize>)> = targets
            .iter()
            .filter_map(|(name, shape)| Some((name.strip_suffix(".running_var")?, shape)))
            .map(|(norm, shape)| (format!("{norm}.weight"), shape.clone()))
            .filter(|(name, _)| !names.contains(name) && self.rule(name, weights).is_some())
            .collect();
        targets.extend(scales);
        targets
    }

    /// The name in the file without the wrapper and the optional suffix.
    pub(crate) fn inner<'n>(&self, name: &'n str) -> &'n str {
        inner(self.table, &self.wrapper, name).unwrap_or(name)
    }

    /// The tensors that a model could take from this file under their model names (without the optional prefix), with
    /// the shapes they would have there.
    pub fn targets(&self, weights: &Weights) -> Vec<(String, Vec<usize>)> {
        let prefix = self.table.optional_prefix;
        let mut targets = Vec::new();
        for entry in weights.entries() {
            let inner = self.inner(&entry.name);
            if self.why_ignored(inner).is_some() {
                continue;
            }
            let exact = self.mappings.iter().find(|m| m.sources.first().is_some_and(|source| source == inner));
            if let Some(Mapping { target, how, .. }) = exact {
                targets.extend(how.shape(&self.trimmed(&entry.shape)).map(|shape| (target.clone(), shape)));
                continue;
            }
            let target = self.table.rules.iter().rev().find_map(|rule| match rule.how {
                How::Tied | How::Fill(_) => None,
                how => {
                    let captures = pattern::matches(rule.sources[0], inner)?;
                    let shape = how.shape(&self.trimmed(&entry.shape))?;
                    Some((pattern::fill(rule.target, &captures)?, shape))
                }
            });
            if let Some((name, shape)) = target {
                let name = name.strip_prefix(prefix).map(str::to_string).unwrap_or(name);
                targets.push((name, shape));
            }
        }
        targets
    }

    /// The shape without the ones that the dialect fills up with.
    pub(crate) fn trimmed(&self, shape: &[usize]) -> Vec<usize> {
        match shape {
            [1, 1, rest @ ..] if self.table.leading_ones && !rest.is_empty() => {
                let ones = rest[..rest.len() - 1].iter().take_while(|&&n| n == 1).count();
                rest[ones..].to_vec()
            }
            shape => shape.to_vec(),
        }
    }

    pub(crate) fn why_ignored(&self, inner: &str) -> Option<&'static str> {
        self.table.ignored.iter().find(|(p, _)| pattern::matches(p, inner).is_some()).map(|(_, why)| *why)
    }
}

impl How {
    /// The shape that comes of a first source of this shape; `None` if it does not fit.
    pub(crate) fn shape(self, first: &[usize]) -> Option<Vec<usize>> {
        match self {
            Self::Permute(order) | Self::Flatten(order) if order.len() != first.len() => None,
            Self::Permute(order) => Some(order.iter().map(|&axis| first[axis]).collect()),
            Self::Flatten(order) => {
                let (&out, rest) = order.split_first()?;
                Some(vec![first[out], rest.iter().try_fold(1usize, |n, &axis| n.checked_mul(first[axis]))?])
            }
            Self::Pixel => match *first {
                [inputs, out] => Some(vec![out, inputs, 1, 1]),
                _ => None,
            },
            Self::FlattenedHwc(channels) => match *first {
                [rows, out] if channels > 0 && rows.is_multiple_of(channels) && square(rows / channels).is_some() => {
                    Some(vec![out, rows])
                }
                _ => None,
            },
            _ => Some(first.to_vec()),
        }
    }
}

/// The name without wrapper and optional suffix; `None` if it has not the wrapper.
fn inner<'n>(table: &Table, wrapper: &str, name: &'n str) -> Option<&'n str> {
    let name = name.strip_prefix(wrapper)?;
    Some(name.strip_suffix(table.optional_suffix).unwrap_or(name))
}

/// All names behind the wrapper, with their shapes.
fn inner_names<'w>(table: &Table, wrapper: &str, weights: &'w Weights) -> Vec<Named<'w>> {
    let named = |e: &'w Entry| Some((inner(table, wrapper, &e.name)?, e.shape.as_slice()));
    weights.entries().iter().filter_map(named).collect()
}

/// The whole square root.
pub(crate) fn square(area: usize) -> Option<usize> {
    let side = area.isqrt();
    (side * side == area).then_some(side)
}

/// What stands before `sign` (and before the optional prefix) in `name`, if `name` ends with `sign`.
fn wrapper<'n>(table: &Table, sign: &str, name: &'n str) -> Option<&'n str> {
    // Single letters are compared first: a file may have very many names, and each is compared with the signs of every table.
    let last = |text: &str| text.as_bytes().last().copied();
    let mut name = name;
    if last(name) == last(table.optional_suffix) {
        name = name.strip_suffix(table.optional_suffix).unwrap_or(name);
    }
    if last(sign) != Some(b'}') && last(sign) != last(name) {
        return None;
    }
    let text = sign.split('{').next().unwrap_or_default();
    // At the start, or behind a dot or slash.
    let (bytes, first) = (name.as_bytes(), text.as_bytes().first());
    let start = (0..bytes.len())
        .filter(|&i| i == 0 || matches!(bytes[i - 1], b'.' | b'/'))
        .filter(|&i| first.is_none_or(|&letter| letter == bytes[i]) && bytes[i..].starts_with(text.as_bytes()))
        .find(|&i| pattern::matches(sign, &name[i..]).is_some())?;
    let before = &name[..start];
    match before.strip_suffix(table.optional_prefix) {
        Some(outer) if outer.is_empty() || outer.ends_with(['.', '/']) => Some(outer),
        _ => Some(before),
    }
}
