//! What can go wrong with shapes and views.

use std::fmt;

/// Result of a tensor operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a tensor operation: what, where, and the shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Two shapes that have to fit do not.
    Shapes {
        /// The operation.
        op: &'static str,
        /// Shape of the left operand.
        left: Vec<usize>,
        /// Shape of the right operand.
        right: Vec<usize>,
    },
    /// One shape is not what the operation takes.
    Shape {
        /// The operation.
        op: &'static str,
        /// The shape it was given.
        shape: Vec<usize>,
        /// What it takes, e.g. `(N, C, H, W)`.
        expected: String,
    },
    /// A dimension that the tensor does not have, or an index past its end.
    Index {
        /// The operation.
        op: &'static str,
        /// The shape it was given.
        shape: Vec<usize>,
        /// What was out of range.
        what: String,
    },
    /// A tensor with more elements than memory can address, or too many dimensions.
    TooLarge {
        /// The shape asked for.
        shape: Vec<usize>,
    },
    /// An argument other than a shape that an operation does not take.
    Argument {
        /// The operation.
        op: &'static str,
        /// What is wrong, and how to mend it.
        message: String,
    },
}

impl Error {
    /// Two shapes that do not fit each other.
    pub fn shapes(op: &'static str, left: &[usize], right: &[usize]) -> Self {
        Self::Shapes { op, left: left.to_vec(), right: right.to_vec() }
    }

    /// A shape that is not what `op` takes.
    pub fn shape(op: &'static str, shape: &[usize], expected: impl Into<String>) -> Self {
        Self::Shape { op, shape: shape.to_vec(), expected: expected.into() }
    }

    /// An argument that `op` does not take.
    pub fn argument(op: &'static str, message: impl Into<String>) -> Self {
        Self::Argument { op, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shapes { op, left, right } => {
                write!(f, "{op}: shapes {left:?} and {right:?} do not fit")
            }
            Self::Shape { op, shape, expected } => {
                write!(f, "{op}: shape {shape:?} given, {expected} expected")
            }
            Self::Index { op, shape, what } => write!(f, "{op}: {what} for shape {shape:?}"),
            Self::TooLarge { shape } => {
                write!(f, "shape {shape:?} has too many elements or more than {} dimensions", crate::shape::MAX_RANK)
            }
            Self::Argument { op, message } => write!(f, "{op}: {message}"),
        }
    }
}

impl std::error::Error for Error {}
