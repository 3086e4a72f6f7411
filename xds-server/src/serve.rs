//! `weir serve`: everything that runs, wired together.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::block_in_place,
    time,
};
use tonic::{service::Routes, transport::Server};
use tracing::{info, warn};

use crate::{
    admin::{self, Admin},
    compile::service_endpoints,
    discovery::Directory,
    gateways::Gateways,
    hub::{self, Fleet, Hub},
    ledger::{
        self,
        book::{Book, BookError, Place},
    },
    listen::{Accepted, Peer},
    load::Loader,
    lookup, marketplace,
    records::{
        database::{Records, RecordsError},
        service::AccessLogs,
    },
    registry::Registry,
    session_keys,
    status::Status,
    store::{Store, StoreError, location::Location},
    tls::{self, Tls, TlsError},
    token::{self, TokenError},
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
    /// TLS of what Envoys connect to.
    pub xds_tls: Option<tls::Files>,
    /// Where health, status and the API are served.
    pub admin: SocketAddr,
    /// TLS of the API.
    pub admin_tls: Option<tls::Files>,
    /// Where what the API makes is kept. None: the file is all there is.
    pub store: Option<Location>,
    /// Where the API's first token is written. None: where the store says.
    pub token_file: Option<PathBuf>,
    /// Where messages of MCP go back to the gateways.
    pub hub: hub::Gateways,
    /// Where the ledger is. None: beside the store, or if there is none, nowhere.
    pub ledger: Option<Place>,
}

