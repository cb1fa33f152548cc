//! Groups: names that lead to objects. Only links to objects of the same file are followed.

use super::dataset::Lack;
use super::object::{LINK, LINK_INFO, Object, SYMBOLS};
use super::{Dataset, Fields, File};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Deepest nesting of groups.
const DEEPEST: usize = 64;

/// An object by its path.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) address: u64,
    pub(crate) kind: Kind,
}

/// What stands behind a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Group,
    /// Number of the data set in [`Tree::datasets`].
    Dataset(usize),
    /// A data set of what is no tensor, for the reason in [`Tree::lacks`], or a named type.
    Other(usize),
}

/// All that the root leads to, groups before what they hold, names in order.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) lacks: Vec<String>,
}

impl File<'_> {
    /// Walks through all groups. An object of many names is read once.
    pub(crate) fn tree(&self) -> Result<Tree> {
        let mut walk = Walk { tree: Tree::default(), known: BTreeMap::new(), above: Vec::new() };
        let root = self.object(self.head.root)?;
        self.walk(&mut walk, &root, "")?;
        Ok(walk.tree)
    }

    fn walk(&self, walk: &mut Walk, group: &Object, path: &str) -> Result<()> {
        if walk.above.contains(&group.address) {
            return Err(self.broken(format!("its group {path} is within itself")));
        }
        if walk.above.len() >= DEEPEST {
            return Err(self.broken(format!("its groups are nested more than {DEEPEST} deep, at {path}")));
        }
        walk.above.push(group.address);
        for (name, address) in self.links(group, path)? {
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            self.charge(path.len() as u64 + 64)?;
            let known = walk.known.get(&address).copied();
            let (kind, object) = match known {
                Some(kind @ (Kind::Dataset(_) | Kind::Other(_))) => (kind, None),
                _ => {
                    let object = self.object(address)?;
                    (self.kind(&mut walk.tree, &object, &path)?, Some(object))
                }
            };
            walk.known.insert(address, kind);
            walk.tree.nodes.push(Node { path: path.clone(), address, kind });
            if let (Kind::Group, Some(object)) = (kind, object) {
                self.walk(walk, &object, &path)?;
            }
        }
        walk.above.pop();
        Ok(())
    }

    fn kind(&self, tree: &mut Tree, object: &Object, path: &str) -> Result<Kind> {
        let mut other = |why: &str| {
            tree.lacks.push(why.to_string());
            Ok(Kind::Other(tree.lacks.len() - 1))
        };
        match (object.is_dataset(), object.is_group()) {
            (true, _) => match self.dataset(object, path) {
                Ok(dataset) => {
                    self.charge(8 * dataset.shape.len() as u64 + 256)?;
                    tree.datasets.push(dataset);
                    Ok(Kind::Dataset(tree.datasets.len() - 1))
                }
                Err(Lack::Error(error)) => Err(error),
                Err(Lack::Tensor(why)) => other(&why),
            },
            (false, true) => Ok(Kind::Group),
            (false, false) => other("is neither a group nor a data set"),
        }
    }

    /// Names and addresses, in the order of names.
    fn links(&self, group: &Object, path: &str) -> Result<Vec<(String, u64)>> {
        let mut links = Vec::new();
        if let Some(message) = group.find(SYMBOLS) {
            let mut fields = Fields::new(self, &message.data, "symbol table");
            let (tree, heap) = (fields.there()?, fields.there()?);
            let heap = self.local_heap(heap)?;
            self.old_tree(tree, 0, self.head.lengths, &mut |_, leaf| {
                let size = 2 * self.head.offsets + 24;
                let head = self.signed(leaf, b"SNOD", 8)?;
                let count = usize::from(u16::from_le_bytes([head[2], head[3]]));
                let body = self.bytes(leaf + 8, (size * count) as u64)?;
                for entry in body.chunks_exact(size) {
                    let mut fields = Fields::new(self, entry, "symbol");
                    let (name, target) = (fields.uint(self.head.offsets)?, fields.address()?);
                    let Some(name) = heap.text(name) else { return Err(fields.broken("has no name")) };
                    let name = self.text(name)?;
                    let kind = if fields.u32()? == 2 { Link::Soft } else { Link::Hard(target) };
                    links.push(self.follow(path, name, kind)?);
                }
                Ok(())
            })?;
        }
        for message in group.all(LINK) {
            links.push(self.link(path, &message.data)?);
        }
        if let Some(message) = group.find(LINK_INFO) {
            let mut fields = Fields::new(self, &message.data, "link info");
            fields.version(&[0])?;
            if fields.u8()? & 1 != 0 {
                fields.take(8)?;
            }
            if let (Some(heap), Some(names)) = (fields.address()?, fields.address()?) {
                let heap = self.fractal_heap(heap)?;
                self.new_tree(names, &[5], &mut |_, record| {
                    let id = record.get(4..).unwrap_or_default();
                    links.push(self.link(path, &self.heap_object(&heap, id)?.0)?);
                    Ok(())
                })?;
            }
        }
        links.sort_unstable();
        match links.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(twice) => Err(self.broken(format!("two links of the group {path:?} are named {}", twice[0].0))),
            None => Ok(links),
        }
    }

    fn link(&self, path: &str, data: &[u8]) -> Result<(String, u64)> {
        let mut fields = Fields::new(self, data, "link");
        fields.version(&[1])?;
        let flags = fields.u8()?;
        let kind = if flags & 8 != 0 { fields.u8()? } else { 0 };
        fields.take(if flags & 4 != 0 { 8 } else { 0 } + usize::from(flags >> 4 & 1))?;
        let len = fields.uint(1 << (flags & 3))?;
        let name = self.text(fields.take(usize::try_from(len).unwrap_or(usize::MAX))?)?;
        let link = match kind {
            0 => Link::Hard(fields.address()?),
            1 => Link::Soft,
            64 => Link::External,
            _ => Link::Unknown,
        };
        self.follow(path, name, link)
    }

    fn text(&self, name: &[u8]) -> Result<String> {
        self.charge(name.len() as u64 + 32)?;
        match std::str::from_utf8(name) {
            Ok(text) if !matches!(text, "" | "." | "..") && !text.contains(['/', '\0']) => Ok(text.to_string()),
            _ => Err(self.broken(format!("has a link of the name {:?}", String::from_utf8_lossy(name)))),
        }
    }

    /// The one place where a link is followed: to an object of this file by its address.
    fn follow(&self, path: &str, name: String, link: Link) -> Result<(String, u64)> {
        let refuse = |what: &str| -> Error {
            let slash = if path.is_empty() { "" } else { "/" };
            self.refused(format!(
                "{path}{slash}{name} is {what}, which could lead anywhere: refused; copy what it means into the file \
                 (h5copy)"
            ))
        };
        match link {
            Link::Hard(Some(address)) => Ok((name, address)),
            Link::Hard(None) => Err(self.broken(format!("its link {name} leads nowhere"))),
            Link::Soft => Err(refuse("a soft link")),
            Link::External => Err(refuse("an external link (to another file)")),
            Link::Unknown => Err(refuse("a link of a kind that its writer made up")),
        }
    }
}

enum Link {
    Hard(Option<u64>),
    Soft,
    External,
    Unknown,
}

struct Walk {
    tree: Tree,
    /// What stands at an address.
    known: BTreeMap<u64, Kind>,
    /// The groups that are being walked through.
    above: Vec<u64>,
}
