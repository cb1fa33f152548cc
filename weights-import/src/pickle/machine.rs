//! The stack machine.

use super::names::known;
use super::{Budget, Known, Node, Value};
use crate::{Error, Source};
use std::collections::BTreeMap;

/// Bytes read at once.
const WINDOW: u64 = 1 << 14;

/// Longest line of the text opcodes of protocol 0.
const LONGEST_LINE: usize = 1 << 12;

/// Why a pickle is not read.
pub(super) enum Stop {
    Broken(String),
    Refused(String),
    Read(Error),
}

impl From<&str> for Stop {
    fn from(message: &str) -> Self {
        Self::Broken(message.to_string())
    }
}

pub(super) type Step<T> = std::result::Result<T, Stop>;

/// The node every empty tuple is.
const EMPTY_TUPLE: Value = Value::Node(0);

pub(super) struct Machine<'s> {
    source: &'s Source,
    budget: &'s mut Budget,
    window: Vec<u8>,
    window_start: u64,
    pub(super) at: u64,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Value>,
    /// Heights of the stack at which a mark lies.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
    deepest: usize,
}

impl<'s> Machine<'s> {
    pub(super) fn new(source: &'s Source, start: u64, budget: &'s mut Budget) -> Self {
        Self {
            source,
            budget,
            window: Vec::new(),
            window_start: 0,
            at: start,
            nodes: vec![Node::Tuple(Vec::new())],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
            deepest: 0,
        }
    }

