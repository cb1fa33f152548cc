//! B-trees of both versions: how groups, heaps and data sets find their parts.

use super::{Fields, File, width};
use crate::Result;

/// Deepest tree: each level multiplies the number of its leaves.
const DEEPEST: u16 = 16;

impl File<'_> {
    /// The leaves of a version 1 tree of `kind`: each child with the bytes of the key before it, of `key` bytes.
    pub(super) fn old_tree(
        &self,
        at: u64,
        kind: u8,
        key: usize,
        leaf: &mut dyn FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<()> {
        self.old_node(at, kind, key, None, leaf)
    }

    fn old_node(
        &self,
        at: u64,
        kind: u8,
        key: usize,
        level: Option<u8>,
        leaf: &mut dyn FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<()> {
        let head = self.signed(at, b"TREE", 8 + 2 * self.head.offsets as u64)?;
        let mut fields = Fields::new(self, &head, "B-tree");
        let (found, depth, used) = (fields.u8()?, fields.u8()?, fields.u16()?);
        if found != kind || level.is_some_and(|level| depth != level) || u16::from(depth) > DEEPEST {
            return Err(fields.broken(format!("at byte {at} is of kind {found} and level {depth}")));
        }
        let start = at + 8 + 2 * self.head.offsets as u64;
        let body = self.bytes(start, (key + self.head.offsets) as u64 * u64::from(used))?;
        let mut fields = Fields::new(self, &body, "B-tree");
        for _ in 0..used {
            let key_bytes = fields.take(key)?;
            let child = fields.there()?;
            match depth {
                0 => leaf(key_bytes, child)?,
                _ => self.old_node(child, kind, key, Some(depth - 1), leaf)?,
            }
        }
        Ok(())
    }

    /// The records of a version 2 tree of one of `kinds`, in order: kind and bytes.
    pub(super) fn new_tree(
        &self,
        at: u64,
        kinds: &[u8],
        record: &mut dyn FnMut(u8, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let len = 18 + self.head.offsets + self.head.lengths;
        let head = self.sealed(at, b"BTHD", len as u64)?;
        let mut fields = Fields::new(self, &head, "B-tree");
        fields.version(&[0])?;
        let kind = fields.u8()?;
        let (node, size, depth) = (fields.u32()?, fields.u16()?, fields.u16()?);
        fields.take(2)?;
        let (root, count) = (fields.address()?, fields.u16()?);
        if !kinds.contains(&kind) || depth > DEEPEST || size == 0 || node < 16 {
            return Err(fields.broken(format!("at byte {at} is of kind {kind}, depth {depth}, records of {size}")));
        }
        let Some(root) = root else { return Ok(()) };
        // The most records of a node by depth, and of all below it, decide how many bytes their numbers take.
        let (node, size) = (u64::from(node), u64::from(size));
        let most_in_leaf = (node - 10) / size;
        let narrow = width(most_in_leaf);
        let mut tree = Tree { kind, size: size as usize, narrow, totals: vec![0], most: vec![most_in_leaf] };
        let mut all = most_in_leaf;
        for _ in 0..depth {
            let pointer = (self.head.offsets + narrow + tree.totals[tree.totals.len() - 1]) as u64;
            let most = node.saturating_sub(10 + pointer) / (size + pointer);
            all = (most + 1).saturating_mul(all).saturating_add(most);
            tree.totals.push(width(all));
            tree.most.push(most);
        }
        self.new_node(&tree, root, count.into(), depth.into(), record)
    }

    fn new_node(
        &self,
        tree: &Tree,
        at: u64,
        count: u64,
        depth: usize,
        record: &mut dyn FnMut(u8, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if count > tree.most[depth] {
            return Err(self.broken(format!("a B-tree's node at byte {at} claims {count} records")));
        }
        let below = depth.checked_sub(1).map_or(0, |below| tree.totals[below]);
        let pointer = if depth == 0 { 0 } else { self.head.offsets + tree.narrow + below };
        let len = 6 + tree.size as u64 * count + pointer as u64 * (count + 1);
        let bytes = self.sealed(at, if depth == 0 { b"BTLF" } else { b"BTIN" }, len)?;
        let mut fields = Fields::new(self, &bytes, "B-tree's node");
        fields.version(&[0])?;
        if fields.u8()? != tree.kind {
            return Err(fields.broken(format!("at byte {at} is of another kind")));
        }
        let records = fields.take(tree.size * count as usize)?;
        let mut records = records.chunks_exact(tree.size);
        if depth == 0 {
            return records.try_for_each(|bytes| record(tree.kind, bytes));
        }
        for number in 0..=count {
            let (child, inside) = (fields.there()?, fields.uint(tree.narrow)?);
            fields.take(below)?;
            self.new_node(tree, child, inside, depth - 1, record)?;
            if number < count
                && let Some(bytes) = records.next()
            {
                record(tree.kind, bytes)?;
            }
        }
        Ok(())
    }
}

/// The form of a version 2 tree.
struct Tree {
    kind: u8,
    /// Bytes of a record, and of the number of records in a node.
    size: usize,
    narrow: usize,
    /// By depth: bytes of the number of records in a node and all below, and the most records of a node.
    totals: Vec<usize>,
    most: Vec<u64>,
}
