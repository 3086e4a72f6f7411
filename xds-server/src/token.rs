//! The first token of the API.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    keys,
    store::{Role, Store, StoreError},
};

/// Makes an administrator's token if there is none yet. It stands in a file beside the store that only its
/// owner can read; the store has its hash. Returns the file.
pub fn first(store: &mut dyn Store, path: &Path) -> Result<Option<PathBuf>, TokenError> {
    if !store.tokens()?.is_empty() {
        return Ok(None);
    }
    let token = keys::random(PREFIX)?;
    let mut file = OsString::from(path);
    file.push(".admin-token");
    let file = PathBuf::from(file);
    // The file comes first: a token that nobody knows could not be replaced.
    write(&file, &token).map_err(|error| TokenError::File(file.clone(), error))?;
    store.add_token(keys::hash(&token), Role::Admin, Timestamp::now())?;
    Ok(Some(file))
}

fn write(path: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(path)?;
    file.set_permissions(PermissionsExt::from_mode(OWNER_ONLY))?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

/// Why there is no first token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system has no random numbers.
    #[error(transparent)]
    Random(#[from] getrandom::Error),
    /// Its file cannot be written.
    #[error("cannot write {}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// Its hash cannot be saved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const PREFIX: &str = "wat-";
const OWNER_ONLY: u32 = 0o600;
