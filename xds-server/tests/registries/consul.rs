//! Consul: blocking queries on `/v1/health/service`.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, Uri},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use super::{Fake, Node, Registry, query};

pub(crate) struct Consul(Registry, SocketAddr);

impl Consul {
    pub(crate) async fn start() -> Self {
        let routes = Router::new().route("/v1/health/service/llm", get(health));
        let (registry, address) = Registry::serve(routes).await;
        Self(registry, address)
    }
}

impl Fake for Consul {
    fn section(&self) -> String {
        format!("consul: {{url: \"http://{}\", token: token}}", self.1)
    }

    fn upstream(&self) -> String {
        "consul://llm?tag=gpu".into()
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

/// An index waits until there is another one; index 0 never waits.
async fn health(State(registry): State<Registry>, headers: HeaderMap, uri: Uri) -> impl IntoResponse {
    let query = query(&uri);
    assert_eq!(
        (query["passing"].as_str(), query["tag"].as_str(), query["wait"].as_str()),
        ("1", "gpu", "30s")
    );
    assert!(headers.contains_key("x-consul-token"));
    let index: u64 = query["index"].parse().unwrap();
    let known = if index == 0 { registry.known() } else { registry.newer_than(index).await };
    let entries: Vec<Value> = known.nodes.iter().filter(|node| node.well).map(entry).collect();
    ([("x-consul-index", known.version.max(1).to_string())], Json(entries))
}

fn entry(node: &Node) -> Value {
    json!({
        "Node": {"ID": "1", "Node": node.ip(), "Address": node.ip(), "Datacenter": "dc1", "Meta": {}},
        "Service": {
            "ID": node.ip(), "Service": "llm", "Tags": ["gpu"], "Address": "", "Port": 8000, "Meta": null,
            "Weights": {"Passing": 1, "Warning": 1},
        },
        "Checks": [{"CheckID": "serfHealth", "Status": "passing"}],
    })
}
