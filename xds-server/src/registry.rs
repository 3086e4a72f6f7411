//! The one configuration that the file and the store make together, and every way to change it.

mod apply;
mod page;
mod refusal;
mod rotation;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::{debug, error, info};

use crate::{
    discovery::Wanted,
    file::File,
    load::{Candidate, Loader},
    object::{Object, ObjectId, ObjectKind},
    snapshot::Version,
    status::Status,
    store::{Change, Contents, Store, StoreError, Stored},
};

pub use apply::{Applied, Outcome};
pub use page::{Page, Query};
pub use refusal::Refusal;

/// The configuration. Each change of it is checked whole, saved, and then published.
#[derive(Debug)]
pub struct Registry {
    state: Mutex<State>,
    status: Arc<Status>,
    /// Rung when a file that was refused may be right now.
    retry: Notify,
    /// Rung when the API has changed something.
    written: Notify,
}

#[derive(Debug)]
struct State {
    loader: Loader,
    store: Option<Box<dyn Store>>,
    contents: Contents,
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
        store: Option<Box<dyn Store>>,
        status: Arc<Status>,
    ) -> Result<Self, StoreError> {
        let contents = store.as_ref().map(|store| store.read()).transpose()?.unwrap_or_default();
        let state = Mutex::new(State { loader, store, contents });
        Ok(Self { state, status, retry: Notify::new(), written: Notify::new() })
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

    /// One object.
    pub fn get(&self, id: &ObjectId) -> Result<View, Refusal> {
        let state = self.state();
        state.store()?;
        state.view(id).ok_or_else(|| Refusal::Missing(id.clone()))
    }

    /// Some objects of a kind.
    pub fn list(&self, query: &Query) -> Result<Page, Refusal> {
        let state = self.state();
        state.store()?;
        Ok(query.page(&state.entries(query.kind)))
    }

    /// Writes an object; true if it is new.
    pub fn put(&self, object: Object, condition: &Condition) -> Result<(View, bool), Refusal> {
        let (mut state, id) = (self.state(), object.id());
        let before = state.changeable(&id)?;
        condition.check(&id, before.as_ref())?;
        self.write(&mut state, &[Change::Put(object)])?;
        Ok((state.view(&id).ok_or_else(|| Refusal::Missing(id))?, before.is_none()))
    }

    /// Removes an object.
    pub fn delete(&self, id: &ObjectId, condition: &Condition) -> Result<(), Refusal> {
        let mut state = self.state();
        let before = state.changeable(id)?;
        condition.check(id, before.as_ref())?;
        before.ok_or_else(|| Refusal::Missing(id.clone()))?;
        self.write(&mut state, &[Change::Delete(id.clone())]).map_err(|refusal| refusal.of_deleting(id))
    }

    /// Checks the changes, saves them, and serves them.
    fn write(&self, state: &mut State, changes: &[Change]) -> Result<(), Refusal> {
        let (contents, candidate, now) = state.candidate(changes)?;
        let store = state.store.as_mut().ok_or(Refusal::NoStore)?;
        if let Err(problem) = store.commit(state.contents.revision, changes, now) {
            // Whatever is saved by now is what holds.
            state.contents = store.read()?;
            self.retry.notify_one();
            return Err(problem.into());
        }
        state.contents = contents;
        self.status.publish_change(state.loader.accept(candidate));
        self.written.notify_one();
        let objects: Vec<_> = changes.iter().filter_map(Change::object).map(|id| id.to_string()).collect();
        info!(revision = state.contents.revision.0, objects = objects.join(" "), "saved");
        if state.loader.is_refused() {
            self.retry.notify_one();
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn store(&self) -> Result<(), Refusal> {
        self.store.as_ref().map(|_| ()).ok_or(Refusal::NoStore)
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
        let (mut contents, now) = (self.contents.clone(), now());
        contents.apply(changes, now);
        let candidate = self.loader.candidate(contents.list());
        let candidate = candidate.map_err(|error| Refusal::of_load(error, &self.ids(&contents)))?;
        Ok((contents, candidate, now))
    }

    fn view(&self, id: &ObjectId) -> Option<View> {
        let stored = self.contents.objects.get(id).map(View::stored);
        stored.or_else(|| self.loader.file()?.object(id).as_ref().map(View::of_file))
    }

    /// The objects of a kind by name, whoever owns them.
    fn entries(&self, kind: ObjectKind) -> BTreeMap<String, Entry<'_>> {
        let of_file = self.loader.file().map(|file| file.of(kind)).unwrap_or_default();
        let of_file = of_file.into_iter().map(|object| (object.id().name, Entry::File(Box::new(object))));
        let stored = self.contents.objects.iter().filter(|(id, _)| id.kind == kind);
        of_file.chain(stored.map(|(id, stored)| (id.name.clone(), Entry::Stored(stored)))).collect()
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
        Self { id: stored.object.id(), owner: Owner::Api, etag, written, spec: stored.object.spec() }
    }

    fn of_file(object: &Object) -> Self {
        let spec = object.spec();
        let etag = format!("\"{}\"", Version::of([spec.to_string().as_bytes()]));
        Self { id: object.id(), owner: Owner::File, etag, written: None, spec }
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
