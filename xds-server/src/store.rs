//! Where the objects of the API are kept.

pub mod location;
pub mod postgres;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use tokio::sync::Notify;
use weir_schema::KeyHash;

use crate::object::{Object, ObjectId, ObjectKind};

/// A durable set of objects. What [`Store::commit`] has acknowledged outlives the process.
pub trait Store: fmt::Debug + Send {
    /// The revision that it is at.
    fn revision(&mut self) -> Result<Revision, StoreError>;

    /// Everything there is.
    fn read(&mut self) -> Result<Contents, StoreError>;

    /// Makes all changes or none, if the store is still at `after`. After another error than
    /// [`StoreError::Stale`] nobody knows whether they were made until the store is read again.
    fn commit(&mut self, after: Revision, changes: &[Change], now: Timestamp) -> Result<(), StoreError>;

    /// Rings the bell from now on when another process has changed the store, and when it may have.
    fn follow(&mut self, bell: Arc<Notify>);
}

/// How many times a store has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub i64);

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The revision of the whole.
    pub revision: Revision,
    /// The objects.
    pub objects: BTreeMap<ObjectId, Stored>,
    /// Hashes of keys that are being replaced, by key and hash, and when each stops being accepted.
    pub retiring: BTreeMap<(String, KeyHash), Timestamp>,
    /// Who may use the API, by the hash of the token.
    pub tokens: Tokens,
}

/// An object and its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// The revision at which it was last written.
    pub revision: Revision,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// One change of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes an object in the place of the one with its name, if there is one.
    Put(Object),
    /// Removes an object.
    Delete(ObjectId),
    /// Remembers that a hash of a key is accepted no longer than this.
    Retire(String, KeyHash, Timestamp),
    /// Forgets it, as the hash is gone.
    Retired(String, KeyHash),
    /// Lets a token use the API.
    Admit(KeyHash, Role),
}

/// Who may use the API, by the hash of the token.
pub type Tokens = BTreeMap<KeyHash, Role>;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
}

impl Revision {
    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Change {
    /// Which object is written or removed; none if the change is of something else.
    pub fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Put(object) => Some(object.id()),
            Self::Delete(id) => Some(id.clone()),
            Self::Retire(..) | Self::Retired(..) | Self::Admit(..) => None,
        }
    }
}

impl Role {
    const ALL: [Self; 1] = [Self::Admin];

    /// What a store calls it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }

    fn named(name: &str) -> Result<Self, StoreError> {
        let mut roles = Self::ALL.into_iter().filter(|role| role.as_str() == name);
        roles.next().ok_or_else(|| StoreError::Damaged(format!("the role {name:?}")))
    }
}

impl Stored {
    /// An object as the columns of a table have it.
    fn of_columns(
        (kind, name, spec): (&str, &str, &str),
        revision: i64,
        created_at: i64,
        updated_at: i64,
    ) -> Result<Self, StoreError> {
        let damaged = |problem: &str| StoreError::Damaged(format!("{kind}/{name}: {problem}"));
        let known = ObjectKind::named(kind).ok_or_else(|| damaged("the kind is unknown"))?;
        let spec = serde_json::from_str(spec).map_err(|error| damaged(&error.to_string()))?;
        let object = Object::parse(known, spec).map_err(|error| damaged(&error.to_string()))?;
        if object.id().name != name {
            return Err(damaged("the object has another name"));
        }
        let (created_at, updated_at) = (time(created_at)?, time(updated_at)?);
        Ok(Self { object, revision: Revision(revision), created_at, updated_at })
    }
}

fn time(seconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(seconds).map_err(|_| StoreError::Damaged(format!("the time {seconds}")))
}

impl Contents {
    /// What a store holds after these changes.
    pub fn apply(&mut self, changes: &[Change], now: Timestamp) {
        self.revision = self.revision.next();
        let revision = self.revision;
        for change in changes {
            match change.clone() {
                Change::Put(object) => {
                    let known = self.objects.get(&object.id());
                    let created_at = known.map_or(now, |known| known.created_at);
                    let stored = Stored { object, revision, created_at, updated_at: now };
                    self.objects.insert(stored.object.id(), stored);
                }
                Change::Delete(id) => {
                    self.objects.remove(&id);
                    if id.kind == ObjectKind::Keys {
                        self.retiring.retain(|(key, _), _| *key != id.name);
                    }
                }
                Change::Retire(key, hash, until) => drop(self.retiring.insert((key, hash), until)),
                Change::Retired(key, hash) => drop(self.retiring.remove(&(key, hash))),
                Change::Admit(hash, role) => drop(self.tokens.insert(hash, role)),
            }
        }
    }
}

/// Why a store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Someone else has written since it was read.
    #[error("the store has changed meanwhile")]
    Stale,
    /// Another process has it.
    #[error("another process has the store open")]
    Busy,
    /// The database does not answer.
    #[error("the database does not answer: {0}")]
    Away(String),
    /// A later release has written it.
    #[error("the store was written by a later release (format {0})")]
    Newer(i64),
    /// Something in it is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The database or the disk under it failed.
    #[error("the store failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
