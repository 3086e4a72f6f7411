//! The last configurations that were served, so that one of them can be served again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    gateways::Gateways,
    snapshot::{Kind, Version},
};

/// The last configurations that were served, the newest first.
#[derive(Debug, Default)]
pub struct History {
    served: VecDeque<(Entry, Arc<Gateways>)>,
}

/// When a snapshot began to be served, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its version.
    pub version: Option<Version>,
    /// Since when it was served.
    pub since: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// How many resources of each kind it added, changed or removed.
    pub changes: BTreeMap<Kind, usize>,
}

/// Where a snapshot came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The configuration was read.
    File,
    /// The API changed it.
    Api,
    /// Somebody asked for an earlier one.
    Restore,
}

impl History {
    /// Remembers that a snapshot is served from now on, and forgets the oldest.
    pub fn record(&mut self, snapshot: Arc<Gateways>, origin: Origin) {
        let before = self.served.front().map(|(_, snapshot)| Arc::clone(snapshot)).unwrap_or_default();
        let entry = Entry {
            version: snapshot.version().cloned(),
            since: Timestamp::now(),
            origin,
            changes: snapshot.changes_since(&before),
        };
        self.served.push_front((entry, snapshot));
        self.served.truncate(REMEMBERED);
    }

    /// The snapshots, the newest first.
    pub fn list(&self) -> Vec<Entry> {
        self.served.iter().map(|(entry, _)| entry.clone()).collect()
    }

    /// The snapshot with this version.
    pub fn find(&self, version: &str) -> Option<Arc<Gateways>> {
        let is_asked = |known: &Version| known.as_str() == version;
        let mut found = self.served.iter().filter(|(_, snapshot)| snapshot.version().is_some_and(is_asked));
        found.next().map(|(_, snapshot)| Arc::clone(snapshot))
    }
}

/// How many snapshots are remembered.
const REMEMBERED: usize = 10;
