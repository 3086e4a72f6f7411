//! bilibili/discovery: `fetch` and `polls`.

use std::net::SocketAddr;

use axum::{Json, Router, extract::State, http::Uri, routing::get};
use serde_json::{Value, json};

use super::{Fake, Known, Node, Registry, query};

pub(crate) struct Discovery(Registry, SocketAddr);

impl Discovery {
    pub(crate) async fn start() -> Self {
        let routes =
            Router::new().route("/discovery/fetch", get(fetch)).route("/discovery/polls", get(polls));
        let (registry, address) = Registry::serve(routes).await;
        Self(registry, address)
    }
}

impl Fake for Discovery {
    fn section(&self) -> String {
        format!("bilibili: {{url: \"http://{}\"}}", self.1)
    }

    fn upstream(&self) -> String {
        "discovery://infra.llm.index?env=prod&zone=sh001".into()
    }

    fn set(&self, nodes: &[Node]) {
        self.0.set(nodes);
    }

    fn lose(&self) {
        self.0.lose(true);
    }

    fn restore(&self) {
        self.0.lose(false);
    }
}

async fn fetch(State(registry): State<Registry>, uri: Uri) -> Json<Value> {
    let query = query(&uri);
    assert_eq!(
        (query["env"].as_str(), query["zone"].as_str(), query["status"].as_str()),
        ("prod", "sh001", "1")
    );
    let known = registry.known();
    Json(match is_empty(&known) {
        true => json!({"code": -404, "message": "-404", "ttl": 1}),
        false => json!({"code": 0, "message": "0", "ttl": 1, "data": app(&known)}),
    })
}

/// Answers at once if there is anything newer than `latest_timestamp`. A service that has lost its last instance
/// is as one that has not changed.
async fn polls(State(registry): State<Registry>, uri: Uri) -> Json<Value> {
    let query = query(&uri);
    assert!(!query["hostname"].is_empty() && query["env"] == "prod");
    let known = registry.newer_than(query["latest_timestamp"].parse::<u64>().unwrap()).await;
    let unchanged = known.version.to_string() == query["latest_timestamp"] || is_empty(&known);
    Json(match unchanged {
        true => json!({"code": -304, "message": "-304", "ttl": 1}),
        false => json!({"code": 0, "data": {&query["appid"]: app(&known)}, "error": {"-404": null}}),
    })
}

fn is_empty(known: &Known) -> bool {
    !known.nodes.iter().any(|node| node.well)
}

fn app(known: &Known) -> Value {
    let instance = |node: &Node| {
        json!({
            "region": "sh", "zone": "sh001", "env": "prod", "appid": "infra.llm.index", "hostname": node.ip(),
            "addrs": [format!("grpc://{}:9000", node.ip()), format!("http://{}:8000", node.ip())],
            "version": "1", "metadata": {"weight": "10"}, "status": if node.well { 1 } else { 2 },
            "reg_timestamp": 1, "up_timestamp": 1, "renew_timestamp": 1, "dirty_timestamp": 1,
            "latest_timestamp": known.version,
        })
    };
    let instances: Vec<Value> = known.nodes.iter().map(instance).collect();
    json!({"instances": {"sh001": instances}, "latest_timestamp": known.version})
}
