//! `weir serve`: everything that runs, wired together.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tracing::{debug, error, info};

use crate::{
    admin,
    compile::service_endpoints,
    discovery::Directory,
    encode::Encoded,
    load::Loader,
    status::Status,
    watch::FileWatch,
    xds::{self, nodes::Nodes},
};

/// What `weir serve` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// The folder of the filters' modules.
    pub modules: PathBuf,
    /// Where Envoys connect.
    pub xds: SocketAddr,
    /// Where health and status are served.
    pub admin: SocketAddr,
}

/// Serves until a signal says to end.
pub async fn serve(options: Options) -> Result<(), ServeError> {
    let nodes = Arc::new(Nodes::default());
    let status = Arc::new(Status::new(Arc::clone(&nodes)));
    let xds = bind(options.xds).await?;
    let admin = bind(options.admin).await?;
    info!(xds = %xds.local_addr()?, admin = %admin.local_addr()?, "listening");

    let discovery = xds::service::Discovery::service(status.subscribe(), nodes);
    let xds = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(discovery)
        .serve_with_incoming(TcpListenerStream::new(xds));
    let admin = axum::serve(admin, admin::router(Arc::clone(&status)));
    let reload = Reload::new(options, Arc::clone(&status)).run();

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // A discovery stream never ends by itself. Envoys keep what they have when theirs is cut.
    let outcome = tokio::select! {
        outcome = xds => outcome.map_err(ServeError::from),
        outcome = reload => outcome,
        outcome = admin.into_future() => outcome.map_err(ServeError::from),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    info!("stopped");
    outcome
}

/// What is served: the configuration as it was read last, with the endpoints as they were found last.
struct Reload {
    loader: Loader,
    directory: Directory,
    base: Option<Encoded>,
    status: Arc<Status>,
}

impl Reload {
    fn new(options: Options, status: Arc<Status>) -> Self {
        let folder = options.config.parent().unwrap_or(Path::new("")).to_path_buf();
        let loader = Loader::new(options.config, options.modules);
        Self { loader, directory: Directory::new(folder), base: None, status }
    }

    /// Reads the configuration now, after each change of its files and at SIGHUP.
    async fn run(mut self) -> Result<(), ServeError> {
        let mut files = FileWatch::new()?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            // What is known is watched before it is read, so no change falls between the two.
            files.cover(self.loader.watched());
            self.load();
            files.cover(self.loader.watched());
            let mut changed = pin!(files.changed());
            loop {
                self.update();
                tokio::select! {
                    () = &mut changed => break,
                    _ = hangup.recv() => { info!("SIGHUP"); break }
                    () = self.directory.changed() => {}
                }
            }
        }
    }

    fn load(&mut self) {
        match self.loader.load() {
            Ok(None) => debug!("nothing has changed"),
            Ok(Some(base)) => {
                if let Some(wanted) = self.loader.wanted() {
                    self.directory.cover(wanted);
                }
                let whole = self.with_endpoints(&base);
                let version = whole.version().cloned();
                if self.status.publish(whole) {
                    info!(version = version.as_ref().map(|version| version.as_str()), "serving");
                }
                self.base = Some(base);
            }
            Err(problem) => {
                self.loader.forget();
                let problem = problem.to_string();
                if self.status.refuse(problem.clone()) {
                    error!("configuration refused: {problem}");
                }
            }
        }
    }

    /// Serves what the registries say now.
    fn update(&self) {
        self.status.set_sources(self.directory.sources());
        if let Some(base) = &self.base {
            let whole = self.with_endpoints(base);
            let version = whole.version().cloned();
            if self.status.update(whole) {
                info!(version = version.as_ref().map(|version| version.as_str()), "serving other endpoints");
            }
        }
    }

    fn with_endpoints(&self, base: &Encoded) -> Encoded {
        let nodes = self.directory.nodes();
        let bodies =
            nodes.iter().map(|(service, nodes)| (service.to_string(), service_endpoints(service, nodes)));
        base.with_endpoints(bodies).unwrap_or_else(|error| {
            error!("endpoints are left out: {error}");
            base.clone()
        })
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Bind(address, error))
}

/// Why `weir serve` cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened at.
    #[error("cannot listen at {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The system refused something else.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The gRPC server ended.
    #[error(transparent)]
    Xds(#[from] tonic::transport::Error),
    /// The system cannot tell of changes.
    #[error("cannot watch files: {0}")]
    Watch(#[from] notify::Error),
}

/// How often a silent node is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
