//! Connections, and which request goes where.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::json;
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream};

use crate::Options;
use crate::api::{Api, Call, Reply};
use crate::body::{ResponseBody, Tracked};
use crate::controls::Controls;
use crate::delivery::{Delivery, Releases, Speed};
use crate::metrics::Metrics;
use crate::record::{Exchange, Query, Recorder};
use crate::shapes;

/// Everything the server knows.
#[derive(Debug)]
pub(crate) struct Sim {
    api: Api,
    speed: Speed,
    steady: bool,
    recorder: Arc<Recorder>,
    releases: Releases,
    metrics: Arc<Metrics>,
}

impl Sim {
    pub(crate) fn new(options: Options, answers: Vec<(String, String)>) -> Self {
        let model = options.models.first().map_or("sim", String::as_str);
        Self {
            metrics: Arc::new(Metrics::new(model, options.max_running, options.kv_cache_tokens)),
            api: Api { base_path: options.base_path, models: options.models, key: options.api_key, answers },
            speed: Speed {
                prefill_per_second: options.prefill_tokens_per_second,
                decode_per_second: options.decode_tokens_per_second,
            },
            steady: options.steady,
            recorder: Arc::new(Recorder::new()),
            releases: Releases::default(),
        }
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (head, body) = request.into_parts();
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/health") => json_response(StatusCode::OK, &json!({"status": "ok"})),
            (&Method::GET, "/metrics") => {
                response(StatusCode::OK, "text/plain; version=0.0.4", self.metrics.text())
            }
            (&Method::GET, "/sim/requests") => self.requests(head.uri.query().unwrap_or_default()).await,
            (&Method::DELETE, "/sim/requests") => {
                self.recorder.clear();
                json_response(StatusCode::OK, &json!({}))
            }
            (&Method::POST, path) if path.starts_with(RELEASE) => {
                self.releases.release(path.trim_start_matches(RELEASE));
                json_response(StatusCode::OK, &json!({}))
            }
            _ => self.model_api(&head, body).await,
        }
    }

    async fn model_api(&self, head: &Parts, body: Incoming) -> Response<ResponseBody> {
        let mut exchange = self.recorder.begin(head);
        let Some(body) = receive(&mut exchange, body).await else {
            return json_response(StatusCode::BAD_REQUEST, &json!({}));
        };
        let call = Call {
            method: &head.method,
            path: head.uri.path(),
            headers: &head.headers,
            body: &body,
            number: exchange.id(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        let wishes =
            if self.steady { Ok(Controls::default()) } else { Controls::from_headers(&head.headers) };
        let (reply, controls) = match wishes {
            Ok(controls) => (self.api.answer(call), controls),
            Err(name) => {
                let message = format!("The value of the header {name} cannot be read.");
                (Reply::invalid(StatusCode::BAD_REQUEST, &message, Some(name.as_str())), Controls::default())
            }
        };
        let delivery = Delivery::new(reply, controls, self.speed);
        let usage = delivery.usage;
        let door = self.releases.subscribe();
        let running = if usage.prompt > 0 { Some((self.metrics.run(usage).await, usage)) } else { None };
        delivery.send(door, Tracked { exchange, running }).await
    }

    async fn requests(&self, query: &str) -> Response<ResponseBody> {
        let Some(query) = parse_query(query) else {
            let problem = "Only id, tag, wait_for, count and timeout_ms can be asked for.";
            return json_response(
                StatusCode::BAD_REQUEST,
                &shapes::error(problem, "invalid_request_error", None, None),
            );
        };
        let status =
            if self.recorder.wait(&query).await { StatusCode::OK } else { StatusCode::REQUEST_TIMEOUT };
        json_response(status, &self.recorder.list(&query))
    }
}

/// Serves every connection, for ever.
pub(crate) async fn serve(listener: TcpListener, sim: Arc<Sim>) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&sim)));
            }
            // Out of descriptors, or a client that is gone already: neither ends the server.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, sim: Arc<Sim>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // The second handle outlives the connection, which decides how the socket is closed.
    let socket = Socket::from(stream.as_fd().try_clone_to_owned()?);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEADER_BYTES);
    let service = service_fn(|request| {
        let sim = Arc::clone(&sim);
        async move { Ok::<_, Infallible>(sim.handle(request).await) }
    });
    if builder.serve_connection(TokioIo::new(stream), service).await.is_err() {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Reads the body and records it; `None` if it never became complete.
async fn receive(exchange: &mut Exchange, body: Incoming) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(chunk) = frame.ok()?.into_data() {
            exchange.received(&chunk);
            whole.extend_from_slice(&chunk);
        }
    }
    exchange.received_all();
    Some(whole)
}

fn parse_query(query: &str) -> Option<Query> {
    let mut pairs: HashMap<&str, &str> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('='))
        .collect::<Option<_>>()?;
    let mut number = |name, default: Option<u64>| match pairs.remove(name) {
        None => Some(default),
        Some(text) => text.parse().ok().map(Some),
    };
    let (id, count, timeout) =
        (number("id", None)?, number("count", Some(1))?, number("timeout_ms", Some(5000))?);
    let query = Query {
        id,
        tag: pairs.remove("tag").map(str::to_owned),
        wait_for: pairs.remove("wait_for").map(str::to_owned),
        count: usize::try_from(count.unwrap_or_default()).ok()?,
        timeout: Duration::from_millis(timeout.unwrap_or_default()),
    };
    pairs.is_empty().then_some(query)
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<ResponseBody> {
    response(status, "application/json", body.to_string())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(Bytes::from(body), None));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const RELEASE: &str = "/sim/release/";
const MAX_HEADER_BYTES: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_selects_and_waits() {
        let query = parse_query("tag=a&wait_for=headers&timeout_ms=10");
        let expected = Query {
            id: None,
            tag: Some("a".into()),
            wait_for: Some("headers".into()),
            count: 1,
            timeout: Duration::from_millis(10),
        };
        assert_eq!(query, Some(expected));
        assert!(parse_query("").is_some());
    }

    #[test]
    fn a_query_that_cannot_be_read_is_refused() {
        for query in ["tag", "count=many", "since=1"] {
            assert_eq!(parse_query(query), None, "{query}");
        }
    }
}
