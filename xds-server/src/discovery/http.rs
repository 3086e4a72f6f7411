//! The little of an HTTP client that registries need.

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::de::DeserializeOwned;
use tokio::time;

use super::ResolveError;
use crate::model::{BaseUrl, Server};

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
        let mut roots = RootCertStore::empty();
        if base.as_str().starts_with("https:") {
            let file = server.ca.as_deref().unwrap_or(Path::new(SYSTEM_CA));
            let refused =
                |problem: String| ResolveError::Authorities(format!("{}: {problem}", file.display()));
            let found = CertificateDer::pem_file_iter(file).map_err(|error| refused(error.to_string()))?;
            roots.add_parsable_certificates(found.filter_map(Result::ok));
            if roots.is_empty() {
                return Err(refused("it has none".into()));
            }
        }
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into());
        let tls = tls.with_safe_default_protocol_versions();
        let tls = tls.map_err(|error| ResolveError::Authorities(error.to_string()))?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
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

/// The certificate authorities of a Debian system.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
