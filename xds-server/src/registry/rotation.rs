//! Keys that get another secret while the one before is still accepted.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tracing::warn;
use weir_schema::KeyHash;

use super::{Condition, Connection, Refusal, Registry, State, View, now};
use crate::{
    access::Role,
    file::{Key, KeyPrefix},
    object::{Object, ObjectId, ObjectKind},
    store::Change,
};

impl Registry {
    /// Gives a key another secret. What was accepted before is for as long as `overlap_secs` says.
    pub fn rotate(
        &self,
        role: &Role,
        id: &ObjectId,
        (hash, prefix): (KeyHash, Option<KeyPrefix>),
        overlap_secs: u32,
        condition: &Condition,
    ) -> Result<View, Refusal> {
        let until =
            now().saturating_add(SignedDuration::from_secs(overlap_secs.into())).unwrap_or(Timestamp::MAX);
        self.change(|writer| {
            let state = &writer.state;
            let before = state.changeable_by(role, id)?;
            condition.check(id, before.as_ref())?;
            let key = before.and_then(|_| state.key(id));
            let mut key = key.ok_or_else(|| Refusal::Missing(id.clone()))?;
            let old: Vec<KeyHash> = key.sha256.into();
            let mut changes = Vec::new();
            key.sha256 = if overlap_secs == 0 {
                changes.extend(old.into_iter().map(|hash| Change::Retired(id.name.clone(), hash)));
                vec![hash].into()
            } else {
                let sooner = |hash: &KeyHash| {
                    let known = state.contents.retiring.get(&(id.name.clone(), *hash));
                    known.map_or(until, |known| until.min(*known))
                };
                changes.extend(old.iter().map(|hash| Change::Retire(id.name.clone(), *hash, sooner(hash))));
                [vec![hash], old].concat().into()
            };
            key.prefix.clone_from(&prefix);
            changes.push(Change::Put(Object::Key(key)));
            writer.write(&changes).map_err(|refusal| writer.state.tell(role, refusal, id))?;
            writer.state.view(id).ok_or_else(|| Refusal::Missing(id.clone()))
        })
    }

    /// Drops the secrets whose time is over by `now`.
    pub fn retire(&self, now: Timestamp) {
        let due = self.state().due(now);
        for name in due {
            let id = ObjectKind::Keys.id(name);
            // Another process may have been faster; then there is nothing left to do.
            let dropped = self.change(|writer| match writer.state.without_overdue(&id, now) {
                changes if changes.is_empty() => Ok(()),
                changes => writer.write(&changes),
            });
            if let Err(problem) = dropped {
                warn!(object = %id, %problem, "cannot drop a secret whose time is over");
            }
        }
    }
}

impl State {
    pub(super) fn key(&self, id: &ObjectId) -> Option<Key> {
        let Some(Object::Key(key)) = self.contents.objects.get(id).map(|stored| &stored.object) else {
            return None;
        };
        Some(key.clone())
    }

    /// The keys with secrets whose time is over.
    fn due(&self, now: Timestamp) -> BTreeSet<String> {
        if self.loader.file().is_none() || self.connection != Connection::Open {
            // Nothing is served, so nothing is accepted; or nothing can be saved.
            return BTreeSet::new();
        }
        let overdue = self.contents.retiring.iter().filter(|(_, until)| **until <= now);
        overdue.map(|((key, _), _)| key.clone()).collect()
    }

    fn without_overdue(&self, id: &ObjectId, now: Timestamp) -> Vec<Change> {
        let overdue = self.contents.retiring.iter().filter(|(_, until)| **until <= now);
        let hashes: Vec<_> =
            overdue.filter(|((key, _), _)| *key == id.name).map(|((_, hash), _)| *hash).collect();
        if hashes.is_empty() { Vec::new() } else { self.without(id, &hashes) }
    }

    /// What drops these secrets of a key. One that somebody has made the key's only secret since stays.
    fn without(&self, id: &ObjectId, hashes: &[KeyHash]) -> Vec<Change> {
        let mut changes: Vec<Change> =
            hashes.iter().map(|hash| Change::Retired(id.name.clone(), *hash)).collect();
        if let Some(mut key) = self.key(id) {
            let before: Vec<KeyHash> = key.sha256.into();
            let after: Vec<KeyHash> = before.iter().filter(|hash| !hashes.contains(hash)).copied().collect();
            if !after.is_empty() && after != before {
                key.sha256 = after.into();
                changes.push(Change::Put(Object::Key(key)));
            }
        }
        changes
    }
}
