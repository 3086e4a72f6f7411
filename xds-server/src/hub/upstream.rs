//! MCP servers that speak HTTP with SSE only (MCP 2024-11-05, "HTTP with SSE"), offered as Streamable HTTP.
//!
//! A filter cannot hold the stream on which such a server answers. So requests to it come here, under [`PREFIX`]; each
//! session has a stream of its own at the server, and ends with it. Its id is known to the filter only, which seals it for
//! the caller.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{self, DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{self, Instant},
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use weir_wire::{SseFrame, SseFramer};

use super::{Fleet, event};
use crate::{authorities, keys, secret::Secret};

/// A server that speaks HTTP with SSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseServer {
    /// Where its stream is.
    pub url: String,
    /// The header that it is called with, and what stands before the secret.
    pub credential: Option<(String, &'static str, Secret)>,
}

/// The sessions at such servers.
#[derive(Debug)]
pub struct Upstreams {
    fleet: watch::Receiver<Arc<Fleet>>,
    open: Mutex<BTreeMap<String, Arc<Session>>>,
    most: usize,
}

/// A session: its stream is read by a task of its own.
#[derive(Debug)]
struct Session {
    /// The path under which it was begun.
    path: String,
    server: SseServer,
    pool: Pool,
    /// Where messages are posted, once the server has said it.
    endpoint: Uri,
    waiting: Mutex<Waiting>,
    reader: AbortHandle,
}

/// The requests that wait for an answer, the oldest first, and when the session was used last.
#[derive(Debug)]
struct Waiting {
    requests: Vec<Asked>,
    used: Instant,
}

#[derive(Debug)]
struct Asked {
    id: Value,
    progress: Option<Value>,
    events: mpsc::Sender<Bytes>,
}

type Pool = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Why a server cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("it does not answer")]
    Unreachable,
    #[error("it does not say where messages are posted, or names another host")]
    NoEndpoint,
}

impl Upstreams {
    /// Sessions at the servers of these gateways, at most so many.
    pub fn new(fleet: watch::Receiver<Arc<Fleet>>, most: usize) -> Self {
        Self { fleet, open: Mutex::default(), most }
    }

    fn server(&self, path: &str) -> Option<SseServer> {
        let fleet = self.fleet.borrow();
        let of = |(gateway, servers): (&String, &Arc<super::Servers>)| {
            let name = path.strip_prefix(gateway.as_str())?.strip_prefix('/')?;
            servers.sse.get(name).cloned()
        };
        fleet.iter().find_map(of)
    }

    fn find(&self, headers: &HeaderMap, path: &str) -> Option<(String, Arc<Session>)> {
        let id = headers.get(SESSION)?.to_str().ok()?;
        let session = locked(&self.open).get(id).cloned()?;
        // One whose server is another now, or no more, is over.
        let is_served = session.path == path && self.server(path).as_ref() == Some(&session.server);
        is_served.then(|| (id.to_owned(), session))
    }

    fn close(&self, id: &str) {
        if let Some(session) = locked(&self.open).remove(id) {
            session.reader.abort();
            session.fail_all();
        }
    }

    /// Opens a stream at a server.
    async fn begin(
        self: &Arc<Self>,
        path: &str,
        server: SseServer,
    ) -> Result<(String, Arc<Session>), Unusable> {
        let tls = if server.url.starts_with("https:") {
            authorities::client(None).map_err(|_| Unusable::Unreachable)?
        } else {
            authorities::nobody()
        };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let pool: Pool = Client::builder(TokioExecutor::new()).build(connector);
        let id = keys::random("").map_err(|_| Unusable::Unreachable)?;
        let url: Uri = server.url.parse().map_err(|_| Unusable::NoEndpoint)?;
        let request = server.request(Method::GET, url.clone(), Bytes::new()).ok_or(Unusable::Unreachable)?;
        let answer = time::timeout(PATIENCE, pool.request(request)).await;
        let answer = answer.ok().and_then(Result::ok).filter(|answer| answer.status().is_success());
        let mut stream = Stream::of(answer.ok_or(Unusable::Unreachable)?.into_body());
        let first = time::timeout(PATIENCE, stream.next()).await.ok().flatten();
        let endpoint =
            first.filter(|(name, _)| name == b"endpoint").and_then(|(_, data)| within(&url, &data));
        let endpoint = endpoint.ok_or(Unusable::NoEndpoint)?;
        let (started, start) = tokio::sync::oneshot::channel::<Arc<Session>>();
        let (upstreams, own) = (Arc::clone(self), id.clone());
        let reader = tokio::spawn(async move {
            if let Ok(session) = start.await {
                session.read(stream).await;
                session.fail_all();
                locked(&upstreams.open).remove(&own);
            }
        });
        let waiting = Mutex::new(Waiting { requests: Vec::new(), used: Instant::now() });
        let reader = reader.abort_handle();
        let session = Arc::new(Session { path: path.into(), server, pool, endpoint, waiting, reader });
        locked(&self.open).insert(id.clone(), Arc::clone(&session));
        drop(started.send(Arc::clone(&session)));
        Ok((id, session))
    }
}

