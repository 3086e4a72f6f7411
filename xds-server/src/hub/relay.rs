//! A message of the old transport on its way through the gateway, and its answer on its way back.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tracing::debug;
use weir_wire::{SseFrame, SseFramer};

use super::{
    event,
    gateway::Gateway,
    sessions::{Agreed, Session},
};

/// A JSON-RPC message, or a batch of them.
#[derive(Debug)]
pub(super) struct Message {
    body: Bytes,
    /// The ids of its requests, which are waiting for an answer.
    ids: Vec<Value>,
    /// Whether it begins a conversation.
    initializes: bool,
}

/// It is no JSON-RPC message.
#[derive(Debug)]
pub(super) struct NoMessage;

impl Message {
    pub(super) fn parse(body: Bytes) -> Result<Self, NoMessage> {
        let parsed: Value = serde_json::from_slice(&body).map_err(|_| NoMessage)?;
        let messages = match &parsed {
            Value::Object(_) => std::slice::from_ref(&parsed),
            Value::Array(messages) if !messages.is_empty() => messages.as_slice(),
            _ => return Err(NoMessage),
        };
        let of = |message: &Value| message.get("method").and(message.get("id")).cloned();
        let ids = messages.iter().filter_map(of).collect();
        let initializes = parsed.get("method").and_then(Value::as_str) == Some("initialize");
        Ok(Self { body, ids, initializes })
    }
}

/// Sends a message through the gateway, and writes what is answered on the stream.
pub(super) async fn relay(
    gateway: &Gateway,
    endpoint: &str,
    headers: &HeaderMap,
    message: Message,
    session: &Session,
) {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let asked = gateway.post(host, endpoint, forwarded(headers, &session.agreed()), message.body).await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            debug!("the gateway does not answer: {error}");
            return fail(session, &message.ids, StatusCode::BAD_GATEWAY).await;
        }
    };
    let named =
        |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, server_session) = (answer.status(), named("mcp-session-id"));
    let written = if named("content-type").is_some_and(|media| media.starts_with("text/event-stream")) {
        copy(answer, session, message.initializes.then_some(server_session)).await
    } else {
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let is_message = serde_json::from_slice::<Value>(&body).is_ok_and(|body| is_json_rpc(&body));
        if is_message {
            if message.initializes {
                agree(session, server_session, &body);
            }
            write(session, &body).await
        } else {
            status.is_success()
        }
    };
    if !written {
        fail(session, &message.ids, status).await;
    }
}

/// Writes each message of a stream as it comes. False: it broke off before the first.
async fn copy(answer: Response<Incoming>, session: &Session, mut begins: Option<Option<String>>) -> bool {
    let mut framer = SseFramer::new(LARGEST_ANSWER);
    let mut body = answer.into_body();
    let mut written = false;
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(chunk) = frame.into_data() else { continue };
        let mut messages = Vec::new();
        let read = framer.feed(&chunk, |frame| match frame {
            SseFrame::Event(event) => messages.push(event.data.to_vec()),
            SseFrame::Silence(_) => {}
        });
        for message in messages.iter().filter(|message| !message.is_empty()) {
            if let Some(server_session) = begins.take() {
                agree(session, server_session, message);
            }
            if !write(session, message).await {
                return true;
            }
            written = true;
        }
        if read.is_err() {
            break;
        }
    }
    written
}

/// Remembers what the server has said at the beginning, as later messages must repeat it.
fn agree(session: &Session, server_session: Option<String>, answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let version = answer.pointer("/result/protocolVersion").and_then(Value::as_str).map(str::to_owned);
    session.agree(Agreed { session: server_session, version });
}

/// False: the client is gone.
async fn write(session: &Session, message: &[u8]) -> bool {
    session.events.send(event::event("message", message)).await.is_ok()
}

/// Answers every request with an error; its code is the HTTP status, which is none that JSON-RPC reserves.
async fn fail(session: &Session, ids: &[Value], status: StatusCode) {
    let reason = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "the key is not accepted here",
        StatusCode::TOO_MANY_REQUESTS => "too many requests; try again later",
        StatusCode::PAYLOAD_TOO_LARGE => "the message is too large",
        _ => "the server did not answer",
    };
    for id in ids {
        let error = event::error(Some(id), i32::from(status.as_u16()), reason);
        if session.events.send(event::message(&error)).await.is_err() {
            return;
        }
    }
}

fn is_json_rpc(body: &Value) -> bool {
    let one = |message: &Value| message.get("jsonrpc").is_some();
    body.as_array().map_or_else(|| one(body), |all| all.iter().all(one))
}

/// What the gateway is told of a message's own header fields.
fn forwarded(headers: &HeaderMap, agreed: &Agreed) -> HeaderMap {
    let mut sent = HeaderMap::new();
    for name in CREDENTIALS.iter().chain(&TRACE) {
        if let Some(value) = headers.get(*name) {
            sent.insert(*name, value.clone());
        }
    }
    sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    sent.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    let told = [("mcp-session-id", &agreed.session), ("mcp-protocol-version", &agreed.version)];
    for (name, value) in told {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::try_from(value).ok()) {
            sent.insert(name, value);
        }
    }
    sent
}

/// Where callers put their credentials.
const CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// Header fields that follow a request through systems (W3C Trace Context, Baggage).
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The largest answer, and the largest event of one, in bytes.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
