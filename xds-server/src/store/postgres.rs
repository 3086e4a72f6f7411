//! The store in a PostgreSQL database, which several processes share.
//!
//! Whoever commits finds in `weir_state` the revision that it read before, or somebody else was faster; then it reserves
//! the next turn, since it may need longer than others to make up its mind. Each commit notifies everybody who listens.

mod address;
mod follow;
mod format;
mod tls;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    time,
};
use tokio_postgres::{Client, IsolationLevel, Row, Statement, Transaction, error::SqlState, types::ToSql};
use weir_schema::{KeyHash, Name};

use super::{Change, Contents, Revision, Store, StoreError, Stored, Token};
use crate::{marketplace::Published, object::ObjectId};

pub use address::{Address, InvalidAddress};

/// A store in a PostgreSQL database. A connection that is lost is opened again by whatever needs it next.
pub struct Postgres {
    address: Address,
    session: Option<Session>,
    /// What drives the connections; none only while it is dropped.
    runtime: Option<Runtime>,
}

/// A connection and the statements that are prepared on it.
struct Session {
    client: Client,
    statements: Statements,
    is_reserved: bool,
}

struct Statements {
    put: Statement,
    delete: Statement,
    retire: Statement,
    retired: Statement,
    register: Statement,
    admit: Statement,
    revoke: Statement,
    publish: Statement,
    unpublish: Statement,
}

impl Postgres {
    /// Opens the database, and makes its tables if they are not there.
    pub fn open(address: &Address) -> Result<Self, StoreError> {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("weir-store").enable_all();
        let runtime = runtime.build().map_err(|error| StoreError::Failed(Box::new(error)))?;
        let mut store = Self { address: address.clone(), session: None, runtime: Some(runtime) };
        store.revision()?;
        Ok(store)
    }

    /// Does something on the connection, which is opened if it is not open. The calling thread waits, but not
    /// longer than [`PATIENCE`].
    fn perform<T>(
        &mut self,
        act: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().ok_or_else(|| StoreError::Away("it is closed".into()))?;
        let session = self.session.take().filter(|session| !session.client.is_closed());
        let work = async {
            let mut session = match session {
                Some(session) => session,
                None => Session::open(&self.address).await?,
            };
            let outcome = act(&mut session).await;
            Ok::<_, StoreError>((session, outcome))
        };
        let performed = runtime.block_on(async { time::timeout(PATIENCE, work).await });
        let (session, outcome) = performed.map_err(|_| silence())??;
        self.session = Some(session);
        outcome
    }
}

impl Store for Postgres {
    fn revision(&mut self) -> Result<Revision, StoreError> {
        self.perform(async |session| revision(&session.client.query_one(REVISION, &[]).await?))
    }

    fn read(&mut self) -> Result<Contents, StoreError> {
        self.perform(async |session| {
            let all = session.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
            contents(&all.read_only(true).start().await?).await
        })
    }

    fn commit(&mut self, after: Revision, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
        let committed = self.perform(async |Session { client, statements, .. }| {
            let transaction = client.transaction().await?;
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&TURN]).await?;
            let next = after.next();
            if transaction.execute(COUNTED, &[&next.0, &after.0]).await? != 1 {
                return Err(StoreError::Stale);
            }
            // All are on their way before the first is answered, in their order.
            let writes = changes.iter().map(|change| write(&transaction, statements, change, next, now));
            try_join_all(writes).await?;
            transaction.execute(NOTIFY, &[&follow::CHANNEL, &next.0.to_string()]).await?;
            Ok(transaction.commit().await?)
        });
        self.release();
        committed
    }

    fn reserve(&mut self) -> Result<(), StoreError> {
        self.perform(async |session| {
            if !session.is_reserved {
                session.client.execute("SELECT pg_advisory_lock($1)", &[&TURN]).await?;
                session.is_reserved = true;
            }
            Ok(())
        })
    }

    fn release(&mut self) {
        let reserved = self.session.take_if(|session| session.is_reserved);
        let Some(session) = reserved.filter(|session| !session.client.is_closed()) else { return };
        self.session = Some(session);
        let released = self.perform(async |session| {
            session.client.execute("SELECT pg_advisory_unlock($1)", &[&TURN]).await?;
            session.is_reserved = false;
            Ok(())
        });
        if released.is_err() {
            // The database ends it with the connection.
            self.session = None;
        }
    }

    fn follow(&mut self, bell: Arc<Notify>) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(follow::follow(self.address.clone(), bell));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Without waiting: the thread that drops it may be one that must not wait.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Session {
    async fn open(address: &Address) -> Result<Self, StoreError> {
        let mut client = address.connect().await?;
        client.batch_execute(SESSION).await?;
        format::migrate(&mut client).await?;
        let statements = Statements {
            put: client.prepare(PUT).await?,
            delete: client.prepare(DELETE).await?,
            retire: client.prepare(RETIRE).await?,
            retired: client.prepare(RETIRED).await?,
            register: client.prepare(REGISTER).await?,
            admit: client.prepare(ADMIT).await?,
            revoke: client.prepare(REVOKE).await?,
            publish: client.prepare(PUBLISH).await?,
            unpublish: client.prepare(UNPUBLISH).await?,
        };
        Ok(Self { client, statements, is_reserved: false })
    }
}

