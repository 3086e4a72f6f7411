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

    fn group(self, groups: u32) -> u32 {
        let [first, second, third, fourth, ..] = self.0;
        u32::from_le_bytes([first, second, third, fourth]).checked_rem(groups).unwrap_or(0)
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
    let done = transact(store, &key(id.group(groups)), |bytes| {
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

/// Changes a counter that is there.
pub(crate) fn existing<T>(
    store: &dyn SharedStore,
    groups: u32,
    id: CounterId,
    mut change: impl FnMut(&mut Counter) -> T,
) -> Result<Option<T>, StoreError> {
    transact(store, &key(id.group(groups)), |bytes| {
        let mut group = bytes.and_then(parse).unwrap_or_default();
        let Some((_, counter)) = group.iter_mut().find(|(other, _)| *other == id) else {
            return (None, None);
        };
        let result = change(counter);
        (Some(to_bytes(&group)), Some(result))
    })
}

/// Lists the group of a counter among those that the ledger is told of.
pub(crate) fn list(store: &dyn SharedStore, groups: u32, id: CounterId) -> Result<(), StoreError> {
    list_groups(store, groups, &[id.group(groups)])
}

/// What `report` says of the counters in a bounded number of the groups that are listed: those of `first`, and the
/// next after `from`. Gives with it where to go on; 0 after the last. Groups in which no counter is listed any more
/// are dropped.
pub(crate) fn listed<T>(
    store: &dyn SharedStore,
    groups: u32,
    (first, from): (&[CounterId], u64),
    mut report: impl FnMut(&mut Counter) -> Option<T>,
) -> (Vec<T>, u64) {
    let first: Vec<u32> = first.iter().map(|id| id.group(groups)).collect();
    let taken = transact(store, LISTED, |bytes| {
        let mut map = bytes.unwrap_or_default().to_vec();
        let (taken, next) = take_groups(&mut map, groups, &first, from);
        if taken.is_empty() { (None, (taken, next)) } else { (Some(map), (taken, next)) }
    });
    let (taken, next) = taken.unwrap_or_default();
    let (mut told, mut again) = (Vec::new(), Vec::new());
    for number in taken {
        // A group is listed before its counters are read, so none that is listed meanwhile is passed over.
        let visited = transact(store, &key(number), |bytes| {
            let mut group = bytes.and_then(parse).unwrap_or_default();
            let told: Vec<T> = group.iter_mut().filter_map(|(_, counter)| report(counter)).collect();
            let listed = group.iter().any(|(_, counter)| counter.is_listed());
            ((!group.is_empty()).then(|| to_bytes(&group)), (told, listed))
        });
        match visited {
            Ok((counters, listed)) => {
                told.extend(counters);
                again.extend(listed.then_some(number));
            }
            Err(_) => again.push(number),
        }
    }
    // A counter in a group that is not listed is, when a request next finds its slice expired.
    let _listed = list_groups(store, groups, &again);
    (told, next)
}

fn list_groups(store: &dyn SharedStore, groups: u32, numbers: &[u32]) -> Result<(), StoreError> {
    transact(store, LISTED, |bytes| {
        let mut map = bytes.unwrap_or_default().to_vec();
        map.resize(usize::try_from(groups.div_ceil(8)).unwrap_or(usize::MAX), 0);
        let mut news = false;
        for number in numbers {
            if let Some((byte, bit)) = place(&mut map, *number) {
                news |= *byte & bit == 0;
                *byte |= bit;
            }
        }
        (news.then_some(map), ())
    })
}

fn take_groups(map: &mut [u8], groups: u32, first: &[u32], from: u64) -> (Vec<u32>, u64) {
    let from = u32::try_from(from).unwrap_or(0);
    let mut taken = Vec::new();
    for number in first.iter().copied().chain(from..groups) {
        let Some((byte, bit)) = place(map, number) else { break };
        if *byte & bit == 0 {
            continue;
        }
        if taken.len() >= GROUPS_AT_ONCE {
            return (taken, number.into());
        }
        *byte &= !bit;
        taken.push(number);
    }
    (taken, 0)
}

fn place(map: &mut [u8], number: u32) -> Option<(&mut u8, u8)> {
    let byte = map.get_mut(usize::try_from(number / 8).ok()?)?;
    Some((byte, 1_u8.checked_shl(number % 8)?))
}

fn key(group: u32) -> String {
    format!("quota/counters/{group}")
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

/// Which groups have counters that the ledger is told of: a bit each.
const LISTED: &str = "quota/ledger/listed";
/// How many groups one report is made of.
const GROUPS_AT_ONCE: usize = 64;

/// How many counters a group has room for.
const COUNTERS: usize = 16;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use weir_core::testing::MemStore;
    use weir_schema::Zone;
    use weir_schema::quota::{Limit, Limits};

    use super::*;
    use crate::counter::{Load, Refusal, Terms};

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
