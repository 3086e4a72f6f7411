//! Kubernetes: the endpoint slices of a service, listed and then watched.

mod slices;

use std::{env, fs, path::PathBuf, time::Duration};

use http::{StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use tokio::time;

use self::slices::{Event, Gone, Slices};
use super::{Endpoint, ResolveError, Resolver, http::Client};
use crate::model::{self, BaseUrl};

/// Follows one service.
#[derive(Debug)]
pub(super) struct Kubernetes {
    client: Client,
    token_file: Option<PathBuf>,
    path: String,
    port: Option<String>,
    /// What was listed; nothing if it is to be listed anew.
    slices: Option<Slices>,
    watch: Option<Watch>,
}

/// A watch, one event a line.
#[derive(Debug)]
struct Watch {
    body: Incoming,
    read: Vec<u8>,
}

impl Kubernetes {
    pub(super) fn new(
        cluster: model::Kubernetes,
        namespace: &str,
        service: &str,
        port: Option<String>,
    ) -> Result<Self, ResolveError> {
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices\
             ?labelSelector=kubernetes.io%2Fservice-name%3D{service}"
        );
        let client = Client::new(&cluster.server)?;
        Ok(Self { client, token_file: cluster.token_file, path, port, slices: None, watch: None })
    }

    /// The token may be another one by now: the kubelet writes a new one before the old one ends.
    fn authorize(&mut self) -> Result<(), ResolveError> {
        if let Some(file) = &self.token_file {
            let token = fs::read_to_string(file)
                .map_err(|error| ResolveError::File(file.display().to_string(), error))?;
            self.client.set_header(AUTHORIZATION, &format!("Bearer {}", token.trim()));
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<Slices, ResolveError> {
        self.authorize()?;
        self.watch = None;
        self.client.get(&self.path, PATIENCE).await?.json()
    }

    /// The next event; none if the watch has ended, as each does after a while.
    async fn event(&mut self, version: &str) -> Result<Option<Event>, ResolveError> {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            None => {
                self.authorize()?;
                let path = format!(
                    "{}&watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECS}&resourceVersion={version}",
                    self.path
                );
                let response = time::timeout(PATIENCE, self.client.open(&path)).await??;
                match response.status() {
                    StatusCode::GONE => return Ok(Some(Event::gone())),
                    status if !status.is_success() => return Err(ResolveError::Status(status)),
                    _ => self.watch.insert(Watch { body: response.into_body(), read: Vec::new() }),
                }
            }
        };
        let line = time::timeout(SILENCE, watch.line()).await??;
        if line.is_none() {
            self.watch = None;
        }
        Ok(line.map(|line| serde_json::from_slice(&line)).transpose()?)
    }
}

#[tonic::async_trait]
impl Resolver for Kubernetes {
    async fn next(&mut self) -> Result<Vec<Endpoint>, ResolveError> {
        loop {
            let Some(version) = self.slices.as_ref().map(|slices| slices.version().to_owned()) else {
                let listed = self.list().await?;
                let slices = self.slices.insert(listed);
                return Ok(slices.endpoints(self.port.as_deref()));
            };
            let Some(event) = self.event(&version).await? else { continue };
            let Some(slices) = &mut self.slices else { continue };
            match slices.apply(event) {
                Ok(true) => return Ok(slices.endpoints(self.port.as_deref())),
                Ok(false) => {}
                Err(Gone::Expired) => self.slices = None,
                Err(Gone::Refused(code)) => return Err(ResolveError::Code(code)),
            }
        }
    }

    fn reset(&mut self) {
        (self.slices, self.watch) = (None, None);
    }
}

impl Watch {
    async fn line(&mut self) -> Result<Option<Vec<u8>>, ResolveError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end.saturating_add(1));
                return Ok(Some(std::mem::replace(&mut self.read, rest)));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| ResolveError::Cut(error.into()))?;
            self.read.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
            if self.read.len() > LONGEST_LINE {
                return Err(ResolveError::Missing("end of an event"));
            }
        }
    }
}

/// The cluster around the control plane, as every pod sees it.
pub(super) fn in_cluster() -> Result<model::Kubernetes, ResolveError> {
    let host = env::var("KUBERNETES_SERVICE_HOST")?;
    let port = env::var("KUBERNETES_SERVICE_PORT")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = BaseUrl::try_from(format!("https://{host}:{port}")).map_err(|_| ResolveError::NoRegistry)?;
    let file = |name: &str| Some(PathBuf::from(ACCOUNT).join(name));
    let server = model::Server { url, ca: file("ca.crt") };
    Ok(model::Kubernetes { server, token_file: file("token") })
}

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const PATIENCE: Duration = Duration::from_secs(15);

/// How long the server keeps a watch open.
const WATCH_SECS: u64 = 240;

/// A watch that is silent for longer than it lasts has lost its other end.
const SILENCE: Duration = Duration::from_secs(WATCH_SECS + 15);

/// An endpoint slice has at most 1 000 endpoints.
const LONGEST_LINE: usize = 4 * 1024 * 1024;
