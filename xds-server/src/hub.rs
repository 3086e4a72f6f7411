//! The long-lived streams of MCP, which a filter cannot hold: the HTTP+SSE transport of 2024-11-05, the GET stream of
//! the revisions after it, and `subscriptions/listen` of 2026-07-28.
//!
//! Of the old transport it is an adapter: each message goes back through the gateway as a POST to the Streamable HTTP
//! endpoint, with the credential that came with it, so every call passes auth, quotas and the access log once. Envoy
//! sends it what belongs here, under [`PREFIX`].

mod event;
mod gateway;
mod listen;
mod relay;
mod servers;
mod sessions;
mod upstream;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{self, DefaultBodyLimit, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::map_request,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tracing::error;

pub use gateway::{Address, InvalidAddress};
pub use listen::{Changes, List, Lists, Served};
pub use servers::{Fleet, Servers};
pub(crate) use sessions::{DOMAIN_HEADER, GATEWAY_HEADER, KEY_HEADER};
pub use upstream::{PREFIX as SSE_PREFIX, SseServer, Upstreams, router as sse_router};

use gateway::Gateway;
use sessions::{Caller, Refused, Sessions};

/// Holds the streams of MCP's clients.
#[derive(Debug)]
pub struct Hub {
    sessions: Arc<Sessions>,
    fleet: watch::Receiver<Arc<Fleet>>,
    /// Clients of the gateways that have been called, by their names.
    gateways: Mutex<BTreeMap<String, (Address, Gateway)>>,
    at: Gateways,
    lifetime: Duration,
}

/// Where gateways are reached, and by whom they are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// The address of each that is not reached where it listens, on this machine, by its name.
    pub addresses: BTreeMap<String, Address>,
    /// The address of all others. Absent: where each listens.
    pub address: Option<Address>,
    /// The certificate authorities of those that speak TLS, as a file. Absent: the system's.
    pub ca: Option<PathBuf>,
}

/// How much the hub takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many streams there may be.
    pub streams: usize,
    /// How many one credential may have at a host.
    pub streams_of_caller: usize,
    /// How long a stream may last; its client then opens another.
    pub lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 10_000, streams_of_caller: 32, lifetime: Duration::from_secs(3600) }
    }
}

impl Hub {
    /// A hub for these gateways.
    pub fn new(fleet: watch::Receiver<Arc<Fleet>>, at: Gateways, limits: Limits) -> Self {
        let sessions = Arc::new(Sessions::new(limits.streams, limits.streams_of_caller));
        Self { sessions, fleet, gateways: Mutex::default(), at, lifetime: limits.lifetime }
    }

    /// The client of a gateway. `None`: there is no such gateway, or nobody to believe it by.
    fn gateway(&self, name: &str) -> Option<Gateway> {
        let listening = self.fleet.borrow().get(name)?.gateway.clone();
        let address = self.at.addresses.get(name).or(self.at.address.as_ref()).cloned().unwrap_or(listening);
        let mut known = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, gateway)) = known.get(name).filter(|(at, _)| *at == address) {
            return Some(gateway.clone());
        }
        match Gateway::at(&address, self.at.ca.as_deref()) {
            Ok(gateway) => {
                known.insert(name.into(), (address, gateway.clone()));
                Some(gateway)
            }
            Err(error) => {
                error!(%address, "messages of MCP cannot go back to the gateway: {error}");
                None
            }
        }
    }
}

/// What Envoy sends to the hub: `/mcp-hub` and the path that the client asked for.
pub fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route(&format!("{PREFIX}/{{*path}}"), get(open).post(post))
        .layer(DefaultBodyLimit::max(LARGEST_MESSAGE))
        .layer(map_request(with_host))
        .with_state(hub)
}

/// HTTP/2 names the host in `:authority`, where HTTP/1.1 has a header field for it.
async fn with_host(mut request: Request) -> Request {
    let host = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    request
}

/// A stream: of the old transport at `…/sse`, and otherwise the one for what the server says unasked.
async fn open(
    State(hub): State<Arc<Hub>>,
    extract::Path(path): extract::Path<String>,
    headers: HeaderMap,
) -> Response {
    let (base, transport) = match path.strip_suffix("/sse") {
        Some(base) => (base, Transport::Sse),
        None => (path.as_str(), Transport::Streamable),
    };
    let base = endpoint(base);
    let opened = match hub.sessions.open(Caller::of(&headers), &base) {
        Ok(opened) => opened,
        Err(refused) => return too_many(refused),
    };
    if transport == Transport::Sse {
        let at = format!("{base}/message?session_id={}", opened.id);
        // There is room, as nothing was sent before.
        drop(opened.events.try_send(event::event("endpoint", at.as_bytes())));
    }
    let changes = Changes::since_now(&hub.fleet, served(&headers, base));
    tokio::spawn(keep(Arc::clone(&hub), opened.id, opened.events, changes, listen::Filter::ALL, None));
    stream(opened.received)
}

