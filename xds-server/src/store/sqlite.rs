//! The store in one file: SQLite with a write-ahead log.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior, params};
use tokio::sync::Notify;
use weir_schema::{KeyHash, Name};

use super::{Change, Contents, Revision, Store, StoreError, Stored, Token, time};
use crate::{
    marketplace::Published,
    object::{ObjectId, ObjectKind},
};

/// A store in an SQLite database. One process has it at a time.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the database, or makes it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its other files the rights of this one.
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        drop(made.map_err(|error| StoreError::Failed(Box::new(error)))?);
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut connection)?;
        Ok(Self { connection })
    }

    fn rows<T>(
        &self,
        sql: &str,
        row: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.connection.prepare(sql)?.query_and_then([], row)?.collect()
    }
}

/// Brings a database to the newest format, one step after the other.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let missing = MIGRATIONS.get(done..).ok_or(StoreError::Newer(version))?;
    missing.iter().try_for_each(|step| change.execute_batch(step))?;
    change.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    Ok(change.commit()?)
}

impl Store for Sqlite {
    fn revision(&mut self) -> Result<Revision, StoreError> {
        Ok(Revision(self.connection.query_one("SELECT revision FROM state", [], |row| row.get(0))?))
    }

    fn read(&mut self) -> Result<Contents, StoreError> {
        let revision = self.revision()?;
        let objects = self.rows(
            "SELECT kind, name, spec, revision, created_at, updated_at, registrar FROM objects",
            stored,
        )?;
        let objects = objects.into_iter().map(|stored| (stored.object.id(), stored)).collect();
        let retiring = self.rows("SELECT key, sha256, until FROM retiring", |row| {
            Ok(((row.get(0)?, hash(row.get(1)?)), time(row.get(2)?)?))
        })?;
        let tokens = self.rows(TOKENS, token)?.into_iter().map(|token| (token.name.clone(), token));
        let (retiring, tokens) = (retiring.into_iter().collect(), tokens.collect());
        let published = self.rows(PUBLISHED, published)?.into_iter().map(|published| {
            let Published { document, .. } = &published;
            ((document.name().to_owned(), document.version().to_owned()), published)
        });
        Ok(Contents { revision, objects, retiring, tokens, published: published.collect() })
    }

    fn commit(&mut self, after: Revision, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next = after.next();
        let counted = "UPDATE state SET revision = ?1 WHERE revision = ?2";
        if transaction.execute(counted, params![next.0, after.0])? != 1 {
            return Err(StoreError::Stale);
        }
        for change in changes {
            write(&transaction, change, next, now)?;
        }
        Ok(transaction.commit()?)
    }

    /// No other process can have the database.
    fn follow(&mut self, _: Arc<Notify>) {}
}

fn write(
    connection: &Connection,
    change: &Change,
    revision: Revision,
    now: Timestamp,
) -> Result<(), StoreError> {
    match change {
        Change::Put(object) => {
            let ObjectId { kind, name } = object.id();
            let spec = object.spec().to_string();
            connection.execute(PUT, params![kind.as_str(), name, spec, revision.0, now.as_second()])
        }
        Change::Delete(ObjectId { kind, name }) => {
            if *kind == ObjectKind::Keys {
                connection.execute("DELETE FROM retiring WHERE key = ?1", [name])?;
            }
            connection.execute("DELETE FROM objects WHERE kind = ?1 AND name = ?2", [kind.as_str(), name])
        }
        Change::Retire(key, hash, until) => connection.execute(
            "INSERT OR REPLACE INTO retiring (key, sha256, until) VALUES (?1, ?2, ?3)",
            params![key, hash.to_bytes(), until.as_second()],
        ),
        Change::Retired(key, hash) => connection
            .execute("DELETE FROM retiring WHERE key = ?1 AND sha256 = ?2", params![key, hash.to_bytes()]),
        Change::Register(ObjectId { kind, name }, provider) => connection.execute(
            "UPDATE objects SET registrar = ?3 WHERE kind = ?1 AND name = ?2",
            params![kind.as_str(), name, provider.as_str()],
        ),
        Change::Admit(token) => {
            let Token { name, sha256, prefix, role, created_at, expires_at } = token;
            connection.execute(
                ADMIT,
                params![
                    name.as_str(),
                    sha256.to_bytes(),
                    prefix,
                    role.name().as_str(),
                    role.bound_to().map(Name::as_str),
                    created_at.as_second(),
                    expires_at.map(Timestamp::as_second),
                ],
            )
        }
        Change::Revoke(name) => connection.execute("DELETE FROM tokens WHERE name = ?1", [name.as_str()]),
        Change::Publish(published) => {
            let Published { document, domain, status, status_message, .. } = published.as_ref();
            connection.execute(
                PUBLISH,
                params![
                    document.name(),
                    document.version(),
                    document.to_string(),
                    domain.as_ref().map(Name::as_str),
                    status.as_str(),
                    status_message,
                    published.status_changed_at.as_second(),
                    published.published_at.as_second(),
                    published.updated_at.as_second(),
                ],
            )
        }
        Change::Unpublish(name, version) => {
            connection.execute("DELETE FROM published WHERE name = ?1 AND version = ?2", [name, version])
        }
    }?;
    Ok(())
}

