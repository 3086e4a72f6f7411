//! What a test of a filter needs in place of a proxy.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::{Cas, Cx, Effect, Entry, Proxy, SharedStore, StoreError, UnixTime};

/// A proxy made of values: a test sets the time and the state, runs events and reads their effects.
#[derive(Debug, Default)]
pub struct Bench {
    /// The time every event happens at.
    pub now: UnixTime,
    /// Filter state; what events publish is added to it.
    pub state: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Attributes, by their path joined with dots.
    pub attributes: BTreeMap<String, Vec<u8>>,
    /// The shared store.
    pub store: MemStore,
}

impl Bench {
    /// Runs one event and gives its result with the effects it asked for.
    pub fn run<R>(&self, event: impl FnOnce(&mut Cx<'_>) -> R) -> (R, Vec<Effect>) {
        let mut cx = Cx::new(self);
        let result = event(&mut cx);
        let effects = cx.take_effects();
        for effect in &effects {
            if let Effect::Publish(key, value) = effect {
                self.state.borrow_mut().insert((*key).to_owned(), value.clone().into_bytes());
            }
        }
        (result, effects)
    }

    /// The same bench at another time.
    #[must_use]
    pub fn at(self, now: UnixTime) -> Self {
        Self { now, ..self }
    }
}

impl Proxy for Bench {
    fn now(&self) -> UnixTime {
        self.now
    }

    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.state.borrow().get(key).cloned()
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.attributes.get(&path.join(".")).cloned()
    }

    fn store(&self) -> &dyn SharedStore {
        &self.store
    }
}

/// A shared store with one worker.
#[derive(Debug, Default)]
pub struct MemStore {
    entries: RefCell<BTreeMap<String, Entry>>,
}

impl SharedStore for MemStore {
    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.entries.borrow().get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], expected: Option<Cas>) -> Result<(), StoreError> {
        let mut entries = self.entries.borrow_mut();
        let last = entries.get(key).map(|entry| entry.cas);
        if expected.is_some() && last.is_some() && expected != last {
            return Err(StoreError::Stale);
        }
        let cas = Cas(last.map_or(1, |cas| cas.0.wrapping_add(1)));
        entries.insert(key.to_owned(), Entry { value: value.to_vec(), cas });
        Ok(())
    }
}
