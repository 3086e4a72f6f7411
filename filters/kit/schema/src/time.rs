//! Points in time as people write them.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A point in time, to the second; RFC 3339 with an offset in configuration (`2027-01-01T00:00:00Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(with = "String", extend("format" = "date-time")))]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse().map(Self).map_err(|_| InvalidTimestamp)
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0.to_string()
    }
}

/// The text is not RFC 3339 with an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp;

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time is RFC 3339 with an offset, such as 2027-01-01T00:00:00Z")
    }
}

impl core::error::Error for InvalidTimestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_needed_and_counted() {
        let at = |text: &str| Timestamp::try_from(text.to_owned()).map(Timestamp::unix_seconds);
        assert_eq!(at("1970-01-01T00:01:00Z"), Ok(60));
        assert_eq!(at("1970-01-01T08:01:00+08:00"), Ok(60));
        assert_eq!(at("1970-01-01T00:01:00"), Err(InvalidTimestamp));
        assert_eq!(at("tomorrow"), Err(InvalidTimestamp));
    }
}
