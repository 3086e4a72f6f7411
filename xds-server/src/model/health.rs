//! When Envoy leaves a node of a provider alone, and how much it has under way there, in Envoy's own terms.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// When a node that fails gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierDetection {
    /// After how many answers of 5xx, or none, without another between them; 0 for never.
    pub consecutive_5xx: u32,
    /// How often nodes are let back.
    pub interval: Span,
    /// For how long, times how often it has been left alone before.
    pub base_ejection_time: Span,
    /// Of how many of the nodes at most, in percent.
    pub max_ejection_percent: Percent,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            interval: Span::from_secs(10),
            base_ejection_time: Span::from_secs(30),
            max_ejection_percent: Percent(50),
        }
    }
}

/// How much may be under way at once. What is absent has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreakers {
    /// Connections; HTTP/1.1 has a request on each.
    pub max_connections: Option<NonZeroU32>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<NonZeroU32>,
    /// Requests.
    pub max_requests: Option<NonZeroU32>,
    /// Requests that have failed here first and are tried elsewhere.
    pub max_retries: Option<NonZeroU32>,
}

/// A part of a hundred, and not nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
pub struct Percent(#[schemars(range(min = 1, max = 100))] u32);

impl TryFrom<u32> for Percent {
    type Error = InvalidPercent;

    fn try_from(percent: u32) -> Result<Self, InvalidPercent> {
        if (1..=100).contains(&percent) { Ok(Self(percent)) } else { Err(InvalidPercent) }
    }
}

impl From<Percent> for u32 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// The number is no percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a percentage is a number from 1 to 100")]
pub struct InvalidPercent;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_neither_nothing_nor_more_than_all() {
        assert_eq!([1, 100].map(Percent::try_from), [Ok(Percent(1)), Ok(Percent(100))]);
        assert_eq!([0, 101].map(Percent::try_from), [Err(InvalidPercent); 2]);
    }
}
