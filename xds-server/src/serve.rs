//! `weir serve`: everything that runs, wired together.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};
use tracing::{debug, error, info};

use crate::{
    admin,
    load::Loader,
    lookup,
    status::Status,
    watch::FileWatch,
    xds::{nodes::Nodes, service::Discovery},
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

    let discovery = Routes::new(Discovery::service(status.subscribe(), nodes));
    let for_envoys = discovery.into_axum_router().merge(lookup::router(status.subscribe()));
    let xds = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(Routes::from(for_envoys))
        .serve_with_incoming(TcpListenerStream::new(xds));
    let answers = admin::router(Arc::clone(&status)).into_make_service_with_connect_info::<SocketAddr>();
    let admin = axum::serve(admin, answers);
    let reload = reload(Loader::new(options.config, options.modules), Arc::clone(&status));

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

/// Reads the configuration now, after each change of its files and at SIGHUP.
async fn reload(mut loader: Loader, status: Arc<Status>) -> Result<(), ServeError> {
    let mut files = FileWatch::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        // What is known is watched before it is read, so no change falls between the two.
        files.cover(loader.watched());
        match loader.load() {
            Ok(None) => debug!("nothing has changed"),
            Ok(Some(snapshot)) => {
                let version = snapshot.version().cloned();
                if status.publish(snapshot) {
                    info!(version = version.as_ref().map(|version| version.as_str()), "serving");
                }
            }
            Err(problem) => {
                loader.forget();
                let problem = problem.to_string();
                if status.refuse(problem.clone()) {
                    error!("configuration refused: {problem}");
                }
            }
        }
        files.cover(loader.watched());
        tokio::select! {
            () = files.changed() => {}
            _ = hangup.recv() => info!("SIGHUP"),
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
