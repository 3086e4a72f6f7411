//! Where a store is: a file, or a database.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{
    Store, StoreError,
    postgres::{self, Postgres},
    sqlite::Sqlite,
};

/// Where a store is. Its `Debug` shows no password.
#[derive(Clone, Debug)]
pub enum Location {
    /// In a file.
    Sqlite(PathBuf),
    /// In a database that several processes share.
    Postgres(Box<postgres::Address>),
}

impl Location {
    /// Reads a path or a URL. An error does not repeat the text, which may have a password in it.
    pub fn parse(text: &str) -> Result<Self, InvalidLocation> {
        if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Self::Postgres(Box::new(postgres::Address::parse(text)?)));
        }
        if text.is_empty() || text.contains("://") {
            return Err(InvalidLocation::Scheme);
        }
        Ok(Self::Sqlite(text.into()))
    }

    /// Opens the store, or makes it.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(Sqlite::open(path)?),
            Self::Postgres(address) => Box::new(Postgres::open(address)?),
        })
    }

    /// Where the first token is written unless another place is named: beside the store, if that is a file, and
    /// otherwise in this folder.
    pub fn token_file(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Sqlite(path) => {
                let mut file = path.clone().into_os_string();
                file.push(".admin-token");
                file.into()
            }
            Self::Postgres(_) => folder.join("weir.admin-token"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(address) => write!(f, "{address}"),
        }
    }
}

/// A text that does not say where a store is.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLocation {
    /// It is no path and no URL that is known.
    #[error("a store is the path of a file or postgres://USER:PASSWORD@HOST/DATABASE")]
    Scheme,
    /// It is a URL with a mistake.
    #[error("the store's URL: {0}")]
    Url(#[from] postgres::InvalidAddress),
}
