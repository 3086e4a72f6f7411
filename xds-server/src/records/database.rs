//! Sums of usage, and the audit of quotas, in an SQLite database of their own.

use std::{
    collections::{BTreeMap, HashMap},
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};
use serde::Serialize;
use tracing::error;

use super::record::{Dimensions, Record};

/// A handle to the records.
#[derive(Clone, Debug)]
pub struct Records {
    queue: mpsc::SyncSender<Record>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    connection: Connection,
}

/// What is asked of the sums.
#[derive(Clone, Debug)]
pub struct Question {
    /// From this second on.
    pub from: i64,
    /// Up to this second, without it.
    pub to: i64,
    /// What a row is of.
    pub bucket: Bucket,
    /// What rows are told apart by: columns.
    pub by: Vec<&'static str>,
    /// What a column must be.
    pub only: Vec<(&'static str, String)>,
    /// How many rows at most.
    pub most: usize,
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// A minute. They are kept for two days.
    Minute,
    /// An hour. They are kept for 400 days.
    Hour,
    /// A day in UTC, of its hours.
    Day,
}

/// A sum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// When its time began.
    pub time: Timestamp,
    /// What it is of.
    #[serde(flatten)]
    pub of: BTreeMap<&'static str, String>,
    /// How many requests.
    pub requests: i64,
    /// Of them, those whose answer was an error or did not come.
    pub errors: i64,
    /// Tokens of prompts.
    pub input_tokens: i64,
    /// Tokens of answers.
    pub output_tokens: i64,
    /// Of the prompts', those that upstreams had cached.
    pub cached_input_tokens: i64,
    /// Of the answers', those that are not shown.
    pub reasoning_tokens: i64,
    /// What they cost.
    pub cost: f64,
    /// How long a request took on average.
    pub mean_duration_ms: f64,
    /// How long it took on average to the first token, where that is known.
    pub mean_first_token_ms: Option<f64>,
}

/// Something that was done by hand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub object: String,
    /// How.
    pub detail: serde_json::Value,
}

/// What can be told apart, by the names of the API.
pub const COLUMNS: [&str; 8] =
    ["gateway", "domain", "consumer", "key", "provider", "model", "upstream_model", "source"];

impl Records {
    /// Opens the database, or makes it. One process has it at a time.
    pub fn open(path: &Path) -> Result<Self, RecordsError> {
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        drop(made?);
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A crash of the machine may cost the last records; one of the process costs none that was written.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(&tables())?;
        let shared = Arc::new(Mutex::new(Shared { connection }));
        let (queue, waiting) = mpsc::sync_channel(MOST_WAITING);
        let writer = Arc::clone(&shared);
        thread::spawn(move || write(&writer, &waiting));
        Ok(Self { queue, shared })
    }

    /// Takes a record; false if there is no place for it.
    pub fn add(&self, record: Record) -> bool {
        self.queue.try_send(record).is_ok()
    }

    /// When a key was used last, in seconds since 1970; nothing if no record tells of it.
    pub fn last_used(&self, key: &str) -> Result<Option<i64>, RecordsError> {
        let asked = "SELECT at FROM keys WHERE key = ?";
        Ok(self.shared().connection.query_row(asked, [key], |row| row.get(0)).optional()?)
    }

