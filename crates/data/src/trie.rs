//! The vocabulary as a tree over bytes, for the longest piece at a place.

/// A node: its children are neighbours in the list of nodes, in the order of their labels.
#[derive(Debug, Clone, Copy)]
struct Node {
    first_child: u32,
    children: u32,
    token: u32,
}

/// No token ends at this node.
const NONE: u32 = u32::MAX;

/// A tree over the bytes of all tokens.
#[derive(Debug, Clone)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    /// The byte that leads to each node.
    labels: Vec<u8>,
}

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Trie {
    /// The root.
    pub(crate) const ROOT: Place = Place(0);

    /// From tokens in ascending order, each with its id.
    pub(crate) fn new(tokens: &[(&[u8], u32)]) -> Self {
        let mut trie = Self { nodes: vec![Node { first_child: 0, children: 0, token: NONE }], labels: vec![0] };
        // Breadth first, so that the children of a node become neighbours: (tokens below the node, bytes read so far).
        let mut below = vec![(tokens, 0)];
        let mut at = 0;
        while at < below.len() {
            let (mut tokens, depth) = below[at];
            if let Some(&(token, id)) = tokens.first()
                && token.len() == depth
            {
                trie.nodes[at].token = id;
                tokens = &tokens[1..];
            }
            trie.nodes[at].first_child = trie.nodes.len() as u32;
            for group in tokens.chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                trie.nodes.push(Node { first_child: 0, children: 0, token: NONE });
                trie.labels.push(group[0].0[depth]);
                trie.nodes[at].children += 1;
                below.push((group, depth + 1));
            }
            at += 1;
        }
        trie
    }

    /// The place reached by these bytes.
    pub(crate) fn descend(&self, from: Place, bytes: &[u8]) -> Option<Place> {
        bytes.iter().try_fold(from, |place, &b| self.child(place, b))
    }

    /// The token that ends at a place.
    pub(crate) fn token(&self, place: Place) -> Option<u32> {
        Some(self.nodes[place.0 as usize].token).filter(|&t| t != NONE)
    }

    /// The longest token that `bytes` begin with, and its length.
    pub(crate) fn longest(&self, from: Place, bytes: &[u8]) -> Option<(u32, usize)> {
        let mut best = None;
        let mut place = from;
        for (i, &b) in bytes.iter().enumerate() {
            let Some(next) = self.child(place, b) else { break };
            place = next;
            if let Some(token) = self.token(place) {
                best = Some((token, i + 1));
            }
        }
        best
    }

    /// The place one byte further.
    pub(crate) fn child(&self, place: Place, label: u8) -> Option<Place> {
        let node = self.nodes[place.0 as usize];
        let first = node.first_child as usize;
        let labels = &self.labels[first..first + node.children as usize];
        labels.binary_search(&label).ok().map(|i| Place((first + i) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn finds_the_longest() {
        let tokens: BTreeMap<&[u8], u32> =
            [("", 9), ("a", 1), ("ab", 2), ("abcd", 3), ("##b", 4)].iter().map(|&(t, i)| (t.as_bytes(), i)).collect();
        let trie = Trie::new(&tokens.into_iter().collect::<Vec<_>>());
        assert_eq!(trie.longest(Trie::ROOT, b"abc"), Some((2, 2)));
        assert_eq!(trie.longest(Trie::ROOT, b"abcde"), Some((3, 4)));
        assert_eq!(trie.longest(Trie::ROOT, b"b"), None);
        let inside = trie.descend(Trie::ROOT, b"##").unwrap();
        assert_eq!(trie.longest(inside, b"bb"), Some((4, 1)));
        assert_eq!(trie.token(Trie::ROOT), Some(9));
        assert_eq!(trie.descend(Trie::ROOT, b"b"), None);
    }
}