impl SseServer {
    fn request(&self, method: Method, uri: Uri, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header(header::ACCEPT, "text/event-stream").header(header::USER_AGENT, "weir-mcp");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some((name, before, secret)) = &self.credential {
            let mut value = HeaderValue::try_from(format!("{before}{}", secret.expose())).ok()?;
            value.set_sensitive(true);
            request = request.header(name.as_str(), value);
        }
        request.body(Full::new(body)).ok()
    }
}

impl Session {
    /// Reads the stream until it ends, or nobody has used the session for long.
    async fn read(&self, mut stream: Stream) {
        loop {
            let idle = IDLE.saturating_sub(locked(&self.waiting).used.elapsed());
            tokio::select! {
                event = stream.next() => match event {
                    Some((_, data)) => self.hear(&data),
                    None => break,
                },
                () = time::sleep(idle) => {
                    let mut waiting = locked(&self.waiting);
                    if waiting.requests.is_empty() && waiting.used.elapsed() >= IDLE {
                        break;
                    }
                    // A request that takes so long is still a use.
                    if !waiting.requests.is_empty() {
                        waiting.used = Instant::now();
                    }
                }
            }
        }
    }

    /// Gives a message to the request that it is for: the one it answers, or whose progress it tells, or the oldest.
    fn hear(&self, data: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(data) else { return };
        let mut waiting = locked(&self.waiting);
        let is_answer = message.get("method").is_none();
        let at = match (is_answer, message.pointer("/params/progressToken")) {
            (true, _) => waiting.requests.iter().position(|request| Some(&request.id) == message.get("id")),
            (false, Some(token)) => {
                waiting.requests.iter().position(|request| request.progress.as_ref() == Some(token))
            }
            (false, None) => (!waiting.requests.is_empty()).then_some(0),
        };
        let Some(at) = at else { return };
        let sent =
            waiting.requests.get(at).map(|request| request.events.try_send(event::event("message", data)));
        if is_answer || !matches!(sent, Some(Ok(()))) {
            waiting.requests.remove(at);
        }
    }

    /// The stream has broken off.
    fn fail_all(&self) {
        for request in locked(&self.waiting).requests.drain(..) {
            let error = event::error(Some(&request.id), INTERNAL, "the server's stream has ended");
            // A client that does not read is told nothing.
            drop(request.events.try_send(event::message(&error)));
        }
    }

    /// Posts a message to the server. False: it is not taken.
    async fn post(&self, body: Bytes) -> bool {
        let Some(request) = self.server.request(Method::POST, self.endpoint.clone(), body) else {
            return false;
        };
        let sent = time::timeout(PATIENCE, self.pool.request(request)).await;
        sent.ok().and_then(Result::ok).is_some_and(|answer| answer.status().is_success())
    }
}

/// The events of a stream.
struct Stream {
    body: Incoming,
    framer: SseFramer,
    events: std::collections::VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl Stream {
    fn of(body: Incoming) -> Self {
        Self { body, framer: SseFramer::new(LARGEST_EVENT), events: std::collections::VecDeque::new() }
    }

    /// The next event's name and data. Nothing is lost if it is not waited for.
    async fn next(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let Ok(chunk) = self.body.frame().await?.ok()?.into_data() else { continue };
            let events = &mut self.events;
            let read = self.framer.feed(&chunk, |frame| match frame {
                SseFrame::Event(event) => {
                    events.push_back((event.event.unwrap_or(b"message").to_vec(), event.data.to_vec()));
                }
                SseFrame::Silence(_) => {}
            });
            read.ok()?;
        }
    }
}

/// What is sent to such servers: `/mcp-sse` and the names of the gateway, the endpoint and the server.
pub fn router(upstreams: Arc<Upstreams>) -> Router {
    Router::new()
        .route(&format!("{PREFIX}/{{*path}}"), post(take).delete(end))
        .layer(DefaultBodyLimit::max(LARGEST_EVENT))
        .with_state(upstreams)
}

