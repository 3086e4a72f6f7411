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
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};
use tracing::{debug, error, info};

use crate::{
    admin,
    compile::service_endpoints,
    discovery::Directory,
    load::Loader,
    lookup,
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
    let xds = bind(options.xds)?;
    let admin = bind(options.admin)?;
    info!(xds = %xds.local_addr()?, admin = %admin.local_addr()?, "listening");

    let discovery = Routes::new(xds::service::Discovery::service(status.subscribe(), nodes));
    let for_envoys = discovery.into_axum_router().merge(lookup::router(status.subscribe()));
    let xds = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(Routes::from(for_envoys))
        .serve_with_incoming(TcpListenerStream::new(xds));
    let answers = admin::router(Arc::clone(&status)).into_make_service_with_connect_info::<SocketAddr>();
    let admin = axum::serve(admin, answers);
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

/// Brings together the configuration as it was read last and the endpoints as they were found last.
struct Reload {
    loader: Loader,
    directory: Directory,
    status: Arc<Status>,
}

impl Reload {
    fn new(options: Options, status: Arc<Status>) -> Self {
        let folder = options.config.parent().unwrap_or(Path::new("")).to_path_buf();
        let loader = Loader::new(options.config, options.modules);
        Self { loader, directory: Directory::new(folder), status }
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
            Ok(Some(snapshot)) => {
                if let Some(wanted) = self.loader.wanted() {
                    self.directory.cover(wanted);
                }
                let version = snapshot.version().cloned();
                if self.status.publish(snapshot) {
                    info!(version = version.as_ref().map(|version| version.as_str()), "serving");
                }
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
        let nodes = self.directory.nodes();
        let endpoints = nodes.iter().map(|(name, nodes)| (name.to_string(), service_endpoints(name, nodes)));
        if self.status.set_endpoints(endpoints.collect()) {
            info!("serving other endpoints");
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    listener(address).map_err(|error| ServeError::Bind(address, error))
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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

/// How many connections may wait to be accepted: after a restart every node comes back at once.
const BACKLOG: u32 = 4096;
