//! What one node has, wants and refuses of one kind.

use std::collections::{BTreeMap, BTreeSet};

use super::{super::messages::DeltaDiscoveryRequest, Progress, is_part_of_a_cluster};
use crate::{
    encode::Encoded,
    snapshot::{Kind, Version},
};

/// What one node has, wants and refuses of one kind.
#[derive(Debug)]
pub(super) struct Subscription {
    is_new: bool,
    wildcard: bool,
    named: BTreeSet<String>,
    held: BTreeMap<String, Holding>,
    in_flight: Option<InFlight>,
    /// The most resources a response may have: fewer after a refusal, to find the one that is refused.
    batch: usize,
    refused: BTreeMap<String, (Change, Refusal)>,
}

/// What a node is known to have under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holding {
    /// A resource of this version.
    Resource(Version),
    /// It knows that there is none.
    Nothing,
}

/// What is to change at the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It gets this version.
    Set(Version),
    /// It loses what it has.
    Remove,
    /// It asked for something that does not exist, and hears so.
    Deny,
}

/// The response that has not been answered yet.
#[derive(Debug)]
struct InFlight {
    nonce: String,
    changes: BTreeMap<String, Change>,
}

/// What a node said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The resource.
    pub name: String,
    /// Its reason, shortened and without secrets.
    pub reason: String,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            is_new: true,
            wildcard: false,
            named: BTreeSet::new(),
            held: BTreeMap::new(),
            in_flight: None,
            batch: usize::MAX,
            refused: BTreeMap::new(),
        }
    }
}

impl Subscription {
    pub(super) fn on_request(&mut self, request: &DeltaDiscoveryRequest, snapshot: &Encoded) {
        self.answer(request, snapshot);
        if self.is_new {
            self.is_new = false;
            self.wildcard = request.resource_names_subscribe.is_empty();
            let held = request.initial_resource_versions.iter();
            self.held = held.map(|(name, version)| (name.clone(), Holding::reported(version))).collect();
        }
        for name in &request.resource_names_subscribe {
            if name == WILDCARD {
                self.wildcard = true;
                continue;
            }
            // A name that is asked for anew is sent anew, unless the node says that it has it.
            if !self.named.insert(name.clone()) || !request.initial_resource_versions.contains_key(name) {
                self.forget(name);
            }
        }
        for name in &request.resource_names_unsubscribe {
            if name == WILDCARD {
                self.wildcard = false;
            } else if self.named.remove(name) {
                self.forget(name);
            }
        }
        if !self.wildcard {
            self.held.retain(|name, _| self.named.contains(name));
        }
    }

    /// All that the node lacks, what it has refused included.
    pub(super) fn changes(&self, kind: Kind, snapshot: &Encoded) -> BTreeMap<String, Change> {
        let all = self.wildcard.then(|| snapshot.names(kind).chain(self.held.keys().map(String::as_str)));
        let wanted: BTreeSet<&str> =
            all.into_iter().flatten().chain(self.named.iter().map(String::as_str)).collect();
        let change = |name: &str| match (snapshot.get(kind, name), self.held.get(name)) {
            (Some(new), Some(Holding::Resource(version))) if new.version == *version => None,
            (Some(new), _) => Some(Change::Set(new.version.clone())),
            (None, Some(Holding::Nothing)) => None,
            // The node itself lets go of it, when its cluster changes.
            (None, Some(Holding::Resource(_))) if is_part_of_a_cluster(kind, name) => None,
            (None, Some(Holding::Resource(_))) => Some(Change::Remove),
            (None, None) => Some(Change::Deny),
        };
        wanted.into_iter().filter_map(|name| Some((name.to_owned(), change(name)?))).collect()
    }

    /// Takes as many of the changes as may go out now, and remembers them under the nonce.
    pub(super) fn offer(
        &mut self,
        mut changes: BTreeMap<String, Change>,
        nonce: &str,
    ) -> Option<BTreeMap<String, Change>> {
        self.refused.retain(|name, (change, _)| changes.get(name) == Some(change));
        changes.retain(|name, _| !self.refused.contains_key(name));
        if self.in_flight.is_some() || changes.is_empty() {
            return None;
        }
        let changes: BTreeMap<_, _> = changes.into_iter().take(self.batch).collect();
        self.in_flight = Some(InFlight { nonce: nonce.into(), changes: changes.clone() });
        Some(changes)
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(super) fn progress(&self, changes: &BTreeMap<String, Change>) -> Progress {
        match self.refused.values().next() {
            Some((_, refusal)) => Progress::Nacked(refusal.clone()),
            None if changes.is_empty() => Progress::Acked,
            None => Progress::Pending,
        }
    }

    /// Takes the answer to the response that is in flight. Any other nonce is of no interest.
    fn answer(&mut self, request: &DeltaDiscoveryRequest, snapshot: &Encoded) {
        let Some(InFlight { changes, .. }) =
            self.in_flight.take_if(|in_flight| in_flight.nonce == request.response_nonce)
        else {
            return;
        };
        let Some(error) = &request.error_detail else {
            self.batch = self.batch.saturating_mul(2);
            for (name, change) in changes {
                match change {
                    Change::Set(version) => self.held.insert(name, Holding::Resource(version)),
                    Change::Remove | Change::Deny if self.named.contains(&name) => {
                        self.held.insert(name, Holding::Nothing)
                    }
                    Change::Remove | Change::Deny => self.held.remove(&name),
                };
            }
            return;
        };
        self.batch = (changes.len() / 2).max(1);
        if changes.len() == 1 {
            let reason = snapshot.redact(&error.message, REASON_BYTES);
            self.refused.extend(
                changes
                    .into_iter()
                    .map(|(name, change)| (name.clone(), (change, Refusal { name, reason: reason.clone() }))),
            );
        }
    }

    /// Takes the node for one that has not got the resource.
    pub(super) fn forget(&mut self, name: &str) {
        self.held.remove(name);
        self.refused.remove(name);
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.changes.remove(name);
        }
    }
}

impl Holding {
    fn reported(version: &str) -> Self {
        Self::Resource(Version::reported(version))
    }
}

/// A name that stands for all of a kind.
const WILDCARD: &str = "*";

/// How much of a node's reason is kept; it can echo whole resources.
const REASON_BYTES: usize = 1024;