fn stored(row: &Row<'_>) -> Result<Stored, StoreError> {
    let (kind, name, spec): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Stored::of_columns((&kind, &name, &spec), row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?)
}

fn token(row: &Row<'_>) -> Result<Token, StoreError> {
    let (named, role) = ((row.get(0)?, hash(row.get(1)?), row.get(2)?), row.get::<_, String>(3)?);
    Token::of_columns(named, (&role, row.get(4)?), row.get(5)?, row.get(6)?)
}

fn published(row: &Row<'_>) -> Result<Published, StoreError> {
    let row = super::Row {
        document: row.get(0)?,
        domain: row.get(1)?,
        status: row.get(2)?,
        status_message: row.get(3)?,
        status_changed_at: row.get(4)?,
        published_at: row.get(5)?,
        updated_at: row.get(6)?,
    };
    row.try_into()
}

fn hash(bytes: [u8; 32]) -> KeyHash {
    KeyHash::from_bytes(bytes)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Failed(Box::new(error)),
        }
    }
}

/// How long a process before this one may take to end.
const BUSY: Duration = Duration::from_secs(1);

const PUT: &str = "INSERT INTO objects (kind, name, spec, revision, created_at, updated_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (kind, name) DO UPDATE \
    SET spec = excluded.spec, revision = excluded.revision, updated_at = excluded.updated_at";

const TOKENS: &str = "SELECT name, sha256, prefix, role, bound_to, created_at, expires_at FROM tokens";

const ADMIT: &str = "INSERT OR REPLACE INTO tokens (name, sha256, prefix, role, bound_to, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const PUBLISHED: &str = "SELECT document, domain, status, status_message, status_changed_at, published_at, updated_at \
    FROM published";

const PUBLISH: &str = "INSERT OR REPLACE INTO published (name, version, document, domain, status, status_message, \
    status_changed_at, published_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// What makes each format out of the one before it. A step that was released never changes.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL
    ) STRICT;
    INSERT INTO state VALUES (1, 0);
    CREATE TABLE objects (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        spec TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE retiring (
        key TEXT NOT NULL,
        sha256 BLOB NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (key, sha256)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tokens (
        sha256 BLOB PRIMARY KEY,
        role TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE objects ADD COLUMN registrar TEXT;
    ALTER TABLE tokens RENAME TO unnamed_tokens;
    CREATE TABLE tokens (
        name TEXT PRIMARY KEY,
        sha256 BLOB NOT NULL UNIQUE,
        prefix TEXT NOT NULL,
        role TEXT NOT NULL,
        bound_to TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
    ) STRICT, WITHOUT ROWID;
    INSERT INTO tokens (name, sha256, prefix, role, created_at)
        SELECT 'admin-' || lower(substr(hex(sha256), 1, 8)), sha256, '', role, created_at FROM unnamed_tokens;
    DROP TABLE unnamed_tokens;
",
    "
    CREATE TABLE published (
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        document TEXT NOT NULL,
        domain TEXT,
        status TEXT NOT NULL,
        status_message TEXT,
        status_changed_at INTEGER NOT NULL,
        published_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (name, version)
    ) STRICT, WITHOUT ROWID;
",
];