    fn byte(&mut self) -> Step<u8> {
        let inside = |m: &Self| m.window.get(usize::try_from(m.at.checked_sub(m.window_start)?).ok()?).copied();
        let byte = match inside(self) {
            Some(byte) => byte,
            None => {
                let left = self.source.len().saturating_sub(self.at);
                self.window = self.source.read(self.at, WINDOW.min(left)).map_err(Stop::Read)?;
                self.window_start = self.at;
                *self.window.first().ok_or("the file ends within it (is the download complete?)")?
            }
        };
        self.at += 1;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// Bytes behind a length, which is compared with the file first.
    fn bytes(&mut self, len: u64) -> Step<Vec<u8>> {
        let left = self.source.len() - self.at;
        if len > left {
            return Err(Stop::Broken(format!("a length of {len} bytes, but {left} are left")));
        }
        self.spend(len as usize)?;
        let bytes = match len <= WINDOW {
            true => (0..len).map(|_| self.byte()).collect::<Step<_>>()?,
            false => self.source.read(self.at, len).map_err(Stop::Read)?,
        };
        if len > WINDOW {
            self.at += len;
        }
        Ok(bytes)
    }

    fn line(&mut self) -> Step<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return String::from_utf8(line).map_err(|_| "a line that is not UTF-8".into()),
                byte if line.len() < LONGEST_LINE => line.push(byte),
                _ => return Err("a line without end".into()),
            }
        }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Step<T> {
        self.line()?.parse().map_err(|_| "a line that is no number".into())
    }

    fn spend(&mut self, bytes: usize) -> Step<()> {
        self.budget.spend(bytes).ok_or_else(|| "more values than a file of this size can have".into())
    }

    fn push(&mut self, value: Value) -> Step<()> {
        if self.stack.len() >= self.deepest {
            self.spend(size_of::<Value>())?;
            self.deepest = self.stack.len() + 1;
        }
        self.stack.push(value);
        Ok(())
    }

    fn node(&mut self, node: Node) -> Step<Value> {
        self.spend(size_of::<Node>())?;
        let index = u32::try_from(self.nodes.len()).map_err(|_| Stop::from("too many values"))?;
        self.nodes.push(node);
        Ok(Value::Node(index))
    }

    fn push_node(&mut self, node: Node) -> Step<()> {
        let value = self.node(node)?;
        self.push(value)
    }

    /// Never takes what lies below a mark.
    fn pop(&mut self) -> Step<Value> {
        match self.marks.last() {
            Some(&mark) if self.stack.len() <= mark => Err("takes a mark for a value".into()),
            _ => self.stack.pop().ok_or_else(|| "takes a value from an empty stack".into()),
        }
    }

    fn top(&mut self) -> Step<Value> {
        let value = self.pop()?;
        self.stack.push(value);
        Ok(value)
    }

    /// The values above the last mark.
    fn marked(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or("has no mark")?;
        let values = self.stack.get(mark..).ok_or("has a mark above the stack")?.to_vec();
        self.stack.truncate(mark);
        self.spend(values.len() * size_of::<Value>())?;
        Ok(values)
    }

    fn tuple(&mut self, len: usize) -> Step<()> {
        self.spend(len * size_of::<Value>())?;
        let mut items = (0..len).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
        items.reverse();
        self.push_node(Node::Tuple(items))
    }

    fn text(&mut self, len: u64) -> Step<()> {
        match String::from_utf8(self.bytes(len)?) {
            Ok(text) => self.push_node(Node::Text(text)),
            Err(_) => Err("a text that is not UTF-8".into()),
        }
    }

    /// The string of Python 2, which may be either.
    fn string(&mut self, len: u64) -> Step<()> {
        let node = match String::from_utf8(self.bytes(len)?) {
            Ok(text) => Node::Text(text),
            Err(error) => Node::Bytes(error.into_bytes()),
        };
        self.push_node(node)
    }

    fn binary(&mut self, len: u64) -> Step<()> {
        let bytes = self.bytes(len)?;
        self.push_node(Node::Bytes(bytes))
    }

    fn long(&mut self, len: u64) -> Step<()> {
        let bytes = self.bytes(len)?;
        let mut wide = match bytes.last() {
            Some(last) if last & 0x80 != 0 => [0xff; 8],
            _ => [0; 8],
        };
        match wide.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(&bytes);
                self.push(Value::Int(i64::from_le_bytes(wide)))
            }
            None => self.push_node(Node::Long(bytes)),
        }
    }

    fn remember(&mut self, index: u32) -> Step<()> {
        let value = self.top()?;
        if self.memo.insert(index, value).is_none() {
            self.spend(48)?;
        }
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Step<()> {
        match self.memo.get(&index) {
            Some(&value) => self.push(value),
            None => Err("recalls what was not remembered".into()),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Step<()> {
        let known = known(module, name).map_err(Stop::Refused)?;
        self.push_node(Node::Global(known))
    }

    fn get(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    fn get_text(&self, value: Value) -> Step<String> {
        match self.get(value) {
            Some(Node::Text(text)) => Ok(text.clone()),
            _ => Err("a name that is no text".into()),
        }
    }

    /// A name and its arguments become data.
    fn call(&mut self, function: Value, arguments: Value) -> Step<()> {
        let Some(&Node::Global(known)) = self.get(function) else { return Err("calls what is no name".into()) };
        let Some(Node::Tuple(items)) = self.get(arguments) else { return Err("calls with no tuple".into()) };
        let first = items.first().copied();
        let node = match known {
            Known::OrderedDict => Node::Dict(first.map_or(Ok(Vec::new()), |pairs| self.pairs(pairs))?),
            Known::DefaultDict => Node::Dict(Vec::new()),
            Known::Size => match first.and_then(|value| self.get(value)) {
                Some(Node::Tuple(sizes) | Node::List(sizes)) => Node::Tuple(sizes.clone()),
                _ => return Err("a torch.Size of no sizes".into()),
            },
            Known::Set => match first.and_then(|value| self.get(value)) {
                Some(Node::List(items)) => Node::List(items.clone()),
                _ => Node::List(Vec::new()),
            },
            Known::Encode | Known::Opaque => Node::Opaque,
            Known::Tensor | Known::TensorV3 | Known::Parameter | Known::FromType => Node::Call(known, arguments),
            Known::Storage(_) | Known::Type(_) => return Err("calls the type of a storage".into()),
        };
        if let Node::Tuple(items) | Node::List(items) = &node {
            self.spend(items.len() * size_of::<Value>())?;
        }
        self.push_node(node)
    }

    /// The pairs of `OrderedDict([[key, value], ...])`.
    fn pairs(&mut self, list: Value) -> Step<Vec<(Value, Value)>> {
        let (Some(Node::List(items)) | Some(Node::Tuple(items))) = self.get(list) else {
            return Err("a dictionary of no list".into());
        };
        let mut pairs = Vec::new();
        for &item in items {
            match self.get(item) {
                Some(Node::List(pair) | Node::Tuple(pair)) if pair.len() == 2 => pairs.push((pair[0], pair[1])),
                _ => return Err("a dictionary of what are no pairs".into()),
            }
        }
        self.spend(pairs.len() * size_of::<(Value, Value)>())?;
        Ok(pairs)
    }

    fn extend(&mut self, values: Vec<Value>) -> Step<()> {
        let list = self.top()?;
        self.spend(values.len() * size_of::<Value>())?;
        match list {
            Value::Node(index) => match self.nodes.get_mut(index as usize) {
                Some(Node::List(items)) => items.extend(values),
                Some(Node::Opaque) => {}
                _ => return Err("appends to what is no list".into()),
            },
            _ => return Err("appends to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, values: &[Value]) -> Step<()> {
        let dict = self.top()?;
        self.spend(size_of_val(values))?;
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".into());
        }
        match dict {
            Value::Node(index) => match self.nodes.get_mut(index as usize) {
                Some(Node::Dict(items)) => items.extend(pairs.iter().map(|&[key, value]| (key, value))),
                Some(Node::Opaque) => {}
                _ => return Err("sets an item of what is no dictionary".into()),
            },
            _ => return Err("sets an item of what is no dictionary".into()),
        }
        Ok(())
    }

    /// One opcode; the root at the last.
    pub(super) fn step(&mut self) -> Step<Option<Value>> {
        let opcode = self.byte()?;
        match opcode {
            b'.' => {
                let root = self.pop()?;
                return match self.stack.is_empty() && self.marks.is_empty() {
                    true => Ok(Some(root)),
                    false => Err("ends with values left over".into()),
                };
            }
            0x80 => match self.byte()? {
                0..=5 => Ok(()),
                version => Err(Stop::Broken(format!("protocol {version} is not known"))),
            },
            // A frame says how many bytes can be read at once.
            0x95 => match u64::from_le_bytes(self.array()?) {
                len if len <= self.source.len() - self.at => Ok(()),
                len => Err(Stop::Broken(format!("a frame of {len} bytes is longer than the file"))),
            },
            b'(' => {
                self.spend(size_of::<usize>())?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => match self.marks.last() {
                Some(&mark) if mark == self.stack.len() => self.marked().map(drop),
                _ => self.pop().map(drop),
            },
            b'1' => self.marked().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'I' => match self.line()?.as_str() {
                "00" => self.push(Value::Bool(false)),
                "01" => self.push(Value::Bool(true)),
                digits => match digits.parse() {
                    Ok(number) => self.push(Value::Int(number)),
                    Err(_) => Err("a line that is no number".into()),
                },
            },
            b'L' => match self.line()?.trim_end_matches('L').parse() {
                Ok(number) => self.push(Value::Int(number)),
                Err(_) => Err("a line that is no number of 64 bits".into()),
            },
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(number.into()))
            }
            b'K' => {
                let number = self.byte()?;
                self.push(Value::Int(number.into()))
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(number.into()))
            }
            0x8a => {
                let len = self.byte()?;
                self.long(len.into())
            }
            0x8b => {
                let len = self.u32()?;
                self.long(len)
            }
            b'F' => {
                let number = self.number()?;
                self.push(Value::Float(number))
            }
            b'G' => {
                let number = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(number))
            }
            b'S' => {
                let line = self.line()?;
                let quoted = ['\'', '"'].iter().find_map(|&q| line.strip_prefix(q)?.strip_suffix(q));
                match quoted.filter(|text| !text.contains('\\')) {
                    Some(text) => {
                        self.spend(text.len())?;
                        self.push_node(Node::Text(text.to_string()))
                    }
                    None => Err("a string that is not plainly quoted".into()),
                }
            }
            b'V' => {
                let line = self.line()?;
                self.spend(line.len())?;
                self.push_node(Node::Text(line))
            }
            b'U' => {
                let len = self.byte()?;
                self.string(len.into())
            }
            b'T' => {
                let len = self.u32()?;
                self.string(len)
            }
            0x8c => {
                let len = self.byte()?;
                self.text(len.into())
            }
            b'X' => {
                let len = self.u32()?;
                self.text(len)
            }
            0x8d => {
                let len = u64::from_le_bytes(self.array()?);
                self.text(len)
            }
            b'C' => {
                let len = self.byte()?;
                self.binary(len.into())
            }
            b'B' => {
                let len = self.u32()?;
                self.binary(len)
            }
            // Bytes, and a bytearray.
            0x8e | 0x96 => {
                let len = u64::from_le_bytes(self.array()?);
                self.binary(len)
            }
            b')' => self.push(EMPTY_TUPLE),
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            0x87 => self.tuple(3),
            b't' => {
                let items = self.marked()?;
                self.push_node(Node::Tuple(items))
            }
            b']' | 0x8f => self.push_node(Node::List(Vec::new())),
            // A list, and a frozen set.
            b'l' | 0x91 => {
                let items = self.marked()?;
                self.push_node(Node::List(items))
            }
            b'}' => self.push_node(Node::Dict(Vec::new())),
            b'd' => {
                let items = self.marked()?;
                self.push_node(Node::Dict(Vec::new()))?;
                self.set(&items)
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])
            }
            // To a list, and to a set.
            b'e' | 0x90 => {
                let items = self.marked()?;
                self.extend(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])
            }
            b'u' => {
                let items = self.marked()?;
                self.set(&items)
            }
            b'p' => {
                let index = self.number()?;
                self.remember(index)
            }
            b'q' => {
                let index = self.byte()?;
                self.remember(index.into())
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?);
                self.remember(index)
            }
            0x94 => self.remember(u32::try_from(self.memo.len()).unwrap_or(u32::MAX)),
            b'g' => {
                let index = self.number()?;
                self.recall(index)
            }
            b'h' => {
                let index = self.byte()?;
                self.recall(index.into())
            }
            b'j' => {
                let index = u32::from_le_bytes(self.array()?);
                self.recall(index)
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (module, name) = (self.get_text(module)?, self.get_text(name)?);
                self.global(&module, &name)
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
                let function = self.pop()?;
                let items = self.marked()?;
                let arguments = self.node(Node::Tuple(items))?;
                self.call(function, arguments)
            }
            b'o' => {
                let items = self.marked()?;
                let Some((&class, rest)) = items.split_first() else { return Err("makes an object of nothing".into()) };
                let arguments = self.node(Node::Tuple(rest.to_vec()))?;
                self.call(class, arguments)
            }
            // A call, and a new object, which here is the same.
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(class, arguments)
            }
            // Attributes of objects are dropped: those of dictionaries and tensors hold no weights.
            b'b' => {
                let (_, object) = (self.pop()?, self.top()?);
                match self.get(object) {
                    Some(Node::Dict(_) | Node::Opaque | Node::Call(..)) => Ok(()),
                    _ => Err("sets attributes of what has none".into()),
                }
            }
            b'P' => {
                let id = self.line()?;
                self.spend(id.len())?;
                let id = self.node(Node::Text(id))?;
                self.push_node(Node::Persistent(id))
            }
            b'Q' => {
                let id = self.pop()?;
                self.push_node(Node::Persistent(id))
            }
            0x82..=0x84 => Err("a name from a registry of the program that wrote it".into()),
            0x97 | 0x98 => Err("a buffer outside of the pickle".into()),
            _ => Err(Stop::Broken(format!("there is no opcode {opcode:#04x}"))),
        }?;
        Ok(None)
    }

    fn u32(&mut self) -> Step<u64> {
        Ok(u32::from_le_bytes(self.array()?).into())
    }
}