async fn contents(all: &Transaction<'_>) -> Result<Contents, StoreError> {
    let revision = revision(&all.query_one(REVISION, &[]).await?)?;
    let objects = all.query(OBJECTS, &[]).await?;
    let objects = objects.iter().map(|row| stored(row).map(|stored| (stored.object.id(), stored)));
    let retiring = all.query("SELECT key, sha256, until FROM weir_retiring", &[]).await?;
    let retiring = retiring.iter().map(|row| {
        Ok::<_, StoreError>(((row.try_get(0)?, hash(row.try_get(1)?)?), super::time(row.try_get(2)?)?))
    });
    let tokens = all.query(TOKENS, &[]).await?;
    let tokens = tokens.iter().map(|row| token(row).map(|token| (token.name.clone(), token)));
    let published = all.query(PUBLISHED, &[]).await?;
    let published = published.iter().map(|row| {
        let published = published_of(row)?;
        let Published { document, .. } = &published;
        Ok::<_, StoreError>(((document.name().to_owned(), document.version().to_owned()), published))
    });
    let (objects, retiring) = (objects.collect::<Result<_, _>>()?, retiring.collect::<Result<_, _>>()?);
    let (tokens, published) = (tokens.collect::<Result<_, _>>()?, published.collect::<Result<_, _>>()?);
    Ok(Contents { revision, objects, retiring, tokens, published })
}

async fn write(
    transaction: &Transaction<'_>,
    statements: &Statements,
    change: &Change,
    revision: Revision,
    now: Timestamp,
) -> Result<u64, tokio_postgres::Error> {
    let now = now.as_second();
    match change {
        Change::Put(object) => {
            let ObjectId { kind, name } = object.id();
            let spec = object.spec().to_string();
            transaction.execute(&statements.put, &[&kind.as_str(), &name, &spec, &revision.0, &now]).await
        }
        Change::Delete(ObjectId { kind, name }) => {
            transaction.execute(&statements.delete, &[&kind.as_str(), &name]).await
        }
        Change::Retire(key, hash, until) => {
            let hash = hash.to_bytes();
            transaction.execute(&statements.retire, &[key, &hash.as_slice(), &until.as_second()]).await
        }
        Change::Retired(key, hash) => {
            transaction.execute(&statements.retired, &[key, &hash.to_bytes().as_slice()]).await
        }
        Change::Register(ObjectId { kind, name }, provider) => {
            transaction.execute(&statements.register, &[&kind.as_str(), name, &provider.as_str()]).await
        }
        Change::Admit(token) => {
            let Token { name, sha256, prefix, role, created_at, expires_at } = token;
            let (hash, role_name) = (sha256.to_bytes(), role.name().as_str());
            let (bound_to, created_at) = (role.bound_to().map(Name::as_str), created_at.as_second());
            let expires_at = expires_at.map(Timestamp::as_second);
            let named: [&(dyn ToSql + Sync); 3] = [&name.as_str(), &hash.as_slice(), prefix];
            let allowed: [&(dyn ToSql + Sync); 4] = [&role_name, &bound_to, &created_at, &expires_at];
            transaction.execute(&statements.admit, &[named.as_slice(), &allowed].concat()).await
        }
        Change::Revoke(name) => transaction.execute(&statements.revoke, &[&name.as_str()]).await,
        Change::Publish(published) => {
            let Published { document, domain, status, status_message, .. } = published.as_ref();
            let (text, domain) = (document.to_string(), domain.as_ref().map(Name::as_str));
            let named: [&(dyn ToSql + Sync); 4] = [&document.name(), &document.version(), &text, &domain];
            let times = [published.status_changed_at, published.published_at, published.updated_at];
            let [changed_at, published_at, updated_at] = times.map(Timestamp::as_second);
            let status: [&(dyn ToSql + Sync); 5] =
                [&status.as_str(), status_message, &changed_at, &published_at, &updated_at];
            transaction.execute(&statements.publish, &[named.as_slice(), &status].concat()).await
        }
        Change::Unpublish(name, version) => {
            transaction.execute(&statements.unpublish, &[name, version]).await
        }
    }
}

