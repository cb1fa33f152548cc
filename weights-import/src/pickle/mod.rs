//! Python pickles as data: a closed interpreter that never calls anything.
//!
//! A pickle is a program for a stack machine. Here its opcodes only build a small tree: names of functions stand for
//! themselves, only those that weights files need are let in (`names.rs`), and "calling" one makes a node that holds the
//! name and the arguments. Source: the opcode table of CPython's `pickletools.py`, protocols 0 to 5.

mod machine;
mod names;

pub(crate) use names::{Known, TYPES};

use crate::{Error, Result, Source};
use machine::{Machine, Stop};

/// A value on the stack; what does not fit is a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(u32),
}

/// A value of more than a few bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Bytes(Vec<u8>),
    /// An integer of more than 64 bits, little-endian.
    Long(Vec<u8>),
    Tuple(Vec<Value>),
    /// Also a set.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A name of Python that is known to be harmless.
    Global(Known),
    /// What the file keeps outside of the pickle, by its id.
    Persistent(Value),
    /// A function and its arguments, not called.
    Call(Known, Value),
    /// An object whose content does not matter.
    Opaque,
}

/// What an index may take in memory, so that no small file makes a large one.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
}

impl Budget {
    pub(crate) fn of(source: &Source) -> Self {
        Self { left: source.len().saturating_mul(3).saturating_add(1 << 20) }
    }

    /// `None` when nothing is left.
    pub(crate) fn spend(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes as u64)?;
        Some(())
    }
}

/// A pickle that has been read.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: Value,
    /// The byte after its last.
    pub(crate) end: u64,
}

impl Pickle {
    pub(crate) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The items of a tuple or list.
    pub(crate) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.node(value) {
            Some(Node::Tuple(items) | Node::List(items)) => Some(items),
            _ => None,
        }
    }

    /// Reads the pickle that starts at byte `start`.
    pub(crate) fn read(source: &Source, start: u64, format: &'static str, budget: &mut Budget) -> Result<Self> {
        let mut machine = Machine::new(source, start, budget);
        loop {
            let at = machine.at;
            match machine.step() {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Self { nodes: machine.nodes, root, end: machine.at }),
                Err(Stop::Broken(message)) => {
                    return Err(Error::corrupt(source.name(), format, format!("pickle, byte {at}: {message}")));
                }
                Err(Stop::Refused(message)) => return Err(Error::format(source.name(), message)),
                Err(Stop::Read(error)) => return Err(error),
            }
        }
    }
}
