//! Keys that Envoys look up one by one, where there are too many to send them all.

use std::{collections::HashMap, fmt, sync::Arc};

use weir_schema::{KeyHash, auth::Key};

/// Keys by the hash of each of their secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyTable(HashMap<KeyHash, Arc<Key>>);

impl KeyTable {
    /// A table of these keys.
    pub fn of(keys: impl Iterator<Item = Key>) -> Self {
        let mut table = HashMap::new();
        for mut key in keys {
            let hashes = std::mem::take(&mut key.sha256);
            let key = Arc::new(key);
            table.extend(hashes.into_iter().map(|hash| (hash, Arc::clone(&key))));
        }
        Self(table)
    }

    /// The key with this secret.
    pub fn find(&self, hash: &KeyHash) -> Option<&Key> {
        self.0.get(hash).map(Arc::as_ref)
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTable({} secrets)", self.0.len())
    }
}