fn revision(row: &Row) -> Result<Revision, StoreError> {
    Ok(Revision(row.try_get(0)?))
}

fn stored(row: &Row) -> Result<Stored, StoreError> {
    let named = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Stored::of_columns(named, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?)
}

fn token(row: &Row) -> Result<Token, StoreError> {
    let named = (row.try_get(0)?, hash(row.try_get(1)?)?, row.try_get(2)?);
    Token::of_columns(named, (row.try_get(3)?, row.try_get(4)?), row.try_get(5)?, row.try_get(6)?)
}

fn published_of(row: &Row) -> Result<Published, StoreError> {
    let row = super::Row {
        document: row.try_get(0)?,
        domain: row.try_get(1)?,
        status: row.try_get(2)?,
        status_message: row.try_get(3)?,
        status_changed_at: row.try_get(4)?,
        published_at: row.try_get(5)?,
        updated_at: row.try_get(6)?,
    };
    row.try_into()
}

fn hash(bytes: &[u8]) -> Result<KeyHash, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged("a hash of another length".into()))?;
    Ok(KeyHash::from_bytes(bytes))
}

/// Nothing came in [`PATIENCE`].
fn silence() -> StoreError {
    StoreError::Away(format!("no answer within {} s", PATIENCE.as_secs()))
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(code) = error.code() else { return Self::Away(chain(&error)) };
        match code {
            &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => Self::Stale,
            // A standby that was the primary.
            &SqlState::READ_ONLY_SQL_TRANSACTION => Self::Away(chain(&error)),
            // A turn that does not come.
            &SqlState::LOCK_NOT_AVAILABLE => Self::Away(chain(&error)),
            // Connections, resources, and an operator who ends something.
            code if ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)) => {
                Self::Away(chain(&error))
            }
            _ => Self::Failed(Box::new(error)),
        }
    }
}

/// An error and what is behind it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How long a transaction may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that has gone silent in a transaction, or with a reservation, must not keep the others waiting. One that
/// works asks more often than every half minute.
const SESSION: &str = "
    SET statement_timeout = '9s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '10s';
    SELECT set_config('idle_session_timeout', '30s', false)
        WHERE current_setting('server_version_num')::integer >= 140000;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

/// Who commits holds this advisory lock, and who has reserved.
const TURN: i64 = 0x7765_6973;

const REVISION: &str = "SELECT revision FROM weir_state";
const OBJECTS: &str =
    "SELECT kind, name, spec, revision, created_at, updated_at, registrar FROM weir_objects";
const COUNTED: &str = "UPDATE weir_state SET revision = $1 WHERE revision = $2";
const NOTIFY: &str = "SELECT pg_notify($1, $2)";
const PUT: &str = "INSERT INTO weir_objects (kind, name, spec, revision, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (kind, name) DO UPDATE \
    SET spec = excluded.spec, revision = excluded.revision, updated_at = excluded.updated_at";
const DELETE: &str = "WITH key AS (DELETE FROM weir_retiring WHERE $1 = 'keys' AND key = $2) \
    DELETE FROM weir_objects WHERE kind = $1 AND name = $2";
const RETIRE: &str = "INSERT INTO weir_retiring (key, sha256, until) VALUES ($1, $2, $3) \
    ON CONFLICT (key, sha256) DO UPDATE SET until = excluded.until";
const RETIRED: &str = "DELETE FROM weir_retiring WHERE key = $1 AND sha256 = $2";
const REGISTER: &str = "UPDATE weir_objects SET registrar = $3 WHERE kind = $1 AND name = $2";
const TOKENS: &str = "SELECT name, sha256, prefix, role, bound_to, created_at, expires_at FROM weir_tokens";
const ADMIT: &str = "INSERT INTO weir_tokens (name, sha256, prefix, role, bound_to, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, \
    prefix = excluded.prefix, role = excluded.role, bound_to = excluded.bound_to, \
    created_at = excluded.created_at, expires_at = excluded.expires_at";
const REVOKE: &str = "DELETE FROM weir_tokens WHERE name = $1";
const PUBLISHED: &str = "SELECT document, domain, status, status_message, status_changed_at, published_at, updated_at \
    FROM weir_published";
const PUBLISH: &str = "INSERT INTO weir_published (name, version, document, domain, status, status_message, \
    status_changed_at, published_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
    ON CONFLICT (name, version) DO UPDATE SET document = excluded.document, domain = excluded.domain, \
    status = excluded.status, status_message = excluded.status_message, \
    status_changed_at = excluded.status_changed_at, published_at = excluded.published_at, \
    updated_at = excluded.updated_at";
const UNPUBLISH: &str = "DELETE FROM weir_published WHERE name = $1 AND version = $2";
