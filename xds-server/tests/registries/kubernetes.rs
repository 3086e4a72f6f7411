//! Kubernetes: endpoint slices are listed and watched.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Fake, Known, Node, Registry, query};

pub(crate) struct ApiServer {
    registry: Registry,
    address: SocketAddr,
    log: Log,
}

/// What the server remembers beside the slices.
#[derive(Clone, Debug, Default)]
struct Log {
    /// A watch from before this version has expired.
    oldest: Arc<AtomicU64>,
    lists: Arc<AtomicU64>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let log = Log::default();
        let shared = log.clone();
        let slices = move |State(registry): State<Registry>, uri: Uri| answer(registry, shared.clone(), uri);
        let path = "/apis/discovery.k8s.io/v1/namespaces/models/endpointslices";
        let (registry, address) = Registry::serve(Router::new().route(path, get(slices))).await;
        Self { registry, address, log }
    }

    /// Forgets all versions but the newest, as the store of a real one does after some minutes.
    pub(crate) fn forget(&self) {
        self.log.oldest.store(self.registry.known().version, Ordering::SeqCst);
        // Watches see that they are too old.
        self.registry.0.send_modify(|_| ());
    }

    /// How often the slices were listed.
    pub(crate) fn lists(&self) -> u64 {
        self.log.lists.load(Ordering::SeqCst)
    }
}

impl Fake for ApiServer {
    fn section(&self) -> String {
        format!("kubernetes: {{url: \"http://{}\"}}", self.address)
    }

    fn upstream(&self) -> String {
        "kubernetes://models/vllm?port=http".into()
    }

    fn set(&self, nodes: &[Node]) {
        self.registry.set(nodes);
    }

    fn lose(&self) {
        self.registry.lose(true);
    }

    fn restore(&self) {
        self.registry.lose(false);
    }
}

async fn answer(registry: Registry, log: Log, uri: Uri) -> Response {
    let query = query(&uri);
    assert_eq!(query["labelSelector"], "kubernetes.io%2Fservice-name%3Dvllm");
    let known = registry.known();
    if !query.contains_key("watch") {
        log.lists.fetch_add(1, Ordering::SeqCst);
        let metadata = json!({"resourceVersion": known.version.to_string()});
        let items = [slice(&known)];
        return Json(json!({"kind": "EndpointSliceList", "metadata": metadata, "items": items}))
            .into_response();
    }
    let from: u64 = query["resourceVersion"].parse().unwrap();
    if from < log.oldest.load(Ordering::SeqCst) {
        return (StatusCode::GONE, Json(json!({"kind": "Status", "code": 410, "reason": "Expired"})))
            .into_response();
    }
    let (events, stream) = mpsc::channel(16);
    tokio::spawn(watch(registry, log, from, events));
    Body::from_stream(ReceiverStream::new(stream)).into_response()
}

/// Tells of every change, and bookmarks what it has told.
async fn watch(
    registry: Registry,
    log: Log,
    from: u64,
    events: mpsc::Sender<Result<String, std::io::Error>>,
) {
    let (mut told, mut changes) = (from, registry.0.subscribe());
    loop {
        let known = changes.borrow_and_update().clone();
        // A server that goes, goes with its connections.
        if known.lost || told < log.oldest.load(Ordering::SeqCst) {
            return;
        }
        if known.version > told {
            let version = json!({"resourceVersion": known.version.to_string()});
            let bookmark =
                json!({"type": "BOOKMARK", "object": {"kind": "EndpointSlice", "metadata": version}});
            let modified = json!({"type": "MODIFIED", "object": slice(&known)});
            // Cut in the middle, as a chunk may be.
            let text = format!("{modified}\n{bookmark}\n");
            let (head, tail) = text.split_at(text.len() / 3);
            for part in [head, tail] {
                if events.send(Ok(part.into())).await.is_err() {
                    return;
                }
            }
            told = known.version;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn slice(known: &Known) -> Value {
    let endpoint = |node: &Node| {
        let ready = node.well && !node.terminating;
        json!({
            "addresses": [node.ip()], "zone": "a", "nodeName": "n", "targetRef": {"kind": "Pod"},
            "conditions": {"ready": ready, "serving": node.well, "terminating": node.terminating},
        })
    };
    let endpoints: Vec<Value> = known.nodes.iter().map(endpoint).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "vllm-x", "namespace": "models", "resourceVersion": known.version.to_string()},
        "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}, {"name": "metrics", "port": 9000}],
        "endpoints": endpoints,
    })
}
