//! Records in the PostgreSQL database of the store, which all replicas add to.

use std::{fmt, time::Duration};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::{
    runtime::{Builder, Runtime},
    time,
};
use tokio_postgres::{Client, types::ToSql};

use super::{
    database::{Base, Batch, Entry, Question, RecordsError, Row},
    sql::{Sql, TABLES, UNUSED},
};
use crate::{keys, store::postgres::Address};

/// The database. It is connected to when something is asked of it, and again when the connection is lost.
pub(super) struct Postgres {
    address: Address,
    client: Option<Client>,
    /// What drives the connection; none only while it is dropped.
    runtime: Option<Runtime>,
    /// Which process writes, so that a batch counts once though its commit was not heard of.
    writer: String,
}

impl Postgres {
    /// The database at this address.
    pub(super) fn at(address: &Address) -> Result<Self, RecordsError> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("weir-records").enable_all().build()?;
        let writer = keys::random("").map_err(|error| RecordsError::Away(error.to_string()))?;
        Ok(Self { address: address.clone(), client: None, runtime: Some(runtime), writer })
    }

    /// Does something on the connection. The calling thread waits, but not longer than [`PATIENCE`].
    fn perform<T>(
        &mut self,
        act: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, RecordsError> {
        let runtime = self.runtime.as_ref().ok_or_else(|| RecordsError::Away("it is closed".into()))?;
        let client = self.client.take().filter(|client| !client.is_closed());
        let work = async {
            let mut client = match client {
                Some(client) => client,
                None => self.open().await?,
            };
            let outcome = act(&mut client).await?;
            Ok::<_, RecordsError>((client, outcome))
        };
        let performed = runtime.block_on(async { time::timeout(PATIENCE, work).await });
        let silent = |_| RecordsError::Away(format!("no answer within {} s", PATIENCE.as_secs()));
        let (client, outcome) = performed.map_err(silent)??;
        self.client = Some(client);
        Ok(outcome)
    }

    async fn open(&self) -> Result<Client, RecordsError> {
        let client = self.address.connect().await.map_err(|error| RecordsError::Away(error.to_string()))?;
        let tables = SQL.tables();
        client
            .batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK}); {tables}{WRITERS} COMMIT"))
            .await?;
        Ok(client)
    }
}

impl Base for Postgres {
    fn save(&mut self, batch: &Batch, sweep: Option<i64>) -> Result<(), RecordsError> {
        let (writer, now) = (self.writer.clone(), Timestamp::now().as_second());
        self.perform(async |client| {
            let transaction = client.transaction().await?;
            if transaction.execute(COUNTED, &[&writer, &batch.number, &now]).await? == 0 {
                return Ok(());
            }
            for (table, seconds, kept) in TABLES {
                let add = transaction.prepare(&SQL.add(table)).await?;
                // In the order of their keys, in which every replica locks them.
                let rows: Vec<_> = batch.sums.iter().collect();
                let rows = rows.into_iter().map(|((minute, of), sum)| {
                    let bucket = minute.saturating_sub(minute.rem_euclid(seconds));
                    (bucket, of.values(), sum.numbers())
                });
                let rows: Vec<_> = rows.collect();
                for (bucket, names, numbers) in &rows {
                    let names = names.iter().map(|name| name as &(dyn ToSql + Sync));
                    let numbers = numbers.iter().map(|number| number as &(dyn ToSql + Sync));
                    let row = [bucket as &(dyn ToSql + Sync)].into_iter().chain(names).chain(numbers);
                    transaction.execute(&add, &row.collect::<Vec<_>>()).await?;
                }
                if let Some(now) = sweep {
                    transaction.execute(&SQL.forget(table, "bucket"), &[&now.saturating_sub(kept)]).await?;
                }
            }
            let used = transaction.prepare(&SQL.used()).await?;
            let rows: Vec<[&(dyn ToSql + Sync); 2]> =
                batch.keys.iter().map(|(key, at)| [key as &(dyn ToSql + Sync), at as _]).collect();
            try_join_all(rows.iter().map(|row| transaction.execute(&used, row.as_slice()))).await?;
            if let Some(now) = sweep {
                transaction.execute(&SQL.forget("keys", "at"), &[&now.saturating_sub(UNUSED)]).await?;
                transaction.execute(&SQL.forget("writers", "at"), &[&now.saturating_sub(86_400)]).await?;
            }
            transaction.commit().await
        })
    }

