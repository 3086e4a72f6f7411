//! Nacos: `/v1/ns/instance/list`.

use std::net::SocketAddr;

use axum::{Json, Router, extract::State, http::Uri, routing::get};
use serde_json::{Value, json};

use super::{Fake, Node, Registry, query};

pub(crate) struct Nacos(Registry, SocketAddr);

impl Nacos {
    pub(crate) async fn start() -> Self {
        let (registry, address) =
            Registry::serve(Router::new().route("/nacos/v1/ns/instance/list", get(list))).await;
        Self(registry, address)
    }
}

impl Fake for Nacos {
    fn section(&self) -> String {
        format!("nacos: {{url: \"http://{}/nacos\", interval: 50ms}}", self.1)
    }

    fn upstream(&self) -> String {
        "nacos://llm?namespace=prod&group=models".into()
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

async fn list(State(registry): State<Registry>, uri: Uri) -> Json<Value> {
    let query = query(&uri);
    assert_eq!((query["serviceName"].as_str(), query["namespaceId"].as_str()), ("llm", "prod"));
    assert_eq!(query["groupName"], "models");
    let host = |node: &Node| {
        json!({
            "instanceId": node.ip(), "ip": node.ip(), "port": 8000, "weight": 1.0, "healthy": node.well,
            "enabled": true, "ephemeral": true, "clusterName": "DEFAULT", "serviceName": "models@@llm",
            "metadata": {}, "instanceHeartBeatInterval": 5000, "ipDeleteTimeout": 30000,
        })
    };
    let hosts: Vec<Value> = registry.known().nodes.iter().map(host).collect();
    Json(json!({
        "name": "models@@llm", "groupName": "models", "clusters": "", "cacheMillis": 10000, "hosts": hosts,
        "lastRefTime": 1, "checksum": "", "allIPs": false, "reachProtectionThreshold": false, "valid": true,
    }))
}
