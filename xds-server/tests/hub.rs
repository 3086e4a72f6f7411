//! The hub between a client and a gateway that a test plays.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, time};
use weir::{
    hub::{self, Address, Fleet, Gateways, Hub, Limits, List, Servers},
    snapshot::Version,
};

type Pool = Client<HttpConnector, Full<Bytes>>;

/// A hub, the client of it, and what its gateway has received.
struct Case {
    at: SocketAddr,
    gateway: SocketAddr,
    pool: Pool,
    fleet: watch::Sender<Arc<Fleet>>,
    received: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

/// A stream as its client reads it.
struct Events {
    body: Body,
    text: String,
}

impl Case {
    async fn new(limits: Limits) -> Self {
        Self::with(limits, |_| Gateways::default()).await
    }

    /// A hub that is told where gateways are, from where the gateway of the test is.
    async fn with(limits: Limits, at: impl FnOnce(SocketAddr) -> Gateways) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&received);
        let answer = move |headers: HeaderMap, body: Bytes| {
            let message: Value = serde_json::from_slice(&body).unwrap();
            seen.lock().unwrap().push((headers, message.clone()));
            async move { answer(&message).await }
        };
        let gateway = serve(Router::new().route("/logs", post(answer))).await;
        let at = at(gateway);
        // Where it listens is of no use if it is said to be elsewhere.
        let listening =
            if at == Gateways::default() { gateway } else { SocketAddr::from(([127, 0, 0, 1], 1)) };
        let fleet = watch::Sender::new(fleet(listening, "1"));
        let hub = Hub::new(fleet.subscribe(), at, limits);
        let at = serve(hub::router(Arc::new(hub))).await;
        let pool = Client::builder(TokioExecutor::new()).build_http();
        Self { at, gateway, pool, fleet, received }
    }

    async fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/mcp-hub{path}", self.at))
            .header("authorization", format!("Bearer {key}"))
            .header("x-weir-gateway", "edge")
            .header("x-weir-key-id", key)
            .header("cookie", "private=1")
            .body(Full::new(body.to_owned().into()))
            .unwrap();
        self.pool.request(request).await.unwrap().map(Body::new)
    }

    async fn open(&self, path: &str) -> Events {
        let response = self.send("GET", path, "one", "").await;
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (StatusCode::OK, &"text/event-stream".parse().unwrap())
        );
        Events { body: response.into_body(), text: String::new() }
    }
}

impl Events {
    /// The next event: its name and its data.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
                };
                let told = (field("event: "), field("data: "));
                self.text = rest.to_owned();
                if !told.0.is_empty() {
                    return Some(told);
                }
                continue;
            }
            let frame = time::timeout(Duration::from_secs(20), self.body.frame()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(frame.unwrap().data_ref()?).unwrap());
        }
    }

    async fn message(&mut self) -> Value {
        let (name, data) = self.next().await.unwrap();
        assert_eq!(name, "message");
        serde_json::from_str(&data).unwrap()
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    at
}

fn fleet(gateway: SocketAddr, tools: &str) -> Arc<Fleet> {
    let lists = BTreeMap::from([(List::Tools, Version::reported(tools))]);
    let servers = Servers {
        name: "edge".into(),
        gateway: Address::plain(gateway),
        lists: BTreeMap::from([("/logs".into(), lists)]),
        ..Servers::default()
    };
    Arc::new(BTreeMap::from([("edge".into(), Arc::new(servers))]))
}

/// What the gateway of the test says.
async fn answer(message: &Value) -> Response {
    let id = &message["id"];
    match message["method"].as_str() {
        Some("initialize") => {
            let result = json!({"protocolVersion": "2025-11-25"});
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
            ([("mcp-session-id", "s-1")], axum::Json(answer)).into_response()
        }
        Some("stream") => {
            let first = json!({"jsonrpc": "2.0", "method": "notifications/progress"});
            let last = json!({"jsonrpc": "2.0", "id": id, "result": {}});
            let text = format!(": hello\n\ndata: {first}\n\nevent: message\ndata: {last}\n\n");
            ([("content-type", "text/event-stream")], text).into_response()
        }
        Some("slow") => std::future::pending().await,
        Some("refused") => (StatusCode::TOO_MANY_REQUESTS, axum::Json(json!({"error": {}}))).into_response(),
        Some("tools/call") => axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": {}})).into_response(),
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

fn request(id: u32, method: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method}).to_string()
}

