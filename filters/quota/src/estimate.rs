//! What a request may use, before it is known: learned for each model from what its requests have used.

use sha2::{Digest, Sha256};
use weir_core::{SharedStore, StoreError, update};

/// What the requests for a model have used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lore {
    /// Tokens of a prompt for each that it was weighed as, in parts of [`ONE`].
    ratio: u32,
    /// As many tokens as nine of ten answers have at most.
    output: u32,
}

/// What a request is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// What the prompt was weighed as.
    pub(crate) weight: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Lore {
    /// What is known of a model.
    pub(crate) fn read(store: &dyn SharedStore, model: &str) -> Self {
        let entry = store.get(&key(model)).ok().flatten();
        entry.and_then(|entry| Self::parse(&entry.value)).unwrap_or_default()
    }

    /// The estimate for a prompt of this weight. `most` is the length of an answer that the request allows.
    pub(crate) fn estimate(self, weight: u64, most: Option<u64>) -> Estimate {
        let input = u128::from(weight).saturating_mul(self.ratio.into()).div_ceil(ONE.into());
        let output = u64::from(self.output).min(most.unwrap_or(u64::MAX));
        Estimate { weight, input: u64::try_from(input).unwrap_or(u64::MAX), output }
    }

    /// Learns from a request that used this much.
    pub(crate) fn learn(
        store: &dyn SharedStore,
        model: &str,
        estimate: Estimate,
        (input, output): (u64, u64),
    ) -> Result<(), StoreError> {
        let lore = |bytes: &[u8]| Self::parse(bytes).unwrap_or_default().with(estimate.weight, input, output);
        update(store, &key(model), |bytes| lore(bytes.unwrap_or_default()).to_bytes()).map(drop)
    }

    fn with(self, weight: u64, input: u64, output: u64) -> Self {
        let seen = input.saturating_mul(ONE.into()).checked_div(weight);
        let ratio = seen.map_or(self.ratio, |seen| {
            let seen = u32::try_from(seen).unwrap_or(u32::MAX).clamp(LEAST_RATIO, MOST_RATIO);
            let change = i64::from(seen).saturating_sub(self.ratio.into());
            let step = change.checked_div(16).filter(|step| *step != 0).unwrap_or(change.signum());
            let ratio = i64::from(self.ratio).saturating_add(step);
            u32::try_from(ratio).unwrap_or(self.ratio)
        });
        let step = self.output / 16;
        let output = if output > u64::from(self.output) {
            self.output.saturating_add(step.saturating_mul(9) / 10).saturating_add(9)
        } else {
            self.output.saturating_sub(step / 10).saturating_sub(1)
        };
        Self { ratio, output: output.max(1) }
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.ratio.to_le_bytes(), self.output.to_le_bytes()].concat()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (ratio, rest) = bytes.split_first_chunk()?;
        let output = u32::from_le_bytes(*rest.first_chunk()?);
        Some(Self { ratio: u32::from_le_bytes(*ratio), output })
    }
}

impl Default for Lore {
    fn default() -> Self {
        Self { ratio: ONE, output: 256 }
    }
}

/// Models share a bounded number of places; those that share one are taken to be alike.
fn key(model: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(model).into();
    let [first, second, ..] = digest;
    format!("quota/models/{}", u16::from_le_bytes([first, second]) % PLACES)
}

const ONE: u32 = 256;
const LEAST_RATIO: u32 = ONE / 16;
const MOST_RATIO: u32 = ONE * 16;
const PLACES: u16 = 1024;

#[cfg(test)]
mod tests {
    use weir_core::testing::MemStore;

    use super::*;

    #[test]
    fn an_estimate_comes_to_what_a_model_uses() {
        let store = MemStore::default();
        assert_eq!(
            Lore::read(&store, "index").estimate(100, None),
            Estimate { weight: 100, input: 100, output: 256 }
        );
        for request in 0..2000_u64 {
            let estimate = Lore::read(&store, "index").estimate(100, None);
            let answer = if request % 20 == 0 { 5000 } else { 40 };
            Lore::learn(&store, "index", estimate, (150, answer)).unwrap();
        }
        let Estimate { input, output, .. } = Lore::read(&store, "index").estimate(100, None);
        assert_eq!(input, 150);
        assert!((40..200).contains(&output), "{output}");
        assert_eq!(Lore::read(&store, "index").estimate(100, Some(7)).output, 7);
        assert_eq!(Lore::read(&store, "other").estimate(100, None).input, 100);
    }

    #[test]
    fn no_usage_makes_an_estimate_absurd() {
        let lore = [(0, u64::MAX), (u64::MAX, u64::MAX), (1, 0)]
            .into_iter()
            .fold(Lore::default(), |lore, (weight, input)| lore.with(weight, input, u64::MAX));
        assert!((ONE / 2..ONE * 2).contains(&lore.ratio), "{lore:?}");
        assert!(lore.estimate(u64::MAX, None).input > u64::MAX / 2);
    }
}
