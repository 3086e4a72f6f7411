//! A store that other processes write to as well.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{task::block_in_place, time};
use tracing::{info, warn};

use super::{Connection, Refusal, Registry, State, Writer, now};
use crate::{
    status::StoreState,
    store::{Change, Contents, Store, StoreError},
};

type Locked<'a> = MutexGuard<'a, Box<dyn Store>>;

impl Registry {
    /// Makes a change. Where another process was faster, it is tried anew upon what that one has made, conditions
    /// included, so nothing is overwritten that the caller has not seen.
    pub(super) fn change<T>(
        &self,
        mut action: impl FnMut(&mut Writer<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut store = self.lock_store().ok_or(Refusal::NoStore)?;
        for _ in 0..ATTEMPTS {
            let state = self.state();
            state.store()?;
            let mut writer = Writer { registry: self, store: &mut **store, state };
            match action(&mut writer) {
                Err(Refusal::Store(StoreError::Stale)) => {}
                Err(Refusal::Store(problem)) => {
                    // Whatever is saved by now is what holds; that is asked soon.
                    writer.state.note(Some(&problem));
                    self.status.set_store(writer.state.connection());
                    self.bell.notify_one();
                    return Err(problem.into());
                }
                other => {
                    drop(writer);
                    store.release();
                    return other;
                }
            }
            drop(writer);
            store.reserve()?;
            self.catch_up(&mut store);
        }
        store.release();
        Err(StoreError::Stale.into())
    }

    /// Serves what other processes write from now on: when the store tells of it, and asked now and then, as nothing is
    /// told while its connection is lost.
    pub async fn follow(&self) {
        let mut wait = SHORTEST;
        loop {
            let told = time::timeout(wait, self.bell.notified()).await;
            let answers = block_in_place(|| self.refresh());
            wait = match told {
                _ if answers => LONGEST,
                Ok(()) => SHORTEST,
                Err(_) => wait.saturating_mul(2).min(LONGEST),
            };
        }
    }

    /// Takes what other processes have written, and serves it. False if the store does not answer.
    pub fn refresh(&self) -> bool {
        self.lock_store().is_none_or(|mut store| self.catch_up(&mut store))
    }

    fn catch_up(&self, store: &mut Locked<'_>) -> bool {
        let known = self.state().contents.revision;
        let read = match store.revision() {
            Ok(revision) if revision == known => Ok(None),
            Ok(_) => store.read().map(Some),
            Err(problem) => Err(problem),
        };
        let mut state = self.state();
        state.note(read.as_ref().err());
        let answers = read.is_ok();
        if let Ok(Some(contents)) = read {
            self.take(&mut state, contents);
        }
        self.status.set_store(state.connection());
        answers
    }

    /// Serves what is stored now, together with the files as they were read last.
    fn take(&self, state: &mut State, contents: Contents) {
        info!(revision = contents.revision.0, "the store was changed elsewhere");
        state.contents = contents;
        let stored = state.contents.list();
        match state.loader.candidate(stored) {
            Ok(candidate) => {
                self.status.publish_change(state.loader.accept(candidate));
                self.written.notify_one();
                if state.loader.is_refused() {
                    self.retry.notify_one();
                }
            }
            // It does not fit the files of this process; to read them again is to report that.
            Err(_) => self.retry.notify_one(),
        }
    }

    fn lock_store(&self) -> Option<Locked<'_>> {
        self.store.as_ref().map(|store| store.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Writer<'_> {
    /// Checks the changes, saves them, and serves them.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<(), Refusal> {
        let Self { registry, store, state } = self;
        let changes = &state.with_revocations(changes);
        let (contents, candidate, now) = state.candidate(changes)?;
        store.commit(state.contents.revision, changes, now)?;
        state.contents = contents;
        registry.status.publish_change(state.loader.accept(candidate));
        registry.status.set_store(state.connection());
        registry.written.notify_one();
        let objects: Vec<_> = changes.iter().filter_map(Change::object).map(|id| id.to_string()).collect();
        info!(revision = state.contents.revision.0, objects = objects.join(" "), "saved");
        if state.loader.is_refused() {
            registry.retry.notify_one();
        }
        Ok(())
    }

    /// Saves changes after which the same is served as before.
    pub(super) fn save(&mut self, changes: &[Change]) -> Result<(), Refusal> {
        let mut contents = self.state.contents.clone();
        let now = now();
        contents.apply(changes, now);
        self.store.commit(self.state.contents.revision, changes, now)?;
        self.state.contents = contents;
        Ok(())
    }
}

impl State {
    /// Remembers whether the store answers, and logs when that changes.
    fn note(&mut self, problem: Option<&StoreError>) {
        match (problem, &self.connection) {
            (Some(problem), Connection::Open) => warn!(%problem, "the store is away; what is served stays"),
            (None, Connection::Away(_)) => info!("the store answers again"),
            _ => {}
        }
        self.connection = match problem {
            None => Connection::Open,
            Some(StoreError::Away(reason)) => Connection::Away(reason.clone()),
            Some(other) => Connection::Away(other.to_string()),
        };
    }
}

impl State {
    fn connection(&self) -> StoreState {
        let revision = self.contents.revision.0;
        match &self.connection {
            Connection::Absent | Connection::Open => StoreState::Open { revision },
            Connection::Away(error) => StoreState::Away { error: error.clone(), revision },
        }
    }
}

/// How often a change is tried. From the second time on nobody else is faster, unless a connection is lost.
const ATTEMPTS: u32 = 4;

/// How long it takes until the store is asked again: at first while it is away, and at most.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
