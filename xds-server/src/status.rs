//! What runs: the snapshot that is served, and the configuration that was refused last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use weir_schema::Name;

use crate::{
    discovery::directory::Source,
    encode::Encoded,
    snapshot::Version,
    xds::nodes::{Node, Nodes},
};

/// The snapshot that is served, and how it came about.
#[derive(Debug)]
pub struct Status {
    snapshots: watch::Sender<Arc<Encoded>>,
    config: Mutex<Config>,
    sources: Mutex<BTreeMap<Name, Source>>,
    nodes: Arc<Nodes>,
}

/// What became of the configuration that was read last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Config {
    /// None was read yet.
    Loading,
    /// It is served.
    Running {
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

/// The answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What became of the configuration that was read last.
    pub config: Config,
    /// The version that is served; none before the first.
    pub version: Option<Version>,
    /// Where the nodes of each provider come from that is looked up in a registry.
    pub discovery: BTreeMap<Name, Source>,
    /// Every node, and how far it is.
    pub nodes: Vec<Node>,
}

impl Status {
    /// Nothing is served yet.
    pub fn new(nodes: Arc<Nodes>) -> Self {
        let snapshots = watch::Sender::default();
        Self { snapshots, config: Mutex::new(Config::Loading), sources: Mutex::default(), nodes }
    }

    /// Follows what is served.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Encoded>> {
        self.snapshots.subscribe()
    }

    /// Serves a snapshot from now on. False if it is the one that is served already.
    pub fn publish(&self, snapshot: Encoded) -> bool {
        *self.config() = Config::Running { since: Timestamp::now() };
        self.update(snapshot)
    }

    /// Serves other endpoints of the configuration that runs. False if they are what is served already.
    pub fn update(&self, snapshot: Encoded) -> bool {
        self.snapshots.send_if_modified(|served| {
            let is_new = served.version() != snapshot.version();
            if is_new {
                *served = Arc::new(snapshot);
            }
            is_new
        })
    }

    /// Remembers why a configuration is not served. False if that is known already.
    pub fn refuse(&self, error: String) -> bool {
        let mut config = self.config();
        if matches!(&*config, Config::Refused { error: known, .. } if *known == error) {
            return false;
        }
        *config = Config::Refused { error, since: Timestamp::now() };
        true
    }

    /// Remembers where the nodes of providers come from.
    pub fn set_sources(&self, sources: BTreeMap<Name, Source>) {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// Whether anything is served.
    pub fn is_ready(&self) -> bool {
        self.snapshots.borrow().version().is_some()
    }

    /// How everything is.
    pub fn report(&self) -> Report {
        let version = self.snapshots.borrow().version().cloned();
        let discovery = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Report { config: self.config().clone(), version, discovery, nodes: self.nodes.list() }
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