/// A message of the old transport, or a request to listen.
async fn post(
    State(hub): State<Arc<Hub>>,
    extract::Path(path): extract::Path<String>,
    Query(to): Query<To>,
    headers: HeaderMap,
    message: Bytes,
) -> Response {
    let Some(base) = path.strip_suffix("/message") else {
        return if path.ends_with("/sse") {
            method_not_allowed()
        } else {
            listen(&hub, &path, &headers, &message)
        };
    };
    let Ok(asked) = relay::Message::parse(message) else {
        return (
            StatusCode::BAD_REQUEST,
            Json(event::error(None, event::PARSE_ERROR, "the body is no JSON-RPC message")),
        )
            .into_response();
    };
    let base = endpoint(base);
    // Whether a session is somebody else's is nobody's business.
    let Some(session) = hub.sessions.find(&to.session_id, &Caller::of(&headers), &base) else {
        return (StatusCode::NOT_FOUND, Json(event::error(None, 404, "no such session"))).into_response();
    };
    let Ok(turn) = Arc::clone(&session.turns).try_acquire_owned() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "too many messages of this stream are under way");
    };
    let Some(gateway) = hub.gateway(said(&headers, GATEWAY_HEADER)) else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let relayed = async move {
        relay::relay(&gateway, &base, &headers, asked, &session).await;
        drop(turn);
    };
    hub.sessions.spawn(&to.session_id, relayed);
    StatusCode::ACCEPTED.into_response()
}

/// `subscriptions/listen`: tells of the changes that were asked for, on the stream that answers the request.
fn listen(hub: &Arc<Hub>, path: &str, headers: &HeaderMap, message: &[u8]) -> Response {
    let base = endpoint(path);
    let Some((id, filter)) = listen::asked(message) else {
        return (
            StatusCode::BAD_REQUEST,
            Json(event::error(None, event::INVALID_REQUEST, "no request to listen")),
        )
            .into_response();
    };
    let opened = match hub.sessions.open(Caller::of(headers), &base) {
        Ok(opened) => opened,
        Err(refused) => return too_many(refused),
    };
    let changes = Changes::since_now(&hub.fleet, served(headers, base));
    drop(opened.events.try_send(event::message(&listen::acknowledged(&id, filter))));
    tokio::spawn(keep(Arc::clone(hub), opened.id, opened.events, changes, filter, Some(id)));
    stream(opened.received)
}

/// Keeps a stream until its client is gone or its time is over: comments show that it lives, and changes are told.
async fn keep(
    hub: Arc<Hub>,
    id: String,
    events: mpsc::Sender<Bytes>,
    mut changes: Changes,
    filter: listen::Filter,
    subscription: Option<Value>,
) {
    let mut over = pin!(time::sleep(hub.lifetime));
    let mut beats = time::interval(BEAT);
    beats.reset();
    loop {
        let told = tokio::select! {
            () = events.closed() => break,
            () = &mut over => {
                if let Some(id) = &subscription {
                    drop(events.try_send(event::message(&listen::ended(id))));
                }
                break;
            }
            _ = beats.tick() => vec![Bytes::from_static(b":\n\n")],
            changed = changes.next() => {
                let told = changed.iter().filter(|list| filter.has(**list));
                told.map(|list| event::message(&listen::changed(*list, subscription.as_ref()))).collect()
            }
        };
        // A client that does not read has no use for the stream.
        if told.into_iter().any(|event| events.try_send(event).is_err()) {
            break;
        }
    }
    hub.sessions.close(&id);
}

fn stream(events: mpsc::Receiver<Bytes>) -> Response {
    let body = Body::from_stream(ReceiverStream::new(events).map(Ok::<_, Infallible>));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The endpoint of a server, as clients write it, from the rest of a path: `logging-mcp/mcp` is `/logging-mcp`.
fn endpoint(path: &str) -> String {
    let path = path.trim_end_matches('/');
    format!("/{}", path.strip_suffix("/mcp").unwrap_or(path))
}

/// The server that a request is about, as Envoy says it.
fn served(headers: &HeaderMap, endpoint: String) -> Served {
    let said = |name| said(headers, name).to_owned();
    Served { gateway: said(GATEWAY_HEADER), domain: said(DOMAIN_HEADER), endpoint }
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn too_many(refused: Refused) -> Response {
    match refused {
        Refused::Caller => {
            refuse(StatusCode::TOO_MANY_REQUESTS, "this caller has as many streams open as it may")
        }
        Refused::All => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "there are as many streams open as there may be")
        }
    }
}

/// Refuses for now.
fn refuse(status: StatusCode, problem: &str) -> Response {
    let error = event::error(None, status.as_u16().into(), problem);
    (status, [(header::RETRY_AFTER, "5")], Json(error)).into_response()
}

fn method_not_allowed() -> Response {
    let allow = [(header::ALLOW, Method::GET.as_str())];
    (StatusCode::METHOD_NOT_ALLOWED, allow, Json(json!({"error": "a stream is opened with GET"})))
        .into_response()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Sse,
    Streamable,
}

#[derive(Deserialize)]
struct To {
    #[serde(default)]
    session_id: String,
}

/// Before the path that the client asked for.
pub const PREFIX: &str = "/mcp-hub";

/// How often a silent stream shows that it lives.
const BEAT: Duration = Duration::from_secs(15);

/// The longest message of a client, in bytes.
const LARGEST_MESSAGE: usize = 1024 * 1024;
