//! The keys of a configuration, by hash, and the verdict on one.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use weir_core::{ConfigError, UnixTime};
use weir_schema::KeyHash;
use weir_schema::auth::Key;
use weir_schema::state::Grant;

/// Keys by the hash of each of their secrets.
#[derive(Debug)]
pub(crate) struct Directory(HashMap<KeyHash, Rc<Caller>>);

/// Whom a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) key: Key,
    pub(crate) grant: Grant,
}

/// Why a key does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    Disabled,
    Expired,
}

impl Directory {
    pub(crate) fn of(keys: Vec<Key>) -> Result<Self, ConfigError> {
        let mut callers = HashMap::with_capacity(keys.len());
        let mut ids = HashSet::with_capacity(keys.len());
        for (at, mut key) in keys.into_iter().enumerate() {
            let wrong = |field: &str, problem| ConfigError { field: format!("keys[{at}].{field}"), problem };
            if !ids.insert(key.id.clone()) {
                return Err(wrong("id", "another key has this id"));
            }
            if key.sha256.is_empty() {
                return Err(wrong("sha256", "a key needs at least one secret's hash"));
            }
            let hashes = std::mem::take(&mut key.sha256);
            let caller = Rc::new(Caller::of(key));
            for hash in hashes {
                if callers.insert(hash, Rc::clone(&caller)).is_some() {
                    return Err(wrong("sha256", "another key has this secret"));
                }
            }
        }
        Ok(Self(callers))
    }

    pub(crate) fn find(&self, hash: &KeyHash) -> Option<&Rc<Caller>> {
        self.0.get(hash)
    }
}

impl Caller {
    pub(crate) fn of(key: Key) -> Self {
        Self { grant: Grant::of(&key.domain, &key.models), key }
    }

    /// Whether the key works now. The clock is read only for a key that expires.
    pub(crate) fn admit(&self, now: impl FnOnce() -> UnixTime) -> Result<(), Denial> {
        if self.key.disabled {
            return Err(Denial::Disabled);
        }
        match self.key.expires_at {
            Some(expiry) if i64::try_from(now().seconds()).is_ok_and(|now| now < expiry.unix_seconds()) => {
                Ok(())
            }
            Some(_) => Err(Denial::Expired),
            None => Ok(()),
        }
    }
}
