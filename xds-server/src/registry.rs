//! The one configuration that the file and the store make together, and every way to change it.

mod access;
mod apply;
mod authorise;
mod marketplace;
mod page;
mod refusal;
mod rotation;
mod sharing;
mod sight;
#[cfg(test)]
mod tests;
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::{debug, error, info};

use weir_schema::Name;

use crate::{
    access::Role,
    discovery::Wanted,
    file::File,
    load::{Candidate, Loader},
    object::{Object, ObjectId, ObjectKind},
    snapshot::Version,
    status::Status,
    store::{Change, Contents, Store, StoreError, Stored},
};

pub use access::Denied;
pub use apply::{Applied, Outcome};
pub use marketplace::{Refused, viewer};
pub use page::{Page, Query};
pub use refusal::Refusal;
pub use sight::SEEN_OF_MODELS;

/// The configuration. Each change of it is checked whole, saved, and then published.
#[derive(Debug)]
pub struct Registry {
    /// Locked before the state is: while the store is only asked whether it has changed, the state is free.
    store: Option<Mutex<Box<dyn Store>>>,
    state: Mutex<State>,
    status: Arc<Status>,
    /// Rung when a file that was refused may be right now.
    retry: Notify,
    /// Rung when the API has changed something.
    written: Notify,
    /// Rung when the store may have changed, or may answer otherwise than before.
    bell: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    loader: Loader,
    connection: Connection,
    contents: Contents,
}

/// Whether the store can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Connection {
    /// There is none.
    Absent,
    /// It answered last.
    Open,
    /// It did not, for this reason.
    Away(String),
}

/// A change that is being made, with all that it needs locked.
struct Writer<'a> {
    registry: &'a Registry,
    store: &'a mut dyn Store,
    state: MutexGuard<'a, State>,
}

/// An object as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Which object.
    pub id: ObjectId,
    /// Where it is changed.
    pub owner: Owner,
    /// What `If-Match` names: another one after each change.
    pub etag: String,
    /// When it was first and when it was last written; unknown of the file's.
    pub written: Option<(Timestamp, Timestamp)>,
    /// The provider that has registered it.
    pub registrar: Option<Name>,
    /// Its content.
    pub spec: Value,
}

/// Where an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// In the configuration file.
    File,
    /// Over the API.
    Api,
}

/// What must be true of an object for it to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// It has one of these ETags.
    Matches(Vec<String>),
}

impl Registry {
    /// The configuration of a file and, if there is one, a store.
    pub fn new(
        loader: Loader,
        mut store: Option<Box<dyn Store>>,
        status: Arc<Status>,
    ) -> Result<Self, StoreError> {
        let bell = Arc::new(Notify::new());
        let contents = store.as_mut().map(|store| {
            store.follow(Arc::clone(&bell));
            store.read()
        });
        let contents = contents.transpose()?;
        let connection = if store.is_some() { Connection::Open } else { Connection::Absent };
        let state = Mutex::new(State { loader, connection, contents: contents.unwrap_or_default() });
        let store = store.map(Mutex::new);
        Ok(Self { store, state, status, retry: Notify::new(), written: Notify::new(), bell })
    }

    /// Reads the files, and serves what they say if it is right.
    pub fn reload(&self) {
        let mut state = self.state();
        let stored = state.contents.list();
        match state.loader.load(stored) {
            Ok(None) => debug!("nothing has changed"),
            Ok(Some(snapshot)) => {
                let version = snapshot.version().cloned();
                if self.status.publish(snapshot) {
                    info!(version = version.as_ref().map(Version::as_str), "serving");
                }
            }
            Err(problem) => {
                state.loader.refuse();
                let problem = problem.to_string();
                if self.status.refuse(problem.clone()) {
                    error!("configuration refused: {problem}");
                }
            }
        }
    }

    /// The files that the configuration is read from.
    pub fn watched(&self) -> BTreeSet<PathBuf> {
        self.state().loader.watched().clone()
    }

    /// Waits until a file that was refused may be right, since the store has changed.
    pub async fn may_be_mended(&self) {
        self.retry.notified().await;
    }

    /// Waits until the API has changed something.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// The services that are to be found for what is served.
    pub fn wanted(&self) -> Option<Wanted> {
        self.state().loader.wanted().cloned()
    }

    /// One object, if the role is shown it.
    pub fn get(&self, role: &Role, id: &ObjectId) -> Result<View, Refusal> {
        let state = self.state();
        state.store()?;
        let sight = state.sight(role);
        let seen = state.entry(id).filter(|entry| sight.sees(entry));
        seen.map(|entry| sight.show(entry.view())).ok_or_else(|| Refusal::Missing(id.clone()))
    }

    /// Some objects of a kind, of those that the role is shown.
    pub fn list(&self, role: &Role, query: &Query) -> Result<Page, Refusal> {
        let state = self.state();
        state.store()?;
        let (sight, mut entries) = (state.sight(role), state.entries(query.kind));
        entries.retain(|_, entry| sight.sees(entry));
        let mut page = query.page(&entries);
        page.views = page.views.into_iter().map(|view| sight.show(view)).collect();
        Ok(page)
    }

    /// Whether there is a store.
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Writes an object, if the role allows it; true if it is new.
    pub fn put(&self, role: &Role, object: Object, condition: &Condition) -> Result<(View, bool), Refusal> {
        let id = object.id();
        self.change(|writer| {
            let (mut object, state) = (object.clone(), &writer.state);
            let more = state.permit(&state.sight(role), role, &mut object)?;
            let before = state.changeable(&id)?;
            condition.check(&id, before.as_ref())?;
            let changes = [vec![Change::Put(object)], more].concat();
            writer.write(&changes).map_err(|refusal| writer.state.tell(role, refusal, &id))?;
            let view = writer.state.view(&id).ok_or_else(|| Refusal::Missing(id.clone()))?;
            Ok((view, before.is_none()))
        })
    }

