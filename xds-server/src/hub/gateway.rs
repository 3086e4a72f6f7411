//! The gateway that the hub's messages go back to.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Bytes;
use http::{HeaderMap, Request, Response, Uri, uri::Authority};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::authorities::{self, AuthoritiesError};

/// Where a gateway is reached: `http://127.0.0.1:10000`, or `https://` if it speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    tls: bool,
    /// A host and a port.
    at: String,
}

/// A text that is no address of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a gateway's address is http://HOST:PORT or https://HOST:PORT")]
pub struct InvalidAddress;

/// A client of one gateway. A request names the host that its own client has asked, which tells the gateway the
/// tenant, but goes to this gateway whatever the host is.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    tls: bool,
    pool: Client<HttpsConnector<Pinned>, Full<Bytes>>,
}

impl Gateway {
    /// The gateway at `address`, believed by these certificate authorities if it speaks TLS.
    pub(super) fn at(address: &Address, ca: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let tls = if address.tls { authorities::client(ca)? } else { authorities::nobody() };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let connector = connector.wrap_connector(Pinned(address.at.as_str().into()));
        Ok(Self { tls: address.tls, pool: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Posts to a path at a host, and leaves the body of the answer to be read.
    pub(super) async fn post(
        &self,
        host: &str,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Unreachable> {
        let scheme = if self.tls { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build()?;
        let mut request = Request::post(uri).body(Full::new(body))?;
        *request.headers_mut() = headers;
        Ok(self.pool.request(request).await?)
    }
}

/// The gateway did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    /// The request cannot be written.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// There is no connection, or it broke.
    #[error(transparent)]
    Connection(#[from] Error),
}

/// Connects to one address, whatever is asked for.
#[derive(Clone, Debug)]
struct Pinned(Arc<str>);

impl Service<Uri> for Pinned {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let at = Arc::clone(&self.0);
        Box::pin(async move { Ok(TokioIo::new(TcpStream::connect(&*at).await?)) })
    }
}

impl Address {
    /// A gateway without TLS.
    pub fn plain(socket: SocketAddr) -> Self {
        Self { tls: false, at: socket.to_string() }
    }

    /// A gateway that listens at `socket`, as it is reached on its own machine.
    pub fn listening(socket: SocketAddr, tls: bool) -> Self {
        let ip = match socket.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self { tls, at: SocketAddr::new(ip, socket.port()).to_string() }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (tls, at) = match text.split_once("://") {
            Some(("http", at)) => (false, at),
            Some(("https", at)) => (true, at),
            Some(_) | None => return Err(InvalidAddress),
        };
        let at: Authority = at.trim_end_matches('/').parse().map_err(|_| InvalidAddress)?;
        if at.port().is_none() || at.as_str().contains('@') {
            return Err(InvalidAddress);
        }
        Ok(Self { tls, at: at.to_string() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.at)
    }
}
