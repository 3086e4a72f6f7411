//! What is served: a snapshot for each gateway, and which nodes get which.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;
use weir_schema::{KeyHash, Name, auth::Key, quota};

use crate::{
    encode::{EncodeError, Encoded},
    snapshot::{Kind, Version},
};

/// The snapshots of all gateways at one time. Resources that several have are there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    version: Option<Version>,
    selection: Selection,
    snapshots: BTreeMap<Name, Arc<Encoded>>,
    quotas: Arc<quota::Config>,
}

/// Which nodes a snapshot is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Every node gets the only one.
    #[default]
    Everyone,
    /// A node gets that of the gateway which its cluster names.
    ByCluster,
}

impl Gateways {
    /// The snapshots by the name of their gateway.
    pub fn new(selection: Selection, snapshots: BTreeMap<Name, Arc<Encoded>>) -> Self {
        let version = match selection {
            Selection::Everyone => snapshots.values().next().and_then(|snapshot| snapshot.version().cloned()),
            Selection::ByCluster => {
                let text = |version: Option<&Version>| version.map_or("", Version::as_str).to_owned();
                let parts: Vec<_> = snapshots
                    .iter()
                    .flat_map(|(name, snapshot)| [name.to_string(), text(snapshot.version())])
                    .collect();
                Some(Version::of(parts.iter().map(String::as_bytes)))
            }
        };
        let quotas = match snapshots.values().collect::<Vec<_>>()[..] {
            [only] => Arc::clone(only.quotas()),
            ref several => Arc::new(together(several.iter().map(|snapshot| snapshot.quotas().as_ref()))),
        };
        Self { version, selection, snapshots, quotas }
    }

    /// The version of the whole; none before the first configuration.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The gateway of the nodes of a cluster, and its snapshot: an empty one before the first configuration.
    pub fn of_cluster(&self, cluster: &str) -> Result<(Option<&Name>, Arc<Encoded>), UnknownGateway> {
        let mut snapshots = self.snapshots.iter();
        let found = match self.selection {
            Selection::Everyone => snapshots.next(),
            Selection::ByCluster => snapshots.find(|(name, _)| name.as_str() == cluster),
        };
        match found {
            Some((name, snapshot)) => Ok((Some(name), Arc::clone(snapshot))),
            None if self.version.is_none() => Ok((None, Arc::default())),
            None => Err(UnknownGateway {
                cluster: cluster.into(),
                known: self.snapshots.keys().cloned().collect(),
            }),
        }
    }

    /// Every gateway's snapshot.
    pub fn snapshots(&self) -> &BTreeMap<Name, Arc<Encoded>> {
        &self.snapshots
    }

    /// The key with this secret, among those that the nodes of any gateway look up. On which hosts it may be used,
    /// `auth` knows.
    pub fn find_key(&self, hash: &KeyHash) -> Option<&Key> {
        self.snapshots.values().find_map(|snapshot| snapshot.keys().find(hash))
    }

    /// What the ledger grants by, and what tokens cost, at any gateway.
    pub fn quotas(&self) -> &Arc<quota::Config> {
        &self.quotas
    }

    /// The same with these endpoint resources, by name, at the gateways that use them.
    pub fn with_endpoints(&self, endpoints: &BTreeMap<String, Value>) -> Result<Self, EncodeError> {
        let with = |snapshot: &Arc<Encoded>| Ok(Arc::new(snapshot.with_endpoints(endpoints)?));
        let snapshots = self.snapshots.iter().map(|(name, snapshot)| Ok((name.clone(), with(snapshot)?)));
        Ok(Self::new(self.selection, snapshots.collect::<Result<_, _>>()?))
    }

    /// How many resources of each kind are not what they were before, over all gateways.
    pub fn changes_since(&self, before: &Self) -> BTreeMap<Kind, usize> {
        let mut changes = BTreeMap::<Kind, usize>::new();
        let names: BTreeSet<_> = self.snapshots.keys().chain(before.snapshots.keys()).collect();
        for name in names {
            let of = |gateways: &Self| gateways.snapshots.get(name).cloned().unwrap_or_default();
            for (kind, count) in of(self).changes_since(&of(before)) {
                let sum = changes.entry(kind).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        changes
    }
}

/// One gateway, which every node gets.
impl From<Encoded> for Gateways {
    fn from(snapshot: Encoded) -> Self {
        Self::new(Selection::Everyone, BTreeMap::from([(Name::default_domain(), Arc::new(snapshot))]))
    }
}

/// The rules and the prices of all. A rule that two have in common stands once.
fn together<'a>(configs: impl Iterator<Item = &'a quota::Config>) -> quota::Config {
    let mut all = quota::Config::default();
    for config in configs {
        let new = config.rules.iter().filter(|rule| !all.rules.contains(rule));
        let new: Vec<_> = new.cloned().collect();
        all.rules.extend(new);
        all.routes.extend(config.routes.iter().map(|(name, route)| (name.clone(), route.clone())));
        all.ledger = all.ledger.or_else(|| config.ledger.clone());
    }
    all
}

/// A node of a cluster that is no gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no gateway is named \"{cluster}\"; the node's cluster (envoy --service-cluster) has to be one of {}", list(.known))]
pub struct UnknownGateway {
    cluster: String,
    known: Vec<Name>,
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}