    /// The sums that are asked for, the oldest first.
    pub fn usage(&self, question: &Question) -> Result<Vec<Row>, RecordsError> {
        let (table, seconds) = match question.bucket {
            Bucket::Minute => ("usage_minutes", 60),
            Bucket::Hour => ("usage_hours", 3600),
            Bucket::Day => ("usage_hours", 86_400),
        };
        let by: String = question.by.iter().map(|column| format!(", {column}")).collect();
        let mut sql = format!(
            "SELECT bucket / {seconds} * {seconds} AS start, {SUMS}{by} FROM {table} WHERE bucket >= ? AND bucket < ?"
        );
        let mut values: Vec<Value> = vec![question.from.into(), question.to.into()];
        for (column, value) in &question.only {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(value.clone().into());
        }
        sql.push_str(&format!(" GROUP BY start{by} ORDER BY start{by} LIMIT {}", question.most));
        let shared = self.shared();
        let mut statement = shared.connection.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            let named = |(at, column): (usize, &&'static str)| Ok((*column, row.get(at.saturating_add(10))?));
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
                of: question.by.iter().enumerate().map(named).collect::<Result<_, rusqlite::Error>>()?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes down what was done.
    pub fn write_down(&self, entry: &Entry) -> Result<(), RecordsError> {
        let shared = self.shared();
        let detail = entry.detail.to_string();
        let sql = "INSERT INTO audit (at, actor, action, object, detail) VALUES (?, ?, ?, ?, ?)";
        shared
            .connection
            .execute(sql, params![entry.at.as_second(), entry.actor, entry.action, entry.object, detail])?;
        shared
            .connection
            .execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", [MOST_ENTRIES])?;
        Ok(())
    }

    /// What was done, the newest first.
    pub fn audit(&self, most: usize) -> Result<Vec<Entry>, RecordsError> {
        let shared = self.shared();
        let sql =
            format!("SELECT at, actor, action, object, detail FROM audit ORDER BY id DESC LIMIT {most}");
        let mut statement = shared.connection.prepare(&sql)?;
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

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Default)]
struct Sum {
    requests: i64,
    errors: i64,
    input: i64,
    output: i64,
    cached: i64,
    reasoning: i64,
    cost: i64,
    duration_ms: i64,
    first_ms: i64,
    firsts: i64,
}

impl Sum {
    fn add(&mut self, record: &Record) {
        let narrow = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let plus = |sum: &mut i64, number: i64| *sum = sum.saturating_add(number);
        plus(&mut self.requests, 1);
        plus(&mut self.errors, i64::from(!(200..400).contains(&record.status)));
        plus(&mut self.input, narrow(record.usage.input));
        plus(&mut self.output, narrow(record.usage.output));
        plus(&mut self.cached, narrow(record.usage.cached_input));
        plus(&mut self.reasoning, narrow(record.usage.reasoning));
        plus(&mut self.cost, narrow(record.cost));
        plus(&mut self.duration_ms, narrow(record.duration_ms));
        plus(&mut self.first_ms, narrow(record.first_token_ms.unwrap_or(0)));
        plus(&mut self.firsts, i64::from(record.first_token_ms.is_some()));
    }
}

/// Adds up what comes, and writes it once a second.
fn write(shared: &Mutex<Shared>, waiting: &mpsc::Receiver<Record>) {
    let mut swept = 0;
    while let Ok(first) = waiting.recv() {
        thread::sleep(EVERY);
        let mut sums: HashMap<(i64, Dimensions), Sum> = HashMap::new();
        let mut keys = BTreeMap::new();
        for record in std::iter::once(first).chain(waiting.try_iter().take(MOST_WAITING)) {
            let minute = record.at.saturating_sub(record.at.rem_euclid(60));
            sums.entry((minute, record.of.clone())).or_default().add(&record);
            if !record.of.key.is_empty() {
                let last = keys.entry(record.of.key.clone()).or_insert(record.at);
                *last = record.at.max(*last);
            }
        }
        let now = Timestamp::now().as_second();
        let sweeps = now.saturating_sub(swept) >= 3600;
        swept = if sweeps { now } else { swept };
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(problem) = save(&mut shared.connection, &sums, &keys, sweeps.then_some(now)) {
            error!("usage records were not saved: {problem}");
        }
    }
}

fn save(
    connection: &mut Connection,
    sums: &HashMap<(i64, Dimensions), Sum>,
    keys: &BTreeMap<String, i64>,
    sweep: Option<i64>,
) -> Result<(), RecordsError> {
    let transaction = connection.transaction()?;
    for (table, seconds, kept) in TABLES {
        let mut put = transaction.prepare(&upsert(table))?;
        for ((minute, of), sum) in sums {
            let bucket = minute.saturating_sub(minute.rem_euclid(seconds));
            let Dimensions { gateway, domain, consumer, key, provider, model, upstream_model, source } = of;
            put.execute(params![
                bucket,
                gateway,
                domain,
                consumer,
                key,
                provider,
                model,
                upstream_model,
                source,
                sum.requests,
                sum.errors,
                sum.input,
                sum.output,
                sum.cached,
                sum.reasoning,
                sum.cost,
                sum.duration_ms,
                sum.first_ms,
                sum.firsts,
            ])?;
        }
        drop(put);
        if let Some(now) = sweep {
            transaction
                .execute(&format!("DELETE FROM {table} WHERE bucket < ?"), [now.saturating_sub(kept)])?;
        }
    }
    let mut put = transaction.prepare(USED)?;
    for (key, at) in keys {
        put.execute(params![key, at])?;
    }
    drop(put);
    if let Some(now) = sweep {
        transaction.execute("DELETE FROM keys WHERE at < ?", [now.saturating_sub(UNUSED)])?;
    }
    Ok(transaction.commit()?)
}

fn tables() -> String {
    let text: String = COLUMNS.iter().map(|column| format!("{column} TEXT NOT NULL, ")).collect();
    let numbers: String = NUMBERS.iter().map(|column| format!("{column} INTEGER NOT NULL, ")).collect();
    let usage = TABLES.map(|(table, ..)| {
        let key = COLUMNS.join(", ");
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (bucket INTEGER NOT NULL, {text}{numbers}\
             PRIMARY KEY (bucket, {key})) STRICT, WITHOUT ROWID;"
        )
    });
    format!("{}{AUDIT}{KEYS}", usage.concat())
}

fn upsert(table: &str) -> String {
    let columns = COLUMNS.join(", ");
    let numbers = NUMBERS.join(", ");
    let places = vec!["?"; COLUMNS.len().saturating_add(NUMBERS.len()).saturating_add(1)].join(", ");
    let sums: Vec<_> =
        NUMBERS.iter().map(|column| format!("{column} = {column} + excluded.{column}")).collect();
    format!(
        "INSERT INTO {table} (bucket, {columns}, {numbers}) VALUES ({places}) \
         ON CONFLICT (bucket, {columns}) DO UPDATE SET {}",
        sums.join(", ")
    )
}

/// Why the records cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The database failed.
    #[error("the database of records failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The file cannot be made.
    #[error("the file of records cannot be opened: {0}")]
    File(#[from] std::io::Error),
}

const NUMBERS: [&str; 10] = [
    "requests",
    "errors",
    "input",
    "output",
    "cached",
    "reasoning",
    "cost",
    "duration_ms",
    "first_ms",
    "firsts",
];

const SUMS: &str = "sum(requests), sum(errors), sum(input), sum(output), sum(cached), sum(reasoning), \
    sum(cost) / 1e9, sum(duration_ms) * 1.0 / sum(requests), sum(first_ms) * 1.0 / nullif(sum(firsts), 0)";

/// How long a key that is used no more is remembered.
const UNUSED: i64 = 400 * 86_400;
/// When each key was used last, by the second.
const KEYS: &str =
    "CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;";
const USED: &str =
    "INSERT INTO keys (key, at) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET at = max(at, excluded.at)";
const AUDIT: &str = "CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        object TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;";

/// Each table, the length of its buckets, and for how long they are kept.
const TABLES: [(&str, i64, i64); 2] =
    [("usage_minutes", 60, 2 * 86_400), ("usage_hours", 3600, 400 * 86_400)];
const EVERY: Duration = Duration::from_millis(500);
const BUSY: Duration = Duration::from_secs(1);
/// Records that wait to be added up.
const MOST_WAITING: usize = 100_000;
const MOST_ENTRIES: i64 = 100_000;
