use core::fmt;

use crate::Position;

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Where it goes wrong.
    pub position: Position,
    /// What is wrong there.
    pub problem: TemplateProblem,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateProblem {
    /// The text is too long.
    TooLong {
        /// How many bytes it may have.
        limit: usize,
    },
    /// Blocks or calls nest too deep.
    TooDeep {
        /// How many may be open at once.
        limit: usize,
    },
    /// `{{` has no `}}`.
    UnclosedAction,
    /// A block has no end.
    UnclosedBlock {
        /// What it begins with.
        keyword: &'static str,
    },
    /// A comment has no end, or something stands beside it.
    UnclosedComment,
    /// A string has no end.
    UnclosedString,
    /// A parenthesis has no partner.
    UnclosedParenthesis,
    /// A backslash in a string means nothing.
    BadEscape,
    /// A number cannot be read.
    BadNumber,
    /// A value should stand here.
    NoValue,
    /// Something stands where it cannot.
    Unexpected {
        /// It.
        found: String,
    },
    /// `end` or `else` without a block that it could belong to.
    NoBlock {
        /// Which of them.
        keyword: &'static str,
    },
    /// There is no such function.
    UnknownFunction {
        /// Its name.
        name: String,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// A function is given too few or too many arguments.
    WrongArity {
        /// The function.
        function: &'static str,
        /// How many it takes.
        takes: &'static str,
        /// How many there are.
        found: usize,
    },
    /// Something that is not a function is given arguments.
    NotCallable,
    /// No block around declares the variable.
    UnknownVariable {
        /// Its name, with the dollar sign.
        name: String,
    },
    /// The language has it, templates here do not.
    Unsupported {
        /// It.
        what: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// Handlebars cannot read it.
    Syntax {
        /// Why, in the words of handlebars.
        reason: String,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.problem)
    }
}

impl core::error::Error for TemplateError {}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit } => write!(f, "a template may have {limit} bytes"),
            Self::TooDeep { limit } => write!(f, "blocks and calls nest deeper than {limit}"),
            Self::UnclosedAction => f.write_str("\"{{\" without \"}}\""),
            Self::UnclosedBlock { keyword } => write!(f, "{keyword:?} without its end"),
            Self::UnclosedComment => f.write_str(
                "a comment that does not end; a comment is the only thing in its braces: {{/* ... */}}",
            ),
            Self::UnclosedString => f.write_str("a string that does not end"),
            Self::UnclosedParenthesis => f.write_str("\"(\" without \")\""),
            Self::BadEscape => {
                f.write_str("a backslash that means nothing; write \\\\, or the string in backquotes")
            }
            Self::BadNumber => f.write_str("a number that cannot be read"),
            Self::NoValue => f.write_str("a value is missing"),
            Self::Unexpected { found } => write!(f, "{found:?} cannot stand here"),
            Self::NoBlock { keyword } => write!(f, "{keyword:?} without a block before it"),
            Self::UnknownFunction { name, hint } => {
                write!(f, "there is no function {name:?}")?;
                hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
            }
            Self::WrongArity { function, takes, found } => {
                write!(f, "{function} takes {takes}, not {found}")
            }
            Self::NotCallable => f.write_str("only a function takes arguments"),
            Self::UnknownVariable { name } => write!(f, "{name} is declared by no block around it"),
            Self::Unsupported { what, hint } => write!(f, "{what} is not supported; {hint}"),
            Self::Syntax { reason } => f.write_str(reason),
        }
    }
}
