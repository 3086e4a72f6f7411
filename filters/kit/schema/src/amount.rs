//! Amounts of money.

use core::fmt;

use serde::{Deserialize, Serialize};

/// An amount of some currency, to its millionth; a number in configuration (`200`, `0.15`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(with = "f64", extend("minimum" = 0, "maximum" = 1_000_000_000)))]
#[serde(try_from = "f64", into = "f64")]
pub struct Amount(u64);

impl Amount {
    /// The amount in thousand-millionths.
    pub fn nanos(self) -> u64 {
        self.0.saturating_mul(1_000)
    }
}

impl TryFrom<f64> for Amount {
    type Error = InvalidAmount;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range, and rounded"
    )]
    fn try_from(amount: f64) -> Result<Self, InvalidAmount> {
        let fits = (0.0..=LARGEST).contains(&amount);
        if fits { Ok(Self((amount * MILLION).round() as u64)) } else { Err(InvalidAmount) }
    }
}

impl From<Amount> for f64 {
    #[expect(clippy::cast_precision_loss, reason = "the largest amount has fewer digits than a float keeps")]
    fn from(amount: Amount) -> Self {
        amount.0 as Self / MILLION
    }
}

/// The number is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAmount;

impl fmt::Display for InvalidAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount is a number from 0 to 1000000000")
    }
}

impl core::error::Error for InvalidAmount {}

const MILLION: f64 = 1e6;
const LARGEST: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_as_it_was_read() {
        for amount in [0.0, 0.15, 0.000_001, 200.0, 1e9] {
            assert_eq!(f64::from(Amount::try_from(amount).unwrap()), amount);
        }
        assert_eq!(Amount::try_from(0.15).map(Amount::nanos), Ok(150_000_000));
        for none in [-0.1, 1e10, f64::NAN, f64::INFINITY] {
            assert_eq!(Amount::try_from(none), Err(InvalidAmount));
        }
    }
}
