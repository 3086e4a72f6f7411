//! What runs: the snapshot that is served, and the configuration that was refused last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tracing::error;
use weir_schema::Name;

use crate::{
    discovery::directory::Source,
    gateways::Gateways,
    history::{Entry, History, Origin},
    snapshot::Version,
    xds::nodes::{Node, Nodes},
};

/// The snapshot that is served, and how it came about.
#[derive(Debug)]
pub struct Status {
    snapshots: watch::Sender<Arc<Gateways>>,
    past: Mutex<Past>,
    sources: Mutex<BTreeMap<Name, Source>>,
    store: Mutex<Option<StoreState>>,
    nodes: Arc<Nodes>,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Past {
    config: Config,
    history: History,
    /// What is served, without the endpoints that registries know.
    snapshot: Arc<Gateways>,
    /// The endpoint resources of services, by name.
    endpoints: BTreeMap<String, Value>,
}

/// What became of the configuration that was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Config {
    /// None was read yet.
    #[default]
    Loading,
    /// It is served.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// An earlier snapshot is served in its place, until it changes.
    Restored {
        /// The version of that snapshot.
        version: Version,
        /// Since when.
        since: Timestamp,
    },
    /// It is wrong; what was served before is still served.
    Refused {
        /// What is wrong.
        error: String,
        /// Since when.
        since: Timestamp,
    },
}

/// Whether the store can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StoreState {
    /// It answered last.
    Open {
        /// How often it has been changed.
        revision: i64,
    },
    /// It did not answer; what was read of it before is still served.
    Away {
        /// What is wrong.
        error: String,
        /// The revision that is served.
        revision: i64,
    },
}

/// The answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What became of the configuration that was read last.
    pub config: Config,
    /// The version that is served; none before the first.
    pub version: Option<Version>,
    /// The version that each gateway's nodes are to have.
    pub gateways: BTreeMap<Name, Option<Version>>,
    /// How the store is; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreState>,
    /// Where the nodes of each provider come from that is looked up in a registry.
    pub discovery: BTreeMap<Name, Source>,
    /// Every node, and how far it is.
    pub nodes: Vec<Node>,
}

impl Status {
    /// Nothing is served yet.
    pub fn new(nodes: Arc<Nodes>) -> Self {
        let snapshots = watch::Sender::default();
        Self { snapshots, past: Mutex::default(), sources: Mutex::default(), store: Mutex::default(), nodes }
    }

    /// Follows what is served.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Gateways>> {
        self.snapshots.subscribe()
    }

    /// Serves a snapshot from now on. False if it is the one that is served already.
    pub fn publish(&self, snapshot: impl Into<Gateways>) -> bool {
        let mut past = self.past();
        past.config = Config::Running { since: Timestamp::now() };
        self.serve(&mut past, Arc::new(snapshot.into()), Origin::File)
    }

    /// Serves an earlier snapshot until the configuration changes.
    pub fn restore(&self, version: &str) -> Result<Config, NotRemembered> {
        let mut past = self.past();
        let snapshot = past.history.find(version).ok_or(NotRemembered)?;
        let version = snapshot.version().cloned().ok_or(NotRemembered)?;
        past.config = Config::Restored { version, since: Timestamp::now() };
        self.serve(&mut past, snapshot, Origin::Restore);
        Ok(past.config.clone())
    }

    /// The last snapshots that were served, the newest first.
    pub fn history(&self) -> Vec<Entry> {
        self.past().history.list()
    }

    /// Serves what the API has changed. A file that was refused stays refused.
    pub fn publish_change(&self, snapshot: impl Into<Gateways>) -> bool {
        let mut past = self.past();
        if matches!(past.config, Config::Restored { .. }) {
            past.config = Config::Running { since: Timestamp::now() };
        }
        self.serve(&mut past, Arc::new(snapshot.into()), Origin::Api)
    }

    /// Remembers why a configuration is not served. False if that is known already.
    pub fn refuse(&self, error: String) -> bool {
        let mut past = self.past();
        if matches!(&past.config, Config::Refused { error: known, .. } if *known == error) {
            return false;
        }
        past.config = Config::Refused { error, since: Timestamp::now() };
        true
    }

    /// Serves these endpoints of services from now on. False if they are what is served already.
    pub fn set_endpoints(&self, endpoints: BTreeMap<String, Value>) -> bool {
        let mut past = self.past();
        past.endpoints = endpoints;
        past.snapshot.version().is_some() && self.push(&past)
    }

    /// Remembers where the nodes of providers come from.
    pub fn set_sources(&self, sources: BTreeMap<Name, Source>) {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// Remembers how the store is.
    pub fn set_store(&self, state: StoreState) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// Whether anything is served.
    pub fn is_ready(&self) -> bool {
        self.snapshots.borrow().version().is_some()
    }

    /// How everything is.
    pub fn report(&self) -> Report {
        let served = Arc::clone(&self.snapshots.borrow());
        let version = served.version().cloned();
        let gateways =
            served.snapshots().iter().map(|(name, snapshot)| (name.clone(), snapshot.version().cloned()));
        let gateways = gateways.collect();
        let discovery = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Report {
            config: self.past().config.clone(),
            version,
            gateways,
            store,
            discovery,
            nodes: self.nodes.list(),
        }
    }

    fn serve(&self, past: &mut Past, snapshot: Arc<Gateways>, origin: Origin) -> bool {
        if past.snapshot.version() != snapshot.version() {
            past.history.record(Arc::clone(&snapshot), origin);
            past.snapshot = snapshot;
        }
        self.push(past)
    }

    /// Sends out the snapshot with the endpoints that belong to it.
    fn push(&self, past: &Past) -> bool {
        let whole = match past.snapshot.with_endpoints(&past.endpoints) {
            Ok(whole) => Arc::new(whole),
            Err(error) => {
                error!("endpoints are left out: {error}");
                Arc::clone(&past.snapshot)
            }
        };
        self.snapshots.send_if_modified(|served| {
            let is_new = served.version() != whole.version();
            if is_new {
                *served = whole;
            }
            is_new
        })
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No snapshot of that version is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no snapshot of this version is remembered; GET /v1/snapshots lists those that are")]
pub struct NotRemembered;
