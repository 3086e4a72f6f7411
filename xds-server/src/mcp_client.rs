//! A client of MCP servers, as the command line is one (MCP 2025-11-25, Streamable HTTP).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::time;
use weir_wire::{SseFrame, SseFramer};

use crate::{
    authorities::{self, AuthoritiesError},
    secret::Secret,
};

/// A conversation with one server.
#[derive(Debug)]
pub struct Client {
    url: Uri,
    headers: HeaderMap,
    pool: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    last: u64,
}

/// A tool as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: String,
}

/// The server did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No certificate can be believed.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// There is no connection.
    #[error("cannot reach the server: {0}")]
    Unreachable(#[from] legacy::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent(#[from] time::error::Elapsed),
    /// The answer broke off, or is too large.
    #[error("the answer broke off: {0}")]
    Cut(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request cannot be written.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// The answer is no message of MCP.
    #[error("status {0}, and no answer of an MCP server: is this its endpoint?")]
    Foreign(StatusCode),
    /// The server refuses.
    #[error("the server says: {message} ({code})")]
    Refused {
        /// The JSON-RPC error's code.
        code: i64,
        /// What it says.
        message: String,
    },
}

impl Client {
    /// Begins a conversation with the server at `url`.
    ///
    /// # Errors
    /// If there is no MCP server, or if it refuses.
    pub async fn connect(url: Uri, key: Option<Secret>) -> Result<Self, ClientError> {
        let tls = if url.scheme_str() == Some("https") {
            authorities::client(None)?
        } else {
            authorities::nobody()
        };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(key) = key {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(http::Error::from)?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let pool = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let mut client = Self { url, headers, pool, last: 0 };
        let about = json!({
            "protocolVersion": REVISION,
            "capabilities": {},
            "clientInfo": {"name": "weir", "version": env!("CARGO_PKG_VERSION")},
        });
        let agreed = client.ask("initialize", about).await?;
        let revision = agreed.get("protocolVersion").and_then(Value::as_str).unwrap_or(REVISION);
        client.headers.insert(VERSION, HeaderValue::try_from(revision).map_err(http::Error::from)?);
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    /// All tools of the server.
    ///
    /// # Errors
    /// If it does not list them.
    pub async fn tools(&mut self) -> Result<Vec<Tool>, ClientError> {
        let text =
            |tool: &Value, name: &str| tool.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let listed = self.listed().await?.into_iter();
        Ok(listed
            .map(|tool| Tool { name: text(&tool, "name"), description: text(&tool, "description") })
            .collect())
    }

    /// All tools of the server, as it lists them.
    ///
    /// # Errors
    /// If it does not list them.
    pub async fn listed(&mut self) -> Result<Vec<Value>, ClientError> {
        let (mut tools, mut params) = (Vec::new(), json!({}));
        loop {
            let mut page = self.ask("tools/list", params).await?;
            if let Some(Value::Array(listed)) = page.get_mut("tools").map(Value::take) {
                tools.extend(listed);
            }
            match page.get("nextCursor").and_then(Value::as_str) {
                Some(cursor) if tools.len() < TOOLS => params = json!({"cursor": cursor}),
                Some(_) | None => return Ok(tools),
            }
        }
    }

    /// Calls a tool, and returns its result.
    ///
    /// # Errors
    /// If there is none. That the tool itself has failed is a result.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, ClientError> {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.last = self.last.saturating_add(1);
        let request = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        let (status, messages) = self.send(&request).await?;
        let answer = messages.into_iter().find(|message| message.get("id") == Some(&self.last.into()));
        let mut answer = answer.ok_or(ClientError::Foreign(status))?;
        if let Some(error) = answer.get("error") {
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Err(ClientError::Refused {
                code: error.get("code").and_then(Value::as_i64).unwrap_or(0),
                message,
            });
        }
        Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())
    }

    /// Sends a message; returns what comes back.
    async fn send(&mut self, message: &Value) -> Result<(StatusCode, Vec<Value>), ClientError> {
        let mut request =
            Request::post(self.url.clone()).body(Full::new(Bytes::from(message.to_string())))?;
        *request.headers_mut() = self.headers.clone();
        let (head, body) = time::timeout(PATIENCE, async {
            let (head, body) = self.pool.request(request).await?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(ClientError::Cut)?;
            Ok::<_, ClientError>((head, body.to_bytes()))
        })
        .await??;
        if let Some(session) = head.headers.get(SESSION) {
            self.headers.insert(SESSION, session.clone());
        }
        let media = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let mut messages = Vec::new();
        if media.starts_with(b"text/event-stream") {
            // It has come whole, within its limit.
            let read = SseFramer::new(LARGEST).feed(&body, |frame| match frame {
                SseFrame::Event(event) => messages.extend(serde_json::from_slice::<Value>(event.data)),
                SseFrame::Silence(_) => {}
            });
            read.map_err(|error| ClientError::Cut(error.to_string().into()))?;
        } else {
            messages.extend(serde_json::from_slice::<Value>(&body));
        }
        Ok((head.status, messages))
    }
}

const REVISION: &str = "2025-11-25";
const VERSION: &str = "mcp-protocol-version";
const SESSION: &str = "mcp-session-id";

/// How long an answer may take as a whole.
const PATIENCE: Duration = Duration::from_secs(300);
/// The largest answer in bytes.
const LARGEST: usize = 16 * 1024 * 1024;
/// More tools than these are not listed.
const TOOLS: usize = 10_000;
