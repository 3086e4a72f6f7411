use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::{secret::Secret, snapshot::Snapshot, xds::messages};

/// A node that answers each response as it is told, and keeps what it accepts.
#[derive(Default)]
struct Node {
    session: Session,
    held: BTreeMap<(Kind, String), String>,
}

impl Node {
    fn asks(&mut self, kind: Kind, names: &[&str], snapshot: &Encoded) -> Vec<DeltaDiscoveryResponse> {
        self.session.on_request(&subscribe(kind, names), snapshot)
    }

    /// Accepts the responses and all that follow from them; returns what arrived, in order.
    fn accepts(&mut self, mut responses: Vec<DeltaDiscoveryResponse>, snapshot: &Encoded) -> Vec<String> {
        let mut seen = Vec::new();
        while !responses.is_empty() {
            let response = responses.remove(0);
            let kind = Kind::from_type_url(&response.type_url).unwrap();
            for resource in &response.resources {
                seen.push(format!("+{kind}/{}", resource.name));
                self.held.insert((kind, resource.name.clone()), resource.version.clone());
            }
            for name in &response.removed_resources {
                seen.push(format!("-{kind}/{name}"));
                self.held.remove(&(kind, name.clone()));
            }
            responses.extend(self.session.on_request(&ack(&response), snapshot));
        }
        seen
    }

    /// A node as Envoy is: it asks for everything that a gateway has.
    fn settled(snapshot: &Encoded) -> Self {
        let mut node = Self::default();
        for kind in Kind::ALL {
            let names: Vec<&str> = match kind {
                Kind::Clusters | Kind::Listeners => Vec::new(),
                Kind::Endpoints | Kind::Secrets | Kind::Extensions | Kind::Routes => {
                    snapshot.names(kind).collect()
                }
            };
            let responses = node.asks(kind, &names, snapshot);
            node.accepts(responses, snapshot);
        }
        node
    }

    fn progress(&self, snapshot: &Encoded) -> BTreeMap<Kind, Progress> {
        self.session.progress(snapshot).collect()
    }
}

