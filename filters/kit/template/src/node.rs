use handlebars::Path;
use serde_json::Value;

use crate::Position;
use crate::function::Function;

/// A part of a template, whatever syntax it was written in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// Text that stands as it is.
    Text(String),
    /// A value that is written.
    Print(Expr, Position),
    /// A part that stands under a condition.
    Block(Box<Block>),
}

/// A part of a template that stands under a condition, and one that stands where it does not hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) kind: BlockKind,
    pub(crate) position: Position,
    pub(crate) subject: Expr,
    pub(crate) names: Names,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// What a block does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Shows its body if the subject is not empty.
    If,
    /// Does, with the subject as the current value.
    With,
    /// Shows its body for every item of the subject.
    Range,
    /// Does, and knows `@index`, `@key`, `@first` and `@last`.
    Each,
}

/// The names by which a block's body knows the subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The subject or its item.
    pub(crate) value: Option<String>,
    /// The item's number or key.
    pub(crate) key: Option<String>,
}

/// What has a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// A value that the template itself has.
    Literal(Value),
    /// A part of the data, or a variable.
    Path(Path),
    /// A part of a result.
    Field { base: Box<Self>, names: Vec<String>, position: Position },
    /// A result.
    Call { function: Function, arguments: Vec<Self>, position: Position },
}

impl BlockKind {
    /// The word that opens it, in Go's syntax or in handlebars'.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
            Self::Each => "each",
        }
    }
}
