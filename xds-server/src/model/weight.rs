//! How often one of several is chosen.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often one of several is chosen, beside the weights of the others: 1 to 1000, by default 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
pub struct Weight(#[schemars(range(min = 1, max = 1000))] NonZeroU32);

impl Weight {
    /// The weight as a number.
    pub fn get(self) -> NonZeroU32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl TryFrom<u32> for Weight {
    type Error = InvalidWeight;

    fn try_from(weight: u32) -> Result<Self, InvalidWeight> {
        NonZeroU32::new(weight).filter(|weight| weight.get() <= HEAVIEST).map(Self).ok_or(InvalidWeight)
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> Self {
        weight.0.get()
    }
}

/// The number is no weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a weight is a number from 1 to {HEAVIEST}")]
pub struct InvalidWeight;

const HEAVIEST: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_neither_nothing_nor_huge() {
        assert_eq!(Weight::try_from(1), Ok(Weight::default()));
        assert_eq!(Weight::try_from(1000).map(u32::from), Ok(1000));
        assert_eq!(Weight::try_from(0), Err(InvalidWeight));
        assert_eq!(Weight::try_from(1001), Err(InvalidWeight));
    }
}
