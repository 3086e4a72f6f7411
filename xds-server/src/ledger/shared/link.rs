//! The connection to Redis, made anew when it is lost, and whether what Redis is told will last.

use std::{collections::HashMap, time::Duration};

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisError, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
    cmd,
};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::address::Address;
use crate::ledger::book::BookError;

/// A connection, or none.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Connected(Connection),
    /// It has been said that Redis is away.
    Away,
}

/// A connection to one server or to those of a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) fn new(address: Address) -> Self {
        Self { address, state: Mutex::default() }
    }

    pub(super) fn prefix(&self) -> &str {
        self.address.prefix()
    }

    /// The connection, or a new one.
    pub(super) async fn connection(&self) -> Result<Connection, BookError> {
        let mut state = self.state.lock().await;
        if let State::Connected(connection) = &*state {
            return Ok(connection.clone());
        }
        match self.connect().await {
            Ok(connection) => {
                info!("the ledger is open in {}", self.address);
                *state = State::Connected(connection.clone());
                Ok(connection)
            }
            Err(problem) => {
                if matches!(*state, State::Fresh) {
                    warn!("the ledger cannot be reached, and is tried again: {}: {problem}", self.address);
                    *state = State::Away;
                }
                Err(problem.into())
            }
        }
    }

    /// Gives the connection up if that is what has failed.
    pub(super) async fn failed(&self, problem: &BookError) {
        let BookError::Redis(problem) = problem else { return };
        let mut state = self.state.lock().await;
        if matches!(*state, State::Connected(_)) && is_lost(problem) {
            warn!("the ledger is lost: {}: {problem}", self.address);
            *state = State::Away;
        }
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        let mut connection = if self.address.is_cluster() {
            let client = self.address.cluster(CONNECT, ANSWER)?;
            Connection::Cluster(client.get_async_connection().await?)
        } else {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(ANSWER));
            let client = self.address.client()?;
            Connection::One(client.get_multiplexed_async_connection_with_config(&config).await?)
        };
        cmd("PING").exec_async(&mut connection).await?;
        check(&mut connection).await;
        Ok(connection)
    }
}

/// Whether another connection may do better: of a server that has become a replica, too.
fn is_lost(problem: &RedisError) -> bool {
    problem.is_io_error()
        || problem.is_unrecoverable_error()
        || problem.is_cluster_error()
        || problem.code().is_some_and(|code| ["READONLY", "LOADING", "MASTERDOWN"].contains(&code))
}

/// Says what of Redis's configuration makes it forget what it was told.
async fn check(connection: &mut Connection) {
    let Some([appendonly, appendfsync, maxmemory, policy]) = settings(connection).await else {
        info!(
            "Redis does not tell how it is set up; it has to have appendonly yes and maxmemory-policy noeviction"
        );
        return;
    };
    if appendonly != "yes" {
        warn!("Redis has appendonly {appendonly}: when it ends, what was spent is forgotten");
    } else if appendfsync != "always" {
        info!("Redis has appendfsync {appendfsync}: when its machine ends, the last seconds are forgotten");
    }
    if maxmemory != "0" && policy != "noeviction" {
        warn!("Redis has maxmemory-policy {policy}: where memory is scarce, what was spent is forgotten");
    }
}

async fn settings(connection: &mut Connection) -> Option<[String; 4]> {
    let mut found = Vec::new();
    for name in ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy"] {
        let answer = cmd("CONFIG").arg("GET").arg(name).query_async(connection).await;
        let mut answer: HashMap<String, String> = answer.ok()?;
        found.push(answer.remove(name)?);
    }
    found.try_into().ok()
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Cluster(_) => "Cluster",
        })
    }
}

const CONNECT: Duration = Duration::from_secs(1);
/// Shorter than an Envoy waits, so that it hears of a ledger that is lost.
const ANSWER: Duration = Duration::from_millis(800);