    fn last_used(&mut self, key: &str) -> Result<Option<i64>, RecordsError> {
        self.perform(async |client| {
            let row = client.query_opt(&SQL.last_used(), &[&key]).await?;
            row.map(|row| row.try_get(0)).transpose()
        })
    }

    fn usage(&mut self, question: &Question) -> Result<Vec<Row>, RecordsError> {
        self.perform(async |client| {
            let range: [&(dyn ToSql + Sync); 2] = [&question.from, &question.to];
            let only = question.only.iter().map(|(_, value)| value as &(dyn ToSql + Sync));
            let values: Vec<_> = range.into_iter().chain(only).collect();
            let rows = client.query(&SQL.usage(question), &values).await?;
            rows.iter().map(|row| read(row, &question.by)).collect()
        })
    }

    fn write_down(&mut self, entry: &Entry) -> Result<(), RecordsError> {
        let Entry { at, actor, action, object, detail } = entry;
        let (at, detail) = (at.as_second(), detail.to_string());
        self.perform(async |client| {
            client.execute(&SQL.write_down(), &[&at, actor, action, object, &detail]).await?;
            client.execute(&SQL.forget_entries(), &[]).await.map(drop)
        })
    }

    fn audit(&mut self, most: usize) -> Result<Vec<Entry>, RecordsError> {
        self.perform(async |client| {
            let rows = client.query(&SQL.audit(most), &[]).await?;
            let entries = rows.iter().map(|row| {
                Ok(Entry {
                    at: Timestamp::from_second(row.try_get(0)?).unwrap_or_default(),
                    actor: row.try_get(1)?,
                    action: row.try_get(2)?,
                    object: row.try_get(3)?,
                    detail: serde_json::from_str(row.try_get(4)?).unwrap_or_default(),
                })
            });
            entries.collect()
        })
    }
}

fn read(row: &tokio_postgres::Row, by: &[&'static str]) -> Result<Row, tokio_postgres::Error> {
    let named = |(at, column): (usize, &&'static str)| Ok((*column, row.try_get(at)?));
    Ok(Row {
        time: Timestamp::from_second(row.try_get(0)?).unwrap_or_default(),
        requests: row.try_get(1)?,
        errors: row.try_get(2)?,
        input_tokens: row.try_get(3)?,
        output_tokens: row.try_get(4)?,
        cached_input_tokens: row.try_get(5)?,
        reasoning_tokens: row.try_get(6)?,
        cost: row.try_get(7)?,
        mean_duration_ms: row.try_get(8)?,
        mean_first_token_ms: row.try_get(9)?,
        of: (10..).zip(by).map(named).collect::<Result<_, tokio_postgres::Error>>()?,
    })
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

const SQL: Sql =
    Sql { prefix: "weir_", by_key: "", serial: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY" };

/// The last batch of each process.
const WRITERS: &str = "CREATE TABLE IF NOT EXISTS weir_writers (writer TEXT PRIMARY KEY, number BIGINT NOT NULL, at BIGINT NOT NULL);";
const COUNTED: &str = "INSERT INTO weir_writers (writer, number, at) VALUES ($1, $2, $3) ON CONFLICT (writer) DO UPDATE \
    SET number = excluded.number, at = excluded.at WHERE weir_writers.number < excluded.number";

/// Who makes the tables holds this advisory lock.
const LOCK: i64 = 0x7765_6974;
/// How long something may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
