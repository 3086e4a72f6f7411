//! What runs: the snapshot that is served, and the configuration that was refused last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    encode::Encoded,
    snapshot::Version,
    xds::nodes::{Node, Nodes},
};

/// The snapshot that is served, and how it came about.
#[derive(Debug)]
pub struct Status {
    snapshots: watch::Sender<Arc<Encoded>>,
    config: Mutex<Config>,
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
    /// Every node, and how far it is.
    pub nodes: Vec<Node>,
}

impl Status {
    /// Nothing is served yet.
    pub fn new(nodes: Arc<Nodes>) -> Self {
        let snapshots = watch::Sender::default();
        Self { snapshots, config: Mutex::new(Config::Loading), nodes }
    }

    /// Follows what is served.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Encoded>> {
        self.snapshots.subscribe()
    }

    /// Serves a snapshot from now on. False if it is the one that is served already.
    pub fn publish(&self, snapshot: Encoded) -> bool {
        *self.config() = Config::Running { since: Timestamp::now() };
        self.push(snapshot)
    }

    /// Serves a snapshot from now on, whatever became of the file that was read last.
    pub fn push(&self, snapshot: Encoded) -> bool {
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

    /// Whether anything is served.
    pub fn is_ready(&self) -> bool {
        self.snapshots.borrow().version().is_some()
    }

    /// How everything is.
    pub fn report(&self) -> Report {
        let version = self.snapshots.borrow().version().cloned();
        Report { config: self.config().clone(), version, nodes: self.nodes.list() }
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
