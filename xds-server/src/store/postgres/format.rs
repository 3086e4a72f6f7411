//! The tables, and how those of an earlier release become those of this one.

use tokio_postgres::Client;

use super::StoreError;

/// Brings a database to the newest format, one step after the other. Of several processes one does it, and the
/// others wait.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version(client).await? == newest {
        return Ok(());
    }
    let change = client.transaction().await?;
    change.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let version = version(change.client()).await?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let missing = MIGRATIONS.get(done..).ok_or(StoreError::Newer(version))?;
    for step in missing {
        change.batch_execute(step).await?;
    }
    change.execute("UPDATE weir_format SET version = $1", &[&newest]).await?;
    Ok(change.commit().await?)
}

async fn version(client: &Client) -> Result<i64, StoreError> {
    let exists: bool = client.query_one(EXISTS, &[]).await?.try_get(0)?;
    if !exists {
        return Ok(0);
    }
    Ok(client.query_one("SELECT version FROM weir_format", &[]).await?.try_get(0)?)
}

/// `to_regclass` would answer from a cache, as it was before the lock was had.
const EXISTS: &str = "SELECT EXISTS (SELECT FROM pg_class \
    WHERE relname = 'weir_format' AND relkind = 'r' AND pg_table_is_visible(oid))";

/// Who migrates holds this advisory lock: "weir".
const LOCK: i64 = 0x7765_6972;

/// What makes each format out of the one before it. A step that was released never changes.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE weir_format (version bigint NOT NULL);
    INSERT INTO weir_format VALUES (0);
    CREATE TABLE weir_state (
        id bigint PRIMARY KEY CHECK (id = 1),
        revision bigint NOT NULL
    );
    INSERT INTO weir_state VALUES (1, 0);
    CREATE TABLE weir_objects (
        kind text NOT NULL,
        name text NOT NULL,
        spec text NOT NULL,
        revision bigint NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        PRIMARY KEY (kind, name)
    );
    CREATE TABLE weir_retiring (
        key text NOT NULL,
        sha256 bytea NOT NULL,
        until bigint NOT NULL,
        PRIMARY KEY (key, sha256)
    );
    CREATE TABLE weir_tokens (
        sha256 bytea PRIMARY KEY,
        role text NOT NULL,
        created_at bigint NOT NULL
    );
", "
    ALTER TABLE weir_objects ADD COLUMN registrar text;
    ALTER TABLE weir_tokens RENAME TO weir_unnamed_tokens;
    CREATE TABLE weir_tokens (
        name text PRIMARY KEY,
        sha256 bytea NOT NULL UNIQUE,
        prefix text NOT NULL,
        role text NOT NULL,
        bound_to text,
        created_at bigint NOT NULL,
        expires_at bigint
    );
    INSERT INTO weir_tokens (name, sha256, prefix, role, created_at)
        SELECT 'admin-' || substr(encode(sha256, 'hex'), 1, 8), sha256, '', role, created_at FROM weir_unnamed_tokens;
    DROP TABLE weir_unnamed_tokens;
", "
    CREATE TABLE weir_published (
        name text NOT NULL,
        version text NOT NULL,
        document text NOT NULL,
        domain text,
        status text NOT NULL,
        status_message text,
        status_changed_at bigint NOT NULL,
        published_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        PRIMARY KEY (name, version)
    );
"];
