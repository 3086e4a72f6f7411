//! One node's stream, without the stream: requests and snapshots in, responses out.
//!
//! ```text
//!            subscribe, snapshot                       ACK
//!   settled ────────────────────► one response out ─────────► held
//!                                        │ NACK
//!                                        ▼
//!                     several resources: offered again in halves
//!                     one resource: refused until its content changes
//! ```
//!
//! What is referred to goes out before what refers to it, and goes away after: a kind waits for the answer to
//! the kinds it names, and nothing is removed while what may name it is still on its way. So a route never
//! leads to a cluster that is not there. Envoy acknowledges a cluster when it has warmed up, for which it
//! first asks for its endpoints, its secrets and the extensions of its own chain; those therefore wait for nothing.
//! It does not ask for endpoints that it has for the cluster as it was, and without them the new one would not warm
//! up; so they go out again after each change of their cluster.

mod subscription;

use std::collections::BTreeMap;

use super::messages::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use crate::{
    compile::OF_CLUSTERS,
    encode::Encoded,
    snapshot::{Kind, Version},
};

pub use subscription::Refusal;
use subscription::{Change, Subscription};

/// What one node has, wants and refuses.
#[derive(Debug, Default)]
pub struct Session {
    subscriptions: BTreeMap<Kind, Subscription>,
    nonces: u64,
}

/// How far a node is with a kind of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has all it asked for.
    Acked,
    /// Something is still on its way.
    Pending,
    /// It refused something, and keeps what it had before.
    Nacked(Refusal),
}

impl Session {
    /// What a request brings about. A request for a kind that Weir does not serve is left unanswered.
    pub fn on_request(
        &mut self,
        request: &DeltaDiscoveryRequest,
        snapshot: &Encoded,
    ) -> Vec<DeltaDiscoveryResponse> {
        let Some(kind) = Kind::from_type_url(&request.type_url) else { return Vec::new() };
        self.subscriptions.entry(kind).or_default().on_request(request, snapshot);
        self.respond(snapshot)
    }

    /// What a new snapshot brings about.
    pub fn on_snapshot(&mut self, snapshot: &Encoded) -> Vec<DeltaDiscoveryResponse> {
        self.respond(snapshot)
    }

    /// How far the node is with each kind it asked for.
    pub fn progress(&self, snapshot: &Encoded) -> impl Iterator<Item = (Kind, Progress)> {
        self.subscriptions.iter().map(|(kind, subscription)| {
            (*kind, subscription.progress(&subscription.changes(*kind, snapshot)))
        })
    }

    fn respond(&mut self, snapshot: &Encoded) -> Vec<DeltaDiscoveryResponse> {
        if snapshot.version().is_none() {
            return Vec::new();
        }
        let mut responses = Vec::new();
        for kind in Kind::ALL {
            let waits = self.must_wait(kind);
            let removals = !self.may_be_referred_to(kind, snapshot);
            let Some(subscription) = self.subscriptions.get_mut(&kind) else { continue };
            let mut changes = subscription.changes(kind, snapshot);
            if !removals {
                changes.retain(|_, change| !matches!(change, Change::Remove));
            }
            if waits {
                changes.retain(|name, _| is_part_of_a_cluster(kind, name));
            }
            self.nonces = self.nonces.saturating_add(1);
            let nonce = self.nonces.to_string();
            if let Some(batch) = subscription.offer(changes, &nonce) {
                if kind == Kind::Clusters {
                    self.send_endpoints_anew(&batch, snapshot);
                }
                responses.push(response(kind, &batch, nonce, snapshot));
            }
        }
        responses
    }

    fn send_endpoints_anew(&mut self, clusters: &BTreeMap<String, Change>, snapshot: &Encoded) {
        let Some(endpoints) = self.subscriptions.get_mut(&Kind::Endpoints) else { return };
        let set = clusters.iter().filter(|(_, change)| matches!(change, Change::Set(_)));
        set.filter_map(|(name, _)| snapshot.warms(name)).for_each(|name| endpoints.forget(name));
    }

    /// Whether something that `kind` may refer to is still on its way to the node.
    fn must_wait(&self, kind: Kind) -> bool {
        let named = prerequisites(kind).iter().filter_map(|named| self.subscriptions.get(named));
        named.into_iter().any(Subscription::is_in_flight)
    }

    /// Whether something at the node may still refer to what `kind` is about to lose. A node that has just
    /// come back has not yet said what it has of every kind.
    fn may_be_referred_to(&self, kind: Kind, snapshot: &Encoded) -> bool {
        referrers(kind).iter().any(|referrer| {
            let subscription = self.subscriptions.get(referrer);
            subscription.is_none_or(|held| !held.changes(*referrer, snapshot).is_empty())
        })
    }
}

/// The kinds that `kind` names and that Envoy does not itself ask for as it warms up.
fn prerequisites(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::Clusters | Kind::Endpoints | Kind::Secrets => &[],
        Kind::Listeners | Kind::Routes => &[Kind::Clusters],
        Kind::Extensions => &[Kind::Clusters, Kind::Routes],
    }
}

/// The kinds whose resources name those of `kind`, directly or through others.
fn referrers(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::Endpoints | Kind::Secrets => &[Kind::Clusters, Kind::Listeners, Kind::Routes, Kind::Extensions],
        Kind::Clusters => &[Kind::Listeners, Kind::Routes, Kind::Extensions],
        Kind::Routes => &[Kind::Listeners, Kind::Extensions],
        Kind::Extensions => &[Kind::Listeners],
        Kind::Listeners => &[],
    }
}

/// Whether Envoy asks for the resource as a cluster warms up, and lets it go with the cluster.
fn is_part_of_a_cluster(kind: Kind, name: &str) -> bool {
    kind == Kind::Extensions && name.starts_with(OF_CLUSTERS)
}

fn response(
    kind: Kind,
    batch: &BTreeMap<String, Change>,
    nonce: String,
    snapshot: &Encoded,
) -> DeltaDiscoveryResponse {
    let mut response = DeltaDiscoveryResponse {
        system_version_info: snapshot.version().map(Version::to_string).unwrap_or_default(),
        type_url: kind.type_url().into(),
        nonce,
        ..DeltaDiscoveryResponse::default()
    };
    for name in batch.keys() {
        match snapshot.get(kind, name) {
            Some(sealed) => {
                let any = Any { type_url: kind.type_url().into(), value: sealed.message.clone() };
                let version = sealed.version.to_string();
                response.resources.push(Resource { version, resource: Some(any), name: name.clone() });
            }
            None => response.removed_resources.push(name.clone()),
        }
    }
    response
}

#[cfg(test)]
mod tests;
