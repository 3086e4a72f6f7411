//! Spans of time as people write them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of time: `500ms`, `30s`, `5m`, `1h`. At least one millisecond, at most a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9]+(ms|s|m|h)$"))]
pub struct Span(Duration);

impl Span {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The span as the standard library has it.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Span {
    type Error = InvalidSpan;

    fn try_from(text: String) -> Result<Self, InvalidSpan> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at_checked(digits).ok_or(InvalidSpan)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(InvalidSpan),
        };
        let count = count.parse::<u64>().map_err(|_| InvalidSpan)?;
        let span = Duration::from_millis(count.checked_mul(millis).ok_or(InvalidSpan)?);
        if span.is_zero() || span > LONGEST { Err(InvalidSpan) } else { Ok(Self(span)) }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        let millis = span.0.as_millis();
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        let (unit, size) =
            units.into_iter().find(|(_, size)| millis.is_multiple_of(*size)).unwrap_or(("ms", 1));
        let count = millis.checked_div(size).unwrap_or(millis);
        format!("{count}{unit}")
    }
}

/// The text is not a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a number with its unit, such as 500ms, 30s, 5m or 1h, and at most a week")]
pub struct InvalidSpan;

const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_a_number_and_a_unit() {
        let millis = |text: &str| Span::try_from(text.to_owned()).map(|span| span.duration().as_millis());
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("5m"), Ok(300_000));
        assert_eq!(millis("2h"), Ok(7_200_000));
        for text in ["500ms", "1500ms", "30s", "90s", "5m", "2h"] {
            assert_eq!(String::from(Span::try_from(text.to_owned()).unwrap()), text);
        }
        for wrong in ["", "5", "s", "-5s", "1.5s", "0s", "169h", "5 m", "é", "99999999999999999999s"] {
            assert_eq!(millis(wrong), Err(InvalidSpan), "{wrong}");
        }
    }
}