/// Serves until a signal says to end.
pub async fn serve(options: Options) -> Result<(), ServeError> {
    if options.store.is_some() && !options.admin.ip().is_loopback() && options.admin_tls.is_none() {
        return Err(ServeError::Exposed(options.admin));
    }
    if let (Some(Location::Postgres(_)), Some(place @ Place::File(_))) = (&options.store, &options.ledger) {
        return Err(ServeError::OwnLedger(place.clone()));
    }
    if let (Some(Location::Postgres(_)), None) = (&options.store, &options.ledger) {
        warn!(
            "each Envoy counts its quotas alone, and forgets them when it ends: one ledger is --ledger redis://HOST"
        );
    }
    let is_open = options.xds_tls.as_ref().is_none_or(|files| files.client_ca.is_none());
    if is_open && !options.xds.ip().is_loopback() {
        warn!(address = %options.xds, "whoever can connect can read the providers' credentials: use --xds-client-ca");
    }
    let nodes = Arc::new(Nodes::default());
    let status = Arc::new(Status::new(Arc::clone(&nodes)));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let folder = options.config.parent().unwrap_or(Path::new("")).to_path_buf();
    let store = match &options.store {
        Some(location) => {
            let file = options.token_file.unwrap_or_else(|| location.token_file(&folder));
            tokio::select! {
                store = open(location, &file) => Some(store?),
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
        None => None,
    };
    let ledger = options
        .ledger
        .or_else(|| options.store.as_ref().and_then(|store| beside(store, "-ledger")).map(Place::File));
    let book = ledger.as_ref().map(Book::open).transpose()?;
    let records = options.store.as_ref().map(records).transpose()?;
    let loader = Loader::new(options.config, options.modules).with_ledger(book.is_some(), records.is_some());
    let registry = block_in_place(|| Registry::new(loader, store, Arc::clone(&status)))?;
    let registry = Arc::new(registry);
    let xds = bind(options.xds)?;
    let admin = bind(options.admin)?;
    info!(xds = %xds.local_addr()?, admin = %admin.local_addr()?, "listening");
    let follow_tls =
        |files: Option<tls::Files>, protocol| files.map(|files| Tls::follow(files, protocol)).transpose();
    let xds = Accepted::at(xds, follow_tls(options.xds_tls, b"h2")?)?;
    let admin = Accepted::at(admin, follow_tls(options.admin_tls, b"http/1.1")?)?;

    let discovery = Routes::new(xds::service::Discovery::service(status.subscribe(), nodes));
    let discovery = match &records {
        Some(records) => discovery.add_service(AccessLogs::service(records.clone(), status.subscribe())),
        None => discovery,
    };
    let for_envoys = discovery.into_axum_router().merge(lookup::router(status.subscribe()));
    let sessions = options.store.as_ref().and_then(|store| beside(store, "-sessions"));
    let sessions = session_keys::own_secret(sessions.as_deref())?;
    let for_envoys = for_envoys.merge(session_keys::router(status.subscribe(), sessions));
    let hub = Hub::new(mcp_servers(status.subscribe()), options.hub, hub::Limits::default());
    let for_envoys = for_envoys.merge(hub::router(Arc::new(hub)));
    let upstreams = hub::Upstreams::new(mcp_servers(status.subscribe()), hub::Limits::default().streams);
    let for_envoys = for_envoys.merge(hub::sse_router(Arc::new(upstreams)));
    let for_envoys = for_envoys.merge(marketplace::gateway::router(Arc::clone(&registry)));
    let for_envoys = match &book {
        Some(book) => for_envoys.merge(ledger::service::router(book.clone(), status.subscribe())),
        None => for_envoys,
    };
    let xds = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(Routes::from(for_envoys))
        .serve_with_incoming(xds.into_stream());
    let answers =
        admin::router(Admin { status: Arc::clone(&status), registry: Arc::clone(&registry), book, records });
    let admin = axum::serve(admin, answers.into_make_service_with_connect_info::<Peer>());
    // Tasks of their own: reading a large configuration takes a while, and Envoys are answered meanwhile.
    let reload = Reload { registry: Arc::clone(&registry), directory: Directory::new(folder), status };
    let reload = tokio::spawn(reload.run());
    let retire = tokio::spawn(retire(Arc::clone(&registry)));
    let follow = tokio::spawn(async move { registry.follow().await });

    // A discovery stream never ends by itself. Envoys keep what they have when theirs is cut.
    let outcome = tokio::select! {
        outcome = xds => outcome.map_err(ServeError::from),
        outcome = reload => outcome.map_err(io::Error::other).map_err(ServeError::from).flatten(),
        outcome = retire => outcome.map_err(io::Error::other).map_err(ServeError::from),
        outcome = follow => outcome.map_err(io::Error::other).map_err(ServeError::from),
        outcome = admin.into_future() => outcome.map_err(ServeError::from),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    info!("stopped");
    outcome
}

/// Follows the MCP servers of what is served.
fn mcp_servers(mut served: watch::Receiver<Arc<Gateways>>) -> watch::Receiver<Arc<Fleet>> {
    let of = |served: &Gateways| {
        let servers = served.snapshots().values().map(|snapshot| Arc::clone(snapshot.mcp()));
        Arc::new(servers.map(|servers| (servers.name.clone(), servers)).collect::<Fleet>())
    };
    let (sender, fleet) = watch::channel(of(&served.borrow_and_update()));
    tokio::spawn(async move {
        while served.changed().await.is_ok() {
            let now = of(&served.borrow_and_update());
            sender.send_if_modified(|known| {
                let is_new = *known != now;
                if is_new {
                    *known = now;
                }
                is_new
            });
        }
    });
    fleet
}

/// The file beside a store that is a file.
fn records(store: &Location) -> Result<Records, RecordsError> {
    match store {
        Location::Sqlite(path) => Records::in_file(&with_suffix(path, "-records")),
        Location::Postgres(address) => Records::in_postgres(address),
    }
}

fn beside(store: &Location, suffix: &str) -> Option<PathBuf> {
    let Location::Sqlite(path) = store else { return None };
    Some(with_suffix(path, suffix))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Opens the store; its first token is made with it. A database that is away is waited for: without what is stored
/// nothing can be served that Envoys may take for the whole.
async fn open(location: &Location, token_file: &Path) -> Result<Box<dyn Store>, ServeError> {
    let mut wait = FIRST_WAIT;
    let mut store = loop {
        match block_in_place(|| location.open()) {
            Err(StoreError::Away(problem)) => {
                warn!(problem, "the store is away, and is waited for");
                time::sleep(wait).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
            opened => break opened.map_err(|error| ServeError::Open(location.clone(), error))?,
        }
    };
    if block_in_place(|| token::first(&mut *store, token_file))? {
        info!(file = %token_file.display(), "the API's first token was written");
    }
    Ok(store)
}

/// Brings together the configuration as it was read or written last and the endpoints as they were found last.
struct Reload {
    registry: Arc<Registry>,
    directory: Directory,
    status: Arc<Status>,
}

impl Reload {
    /// Reads the configuration now, after each change of its files and at SIGHUP.
    async fn run(mut self) -> Result<(), ServeError> {
        let mut files = FileWatch::new()?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            // What is known is watched before it is read, so no change falls between the two.
            files.cover(&self.registry.watched());
            block_in_place(|| self.registry.reload());
            files.cover(&self.registry.watched());
            let mut changed = pin!(files.changed());
            loop {
                block_in_place(|| self.update());
                tokio::select! {
                    () = &mut changed => break,
                    () = self.registry.may_be_mended() => break,
                    _ = hangup.recv() => { info!("SIGHUP"); break }
                    () = self.registry.written() => {}
                    () = self.directory.changed() => {}
                }
            }
        }
    }

    /// Serves what the registries say now of the services that are wanted now.
    fn update(&mut self) {
        if let Some(wanted) = self.registry.wanted() {
            self.directory.cover(&wanted);
        }
        self.status.set_sources(self.directory.sources());
        let nodes = self.directory.nodes();
        let endpoints = nodes.iter().map(|(name, nodes)| (name.to_string(), service_endpoints(name, nodes)));
        if self.status.set_endpoints(endpoints.collect()) {
            info!("serving other endpoints");
        }
    }
}

/// Drops secrets of keys when their time is over.
async fn retire(registry: Arc<Registry>) {
    let mut seconds = time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        block_in_place(|| registry.retire(Timestamp::now()));
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
    /// The API would be open to a network without TLS.
    #[error(
        "cannot serve the API at {0}: without --admin-cert and --admin-key, with a store --admin is a loopback address"
    )]
    Exposed(SocketAddr),
    /// Each replica would grant all of a limit.
    #[error(
        "the ledger {0} is for one process, and replicas share a database: give all of them --ledger redis://HOST, or none"
    )]
    OwnLedger(Place),
    /// The store cannot be opened.
    #[error("cannot open {0}: {1}")]
    Open(Location, StoreError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] BookError),
    /// The records cannot be opened.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// There is no first token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
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

/// How long it takes until a store that is away is asked again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How many connections may wait to be accepted: after a restart every node comes back at once.
const BACKLOG: u32 = 4096;
