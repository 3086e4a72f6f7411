//! What is wrong with a configured tool, and with what it is given.

use core::fmt;

/// A tool that cannot work as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The path of the field: `args[2].default_value`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl LoadError {
    /// An error in a field.
    pub fn new(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { field: field.into(), problem: problem.to_string() }
    }

    /// The same error in a field of this one.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        let field = if self.field.is_empty() { parent.into() } else { format!("{parent}.{}", self.field) };
        Self { field, ..self }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl core::error::Error for LoadError {}

/// What a template is given does not fit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A variable is not set.
    Absent(String),
    /// Something else, as a sentence for people.
    Other(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(problem) | Self::Other(problem) => f.write_str(problem),
        }
    }
}

impl core::error::Error for Unfit {}
