//! Names, model patterns and key hashes.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The name of an object: `[a-z0-9][a-z0-9._/-]{0,127}`, so it is safe in a header, a path and a metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(extend("pattern" = r"^[a-z0-9][a-z0-9._/-]{0,127}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The domain of a gateway that has only one.
    pub fn default_domain() -> Self {
        Self("default".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let (first, rest) = text.as_bytes().split_first().ok_or(InvalidName::Empty)?;
        if text.len() > MAX_LEN {
            return Err(InvalidName::TooLong);
        }
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !plain(first) || !rest.iter().all(|byte| plain(byte) || b"._/-".contains(byte)) {
            return Err(InvalidName::Character);
        }
        Ok(Self(text))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a model as users or upstreams write it: 1 to 256 printable ASCII characters, none of them
/// a space, a quote or a backslash (`meta-llama/Llama-3.1-8B-Instruct`, `ft:gpt-4o:acme::abc`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(extend("pattern" = r"^[!#-\[\]-~]{1,256}$")))]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModelName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > MAX_MODEL_LEN {
            return Err(InvalidName::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
            return Err(InvalidName::ModelCharacter);
        }
        Ok(Self(text))
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A model name in which `*` stands for any number of characters: `gpt-4o`, `gpt-*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ModelPattern(ModelName);

impl ModelPattern {
    /// The pattern that matches every model.
    pub fn any() -> Self {
        Self(ModelName("*".into()))
    }

    /// Whether the pattern matches every model.
    pub fn is_any(&self) -> bool {
        self.as_str() == "*"
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the pattern matches the whole of `model`.
    ///
    /// ```
    /// # use weir_schema::ModelPattern;
    /// let pattern = ModelPattern::try_from("gpt-*-mini".to_owned())?;
    /// assert!(pattern.matches("gpt-4o-mini"));
    /// assert!(!pattern.matches("gpt-4o-mini-2024"));
    /// # Ok::<(), weir_schema::InvalidName>(())
    /// ```
    pub fn matches(&self, model: &str) -> bool {
        glob(self.as_str(), model)
    }
}

impl TryFrom<String> for ModelPattern {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        ModelName::try_from(text).map(Self)
    }
}

/// Whether `pattern` matches the whole of `text`; `*` stands for any characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*');
    // `split` yields at least one part; the last one is anchored at the end.
    let Some(tail) = parts.next_back() else { return left.is_empty() };
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(tail)
}

/// The SHA-256 of an API key: 64 hexadecimal digits in configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(with = "String", extend("pattern" = "^[0-9a-fA-F]{64}$")))]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// A hash from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl TryFrom<String> for KeyHash {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let (pairs, odd) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !odd.is_empty() {
            return Err(InvalidName::Hash);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let digits = core::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            *byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(InvalidName::Hash)?;
        }
        Ok(Self(bytes))
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// Why a text is not the name it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// Nothing was given.
    Empty,
    /// An object's name has more than 128 characters, or a model's more than 256.
    TooLong,
    /// An object's name has a character outside `[a-z0-9._/-]`, or starts with punctuation.
    Character,
    /// A model's name has a character that is not printable ASCII, or a space, quote or backslash.
    ModelCharacter,
    /// A key's hash is not 64 hexadecimal digits.
    Hash,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name must not be empty",
            Self::TooLong => "the name is too long",
            Self::Character => "a name starts with a-z or 0-9 and has only a-z, 0-9, '.', '_', '/' and '-'",
            Self::ModelCharacter => "a model's name has only printable ASCII, no space, quote or backslash",
            Self::Hash => "a key's SHA-256 is 64 hexadecimal digits",
        })
    }
}

impl core::error::Error for InvalidName {}

const MAX_LEN: usize = 128;
const MAX_MODEL_LEN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ModelPattern {
        ModelPattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_pattern_matches_the_whole_name() {
        for (text, model, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "xgpt-4", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*", "anything/at-all", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(pattern(text).matches(model), expected, "{text} on {model}");
        }
    }

    #[test]
    fn a_name_outside_its_alphabet_is_refused() {
        for (text, problem) in [
            ("", InvalidName::Empty),
            ("-a", InvalidName::Character),
            ("A", InvalidName::Character),
            ("a b", InvalidName::Character),
            ("é", InvalidName::Character),
        ] {
            assert_eq!(Name::try_from(text.to_owned()), Err(problem), "{text}");
        }
        assert_eq!(Name::try_from("a".repeat(129)), Err(InvalidName::TooLong));
        assert!(Name::try_from("openai/gpt-4o.v1_x".to_owned()).is_ok());
    }

    #[test]
    fn a_key_hash_reads_back_as_written_and_never_prints_in_debug() {
        let text = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let hash = KeyHash::try_from(text.to_owned()).unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(format!("{hash:?}"), "KeyHash(..)");
        assert_eq!(KeyHash::try_from(text[1..].to_owned()), Err(InvalidName::Hash));
        assert_eq!(KeyHash::try_from(format!("+{}", &text[1..])), Err(InvalidName::Hash));
    }
}
