//! What the fakes have in common: nodes with versions, and a server that can be lost.

pub(crate) mod bilibili;
pub(crate) mod consul;
pub(crate) mod file;
pub(crate) mod kubernetes;
pub(crate) mod nacos;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, sync::watch, time};

/// A registry with one service.
pub(crate) trait Fake {
    /// What stands below `discovery`.
    fn section(&self) -> String;

    /// The service's URL.
    fn upstream(&self) -> String;

    /// These are the service's nodes from now on.
    fn set(&self, nodes: &[Node]);

    /// Nobody gets an answer from now on.
    fn lose(&self);

    /// It answers again.
    fn restore(&self);
}

/// `10.0.0.<number>:8000`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    number: u8,
    well: bool,
    terminating: bool,
}

pub(crate) fn node(number: u8) -> Node {
    Node { number, well: true, terminating: false }
}

impl Node {
    /// The registry knows that it is not well.
    pub(crate) fn unwell(self) -> Self {
        Self { well: false, ..self }
    }

    /// It ends the requests it has.
    pub(crate) fn terminating(self) -> Self {
        Self { terminating: true, ..self }
    }

    fn ip(self) -> String {
        format!("10.0.0.{}", self.number)
    }
}

/// The nodes, and how often they have changed.
#[derive(Clone, Debug, Default)]
struct Known {
    version: u64,
    nodes: Vec<Node>,
    lost: bool,
}

/// What a fake's handlers share.
#[derive(Clone, Debug)]
struct Registry(Arc<watch::Sender<Known>>);

impl Registry {
    /// Serves these routes at a free port; the address is where.
    async fn serve(routes: Router<Self>) -> (Self, SocketAddr) {
        let registry = Self(Arc::new(watch::Sender::default()));
        let lost = middleware::from_fn_with_state(registry.clone(), unless_lost);
        let routes = routes.with_state(registry.clone()).layer(lost);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        (registry, address)
    }

    fn set(&self, nodes: &[Node]) {
        self.0.send_modify(|known| {
            known.version += 1;
            known.nodes = nodes.to_vec();
        });
    }

    fn lose(&self, lost: bool) {
        self.0.send_modify(|known| known.lost = lost);
    }

    fn known(&self) -> Known {
        self.0.borrow().clone()
    }

    /// Waits, but not for ever, until the nodes are not those of this version.
    async fn newer_than(&self, version: u64) -> Known {
        let mut changes = self.0.subscribe();
        drop(time::timeout(WAIT, changes.wait_for(|known| known.version != version)).await);
        self.known()
    }

    async fn until_lost(&self) {
        drop(self.0.subscribe().wait_for(|known| known.lost).await);
    }
}

/// Ends what is under way when the registry is lost, and refuses what comes then.
async fn unless_lost(State(registry): State<Registry>, request: Request, next: Next) -> Response {
    tokio::select! {
        biased;
        () = registry.until_lost() => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        response = next.run(request) => response,
    }
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What is 30 seconds in the real ones.
const WAIT: Duration = Duration::from_millis(300);
