//! Records in an SQLite database of their own.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};

use super::{
    database::{Base, Batch, Entry, Question, RecordsError, Row},
    sql::{Sql, TABLES, UNUSED},
};

/// The database. One process has it at a time.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the database, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, RecordsError> {
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        drop(made?);
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A crash of the machine may cost the last records; one of the process costs none that was written.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(&SQL.tables())?;
        Ok(Self { connection })
    }
}

impl Base for Sqlite {
    fn save(&mut self, batch: &Batch, sweep: Option<i64>) -> Result<(), RecordsError> {
        let transaction = self.connection.transaction()?;
        for (table, seconds, kept) in TABLES {
            let mut add = transaction.prepare(&SQL.add(table))?;
            for ((minute, of), sum) in &batch.sums {
                let bucket = minute.saturating_sub(minute.rem_euclid(seconds));
                let names = of.values().map(|name| Value::from(name.to_owned()));
                let row =
                    [Value::from(bucket)].into_iter().chain(names).chain(sum.numbers().map(Value::from));
                add.execute(params_from_iter(row))?;
            }
            drop(add);
            if let Some(now) = sweep {
                transaction.execute(&SQL.forget(table, "bucket"), [now.saturating_sub(kept)])?;
            }
        }
        let mut used = transaction.prepare(&SQL.used())?;
        for (key, at) in &batch.keys {
            used.execute(params![key, at])?;
        }
        drop(used);
        if let Some(now) = sweep {
            transaction.execute(&SQL.forget("keys", "at"), [now.saturating_sub(UNUSED)])?;
        }
        Ok(transaction.commit()?)
    }

    fn last_used(&mut self, key: &str) -> Result<Option<i64>, RecordsError> {
        Ok(self.connection.query_row(&SQL.last_used(), [key], |row| row.get(0)).optional()?)
    }

    fn usage(&mut self, question: &Question) -> Result<Vec<Row>, RecordsError> {
        let range = [Value::from(question.from), question.to.into()];
        let only = question.only.iter().map(|(_, value)| Value::from(value.clone()));
        let mut statement = self.connection.prepare(&SQL.usage(question))?;
        let rows = statement.query_map(params_from_iter(range.into_iter().chain(only)), |row| {
            let named = |(at, column): (usize, &&'static str)| Ok((*column, row.get(at)?));
            Ok(Row {
                time: Timestamp::from_second(row.get(0)?).unwrap_or_default(),
                requests: row.get(1)?,
                errors: row.get(2)?,
                input_tokens: row.get(3)?,
                output_tokens: row.get(4)?,
                cached_input_tokens: row.get(5)?,
                reasoning_tokens: row.get(6)?,
                cost: row.get(7)?,
                mean_duration_ms: row.get(8)?,
                mean_first_token_ms: row.get(9)?,
                of: (10..).zip(&question.by).map(named).collect::<Result<_, rusqlite::Error>>()?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn write_down(&mut self, entry: &Entry) -> Result<(), RecordsError> {
        let Entry { at, actor, action, object, detail } = entry;
        let row = params![at.as_second(), actor, action, object, detail.to_string()];
        self.connection.execute(&SQL.write_down(), row)?;
        self.connection.execute(&SQL.forget_entries(), [])?;
        Ok(())
    }

    fn audit(&mut self, most: usize) -> Result<Vec<Entry>, RecordsError> {
        let mut statement = self.connection.prepare(&SQL.audit(most))?;
        let entries = statement.query_map([], |row| {
            Ok(Entry {
                at: Timestamp::from_second(row.get(0)?).unwrap_or_default(),
                actor: row.get(1)?,
                action: row.get(2)?,
                object: row.get(3)?,
                detail: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
            })
        })?;
        Ok(entries.collect::<Result<_, _>>()?)
    }
}

const SQL: Sql = Sql { prefix: "", by_key: " WITHOUT ROWID", serial: "INTEGER PRIMARY KEY AUTOINCREMENT" };
const BUSY: Duration = Duration::from_secs(1);
