//! Where the objects of the API are kept.

pub mod location;
pub mod postgres;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use tokio::sync::Notify;
use weir_schema::{KeyHash, Name};

use crate::{
    access::{Role, RoleName, Token},
    marketplace::{Document, Lifecycle, Published},
    object::{Object, ObjectId, ObjectKind},
};

/// A durable set of objects. What [`Store::commit`] has acknowledged outlives the process.
pub trait Store: fmt::Debug + Send {
    /// The revision that it is at.
    fn revision(&mut self) -> Result<Revision, StoreError>;

    /// Everything there is.
    fn read(&mut self) -> Result<Contents, StoreError>;

    /// Makes all changes or none, if the store is still at `after`. After another error than
    /// [`StoreError::Stale`] nobody knows whether they were made until the store is read again.
    fn commit(&mut self, after: Revision, changes: &[Change], now: Timestamp) -> Result<(), StoreError>;

    /// Lets no other process commit until this one has committed or calls [`Store::release`]: for who was too slow
    /// before. It may be lost with the connection. Where there is no other process, there is nothing to do.
    fn reserve(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Ends a reservation.
    fn release(&mut self) {}

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
    /// Who may use the API, by the names of the tokens.
    pub tokens: BTreeMap<Name, Token>,
    /// What was published of MCP servers, by name and version.
    pub published: BTreeMap<(String, String), Published>,
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
    /// The provider that has registered it. None: an administrator or a tenant has made it.
    pub registrar: Option<Name>,
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
    /// Remembers that a provider has registered an object that is there.
    Register(ObjectId, Name),
    /// Lets a token use the API.
    Admit(Token),
    /// Forgets the token of this name.
    Revoke(Name),
    /// Writes what is published of a version of an MCP server.
    Publish(Box<Published>),
    /// Forgets it, by name and version.
    Unpublish(String, String),
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
            Self::Register(..)
            | Self::Retire(..)
            | Self::Retired(..)
            | Self::Admit(_)
            | Self::Revoke(_)
            | Self::Publish(_)
            | Self::Unpublish(..) => None,
        }
    }
}

impl Stored {
    /// An object as the columns of a table have it.
    fn of_columns(
        (kind, name, spec): (&str, &str, &str),
        revision: i64,
        created_at: i64,
        updated_at: i64,
        registrar: Option<String>,
    ) -> Result<Self, StoreError> {
        let damaged = |problem: &str| StoreError::Damaged(format!("{kind}/{name}: {problem}"));
        let known = ObjectKind::named(kind).ok_or_else(|| damaged("the kind is unknown"))?;
        let spec = serde_json::from_str(spec).map_err(|error| damaged(&error.to_string()))?;
        let object = Object::parse(known, spec).map_err(|error| damaged(&error.to_string()))?;
        if object.id().name != name {
            return Err(damaged("the object has another name"));
        }
        let (created_at, updated_at) = (time(created_at)?, time(updated_at)?);
        let registrar = registrar.map(stored_name).transpose()?;
        Ok(Self { object, revision: Revision(revision), created_at, updated_at, registrar })
    }
}

impl Token {
    /// A token as the columns of a table have it.
    fn of_columns(
        (called, sha256, prefix): (String, KeyHash, String),
        (role, bound_to): (&str, Option<String>),
        created_at: i64,
        expires_at: Option<i64>,
    ) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged(format!("the role {role:?} of the token {called:?}"));
        let bound_to = bound_to.map(stored_name).transpose()?;
        let role = RoleName::named(role).and_then(|role| Role::of(role, bound_to)).ok_or_else(damaged)?;
        let (created_at, expires_at) = (time(created_at)?, expires_at.map(time).transpose()?);
        Ok(Self { name: stored_name(called)?, sha256, prefix, role, created_at, expires_at })
    }
}

/// The columns of a published document in both databases: texts and times, in their order.
struct Row {
    document: String,
    domain: Option<String>,
    status: String,
    status_message: Option<String>,
    status_changed_at: i64,
    published_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Published {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged("a published server".into());
        let document = serde_json::from_str(&row.document).ok().and_then(Document::stored);
        Ok(Self {
            document: document.ok_or_else(damaged)?,
            domain: row.domain.map(stored_name).transpose()?,
            status: Lifecycle::named(&row.status).ok_or_else(damaged)?,
            status_message: row.status_message,
            status_changed_at: time(row.status_changed_at)?,
            published_at: time(row.published_at)?,
            updated_at: time(row.updated_at)?,
        })
    }
}

fn stored_name(text: String) -> Result<Name, StoreError> {
    Name::try_from(text.clone()).map_err(|_| StoreError::Damaged(format!("the name {text:?}")))
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
                    let registrar = known.and_then(|known| known.registrar.clone());
                    let stored = Stored { object, revision, created_at, updated_at: now, registrar };
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
                Change::Register(id, provider) => {
                    if let Some(stored) = self.objects.get_mut(&id) {
                        stored.registrar = Some(provider);
                    }
                }
                Change::Admit(token) => drop(self.tokens.insert(token.name.clone(), token)),
                Change::Revoke(name) => drop(self.tokens.remove(&name)),
                Change::Publish(published) => {
                    let (name, version) = (published.document.name(), published.document.version());
                    self.published.insert((name.to_owned(), version.to_owned()), *published);
                }
                Change::Unpublish(name, version) => drop(self.published.remove(&(name, version))),
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
