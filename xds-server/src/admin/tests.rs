mod marketplace;
mod roles;

use std::{fs, net::SocketAddr};

use axum::{body::Body, extract::ConnectInfo, http::Request};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tower::ServiceExt;
use weir_schema::Name;

use super::*;
use crate::{
    access::{Role, Token},
    folder::Folder,
    keys,
    load::Loader,
    marketplace::Document,
    object::{Object, ObjectKind},
    registry::Condition,
    store::{Change, Contents, Revision, Store, StoreError},
    xds::nodes::Nodes,
};

/// An API over a folder of its own, with two providers, two tenants, and a token of every role.
struct Bench {
    _folder: Folder,
    router: Router,
}

/// A store in memory.
#[derive(Debug, Default)]
struct Memory(Contents);

/// An answer that was received to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
}

impl Bench {
    fn new() -> Self {
        let folder = Folder::new();
        let modules = ["auth", "chat-template", "mcp", "model-compat", "quota", "router"];
        let files: Map<_, _> =
            modules.map(|name| (name.to_owned(), format!("{name}.wasm").into())).into_iter().collect();
        for module in files.values() {
            fs::write(folder.join(module.as_str().unwrap()), "").unwrap();
        }
        fs::write(folder.join("modules.json"), Value::Object(files).to_string()).unwrap();
        fs::write(folder.join("weir.yaml"), FILE).unwrap();
        let status = Arc::new(Status::new(Arc::new(Nodes::default())));
        let loader = Loader::new(folder.join("weir.yaml"), folder.path().into());
        let registry = Registry::new(loader, Some(Box::new(Memory::default())), Arc::clone(&status)).unwrap();
        registry.reload();
        fill(&registry);
        let router = router(Admin { status, registry: Arc::new(registry), book: None, records: None });
        Self { _folder: folder, router }
    }

    /// Asks as the holder of a token; `ask("PUT /v1/…", …)`.
    async fn ask(&self, token: Option<&str>, what: &str, body: Option<&Value>) -> Answer {
        self.ask_from([127, 0, 0, 1], token, what, body).await
    }

    /// Asks from another address than this machine's own.
    async fn ask_from(&self, from: [u8; 4], token: Option<&str>, what: &str, body: Option<&Value>) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(ConnectInfo(Peer(SocketAddr::from((from, 1)))));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// The names that a list has for the holder of a token.
    async fn names(&self, token: &str, kind: &str) -> Vec<String> {
        let answer = self.ask(Some(token), &format!("GET /v1/{kind}"), None).await;
        let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn the_page_asks_for_nothing_elsewhere() {
    let page = include_str!("page.html");
    for elsewhere in ["http:", "https:", "//cdn", "src=", "@import", "localStorage", "innerHTML"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn how_weir_is_doing_is_told_to_other_machines_with_a_token_only() {
    let bench = Bench::new();
    let ask = async |token, what| bench.ask_from([192, 0, 2, 1], token, what, None).await.status;
    for what in ["GET /v1/status", "GET /v1/snapshots"] {
        assert_eq!(
            [ask(None, what).await, ask(Some("acme"), what).await, ask(Some("root"), what).await],
            [401, 403, 200]
        );
    }
    assert_eq!([ask(None, "GET /readyz").await, ask(None, "GET /openapi.json").await], [200, 200]);
}

fn fill(registry: &Registry) {
    let put = |role: &Role, kind, spec| {
        registry.put(role, Object::parse(kind, spec).unwrap(), &Condition::None).unwrap();
    };
    let (hash, other_hash) = (keys::hash("wk-video").to_string(), keys::hash("wk-finance").to_string());
    let document = [
        (
            ObjectKind::Domains,
            json!({"name": "video", "hosts": ["video.example"], "models": ["acme-*", "shared"]}),
        ),
        (ObjectKind::Domains, json!({"name": "finance", "hosts": ["finance.example"]})),
        (ObjectKind::Consumers, json!({"name": "video/team", "domain": "video"})),
        (ObjectKind::Consumers, json!({"name": "ledger", "domain": "finance"})),
        (ObjectKind::Providers, json!({"name": "acme", "upstream": "http://127.0.0.1:8080/v1"})),
        (ObjectKind::Providers, json!({"name": "rival", "upstream": "http://127.0.0.1:8081/v1"})),
        (ObjectKind::Models, json!({"name": "rival-chat", "targets": [{"provider": "rival"}]})),
        (
            ObjectKind::Models,
            json!({"name": "ledger-chat", "domain": "finance", "targets": [{"provider": "acme"}]}),
        ),
        (
            ObjectKind::Keys,
            json!({"id": "video/team-1", "consumer": "video/team", "models": [], "sha256": hash}),
        ),
        (ObjectKind::Keys, json!({"id": "ledger-1", "consumer": "ledger", "sha256": other_hash})),
        (
            ObjectKind::Quotas,
            json!({"name": "all", "match": {"labels": {"tier": "free"}}, "limits": {"rpm": 10}}),
        ),
        (
            ObjectKind::Templates,
            json!({"name": "title", "version": "1", "template": {
                "model_name": "ledger-chat", "prompt_template": "Title: {{ .text }}",
            }}),
        ),
        (
            ObjectKind::Routes,
            json!({"path": "/v1/title", "middlewares": [{"name": "v1_stored_chat_template", "options": {
                "template": "title", "versions": [{"version": "1"}],
            }}]}),
        ),
    ];
    let objects = document.map(|(kind, spec)| Object::parse(kind, spec).unwrap());
    registry.apply(objects.into(), false, false).unwrap();
    let acme = Role::Provider(name("acme"));
    put(&acme, ObjectKind::Models, json!({"name": "acme-chat", "targets": [{"provider": "acme"}]}));
    for (called, role) in [("root", Role::Admin), ("acme", acme), ("video", Role::Tenant(name("video")))] {
        let (sha256, prefix) = (keys::hash(called), "wt-".to_owned());
        let created_at = Timestamp::UNIX_EPOCH;
        let token = Token { name: name(called), sha256, prefix, role, created_at, expires_at: None };
        registry.admit(&token).unwrap();
    }
    let tenants = ["video", "finance"].map(|of| (Role::Tenant(name(of)), format!("example.{of}/tools")));
    for (role, called) in tenants.into_iter().chain([(Role::Admin, "org.all/tools".into())]) {
        let document = json!({"name": called, "version": "1.0.0", "description": "What it does."});
        registry.publish(&role, &Document::parse(document).unwrap()).unwrap();
    }
}

fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

impl Store for Memory {
    fn revision(&mut self) -> Result<Revision, StoreError> {
        Ok(self.0.revision)
    }

    fn read(&mut self) -> Result<Contents, StoreError> {
        Ok(self.0.clone())
    }

    fn commit(&mut self, _: Revision, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
        self.0.apply(changes, now);
        Ok(())
    }

    fn follow(&mut self, _: Arc<Notify>) {}
}

const FILE: &str = "
models: [{name: shared, targets: [{provider: rival}]}]
consumers: [{name: of-file, domain: video}]
";
