//! Follows every service that providers name.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    sync::watch,
    task::{self, AbortHandle},
    time,
};
use tracing::{info, warn};
use weir_schema::Name;

use super::{
    Damper, Endpoint,
    follow::{Event, follow},
    resolver,
};
use crate::{
    model::{Model, Parts, Registries, Service},
    secret::Secret,
};

/// What a configuration wants to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    registries: Registries,
    token: Option<Secret>,
    providers: BTreeMap<Name, Service>,
}

/// Follows every service that providers name, each one once.
#[derive(Debug)]
pub struct Directory {
    folder: PathBuf,
    wanted: Option<Wanted>,
    followers: BTreeMap<Service, Follower>,
    found: Arc<watch::Sender<BTreeMap<Service, Found>>>,
    changes: watch::Receiver<BTreeMap<Service, Found>>,
}

/// What is known of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its nodes; none before its registry has answered once.
    pub nodes: Option<Vec<Endpoint>>,
    /// Since when they are what they are.
    pub since: Timestamp,
    /// Why its registry does not answer.
    pub error: Option<String>,
}

/// Where a provider's nodes come from, as `GET /v1/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The service.
    pub source: String,
    /// Its nodes; none before its registry has answered once.
    pub endpoints: Option<Vec<Endpoint>>,
    /// Since when they are what they are.
    pub since: Timestamp,
    /// Why its registry does not answer; what it said last holds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Follower(AbortHandle);

impl Wanted {
    /// What a model wants to be found.
    pub fn of(model: &Model) -> Self {
        let parts = model.parts();
        let token = parts.registries.consul.as_ref().and_then(|consul| consul.token.as_ref());
        let service = |provider: &crate::model::Provider| {
            Some((provider.name.clone(), provider.upstream.service()?.clone()))
        };
        Self {
            registries: parts.registries.clone(),
            token: token.and_then(|name| parts.secrets.get(name)).cloned(),
            providers: parts.providers.iter().filter_map(service).chain(of_mcp(parts)).collect(),
        }
    }
}

/// The services that MCP servers call, under names that no provider has.
fn of_mcp(parts: &Parts) -> impl Iterator<Item = (Name, Service)> {
    let upstreams = parts.mcp_servers().flat_map(|(_, _, plan)| {
        let name = plan.name;
        plan.upstreams.into_iter().map(move |upstream| (name.clone(), upstream))
    });
    upstreams.enumerate().filter_map(|(nth, (name, upstream))| {
        let service = upstream.upstream.service()?.clone();
        Some((Name::try_from(format!("weir-mcp/{name}/{nth}")).unwrap_or(name), service))
    })
}

impl Directory {
    /// A directory that follows nothing yet. Relative paths start at `folder`.
    pub fn new(folder: PathBuf) -> Self {
        let (found, changes) = watch::channel(BTreeMap::new());
        Self { folder, wanted: None, followers: BTreeMap::new(), found: Arc::new(found), changes }
    }

    /// Follows what is wanted, and nothing else. Registries that have changed are asked anew; what they said
    /// before holds until they answer.
    pub fn cover(&mut self, wanted: &Wanted) {
        if self.wanted.as_ref() == Some(wanted) {
            return;
        }
        let same = self
            .wanted
            .as_ref()
            .is_some_and(|old| (&old.registries, &old.token) == (&wanted.registries, &wanted.token));
        let is_wanted = |service: &Service| wanted.providers.values().any(|other| other == service);
        self.followers.retain(|service, _| same && is_wanted(service));
        self.found.send_modify(|found| found.retain(|service, _| is_wanted(service)));
        for service in wanted.providers.values() {
            if !self.followers.contains_key(service) {
                self.followers.insert(service.clone(), self.start(service, wanted));
            }
        }
        self.wanted = Some(wanted.clone());
    }

    /// The nodes of every service whose registry has answered.
    pub fn nodes(&self) -> Vec<(Service, Vec<Endpoint>)> {
        let found = self.found.borrow();
        let answered = |(service, found): (&Service, &Found)| Some((service.clone(), found.nodes.clone()?));
        found.iter().filter_map(answered).collect()
    }

    /// Where each provider's nodes come from.
    pub fn sources(&self) -> BTreeMap<Name, Source> {
        let found = self.found.borrow();
        let providers = self.wanted.iter().flat_map(|wanted| &wanted.providers);
        let source = |(name, service): (&Name, &Service)| {
            let Found { nodes: endpoints, since, error } = found.get(service)?.clone();
            Some((name.clone(), Source { source: service.to_string(), endpoints, since, error }))
        };
        providers.filter_map(source).collect()
    }

    /// Waits until something has changed, and then until what happens at once has happened.
    pub async fn changed(&mut self) {
        // The sender lives as long as the receiver.
        drop(self.changes.changed().await);
        time::sleep(SETTLE).await;
    }

    fn start(&self, service: &Service, wanted: &Wanted) -> Follower {
        let mut known = Vec::new();
        self.found.send_modify(|found| {
            let new = Found { nodes: None, since: Timestamp::now(), error: None };
            known = found.entry(service.clone()).or_insert(new).nodes.clone().unwrap_or_default();
        });
        let damper = Damper::new(wanted.registries.settling, known);
        let (name, found) = (service.clone(), Arc::clone(&self.found));
        let tell = move |event| tell(&found, &name, event);
        let task = match resolver(service, &wanted.registries, wanted.token.as_ref(), &self.folder) {
            Ok(resolver) => tokio::spawn(follow(resolver, damper, tell)),
            Err(error) => {
                tell(Event::Lost(error));
                tokio::spawn(task::yield_now())
            }
        };
        Follower(task.abort_handle())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes down what a follower tells.
fn tell(found: &watch::Sender<BTreeMap<Service, Found>>, service: &Service, event: Event) {
    found.send_if_modified(|found| {
        // A follower that has just been ended may tell a last thing.
        let Some(known) = found.get_mut(service) else { return false };
        match event {
            Event::Nodes(nodes) => {
                let back = known.error.take().is_some();
                let changed = known.nodes.as_ref() != Some(&nodes);
                if changed {
                    info!(%service, nodes = nodes.len(), "the nodes are others");
                    (known.nodes, known.since) = (Some(nodes), Timestamp::now());
                }
                back || changed
            }
            Event::Lost(error) => {
                let error = Some(error.to_string());
                let changed = known.error != error;
                if changed {
                    warn!(%service, error, "the registry is away");
                    known.error = error;
                }
                changed
            }
        }
    });
}

/// How long changes that come together may be apart.
const SETTLE: Duration = Duration::from_millis(50);
