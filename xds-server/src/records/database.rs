//! Sums of usage, and the audit of quotas, in whichever database has them.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tracing::error;

use super::{
    postgres::Postgres,
    record::{Dimensions, Record},
    sqlite::Sqlite,
};
use crate::store::postgres::Address;

/// A handle to the records.
#[derive(Clone, Debug)]
pub struct Records {
    queue: mpsc::SyncSender<Record>,
    base: Arc<Mutex<Box<dyn Base>>>,
}

/// A database of records.
pub(super) trait Base: Debug + Send {
    /// Adds all of a batch or nothing, and a batch that is saved again nothing; with `sweep`, forgets what is too old at that
    /// second.
    fn save(&mut self, batch: &Batch, sweep: Option<i64>) -> Result<(), RecordsError>;
    /// When a key was used last.
    fn last_used(&mut self, key: &str) -> Result<Option<i64>, RecordsError>;
    /// The sums that are asked for, the oldest first.
    fn usage(&mut self, question: &Question) -> Result<Vec<Row>, RecordsError>;
    /// Writes down what was done.
    fn write_down(&mut self, entry: &Entry) -> Result<(), RecordsError>;
    /// What was done, the newest first.
    fn audit(&mut self, most: usize) -> Result<Vec<Entry>, RecordsError>;
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
    /// Opens a file, or makes it. One process has it at a time.
    pub fn in_file(path: &Path) -> Result<Self, RecordsError> {
        Ok(Self::over(Box::new(Sqlite::open(path)?)))
    }

    /// In a PostgreSQL database that several processes share.
    pub fn in_postgres(address: &Address) -> Result<Self, RecordsError> {
        Ok(Self::over(Box::new(Postgres::at(address)?)))
    }

    fn over(base: Box<dyn Base>) -> Self {
        let base = Arc::new(Mutex::new(base));
        let (queue, waiting) = mpsc::sync_channel(MOST_WAITING);
        let writer = Arc::clone(&base);
        thread::spawn(move || write(&writer, &waiting));
        Self { queue, base }
    }

    /// Takes a record; false if there is no place for it.
    pub fn add(&self, record: Record) -> bool {
        self.queue.try_send(record).is_ok()
    }

    /// When a key was used last, in seconds since 1970; nothing if no record tells of it.
    pub fn last_used(&self, key: &str) -> Result<Option<i64>, RecordsError> {
        self.base().last_used(key)
    }

    /// The sums that are asked for, the oldest first.
    pub fn usage(&self, question: &Question) -> Result<Vec<Row>, RecordsError> {
        self.base().usage(question)
    }

    /// Writes down what was done.
    pub fn write_down(&self, entry: &Entry) -> Result<(), RecordsError> {
        self.base().write_down(entry)
    }

    /// What was done, the newest first.
    pub fn audit(&self, most: usize) -> Result<Vec<Entry>, RecordsError> {
        self.base().audit(most)
    }

    fn base(&self) -> MutexGuard<'_, Box<dyn Base>> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is saved at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// Grows from one batch to the next.
    pub(super) number: i64,
    /// By the minute, and by what requests are told apart by.
    pub(super) sums: BTreeMap<(i64, Dimensions), Sum>,
    /// When each key was used last.
    pub(super) keys: BTreeMap<String, i64>,
}

impl Batch {
    pub(super) fn add(&mut self, record: &Record) {
        let minute = record.at.saturating_sub(record.at.rem_euclid(60));
        if !record.of.key.is_empty() {
            let last = self.keys.entry(record.of.key.clone()).or_insert(record.at);
            *last = record.at.max(*last);
        }
        let sum = self.sums.entry((minute, record.of.clone())).or_default();
        sum.add(record);
    }
}

/// What requests of one kind have come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
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
    /// The columns of [`Self::numbers`].
    pub(super) const NAMES: [&str; 10] = [
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

    pub(super) fn numbers(&self) -> [i64; 10] {
        let Self { requests, errors, input, output, cached, reasoning, cost, duration_ms, first_ms, firsts } =
            *self;
        [requests, errors, input, output, cached, reasoning, cost, duration_ms, first_ms, firsts]
    }

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

/// Adds up what comes, and writes it twice a second. What cannot be written is tried again with the next; the queue fills
/// meanwhile.
fn write(base: &Mutex<Box<dyn Base>>, waiting: &mpsc::Receiver<Record>) {
    let (mut swept, mut number) = (0, 0_i64);
    while let Ok(first) = waiting.recv() {
        thread::sleep(EVERY);
        number = number.saturating_add(1);
        let mut batch = Batch { number, ..Batch::default() };
        for record in std::iter::once(first).chain(waiting.try_iter().take(MOST_WAITING)) {
            batch.add(&record);
        }
        let now = Timestamp::now().as_second();
        let sweep = (now.saturating_sub(swept) >= 3600).then_some(now);
        while let Err(problem) = base.lock().unwrap_or_else(PoisonError::into_inner).save(&batch, sweep) {
            error!("usage records are not saved, and are tried again: {problem}");
            thread::sleep(AGAIN);
        }
        swept = sweep.unwrap_or(swept);
    }
}

/// Why the records cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// SQLite failed.
    #[error("the database of records failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL failed.
    #[error("the database of records failed: {}", .0.as_db_error().map_or_else(|| .0.to_string(), ToString::to_string))]
    Postgres(#[from] tokio_postgres::Error),
    /// PostgreSQL is not to be had now.
    #[error("the database of records is away: {0}")]
    Away(String),
    /// The file cannot be made.
    #[error("the records cannot be opened: {0}")]
    File(#[from] std::io::Error),
}

const EVERY: Duration = Duration::from_millis(500);
/// How long is waited after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// Records that wait to be added up.
const MOST_WAITING: usize = 100_000;
