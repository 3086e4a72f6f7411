//! The API as the command line calls it.

use std::{path::Path, time::Duration};

use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use prost::bytes::Bytes;
use serde_json::Value;
use tokio::time;

use crate::{
    authorities::{self, AuthoritiesError},
    model::encode,
    object::ObjectKind,
    secret::Secret,
};

/// A control plane, by its API.
#[derive(Debug)]
pub struct Api {
    server: Uri,
    token: Option<Secret>,
    pool: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Api {
    /// The control plane at `http://host:port` or `https://host:port`, asked with a token. Over TLS it is verified with
    /// the certificate authorities in a file, by default those of the system.
    pub fn new(server: Uri, token: Option<Secret>, authorities: Option<&Path>) -> Result<Self, ApiError> {
        let tls = match server.scheme_str() {
            _ if server.authority().is_none() || server.path() != "/" => None,
            Some("http") => Some(authorities::nobody()),
            Some("https") => Some(authorities::client(authorities)?),
            _ => None,
        };
        let tls = tls.ok_or_else(|| ApiError::Server(server.to_string()))?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Ok(Self { server, token, pool: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// What is served, and to whom.
    pub async fn status(&self) -> Result<Value, ApiError> {
        self.call(Method::GET, "/v1/status", None).await
    }

    /// Writes all objects of a document or none; returns what has become of each.
    pub async fn apply(&self, document: &Value, prune: bool, dry_run: bool) -> Result<Value, ApiError> {
        let path = format!("/v1/apply?prune={prune}&dry_run={dry_run}");
        self.call(Method::POST, &path, Some(document)).await
    }

    /// What is at a path.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(Method::GET, path, None).await
    }

    /// Sends something to a path.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.call(method, path, Some(body)).await
    }

    /// Replaces an object that still has this ETag.
    pub async fn replace(&self, path: &str, etag: &str, body: &Value) -> Result<Value, ApiError> {
        self.answer(Method::PUT, path, Some(body), Some(etag)).await
    }

    /// Removes what is at a path.
    pub async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.call(Method::DELETE, path, None).await
    }

    /// Every object of a kind that fits the query, `&label=…`, as the API shows it.
    pub async fn list(&self, kind: ObjectKind, query: &str) -> Result<Vec<Value>, ApiError> {
        self.pages(&format!("/v1/{}", kind.as_str()), query).await
    }

    /// All items of a list.
    pub async fn pages(&self, path: &str, query: &str) -> Result<Vec<Value>, ApiError> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit=1000{query}{after}")).await?;
            items.extend(page.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            match page.get("next_page_token").and_then(Value::as_str) {
                Some(token) => after = format!("&page_token={token}"),
                None => return Ok(items),
            }
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        self.answer(method, path, body, None).await
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Value, ApiError> {
        let answer = time::timeout(PATIENCE, self.exchange(method, path, body, etag)).await;
        let (status, bytes) = answer.map_err(|_| ApiError::Silent)??;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let json = serde_json::from_slice(&bytes);
        match json {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(error) => Err(ApiError::refused(status, &error)),
            Err(_) => Err(ApiError::Foreign(status)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let mut uri = self.server.clone().into_parts();
        uri.path_and_query = Some(path.parse().map_err(http::Error::from)?);
        let mut request =
            Request::builder().method(method).uri(Uri::from_parts(uri).map_err(http::Error::from)?);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request =
            request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body.into()))?;
        let unreachable = |error| ApiError::Unreachable { server: self.server.to_string(), error };
        let (head, body) = self.pool.request(request).await.map_err(unreachable)?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(ApiError::Cut)?;
        Ok((head.status, body.to_bytes()))
    }
}

/// The control plane did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Such a server cannot be asked.
    #[error("{0}: a server is http://HOST:PORT or https://HOST:PORT")]
    Server(String),
    /// There is nobody to verify it with.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// There is no connection.
    #[error("{server}: {}", reason(.error))]
    Unreachable {
        /// Who was asked.
        server: String,
        /// What went wrong.
        error: hyper_util::client::legacy::Error,
    },
    /// It did not answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// The answer broke off, or is too large.
    #[error("the answer broke off: {0}")]
    Cut(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request cannot be written.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// It says no, and why.
    #[error("{}{message}", object.as_ref().map(|object| format!("{object}: ")).unwrap_or_default())]
    Refused {
        /// The object it is about.
        object: Option<String>,
        /// Why.
        message: String,
    },
    /// What answers is no control plane.
    #[error("answered {0}, and not as weir does")]
    Foreign(StatusCode),
}

impl ApiError {
    fn refused(status: StatusCode, error: &Value) -> Self {
        let text = |name: &str| Some(error.get("error")?.get(name)?.as_str()?.to_owned());
        let Some(message) = text("message") else { return Self::Foreign(status) };
        let places = [text("object"), text("field")].into_iter().flatten().collect::<Vec<_>>().join(".");
        Self::Refused { object: Some(places).filter(|places| !places.is_empty()), message }
    }
}

/// A name as one segment of a path, or as a value in a query.
pub fn segment(name: &str) -> String {
    encode(name).replace('/', "%2F")
}

/// The innermost reason, which says what the others only wrap.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// How long an answer may take; a large document is checked whole.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer that is read, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;
