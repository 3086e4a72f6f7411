//! The little of an HTTP client that registries need.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;
use tokio::time;

use super::ResolveError;
use crate::{
    authorities,
    model::{BaseUrl, Server},
};

/// A client of one registry.
#[derive(Debug)]
pub(super) struct Client {
    base: BaseUrl,
    pool: Pool<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// A client of this registry.
    pub(super) fn new(server: &Server) -> Result<Self, ResolveError> {
        let base = &server.url;
        let tls = if base.as_str().starts_with("https:") {
            authorities::client(server.ca.as_deref())
                .map_err(|error| ResolveError::Authorities(error.to_string()))?
        } else {
            authorities::nobody()
        };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Ok(Self {
            base: base.clone(),
            pool: Pool::builder(TokioExecutor::new()).build(connector),
            header: None,
        })
    }

    /// Sends this header from now on; one that cannot be sent is left out.
    pub(super) fn set_header(&mut self, name: HeaderName, value: &str) {
        self.header = HeaderValue::try_from(value).ok().map(|mut value| {
            value.set_sensitive(true);
            (name, value)
        });
    }

    /// Asks for a path and waits for the whole answer.
    pub(super) async fn get(&self, path: &str, limit: Duration) -> Result<Answer, ResolveError> {
        time::timeout(limit, async {
            let (parts, body) = self.open(path).await?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(ResolveError::Cut)?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        })
        .await?
    }

    /// Asks for a path and leaves the body to be read.
    pub(super) async fn open(&self, path: &str) -> Result<Response<Incoming>, ResolveError> {
        let uri = Uri::try_from(format!("{}{path}", self.base.as_str())).map_err(http::Error::from)?;
        let mut request = Request::get(uri);
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        Ok(self.pool.request(request.body(Empty::new())?).await?)
    }
}

impl Answer {
    /// The JSON of an answer that is no error.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ResolveError> {
        if !self.status.is_success() {
            return Err(ResolveError::Status(self.status));
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// The largest answer that is read.
const LARGEST: usize = 16 * 1024 * 1024;
