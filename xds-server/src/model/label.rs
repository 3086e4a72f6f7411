//! What is known about a consumer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of a label: 1 to 128 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Label(#[schemars(length(min = 1, max = 128))] String);

impl Label {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        let length = text.chars().count();
        if length == 0 || length > LONGEST || text.chars().any(char::is_control) {
            return Err(InvalidLabel);
        }
        Ok(Self(text))
    }
}

/// The text is not the value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a label's value has 1 to {LONGEST} characters, and no control characters")]
pub struct InvalidLabel;

const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_short_line() {
        for text in ["gold", "a b", "金", &"x".repeat(128)] {
            assert_eq!(Label::try_from(text.to_owned()).unwrap().as_str(), text);
        }
        for text in ["", "a\nb", &"x".repeat(129)] {
            assert_eq!(Label::try_from(text.to_owned()), Err(InvalidLabel));
        }
    }
}
