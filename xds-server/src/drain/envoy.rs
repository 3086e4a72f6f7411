//! Envoy's admin interface, as far as draining needs it.

use std::{io, net::SocketAddr, time::Duration};

use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use tokio::{net::TcpStream, time};

use crate::compile::GATEWAY;

/// An Envoy, by its admin interface.
#[derive(Debug)]
pub(super) struct Envoy {
    admin: SocketAddr,
}

impl Envoy {
    pub(super) fn new(admin: SocketAddr) -> Self {
        Self { admin }
    }

    /// Asks Envoy to do something.
    pub(super) async fn post(&self, path: &'static str) -> Result<(), AdminError> {
        self.call(Method::POST, path).await.map(drop)
    }

    /// The requests that the gateway is answering.
    pub(super) async fn active_requests(&self) -> Result<u64, AdminError> {
        let name = format!("http.{GATEWAY}.downstream_rq_active");
        let stats = self.call(Method::GET, &format!("/stats?filter={name}")).await?;
        Ok(gauge(&stats, &name))
    }

    async fn call(&self, method: Method, path: &str) -> Result<String, AdminError> {
        let failed = |problem| AdminError { admin: self.admin, path: path.to_owned(), problem };
        match time::timeout(PATIENCE, self.exchange(method, path)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(Problem::Silent)),
        }
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<String, Problem> {
        let stream = TcpStream::connect(self.admin).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what goes wrong with it is what the sender reports.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(HOST, self.admin.to_string());
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if status == StatusCode::OK { Ok(text) } else { Err(Problem::Refused(status)) }
    }
}

/// The value of a gauge in Envoy's text; 0 before there is such a gauge.
fn gauge(stats: &str, name: &str) -> u64 {
    let mut pairs = stats.lines().filter_map(|line| line.split_once(": "));
    let value = pairs.find(|(known, _)| *known == name).and_then(|(_, value)| value.parse().ok());
    value.unwrap_or_default()
}

/// Envoy's admin interface did not do as asked.
#[derive(Debug, thiserror::Error)]
#[error("Envoy's admin interface at {admin}: {path}: {problem}")]
pub struct AdminError {
    /// Where it is.
    pub admin: SocketAddr,
    /// What was asked.
    pub path: String,
    /// What went wrong.
    pub problem: Problem,
}

/// What can go wrong with Envoy's admin interface.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// What came is not HTTP, or not all of it.
    #[error(transparent)]
    Exchange(#[from] hyper::Error),
    /// The request cannot be written.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// It answered something other than 200.
    #[error("answered {0}")]
    Refused(StatusCode),
    /// It did not answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// How long an answer may take; Envoy gives one at once.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let stats = "http.weir.downstream_rq_active.x: 7\nhttp.weir.downstream_rq_active: 3\nnonsense\n";
        assert_eq!(gauge(stats, "http.weir.downstream_rq_active"), 3);
        assert_eq!(gauge(stats, "http.weir.downstream_rq"), 0);
    }
}
