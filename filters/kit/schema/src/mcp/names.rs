//! Names of tools and of their arguments.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::names::glob;

/// The name of a tool: `[A-Za-z0-9_.-]{1,128}`.
///
/// Source: MCP 2025-11-25, "Tool Names".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(extend("pattern" = r"^[A-Za-z0-9_.-]{1,128}$")))]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(String);

/// A tool's name in which `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(extend("pattern" = r"^[A-Za-z0-9_.*-]{1,128}$")))]
#[serde(try_from = "String", into = "String")]
pub struct ToolPattern(String);

/// The name of an argument, a variable or a step: a letter or `_`, then letters, digits, `_` and `-`, at most 64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(extend("pattern" = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")))]
#[serde(try_from = "String", into = "String")]
pub struct ArgName(String);

impl ToolName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ToolPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches the whole of `tool`.
    pub fn matches(&self, tool: &str) -> bool {
        glob(&self.0, tool)
    }
}

impl ArgName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_of_tool(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

impl TryFrom<String> for ToolName {
    type Error = InvalidMcpName;

    fn try_from(text: String) -> Result<Self, InvalidMcpName> {
        let fits = (1..=MAX_TOOL_LEN).contains(&text.len()) && text.bytes().all(is_of_tool);
        if fits { Ok(Self(text)) } else { Err(InvalidMcpName::Tool) }
    }
}

impl TryFrom<String> for ToolPattern {
    type Error = InvalidMcpName;

    fn try_from(text: String) -> Result<Self, InvalidMcpName> {
        let plain = |byte| byte == b'*' || is_of_tool(byte);
        let fits = (1..=MAX_TOOL_LEN).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text)) } else { Err(InvalidMcpName::Pattern) }
    }
}

impl TryFrom<String> for ArgName {
    type Error = InvalidMcpName;

    fn try_from(text: String) -> Result<Self, InvalidMcpName> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let fits = starts && text.len() <= MAX_ARG_LEN && text.bytes().all(plain);
        if fits { Ok(Self(text)) } else { Err(InvalidMcpName::Arg) }
    }
}

impl From<ToolName> for String {
    fn from(name: ToolName) -> Self {
        name.0
    }
}

impl From<ToolPattern> for String {
    fn from(pattern: ToolPattern) -> Self {
        pattern.0
    }
}

impl From<ArgName> for String {
    fn from(name: ArgName) -> Self {
        name.0
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ArgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not the name it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidMcpName {
    /// It is no tool's name.
    Tool,
    /// It is no pattern of tools.
    Pattern,
    /// It is no argument's name.
    Arg,
}

impl fmt::Display for InvalidMcpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tool => "a tool's name has 1 to 128 letters, digits, '_', '.' and '-'",
            Self::Pattern => "a pattern of tools has 1 to 128 letters, digits, '_', '.', '-' and '*'",
            Self::Arg => "a name begins with a letter or '_' and has at most 64 letters, digits, '_' and '-'",
        })
    }
}

impl core::error::Error for InvalidMcpName {}

const MAX_TOOL_LEN: usize = 128;
const MAX_ARG_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outside_its_alphabet_is_refused() {
        for text in ["", "a b", "ü", "a/b", "a*", &"x".repeat(129)] {
            assert_eq!(ToolName::try_from(text.to_owned()), Err(InvalidMcpName::Tool), "{text}");
        }
        for text in ["", "1a", "-a", "a.b", "a b", &"x".repeat(65)] {
            assert_eq!(ArgName::try_from(text.to_owned()), Err(InvalidMcpName::Arg), "{text}");
        }
        assert_eq!(ToolName::try_from("query-logs_2.x".to_owned()).unwrap().as_str(), "query-logs_2.x");
    }

    #[test]
    fn a_pattern_matches_the_whole_name() {
        let pattern = ToolPattern::try_from("query-*".to_owned()).unwrap();
        assert!(pattern.matches("query-logs") && !pattern.matches("a-query-logs"));
    }
}
