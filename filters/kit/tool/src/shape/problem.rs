//! What is wrong with a value, for people and models.

use core::fmt;

use serde_json::Value;

/// All that is wrong with a value, in order; of very much only a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    told: Vec<String>,
    more: bool,
}

impl Problems {
    pub(super) fn push(&mut self, problem: String) {
        match self.told.len() < MAX_PROBLEMS {
            true => self.told.push(problem),
            false => self.more = true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("; "))?;
        if self.more { f.write_str("; and more") } else { Ok(()) }
    }
}

/// A value in a sentence.
pub(super) fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

/// Allowed values in a sentence.
pub(super) fn listed(values: &[Value]) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// As much of a text as a sentence should carry.
pub(super) fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(MAX_SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// How many problems are told.
pub const MAX_PROBLEMS: usize = 10;
/// How much of a value is told, in characters.
const MAX_SHOWN: usize = 64;
