//! Where counters stand: in the data that all workers of a proxy share.
//!
//! Nothing in it can be removed, so it is a table of a fixed number of groups, and a group has room for a fixed number
//! of counters. A counter in which nothing counts any more makes room for another; where every one of a group
//! counts, a further one is refused.

use sha2::{Digest, Sha256};
use weir_core::{SharedStore, StoreError, transact};

use crate::counter::Counter;

/// Which counter: a hash of its rule and of what the rule tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CounterId([u8; 16]);

/// Why a counter cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BookError {
    /// Its group is full of counters that count.
    Full,
    /// What stands there is no group of counters.
    Broken,
    /// The store does not work.
    Store(StoreError),
}

impl CounterId {
    /// The counter of these parts: names, which have no zero byte.
    pub(crate) fn of<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
            hash.update([0]);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }

    fn group(self, groups: u32) -> String {
        let [first, second, third, fourth, ..] = self.0;
        let number = u32::from_le_bytes([first, second, third, fourth]);
        format!("quota/counters/{}", number.checked_rem(groups).unwrap_or(0))
    }
}

/// Changes a counter, whoever else does so at the same time. With `Err` from `change` it stays as it is.
pub(crate) fn change<T, E>(
    store: &dyn SharedStore,
    groups: u32,
    id: CounterId,
    now: u64,
    mut change: impl FnMut(&mut Counter) -> Result<T, E>,
) -> Result<Result<T, E>, BookError> {
    let done = transact(store, &id.group(groups), |bytes| {
        let Some(mut group) = parse(bytes.unwrap_or_default()) else {
            return (None, Err(BookError::Broken));
        };
        let mut counter = group
            .iter()
            .position(|(other, _)| *other == id)
            .map_or_else(Counter::default, |at| group.swap_remove(at).1);
        group.retain(|(_, other)| !other.is_idle(now));
        if group.len() >= COUNTERS {
            return (None, Err(BookError::Full));
        }
        match change(&mut counter) {
            Ok(result) => {
                group.push((id, counter));
                (Some(to_bytes(&group)), Ok(Ok(result)))
            }
            Err(refused) => (None, Ok(Err(refused))),
        }
    });
    done.map_err(BookError::Store)?
}

fn to_bytes(group: &[(CounterId, Counter)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (id, counter) in group {
        let bytes = counter.to_bytes();
        all.extend_from_slice(&id.0);
        all.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
        all.extend_from_slice(&bytes);
    }
    all
}

fn parse(mut bytes: &[u8]) -> Option<Vec<(CounterId, Counter)>> {
    let mut group = Vec::new();
    while !bytes.is_empty() {
        let (id, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        group.push((CounterId(*id), Counter::parse(counter)?));
        bytes = rest;
    }
    Some(group)
}

/// How many counters a group has room for.
const COUNTERS: usize = 16;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use weir_core::testing::MemStore;
    use weir_schema::Zone;
    use weir_schema::quota::Limits;

    use super::*;
    use crate::counter::{Limit, Load, Refusal, Terms};

    const NOW: u64 = 1_700_000_000;

    fn ask(store: &dyn SharedStore, limits: &Limits, name: &str, now: u64) -> Result<u64, BookError> {
        let zone = Zone::default();
        let terms = Terms { limits, zone: &zone, lease_secs: 60 };
        let load = Load { requests: 1, tokens: 5, cost: 0 };
        let id = CounterId::of([name].into_iter());
        change(store, 1, id, now, |counter| {
            counter.charge(terms, load, now);
            Ok::<_, Refusal>(counter.used(Limit::Rpm) + counter.used(Limit::TokensPerMonth))
        })
        .map(Result::unwrap)
    }

    #[test]
    fn counters_of_one_group_do_not_touch_each_other() {
        let (store, limits) = (MemStore::default(), Limits { rpm: Some(9), ..Limits::default() });
        let counts = ["a", "b", "a", "c", "a"].map(|name| ask(&store, &limits, name, NOW));
        assert_eq!(counts, [Ok(1), Ok(1), Ok(2), Ok(1), Ok(3)]);
        assert_ne!(CounterId::of(["a", "b"].into_iter()), CounterId::of(["ab"].into_iter()));
    }

    #[test]
    fn a_full_group_takes_another_counter_only_in_place_of_an_idle_one() {
        let (store, rate) = (MemStore::default(), Limits { rpm: Some(9), ..Limits::default() });
        for number in 0..COUNTERS {
            assert_eq!(ask(&store, &rate, &number.to_string(), NOW), Ok(1));
        }
        assert_eq!(ask(&store, &rate, "more", NOW + 60), Err(BookError::Full));
        assert_eq!(ask(&store, &rate, "3", NOW + 60), Ok(2));
        let budget = Limits { tokens_per_month: Some(9), ..Limits::default() };
        for number in 1..COUNTERS {
            assert_eq!(ask(&store, &budget, &format!("month {number}"), NOW + 61), Ok(5));
        }
        assert_eq!(ask(&store, &budget, "more", NOW + 1000), Ok(5));
        assert_eq!(ask(&store, &budget, "too many", NOW + 1000), Err(BookError::Full));
    }

    #[test]
    fn what_is_no_group_is_not_taken_for_an_empty_one() {
        let store = MemStore::default();
        store.set("quota/counters/0", b"nonsense", None).unwrap();
        assert_eq!(ask(&store, &Limits::default(), "a", NOW), Err(BookError::Broken));
    }
}
