//! Where accounts are kept.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use weir_schema::{Name, ledger::CounterName};

use super::{account::Account, local::Local};

/// The accounts, and who keeps them.
#[derive(Clone, Debug)]
pub enum Book {
    /// This process, in an SQLite database of its own.
    Local(Local),
}

/// Where a book is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An SQLite database.
    File(PathBuf),
}

/// A change of one account of those that are named; it may be tried again.
pub type Change<T> = Arc<dyn Fn(usize, &mut Account) -> T + Send + Sync>;

impl Book {
    /// Opens the book, or begins it.
    pub fn open(place: &Place) -> Result<Self, BookError> {
        match place {
            Place::File(path) => Local::open(path).map(Self::Local),
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
        }
    }
}

impl FromStr for Place {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::File(text.into()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
        }
    }
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
