//! The store that all workers of a proxy share.

/// Data shared by all workers, changed by compare-and-swap.
///
/// Nothing in it expires, so a filter bounds its keys by its configuration.
pub trait SharedStore {
    /// Reads an entry.
    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Writes an entry; with `expected`, only if nobody wrote since it was read.
    fn set(&self, key: &str, value: &[u8], expected: Option<Cas>) -> Result<(), StoreError>;
}

/// An entry as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Which writing of the key this is.
    pub cas: Cas,
}

/// Which writing of a key was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cas(pub u32);

/// Why the store did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Another worker wrote first.
    Stale,
    /// The proxy refused.
    Unavailable,
}

/// Reads, changes and writes one entry, again when another worker wrote in between, a bounded number of times.
pub fn update(
    store: &dyn SharedStore,
    key: &str,
    change: impl Fn(Option<&[u8]>) -> Vec<u8>,
) -> Result<Vec<u8>, StoreError> {
    transact(store, key, |bytes| {
        let value = change(bytes);
        (Some(value.clone()), value)
    })
}

/// Like [`update`], for a change that has a result, and that may leave the entry as it is.
pub fn transact<T>(
    store: &dyn SharedStore,
    key: &str,
    mut change: impl FnMut(Option<&[u8]>) -> (Option<Vec<u8>>, T),
) -> Result<T, StoreError> {
    for _ in 0..MAX_TRIES {
        let entry = store.get(key)?;
        let (value, result) = change(entry.as_ref().map(|entry| entry.value.as_slice()));
        let Some(value) = value else { return Ok(result) };
        match store.set(key, &value, Some(entry.map_or(NEVER_WRITTEN, |entry| entry.cas))) {
            Ok(()) => return Ok(result),
            Err(StoreError::Stale) => {}
            Err(StoreError::Unavailable) => return Err(StoreError::Unavailable),
        }
    }
    Err(StoreError::Stale)
}

/// What is expected of a key that is not there. A proxy creates such a key whatever is expected, and refuses this
/// for one that another worker has created meanwhile.
const NEVER_WRITTEN: Cas = Cas(u32::MAX);

const MAX_TRIES: u32 = 100;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::MemStore;

    /// A store in which another worker writes before each of the first `rivals` writes.
    struct Contended {
        store: MemStore,
        rivals: Cell<u32>,
    }

    impl SharedStore for Contended {
        fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
            self.store.get(key)
        }

        fn set(&self, key: &str, value: &[u8], expected: Option<Cas>) -> Result<(), StoreError> {
            if let Some(left) = self.rivals.get().checked_sub(1) {
                self.rivals.set(left);
                self.store.set(key, b"10", None)?;
            }
            self.store.set(key, value, expected)
        }
    }

    fn add_one(value: Option<&[u8]>) -> Vec<u8> {
        let number: u32 = value.map_or(0, |value| str::from_utf8(value).unwrap().parse().unwrap());
        number.saturating_add(1).to_string().into_bytes()
    }

    #[test]
    fn an_update_that_loses_starts_from_the_winner() {
        let contended = Contended { store: MemStore::default(), rivals: Cell::new(0) };
        assert_eq!(update(&contended, "n", add_one), Ok(b"1".to_vec()));
        contended.rivals.set(2);
        assert_eq!(update(&contended, "n", add_one), Ok(b"11".to_vec()));
    }

    #[test]
    fn of_two_that_write_a_key_first_one_starts_again() {
        let contended = Contended { store: MemStore::default(), rivals: Cell::new(1) };
        assert_eq!(update(&contended, "n", add_one), Ok(b"11".to_vec()));
    }

    #[test]
    fn an_update_that_always_loses_gives_up() {
        let contended = Contended { store: MemStore::default(), rivals: Cell::new(0) };
        update(&contended, "n", add_one).unwrap();
        contended.rivals.set(u32::MAX);
        assert_eq!(update(&contended, "n", add_one), Err(StoreError::Stale));
    }
}
