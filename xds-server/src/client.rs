//! The API as the command line calls it.

use std::time::Duration;

use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use prost::bytes::Bytes;
use serde_json::Value;
use tokio::time;

use crate::{object::ObjectKind, secret::Secret};

/// A control plane, by its API.
#[derive(Debug)]
pub struct Api {
    server: Uri,
    token: Option<Secret>,
    pool: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    /// The control plane at `http://host:port`, asked with a token.
    pub fn new(server: Uri, token: Option<Secret>) -> Result<Self, ApiError> {
        if server.scheme_str() != Some("http") || server.authority().is_none() || server.path() != "/" {
            return Err(ApiError::Server(server.to_string()));
        }
        Ok(Self { server, token, pool: Client::builder(TokioExecutor::new()).build_http() })
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

    /// Every object of a kind, as the API shows it.
    pub async fn list(&self, kind: ObjectKind) -> Result<Vec<Value>, ApiError> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let page =
                self.call(Method::GET, &format!("/v1/{}?limit=1000{after}", kind.as_str()), None).await?;
            items.extend(page.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            match page.get("next_page_token").and_then(Value::as_str) {
                Some(token) => after = format!("&page_token={token}"),
                None => return Ok(items),
            }
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let answer = time::timeout(PATIENCE, self.exchange(method, path, body)).await;
        let (status, bytes) = answer.map_err(|_| ApiError::Silent)??;
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
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let mut uri = self.server.clone().into_parts();
        uri.path_and_query = Some(path.parse().map_err(http::Error::from)?);
        let mut request =
            Request::builder().method(method).uri(Uri::from_parts(uri).map_err(http::Error::from)?);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
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
    #[error("{0}: a server is http://HOST:PORT")]
    Server(String),
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
