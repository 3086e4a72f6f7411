use core::fmt;
use std::io;

use handlebars::RenderErrorReason;

use crate::Position;

/// Why data cannot be put into a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    /// Which part of the template asked for it, where that is known.
    pub position: Option<Position>,
    /// What is wrong.
    pub problem: RenderProblem,
}

/// What is wrong with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderProblem {
    /// A variable is not set.
    NotSet {
        /// The variable as the template writes it; empty where it is a part of a result.
        name: String,
    },
    /// An array is asked for a field.
    NoField {
        /// The field.
        name: String,
    },
    /// A function is given something it does not take.
    WrongType {
        /// The function or block.
        function: &'static str,
        /// What it takes.
        takes: &'static str,
        /// What it was given.
        found: &'static str,
    },
    /// Two values of different kinds are compared.
    Incomparable {
        /// The function.
        function: &'static str,
        /// What stands on the left.
        left: &'static str,
        /// What stands on the right.
        right: &'static str,
    },
    /// An array has no such item.
    OutOfRange {
        /// Which was asked for.
        index: i64,
        /// How many there are.
        length: usize,
    },
    /// Two members of an object would have the same name.
    DuplicateKey {
        /// The name.
        key: String,
    },
    /// Numbers beyond what an index can be.
    Overflow,
    /// What is written is too long.
    TooLong {
        /// How many bytes it may have.
        limit: usize,
    },
    /// Blocks are repeated too often.
    TooManyIterations {
        /// How often they may be.
        limit: usize,
    },
    /// Handlebars refuses for a reason of its own.
    Engine {
        /// Why, in its words.
        reason: String,
    },
}

impl RenderError {
    /// What handlebars reports, which may carry one of ours.
    pub(crate) fn from_engine(error: &handlebars::RenderError) -> Self {
        let position = error.line_no.zip(error.column_no).map(|(line, column)| Position::new(line, column));
        let problem = match error.reason() {
            RenderErrorReason::NestedError(ours) => ours.downcast_ref().cloned(),
            RenderErrorReason::IOError(error) => {
                error.get_ref().and_then(|ours| ours.downcast_ref()).cloned()
            }
            RenderErrorReason::InvalidJsonIndex(name) => Some(RenderProblem::NoField { name: name.clone() }),
            _ => None,
        };
        let engine = || RenderProblem::Engine { reason: error.reason().to_string() };
        Self { position, problem: problem.unwrap_or_else(engine) }
    }
}

impl RenderProblem {
    /// As handlebars carries it through to [`RenderError::from_engine`].
    pub(crate) fn at(self, position: Option<Position>) -> handlebars::RenderError {
        let mut error = handlebars::RenderError::from(RenderErrorReason::NestedError(Box::new(self)));
        error.line_no = position.and_then(|position| usize::try_from(position.line).ok());
        error.column_no = position.and_then(|position| usize::try_from(position.column).ok());
        error
    }

    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{position}: {}", self.problem),
            None => self.problem.fmt(f),
        }
    }
}

impl core::error::Error for RenderError {}

impl fmt::Display for RenderProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { name } if name.is_empty() => f.write_str("a part of a result is not set"),
            Self::NotSet { name } => write!(f, "variable \"{name}\" is not set"),
            Self::NoField { name } => write!(f, "an array has no field {name:?}"),
            Self::WrongType { function, takes, found } => {
                write!(f, "{function} takes {takes}, not {found}")
            }
            Self::Incomparable { function, left, right } => {
                write!(f, "{function} cannot compare {left} with {right}")
            }
            Self::OutOfRange { index, length } => {
                write!(f, "index {index} is out of range: there are {length} items")
            }
            Self::DuplicateKey { key } => write!(f, "make_json_object has the key {key:?} twice"),
            Self::Overflow => f.write_str("an index is out of range"),
            Self::TooLong { limit } => write!(f, "the result is longer than {limit} bytes"),
            Self::TooManyIterations { limit } => {
                write!(f, "the template repeats its blocks more than {limit} times")
            }
            Self::Engine { reason } => f.write_str(reason),
        }
    }
}

impl core::error::Error for RenderProblem {}