#[tokio::test]
async fn messages_of_the_old_transport_go_through_the_gateway_and_answers_come_on_the_stream() {
    let case = Case::new(Limits::default()).await;
    let mut events = case.open("/logs/sse").await;
    let (name, at) = events.next().await.unwrap();
    assert_eq!(name, "endpoint");
    assert!(at.starts_with("/logs/message?session_id="), "{at}");

    assert_eq!(case.send("POST", &at, "one", &request(1, "initialize")).await.status(), StatusCode::ACCEPTED);
    assert_eq!(events.message().await["result"]["protocolVersion"], "2025-11-25");
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    case.send("POST", &at, "one", &ready).await;
    // One that never answers holds up none of the others.
    case.send("POST", &at, "one", &request(2, "slow")).await;
    case.send("POST", &at, "one", &request(3, "stream")).await;
    assert_eq!(events.message().await["method"], "notifications/progress");
    assert_eq!(events.message().await, json!({"jsonrpc": "2.0", "id": 3, "result": {}}));
    case.send("POST", &at, "one", &request(4, "refused")).await;
    assert_eq!(events.message().await["error"]["code"], 429);

    let received = case.received.lock().unwrap();
    let of = |method: &str| &received.iter().find(|(_, message)| message["method"] == method).unwrap().0;
    let (first, later) = (of("initialize"), of("stream"));
    let host = case.at.to_string();
    assert_eq!(
        (&first["authorization"], &first["host"]),
        (&"Bearer one".parse().unwrap(), &host.parse().unwrap())
    );
    assert_eq!((first.get("mcp-session-id"), first.get("cookie")), (None, None));
    assert_eq!(
        (&later["mcp-session-id"], &later["mcp-protocol-version"]),
        (&"s-1".parse().unwrap(), &"2025-11-25".parse().unwrap())
    );
}

#[tokio::test]
async fn a_session_is_found_by_nobody_else_and_ends_with_its_stream() {
    let case = Case::new(Limits::default()).await;
    let mut events = case.open("/logs/sse").await;
    let (_, at) = events.next().await.unwrap();
    let call = request(1, "tools/call");
    assert_eq!(case.send("POST", &at, "two", &call).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        case.send("POST", &at.replace("/logs", "/other"), "one", &call).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(case.send("POST", &at, "one", "nonsense").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(case.send("POST", "/logs/sse", "one", &call).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(case.received.lock().unwrap().is_empty());
    drop(events);
    while case.send("POST", &at, "one", &call).await.status() != StatusCode::NOT_FOUND {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn streams_are_bounded_and_do_not_last_for_ever() {
    let limits = Limits { streams_of_caller: 1, lifetime: Duration::from_millis(300), ..Limits::default() };
    let case = Case::new(limits).await;
    let mut events = case.open("/logs/sse").await;
    events.next().await.unwrap();
    let refused = case.send("GET", "/logs", "one", "").await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"5".parse().unwrap())
    );
    let said: Value =
        serde_json::from_slice(&refused.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(said["error"]["message"], "this caller has as many streams open as it may");
    assert_eq!(events.next().await, None);
    let full = Case::new(Limits { streams: 0, ..Limits::default() }).await;
    assert_eq!(full.send("GET", "/logs/sse", "one", "").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn whoever_listens_is_told_that_tools_have_changed() {
    let case = Case::new(Limits::default()).await;
    let (mut unasked, mut old) = (case.open("/logs/mcp").await, case.open("/logs/sse").await);
    old.next().await.unwrap();
    let listen = json!({
        "jsonrpc": "2.0",
        "id": "l",
        "method": "subscriptions/listen",
        "params": {"notifications": {"toolsListChanged": true}},
    });
    let answer = case.send("POST", "/logs/", "one", &listen.to_string()).await;
    let mut asked = Events { body: answer.into_body(), text: String::new() };
    assert_eq!(asked.message().await["method"], "notifications/subscriptions/acknowledged");
    case.fleet.send_replace(fleet(case.gateway, "2"));
    for events in [&mut unasked, &mut old] {
        assert_eq!(
            events.message().await,
            json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        );
    }
    assert_eq!(asked.message().await["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
}

#[tokio::test]
async fn a_gateway_is_reached_where_it_is_said_to_be() {
    let nowhere: Address = "http://127.0.0.1:1".parse().unwrap();
    let named = |gateway: SocketAddr, name: &str| {
        let addresses = BTreeMap::from([(name.into(), Address::plain(gateway))]);
        Gateways { addresses, address: Some(nowhere.clone()), ca: None }
    };
    for (at, status) in [("edge", None), ("other", Some(502))] {
        let case = Case::with(Limits::default(), |gateway| named(gateway, at)).await;
        let mut events = case.open("/logs/sse").await;
        let (_, at) = events.next().await.unwrap();
        case.send("POST", &at, "one", &request(1, "tools/call")).await;
        assert_eq!(events.message().await["error"]["code"].as_i64(), status);
    }
}