fn subscribe(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().into(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn nack(response: &DeltaDiscoveryResponse, reason: &str) -> DeltaDiscoveryRequest {
    let error_detail = Some(messages::Status { code: 13, message: reason.into() });
    DeltaDiscoveryRequest { error_detail, ..ack(response) }
}

/// Clusters with the given timeouts, and endpoints for each; a route table that names them all.
fn snapshot(clusters: &[(&str, u32)]) -> Encoded {
    let mut snapshot = Snapshot::default();
    for (name, seconds) in clusters {
        let timeout = format!("{seconds}s");
        snapshot.insert(
            Kind::Clusters,
            name,
            json!({
                "name": name,
                "connect_timeout": timeout,
                "type": "EDS",
                "eds_cluster_config": {"eds_config": {"ads": {}}},
            }),
        );
        snapshot.insert(Kind::Endpoints, name, json!({"cluster_name": name}));
    }
    let hosts: Vec<_> = clusters.iter().map(|(name, _)| json!({"name": name, "domains": [name]})).collect();
    snapshot.insert(Kind::Listeners, "weir", json!({"name": "weir"}));
    snapshot.insert(Kind::Routes, "weir", json!({"name": "weir", "virtual_hosts": hosts}));
    Encoded::new(&snapshot).unwrap()
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}

#[test]
fn nothing_is_said_before_there_is_a_snapshot() {
    let mut node = Node::default();
    assert_eq!(node.asks(Kind::Clusters, &[], &Encoded::default()), []);
    let now = snapshot(&[("a", 1)]);
    let responses = node.session.on_snapshot(&now);
    assert_eq!(node.accepts(responses, &now), ["+clusters/a"]);
}

#[test]
fn a_request_without_names_is_for_all_clusters_and_a_star_too() {
    let now = snapshot(&[("a", 1), ("b", 1)]);
    for subscription in [&[][..], &["*"]] {
        let responses = Node::default().asks(Kind::Clusters, subscription, &now);
        assert_eq!(responses.iter().map(names).collect::<Vec<_>>(), [["a", "b"]]);
    }
}

#[test]
fn only_named_resources_are_sent_and_only_when_they_change() {
    let before = snapshot(&[("a", 1), ("b", 1)]);
    let mut node = Node::default();
    let responses = node.asks(Kind::Clusters, &["a"], &before);
    assert_eq!(node.accepts(responses, &before), ["+clusters/a"]);
    assert_eq!(node.session.on_snapshot(&snapshot(&[("a", 1), ("b", 2)])), []);
    let after = snapshot(&[("a", 2), ("b", 2)]);
    let responses = node.session.on_snapshot(&after);
    assert_eq!(node.accepts(responses, &after), ["+clusters/a"]);
}

#[test]
fn a_name_that_does_not_exist_is_answered_as_removed_once_and_sent_when_it_comes() {
    let now = snapshot(&[]);
    let mut node = Node::default();
    let responses = node.asks(Kind::Endpoints, &["a"], &now);
    assert_eq!(node.accepts(responses, &now), ["-endpoints/a"]);
    assert_eq!(node.session.on_snapshot(&now), []);
    let later = snapshot(&[("a", 1)]);
    let responses = node.session.on_snapshot(&later);
    assert_eq!(node.accepts(responses, &later), ["+endpoints/a"]);
}

#[test]
fn a_name_that_is_no_longer_wanted_is_not_sent_and_one_wanted_again_is() {
    let now = snapshot(&[("a", 1)]);
    let mut node = Node::default();
    let responses = node.asks(Kind::Endpoints, &["a"], &now);
    node.accepts(responses, &now);
    let unsubscribe = DeltaDiscoveryRequest {
        resource_names_unsubscribe: vec!["a".into()],
        ..subscribe(Kind::Endpoints, &[])
    };
    assert_eq!(node.session.on_request(&unsubscribe, &now), []);
    assert_eq!(node.session.on_snapshot(&snapshot(&[])), []);
    let responses = node.asks(Kind::Endpoints, &["a"], &now);
    assert_eq!(node.accepts(responses, &now), ["+endpoints/a"]);
}

#[test]
fn a_node_that_asks_again_while_an_answer_is_on_its_way_is_sent_it_again() {
    let now = snapshot(&[("a", 1)]);
    let mut node = Node::default();
    let first = node.asks(Kind::Endpoints, &["a"], &now);
    assert_eq!(node.asks(Kind::Endpoints, &["a"], &now), []);
    let again = node.session.on_request(&ack(&first[0]), &now);
    assert_eq!(again.iter().map(names).collect::<Vec<_>>(), [["a"]]);
}

#[test]
fn a_node_that_comes_back_gets_only_what_has_changed_while_it_was_away() {
    let now = snapshot(&[("a", 1), ("b", 2)]);
    let held = Node::settled(&snapshot(&[("a", 1), ("b", 1), ("c", 1)])).held;
    let versions = |kind: Kind| {
        let of = held.iter().filter(|((of, _), _)| *of == kind);
        of.map(|((_, name), version)| (name.clone(), version.clone())).collect()
    };
    let mut node = Node::default();
    let mut comes_back = |kind: Kind, names: &[&str]| {
        let initial_resource_versions = versions(kind);
        let back = DeltaDiscoveryRequest { initial_resource_versions, ..subscribe(kind, names) };
        let responses = node.session.on_request(&back, &now);
        node.accepts(responses, &now)
    };
    assert_eq!(comes_back(Kind::Clusters, &[]), ["+clusters/b"]);
    assert_eq!(comes_back(Kind::Endpoints, &["a", "b", "c"]), [""; 0]);
    assert_eq!(comes_back(Kind::Listeners, &[]), [""; 0]);
    assert_eq!(comes_back(Kind::Routes, &["weir"]), ["+routes/weir"]);
    assert_eq!(comes_back(Kind::Extensions, &[]), ["-clusters/c", "-endpoints/c"]);
}

#[test]
fn one_response_of_a_kind_is_out_at_a_time_and_the_newest_follows() {
    let mut node = Node::default();
    let first = node.asks(Kind::Clusters, &[], &snapshot(&[("a", 1)]));
    assert_eq!(node.session.on_snapshot(&snapshot(&[("a", 2)])), []);
    let newest = snapshot(&[("a", 3)]);
    assert_eq!(node.session.on_snapshot(&newest), []);
    let second = node.session.on_request(&ack(&first[0]), &newest);
    assert_eq!(second[0].resources[0].version, newest.get(Kind::Clusters, "a").unwrap().version.as_str());
    assert_eq!(node.accepts(second, &newest), ["+clusters/a"]);
}

#[test]
fn an_answer_to_another_response_changes_nothing() {
    let now = snapshot(&[("a", 1)]);
    let mut node = Node::default();
    let responses = node.asks(Kind::Clusters, &[], &now);
    let stale = DeltaDiscoveryRequest { response_nonce: "stale".into(), ..ack(&responses[0]) };
    assert_eq!(node.session.on_request(&stale, &now), []);
    assert_eq!(node.progress(&now)[&Kind::Clusters], Progress::Pending);
    assert_eq!(node.session.on_request(&ack(&responses[0]), &now), []);
    assert_eq!(node.progress(&now)[&Kind::Clusters], Progress::Acked);
}

#[test]
fn what_is_refused_is_not_sent_again_until_it_changes() {
    let before = snapshot(&[("a", 1)]);
    let mut node = Node::default();
    let responses = node.asks(Kind::Clusters, &[], &before);
    assert_eq!(node.session.on_request(&nack(&responses[0], "no"), &before), []);
    let refusal = Refusal { name: "a".into(), reason: "no".into() };
    assert_eq!(node.progress(&before)[&Kind::Clusters], Progress::Nacked(refusal));
    assert_eq!(node.session.on_snapshot(&before), []);
    let after = snapshot(&[("a", 2)]);
    let responses = node.session.on_snapshot(&after);
    assert_eq!(node.accepts(responses, &after), ["+clusters/a"]);
    assert_eq!(node.progress(&after)[&Kind::Clusters], Progress::Acked);
}

#[test]
fn one_bad_resource_keeps_back_no_other() {
    let clusters = ["a", "b", "bad", "c", "d"].map(|name| (name, 1));
    let now = snapshot(&clusters);
    let mut node = Node::default();
    let mut responses = node.asks(Kind::Clusters, &[], &now);
    let (mut accepted, mut rounds) = (Vec::new(), 0);
    while let Some(response) = responses.pop() {
        rounds += 1;
        let answer = if names(&response).contains(&"bad") {
            nack(&response, "bad")
        } else {
            accepted.extend(response.resources.iter().map(|resource| resource.name.clone()));
            ack(&response)
        };
        responses.extend(node.session.on_request(&answer, &now));
    }
    assert_eq!((accepted, rounds), (["a", "b", "c", "d"].map(str::to_owned).to_vec(), 6));
    let refusal = Refusal { name: "bad".into(), reason: "bad".into() };
    assert_eq!(node.progress(&now)[&Kind::Clusters], Progress::Nacked(refusal));
}

#[test]
fn what_is_referred_to_comes_first_and_goes_last() {
    let mut node = Node::settled(&snapshot(&[("old", 1)]));
    let now = snapshot(&[("new", 1)]);
    let clusters = node.session.on_snapshot(&now);
    assert_eq!(clusters.iter().map(names).collect::<Vec<_>>(), [["new"]]);
    // Envoy warms the cluster up before it acknowledges it.
    let endpoints = node.asks(Kind::Endpoints, &["new"], &now);
    assert_eq!(node.accepts(endpoints, &now), ["+endpoints/new"]);
    let order = ["+clusters/new", "+routes/weir", "-clusters/old", "-endpoints/old"];
    assert_eq!(node.accepts(clusters, &now), order);
}

#[test]
fn a_cluster_that_changes_gets_its_endpoints_again() {
    let mut node = Node::settled(&snapshot(&[("a", 1), ("b", 1)]));
    let now = snapshot(&[("a", 1), ("b", 2)]);
    let responses = node.session.on_snapshot(&now);
    assert_eq!(responses.iter().map(names).collect::<Vec<_>>(), [["b"], ["b"]]);
    assert_eq!(node.accepts(responses, &now), ["+clusters/b", "+endpoints/b"]);
    assert!(node.progress(&now).values().all(|progress| *progress == Progress::Acked));
}

#[test]
fn an_extension_of_a_cluster_comes_while_the_cluster_warms_up_and_goes_with_it() {
    let snapshot = |version: u32, of_clusters: &[&str]| {
        let mut snapshot = Snapshot::default();
        snapshot.insert(Kind::Clusters, "a", json!({"name": "a", "connect_timeout": format!("{version}s")}));
        for name in of_clusters.iter().chain(&["weir.router"]) {
            let config = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": version.to_string()});
            snapshot.insert(Kind::Extensions, name, json!({"name": name, "typed_config": config}));
        }
        Encoded::new(&snapshot).unwrap()
    };
    let mut node = Node::settled(&snapshot(1, &[]));
    let now = snapshot(2, &["weir.model-compat/a"]);
    let clusters = node.session.on_snapshot(&now);
    assert_eq!(clusters.iter().map(names).collect::<Vec<_>>(), [["a"]]);
    let own = node.asks(Kind::Extensions, &["weir.model-compat/a"], &now);
    assert_eq!(node.accepts(own, &now), ["+extensions/weir.model-compat/a"]);
    assert_eq!(node.accepts(clusters, &now), ["+clusters/a", "+extensions/weir.router"]);
    let before = snapshot(1, &[]);
    let responses = node.session.on_snapshot(&before);
    assert_eq!(node.accepts(responses, &before), ["+clusters/a", "+extensions/weir.router"]);
}

#[test]
fn a_cluster_stays_while_the_node_refuses_the_routes_that_no_longer_need_it() {
    let mut node = Node::settled(&snapshot(&[("a", 1), ("b", 1)]));
    let now = snapshot(&[("a", 1)]);
    let responses = node.session.on_snapshot(&now);
    assert_eq!(
        responses.iter().map(|response| &response.type_url).collect::<Vec<_>>(),
        [Kind::Routes.type_url()]
    );
    assert_eq!(node.session.on_request(&nack(&responses[0], "no"), &now), []);
}

#[test]
fn a_reason_is_shortened_and_has_no_secrets_in_it() {
    let mut snapshot = Snapshot::default();
    snapshot.insert_secret("openai", Secret::parse("sk-123").unwrap());
    let now = Encoded::new(&snapshot).unwrap();
    let mut node = Node::default();
    let responses = node.asks(Kind::Secrets, &["openai"], &now);
    let reason = format!("bad secret sk-123 {}", "é".repeat(1000));
    node.session.on_request(&nack(&responses[0], &reason), &now);
    let Progress::Nacked(refusal) = &node.progress(&now)[&Kind::Secrets] else { panic!("refused") };
    assert!(refusal.reason.starts_with("bad secret [redacted] é"), "{}", refusal.reason);
    assert!(refusal.reason.len() <= 1024);
}
