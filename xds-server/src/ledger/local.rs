//! The ledger in this process: accounts in memory, saved in SQLite before anyone hears what was granted.
//!
//! One thread has them. It takes all that waits, changes the accounts, saves what has changed in one transaction and
//! then answers; so many reports cost one write, and what was answered outlives the process.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    ops::Bound,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;
use tracing::{error, info};
use weir_schema::{Name, ledger::CounterName};

use super::{
    Accounts,
    account::Account,
    book::{BookError, Change},
    service::seconds,
};

/// A handle to the ledger of this process.
#[derive(Clone, Debug)]
pub struct Local {
    jobs: mpsc::Sender<Job>,
}

/// Something to do with the accounts. It gives what to do when that is saved, or was not.
type Job = Box<dyn FnOnce(&mut Accounts, &mut BTreeSet<CounterName>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), BookError>)>;

impl Local {
    /// Opens the database, or makes it. One process has it at a time.
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        drop(made.map_err(|error| BookError::File(Arc::new(error)))?);
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(TABLES)?;
        let accounts = read(&connection)?;
        info!(counters = accounts.len(), file = %path.display(), "the ledger is open");
        let (jobs, waiting) = mpsc::channel();
        thread::spawn(move || run(connection, accounts, &waiting));
        Ok(Self { jobs })
    }

    pub(super) async fn update<T: Send + 'static>(
        &self,
        names: Vec<CounterName>,
        change: Change<T>,
    ) -> Result<Vec<T>, BookError> {
        self.done(move |accounts, changed| {
            if accounts.len() > MOST_ACCOUNTS {
                return Err(BookError::Full);
            }
            let now = seconds();
            let changes = names.into_iter().enumerate().map(|(at, name)| {
                let result = change(at, accounts.entry(name.clone()).or_default(), now);
                changed.insert(name);
                result
            });
            Ok(changes.collect())
        })
        .await
    }

    pub(super) async fn list(
        &self,
        rule: Name,
        after: Option<CounterName>,
        most: usize,
    ) -> Result<Vec<(CounterName, Account)>, BookError> {
        let first = CounterName { rule: rule.clone(), per: Default::default() };
        let from = after.map_or(Bound::Included(first), Bound::Excluded);
        self.done(move |accounts, _| {
            let of_rule = accounts.range((from, Bound::Unbounded)).take_while(|(name, _)| name.rule == rule);
            Ok(of_rule.take(most).map(|(name, account)| (name.clone(), account.clone())).collect())
        })
        .await
    }

    async fn done<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Accounts, &mut BTreeSet<CounterName>) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |accounts, changed| {
            let result = work(accounts, changed);
            Box::new(move |saved| {
                // Who asked may have gone.
                drop(answer.send(saved.and(result)));
            })
        });
        self.jobs.send(job).map_err(|_| BookError::Ended)?;
        answered.await.map_err(|_| BookError::Ended)?
    }
}

fn run(mut connection: Connection, mut accounts: Accounts, waiting: &mpsc::Receiver<Job>) {
    let mut swept = Timestamp::now().as_second();
    while let Ok(first) = waiting.recv() {
        let mut changed = BTreeSet::new();
        let jobs = std::iter::once(first).chain(waiting.try_iter().take(MOST_JOBS));
        let replies: Vec<Reply> = jobs.map(|job| job(&mut accounts, &mut changed)).collect();
        let now = Timestamp::now().as_second();
        if now.saturating_sub(swept) >= SWEEP_SECS {
            swept = now;
            let over = u64::try_from(now).unwrap_or(0);
            changed.extend(accounts.iter().filter(|(_, of)| of.ends() <= over).map(|(name, _)| name.clone()));
            accounts.retain(|_, account| account.ends() > over);
        }
        let saved = if changed.is_empty() { Ok(()) } else { save(&mut connection, &accounts, &changed) };
        if let Err(problem) = &saved {
            // What was not saved is not told either; gateways report it anew.
            error!("{problem}");
        }
        for reply in replies {
            reply(saved.clone());
        }
    }
}

fn read(connection: &Connection) -> Result<Accounts, BookError> {
    let mut rows = connection.prepare("SELECT counter, account FROM accounts")?;
    let entries = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut accounts = Accounts::new();
    for entry in entries {
        let (name, text) = entry?;
        let counter = CounterName::parse(&name).ok_or_else(|| BookError::Damaged(name.clone()))?;
        let account = serde_json::from_str(&text).map_err(|_| BookError::Damaged(name))?;
        accounts.insert(counter, account);
    }
    Ok(accounts)
}

fn save(
    connection: &mut Connection,
    accounts: &Accounts,
    changed: &BTreeSet<CounterName>,
) -> Result<(), BookError> {
    let transaction = connection.transaction()?;
    {
        let mut put = transaction.prepare(PUT)?;
        let mut delete = transaction.prepare("DELETE FROM accounts WHERE counter = ?1")?;
        for name in changed {
            match accounts.get(name) {
                Some(account) => {
                    let text = serde_json::to_string(account)
                        .map_err(|error| BookError::Damaged(error.to_string()))?;
                    put.execute(params![name.to_text(), text])?;
                }
                None => {
                    delete.execute([name.to_text()])?;
                }
            }
        }
    }
    Ok(transaction.commit()?)
}

const TABLES: &str = "CREATE TABLE IF NOT EXISTS accounts (
        counter TEXT PRIMARY KEY,
        account TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;";

const PUT: &str = "INSERT INTO accounts (counter, account) VALUES (?1, ?2) \
    ON CONFLICT (counter) DO UPDATE SET account = excluded.account";

/// How long a process before this one may take to end.
const BUSY: Duration = Duration::from_secs(1);
/// How many jobs are saved together.
const MOST_JOBS: usize = 1000;
/// How many counters there are at most.
const MOST_ACCOUNTS: usize = 1_000_000;
/// How often accounts that are over are looked for.
const SWEEP_SECS: i64 = 60;
