use core::fmt;

use serde_json::Value;

/// A place in the text of a template. Both count from one; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in its line.
    pub column: u32,
}

impl Position {
    /// The place before byte `offset` of `source`.
    pub(crate) fn of(source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        Self::new(line.saturating_add(1), column.saturating_add(1))
    }

    pub(crate) fn new(line: usize, column: usize) -> Self {
        Self {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// A number, in which form a built template carries where it was written.
    pub(crate) fn to_json(self) -> Value {
        Value::from((u64::from(self.line) << 32) | u64::from(self.column))
    }

    /// The place that a number stands for.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let packed = value.as_u64()?;
        Some(Self {
            line: u32::try_from(packed >> 32).ok()?,
            column: u32::try_from(packed & u64::from(u32::MAX)).ok()?,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