    /// Removes an object, if the role allows it.
    pub fn delete(&self, role: &Role, id: &ObjectId, condition: &Condition) -> Result<(), Refusal> {
        self.change(|writer| {
            let before = writer.state.changeable_by(role, id)?;
            condition.check(id, before.as_ref())?;
            before.ok_or_else(|| Refusal::Missing(id.clone()))?;
            let written = writer.write(&[Change::Delete(id.clone())]);
            written.map_err(|refusal| writer.state.tell(role, refusal.of_deleting(id), id))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is known of the store can be shown and changed.
    fn store(&self) -> Result<(), Refusal> {
        match &self.connection {
            Connection::Absent => Err(Refusal::NoStore),
            Connection::Open => Ok(()),
            Connection::Away(problem) => Err(Refusal::Store(StoreError::Away(problem.clone()))),
        }
    }

    /// The object as it is stored, if it is; an error if the API cannot change it.
    fn changeable(&self, id: &ObjectId) -> Result<Option<View>, Refusal> {
        self.store()?;
        match self.view(id) {
            Some(view) if view.owner == Owner::File => Err(Refusal::OwnedByFile(id.clone())),
            other => Ok(other),
        }
    }

    /// What the store would hold after the changes, and what would be served then.
    fn candidate(&mut self, changes: &[Change]) -> Result<(Contents, Candidate, Timestamp), Refusal> {
        for change in changes {
            if let Change::Put(Object::Template(new)) = change
                && let Some(Object::Template(old)) = self.object(&ObjectKind::Templates.id(new.label()))
                && !new.is_same(&old)
            {
                return Err(Refusal::Immutable(ObjectKind::Templates.id(new.label())));
            }
        }
        let (mut contents, now) = (self.contents.clone(), now());
        contents.apply(changes, now);
        let candidate = self.loader.candidate(contents.list());
        let candidate = candidate.map_err(|error| Refusal::of_load(error, &self.ids(&contents)))?;
        Ok((contents, candidate, now))
    }

    fn view(&self, id: &ObjectId) -> Option<View> {
        self.entry(id).map(|entry| entry.view())
    }

    fn object(&self, id: &ObjectId) -> Option<Object> {
        self.entry(id).map(|entry| entry.object().clone())
    }

    fn entry(&self, id: &ObjectId) -> Option<Entry<'_>> {
        let stored = self.contents.objects.get(id).map(Entry::Stored);
        stored.or_else(|| self.loader.file()?.object(id).map(|object| Entry::File(Box::new(object))))
    }

    fn stored(&self, kind: ObjectKind) -> impl Iterator<Item = &Stored> {
        self.contents.objects.iter().filter(move |(id, _)| id.kind == kind).map(|(_, stored)| stored)
    }

    /// The objects of a kind by name, whoever owns them.
    fn entries(&self, kind: ObjectKind) -> BTreeMap<String, Entry<'_>> {
        let of_file = self.loader.file().map(|file| file.of(kind)).unwrap_or_default();
        let of_file = of_file.into_iter().map(|object| (object.id().name, Entry::File(Box::new(object))));
        let stored = self.stored(kind).map(|stored| (stored.object.id().name, Entry::Stored(stored)));
        of_file.chain(stored).collect()
    }

    /// Every object that an error can be about.
    fn ids(&self, contents: &Contents) -> Vec<ObjectId> {
        let of_file = self.loader.file().into_iter().flat_map(File::ids);
        of_file.chain(contents.objects.keys().cloned()).collect()
    }
}

/// An object before it is shown.
enum Entry<'a> {
    File(Box<Object>),
    Stored(&'a Stored),
}

impl Entry<'_> {
    fn view(&self) -> View {
        match self {
            Self::File(object) => View::of_file(object),
            Self::Stored(stored) => View::stored(stored),
        }
    }

    fn object(&self) -> &Object {
        match self {
            Self::File(object) => object,
            Self::Stored(stored) => &stored.object,
        }
    }

    /// The provider that has registered it.
    fn registrar(&self) -> Option<&Name> {
        match self {
            Self::File(_) => None,
            Self::Stored(stored) => stored.registrar.as_ref(),
        }
    }
}

impl Contents {
    fn list(&self) -> Vec<Object> {
        self.objects.values().map(|stored| stored.object.clone()).collect()
    }
}

impl View {
    fn stored(stored: &Stored) -> Self {
        let etag = format!("\"{}\"", stored.revision.0);
        let written = Some((stored.created_at, stored.updated_at));
        let registrar = stored.registrar.clone();
        Self {
            id: stored.object.id(),
            owner: Owner::Api,
            etag,
            written,
            registrar,
            spec: stored.object.spec(),
        }
    }

    fn of_file(object: &Object) -> Self {
        let spec = object.spec();
        let etag = format!("\"{}\"", Version::of([spec.to_string().as_bytes()]));
        Self { id: object.id(), owner: Owner::File, etag, written: None, registrar: None, spec }
    }
}

impl Condition {
    fn check(&self, id: &ObjectId, object: Option<&View>) -> Result<(), Refusal> {
        let holds = match self {
            Self::None => true,
            Self::Absent => object.is_none(),
            Self::Present => object.is_some(),
            Self::Matches(etags) => object.is_some_and(|view| etags.contains(&view.etag)),
        };
        if holds { Ok(()) } else { Err(Refusal::Condition(id.clone())) }
    }
}

/// The time to the second, which is what a store keeps.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
