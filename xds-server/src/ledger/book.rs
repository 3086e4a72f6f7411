//! Where accounts are kept.

use std::{fmt, path::PathBuf, sync::Arc};

use redis::RedisError;
use weir_schema::{Name, ledger::CounterName};

use super::{
    account::Account,
    local::Local,
    shared::{
        Shared,
        address::{Address, InvalidAddress},
    },
};

/// The accounts, and who keeps them.
#[derive(Clone, Debug)]
pub enum Book {
    /// This process, in an SQLite database of its own.
    Local(Local),
    /// Redis or Valkey, for several processes.
    Shared(Shared),
}

/// Where a book is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An SQLite database.
    File(PathBuf),
    /// Redis or Valkey.
    Shared(Box<Address>),
}

/// A change of one account of those that are named, at this second; it may be tried again.
pub type Change<T> = Arc<dyn Fn(usize, &mut Account, u64) -> T + Send + Sync>;

impl Book {
    /// Opens the book, or begins it.
    pub fn open(place: &Place) -> Result<Self, BookError> {
        match place {
            Place::File(path) => Local::open(path).map(Self::Local),
            Place::Shared(address) => Ok(Self::Shared(Shared::open(Address::clone(address)))),
        }
    }

    /// Changes accounts, each by itself. What it gives has been saved.
    pub async fn update<T: Send + 'static>(
        &self,
        names: Vec<CounterName>,
        change: Change<T>,
    ) -> Result<Vec<T>, BookError> {
        match self {
            Self::Local(local) => local.update(names, change).await,
            Self::Shared(shared) => shared.update(names, change).await,
        }
    }

    /// Accounts of a rule, by name, after the one that is named.
    pub async fn list(
        &self,
        rule: &Name,
        after: Option<CounterName>,
        most: usize,
    ) -> Result<Vec<(CounterName, Account)>, BookError> {
        match self {
            Self::Local(local) => local.list(rule.clone(), after, most).await,
            Self::Shared(shared) => shared.list(rule, after, most).await,
        }
    }
}

impl Place {
    /// Reads a path or a URL. An error does not repeat the text, which may have a password in it.
    pub fn parse(text: &str) -> Result<Self, InvalidPlace> {
        if Address::is_one(text) {
            return Ok(Self::Shared(Box::new(Address::parse(text)?)));
        }
        if text.is_empty() || text.contains("://") {
            return Err(InvalidPlace::Scheme);
        }
        Ok(Self::File(text.into()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Shared(address) => address.fmt(f),
        }
    }
}

/// A text that does not say where a book is.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPlace {
    /// It is no path and no URL that is known.
    #[error("a ledger is the path of a file or redis://USER:PASSWORD@HOST")]
    Scheme,
    /// It is a URL with a mistake.
    #[error("the ledger's URL: {0}")]
    Url(#[from] InvalidAddress),
}

/// Why a book does not do what it is asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BookError {
    /// The database failed.
    #[error("the ledger's database failed: {0}")]
    Database(Arc<rusqlite::Error>),
    /// The file cannot be made.
    #[error("the ledger's file cannot be opened: {0}")]
    File(Arc<std::io::Error>),
    /// Something in it is not what was written.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// Redis is away, or refuses.
    #[error("the ledger's Redis failed: {0}")]
    Redis(Arc<RedisError>),
    /// Other processes have changed the same accounts each time.
    #[error("the ledger's other processes were always first")]
    Contended,
    /// Too much waits for Redis.
    #[error("too much waits for the ledger's Redis")]
    Busy,
    /// It has ended.
    #[error("the ledger has ended")]
    Ended,
    /// There are too many accounts.
    #[error("the ledger has no place for more counters")]
    Full,
}

impl From<rusqlite::Error> for BookError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<RedisError> for BookError {
    fn from(error: RedisError) -> Self {
        Self::Redis(Arc::new(error))
    }
}