async fn end(
    State(upstreams): State<Arc<Upstreams>>,
    extract::Path(path): extract::Path<String>,
    headers: HeaderMap,
) -> Response {
    match upstreams.find(&headers, &path) {
        Some((id, _)) => {
            upstreams.close(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn take(
    State(upstreams): State<Arc<Upstreams>>,
    extract::Path(path): extract::Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(server) = upstreams.server(&path) else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(message @ Value::Object(_)) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let method = message.get("method").and_then(Value::as_str);
    let begins = method == Some("initialize");
    let found = match upstreams.find(&headers, &path) {
        Some(found) => Some(found),
        None if begins => {
            if locked(&upstreams.open).len() >= upstreams.most {
                return StatusCode::TOO_MANY_REQUESTS.into_response();
            }
            match upstreams.begin(&path, server).await {
                Ok(begun) => Some(begun),
                Err(error) => {
                    tracing::warn!(upstream = path, "a server of MCP cannot be used: {error}");
                    return StatusCode::BAD_GATEWAY.into_response();
                }
            }
        }
        None => None,
    };
    let Some((id, session)) = found else {
        let status =
            if headers.contains_key(SESSION) { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        return status.into_response();
    };
    locked(&session.waiting).used = Instant::now();
    let asks = message.get("id").filter(|_| method.is_some());
    let received = match asks {
        None => None,
        Some(asked) => {
            let (events, received) = mpsc::channel(BACKLOG);
            let mut waiting = locked(&session.waiting);
            if waiting.requests.len() >= TURNS || waiting.requests.iter().any(|request| request.id == *asked)
            {
                return StatusCode::TOO_MANY_REQUESTS.into_response();
            }
            let progress = message.pointer("/params/_meta/progressToken").cloned();
            waiting.requests.push(Asked { id: asked.clone(), progress, events });
            Some(received)
        }
    };
    if !session.post(body).await {
        locked(&session.waiting).requests.retain(|request| Some(&request.id) != asks);
        if begins {
            upstreams.close(&id);
        }
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let mut response = match received {
        Some(received) => events(received),
        None => StatusCode::ACCEPTED.into_response(),
    };
    if begins && let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(SESSION, id);
    }
    response
}

fn events(received: mpsc::Receiver<Bytes>) -> Response {
    let mut response =
        Response::new(Body::from_stream(ReceiverStream::new(received).map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The endpoint that a server names, if it is at the server's own host: no other is told the credential.
fn within(url: &Uri, named: &[u8]) -> Option<Uri> {
    let named = str::from_utf8(named).ok()?.trim();
    let authority = url.authority()?;
    let own = format!("{}://{authority}", url.scheme_str()?);
    let whole = match named.strip_prefix('/') {
        Some(rest) if rest.starts_with('/') => return None,
        Some(_) => format!("{own}{named}"),
        None if named.contains("://") => named.to_owned(),
        None => format!("{own}{}/{named}", url.path().rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let whole: Uri = whole.parse().ok()?;
    (whole.authority() == Some(authority) && whole.scheme() == url.scheme()).then_some(whole)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Before the path that tells the server.
pub const PREFIX: &str = "/mcp-sse";
const SESSION: &str = "mcp-session-id";
/// JSON-RPC: the server fails.
const INTERNAL: i32 = -32603;
/// How long a server may take to take a message, or to begin a stream.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a session lives that nobody uses.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How many requests of one session may be under way.
const TURNS: usize = 32;
const BACKLOG: usize = 64;
const LARGEST_EVENT: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_posted_to_the_servers_own_host_only() {
        let url: Uri = "https://a.example/v1/sse".parse().unwrap();
        let at = |named: &str| within(&url, named.as_bytes()).map(|uri| uri.to_string());
        assert_eq!(
            at("/messages/?session_id=1").as_deref(),
            Some("https://a.example/messages/?session_id=1")
        );
        assert_eq!(at("https://a.example/m").as_deref(), Some("https://a.example/m"));
        for other in [
            "http://a.example/m",
            "https://b.example/m",
            "//b.example/m",
            "https://a.example@b.example/m",
            "",
        ] {
            assert_eq!(at(other).filter(|uri| !uri.starts_with("https://a.example/")), None, "{other}");
        }
        assert_eq!(at("https://b.example/m"), None);
        assert_eq!(at("//b.example/m"), None);
    }
}
