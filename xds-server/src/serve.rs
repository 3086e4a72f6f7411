//! `weir serve`: everything that runs, wired together.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tracing::info;

use crate::{
    admin::{self, Admin},
    load::Loader,
    registry::Registry,
    status::Status,
    store::{Store, StoreError, Tokens, sqlite::Sqlite},
    token::{self, TokenError},
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
    /// Where health, status and the API are served.
    pub admin: SocketAddr,
    /// The database of what the API makes. None: the file is all there is.
    pub store: Option<PathBuf>,
}

/// Serves until a signal says to end.
pub async fn serve(options: Options) -> Result<(), ServeError> {
    if options.store.is_some() && !options.admin.ip().is_loopback() {
        return Err(ServeError::Exposed(options.admin));
    }
    let nodes = Arc::new(Nodes::default());
    let status = Arc::new(Status::new(Arc::clone(&nodes)));
    let store = options.store.as_deref().map(open).transpose()?;
    let (store, tokens) = store.unzip();
    let loader = Loader::new(options.config, options.modules);
    let registry = Arc::new(Registry::new(loader, store, Arc::clone(&status))?);
    let xds = bind(options.xds).await?;
    let admin = bind(options.admin).await?;
    info!(xds = %xds.local_addr()?, admin = %admin.local_addr()?, "listening");

    let discovery = Discovery::service(status.subscribe(), nodes);
    let xds = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(discovery)
        .serve_with_incoming(TcpListenerStream::new(xds));
    let admin = axum::serve(admin, admin::router(Admin { status, registry: Arc::clone(&registry), tokens }));
    let (reload, retire) = (reload(Arc::clone(&registry)), retire(registry));

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // A discovery stream never ends by itself. Envoys keep what they have when theirs is cut.
    let outcome = tokio::select! {
        outcome = xds => outcome.map_err(ServeError::from),
        outcome = reload => outcome,
        () = retire => Ok(()),
        outcome = admin.into_future() => outcome.map_err(ServeError::from),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    info!("stopped");
    outcome
}

/// Opens the store; its first token is made with it.
fn open(path: &Path) -> Result<(Box<dyn Store>, Tokens), ServeError> {
    let failed = |error| ServeError::Open(path.into(), error);
    let mut store = Sqlite::open(path).map_err(failed)?;
    if let Some(file) = token::first(&mut store, path)? {
        info!(file = %file.display(), "the API's first token was written");
    }
    let tokens = store.tokens().map_err(failed)?;
    Ok((Box::new(store), tokens))
}

/// Reads the configuration now, after each change of its files and at SIGHUP.
async fn reload(registry: Arc<Registry>) -> Result<(), ServeError> {
    let mut files = FileWatch::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        // What is known is watched before it is read, so no change falls between the two.
        files.cover(&registry.watched());
        registry.reload();
        files.cover(&registry.watched());
        tokio::select! {
            () = files.changed() => {}
            () = registry.may_be_mended() => {}
            _ = hangup.recv() => info!("SIGHUP"),
        }
    }
}

/// Drops secrets of keys when their time is over.
async fn retire(registry: Arc<Registry>) {
    let mut seconds = time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        registry.retire();
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
    /// The API would be open to a network without TLS.
    #[error("cannot serve the API at {0}: it has no TLS, so with a store --admin is a loopback address")]
    Exposed(SocketAddr),
    /// The store cannot be opened.
    #[error("cannot open {}: {}", .0.display(), .1)]
    Open(PathBuf, StoreError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no first token.
    #[error(transparent)]
    Token(#[from] TokenError),
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
