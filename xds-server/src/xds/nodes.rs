//! What is known of every node: who is connected, and how far each one is.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use weir_schema::Name;

use super::{
    messages,
    session::{Progress, Session},
};
use crate::{
    encode::Encoded,
    snapshot::{Kind, Version},
};

/// Every connected node, and the last ones that went away.
#[derive(Debug, Default)]
pub struct Nodes {
    by_stream: Mutex<BTreeMap<u64, Node>>,
}

/// A node, as `GET /v1/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name.
    pub id: String,
    /// The name of the Envoys that serve the same.
    pub cluster: String,
    /// Since when it is connected.
    pub connected_since: Timestamp,
    /// Since when it is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnected_since: Option<Timestamp>,
    /// The gateway that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Name>,
    /// Why it gets nothing, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The last snapshot of which it acknowledged all that it asked for.
    pub version: Option<Version>,
    /// How far it is with each kind of resources.
    pub types: BTreeMap<Kind, TypeStatus>,
}

/// How far a node is with a kind of resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TypeStatus {
    /// It has all it asked for.
    Acked,
    /// Something is on its way.
    Pending,
    /// It refused something, and keeps what it had before.
    Nacked {
        /// The resource.
        resource: String,
        /// The node's reason.
        error: String,
    },
}

impl Nodes {
    /// Every node, the longest known first.
    pub fn list(&self) -> Vec<Node> {
        self.lock().values().cloned().collect()
    }

    /// A node has opened a stream. What was known of a lost one of the same name is forgotten.
    pub fn connect(&self, stream: u64, node: &messages::Node) {
        let mut nodes = self.lock();
        let id = shorten(&node.id);
        let is_lost = |known: &Node| known.id == id && known.disconnected_since.is_some();
        // It comes again and again if it was refused; that is said once.
        let refused = nodes.values().filter(|known| is_lost(known)).find_map(|known| known.refused.clone());
        nodes.retain(|_, known| !is_lost(known));
        let node = Node {
            id,
            cluster: shorten(&node.cluster),
            connected_since: Timestamp::now(),
            disconnected_since: None,
            gateway: None,
            refused,
            version: None,
            types: BTreeMap::new(),
        };
        nodes.insert(stream, node);
    }

    /// A node gets what this gateway serves. True if it did not before.
    pub fn serve(&self, stream: u64, gateway: Option<&Name>) -> bool {
        let mut nodes = self.lock();
        let Some(node) = nodes.get_mut(&stream) else { return false };
        let is_new = node.gateway.as_ref() != gateway || node.refused.is_some();
        (node.gateway, node.refused) = (gateway.cloned(), None);
        is_new
    }

    /// A node gets nothing. True if that is new.
    pub fn refuse(&self, stream: u64, reason: &str) -> bool {
        let mut nodes = self.lock();
        let Some(node) = nodes.get_mut(&stream) else { return false };
        let is_new = node.refused.as_deref() != Some(reason);
        (node.gateway, node.refused) = (None, Some(reason.to_owned()));
        is_new
    }

    /// A node's session has moved on. Returns what it refuses now and did not before.
    pub fn update(&self, stream: u64, session: &Session, snapshot: &Encoded) -> Vec<(Kind, TypeStatus)> {
        let mut nodes = self.lock();
        let Some(node) = nodes.get_mut(&stream) else { return Vec::new() };
        let types: BTreeMap<Kind, TypeStatus> =
            session.progress(snapshot).map(|(kind, progress)| (kind, progress.into())).collect();
        if types.values().all(|status| *status == TypeStatus::Acked) {
            node.version = snapshot.version().cloned();
        }
        let is_new = |(kind, status): &(&Kind, &TypeStatus)| {
            matches!(status, TypeStatus::Nacked { .. }) && node.types.get(kind) != Some(*status)
        };
        let refused = types.iter().filter(is_new).map(|(kind, status)| (*kind, status.clone())).collect();
        node.types = types;
        refused
    }

    /// A node's stream has ended. True if it was served.
    pub fn disconnect(&self, stream: u64) -> bool {
        let mut nodes = self.lock();
        let mut was_served = false;
        if let Some(node) = nodes.get_mut(&stream) {
            node.disconnected_since = Some(Timestamp::now());
            was_served = node.refused.is_none();
        }
        let mut gone: Vec<u64> =
            nodes.iter().filter(|(_, node)| node.disconnected_since.is_some()).map(|(id, _)| *id).collect();
        gone.truncate(gone.len().saturating_sub(REMEMBERED));
        for stream in gone {
            nodes.remove(&stream);
        }
        was_served
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        self.by_stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Progress> for TypeStatus {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Acked => Self::Acked,
            Progress::Pending => Self::Pending,
            Progress::Nacked(refusal) => Self::Nacked { resource: refusal.name, error: refusal.reason },
        }
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

/// How many nodes are remembered after they went away.
const REMEMBERED: usize = 100;

/// How much of a node's name is shown.
const NAME_CHARS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> messages::Node {
        messages::Node { id: id.into(), cluster: "weir".into() }
    }

    #[test]
    fn a_node_that_comes_back_is_listed_once() {
        let nodes = Nodes::default();
        nodes.connect(1, &node("a"));
        nodes.disconnect(1);
        assert!(nodes.list()[0].disconnected_since.is_some());
        nodes.connect(2, &node("a"));
        let [only] = &nodes.list()[..] else { panic!("one node") };
        assert_eq!((only.id.as_str(), only.disconnected_since), ("a", None));
    }

    #[test]
    fn a_refusal_is_said_once_however_often_the_node_comes() {
        let (nodes, edge) = (Nodes::default(), Name::try_from("edge".to_owned()).unwrap());
        nodes.connect(1, &node("a"));
        assert!(nodes.refuse(1, "no gateway"));
        nodes.disconnect(1);
        nodes.connect(2, &node("a"));
        assert!(!nodes.refuse(2, "no gateway"));
        let [only] = &nodes.list()[..] else { panic!("one node") };
        assert_eq!((only.refused.as_deref(), &only.gateway), (Some("no gateway"), &None));
        nodes.disconnect(2);
        nodes.connect(3, &node("a"));
        assert!(nodes.serve(3, Some(&edge)) && !nodes.serve(3, Some(&edge)));
        let [only] = &nodes.list()[..] else { panic!("one node") };
        assert_eq!((only.refused.as_deref(), &only.gateway), (None, &Some(edge)));
    }

    #[test]
    fn only_the_last_lost_nodes_are_remembered() {
        let nodes = Nodes::default();
        for stream in 0..=100 {
            nodes.connect(stream, &node(&stream.to_string()));
            nodes.disconnect(stream);
        }
        let list = nodes.list();
        assert_eq!((list.len(), list[0].id.as_str()), (100, "1"));
    }
}
