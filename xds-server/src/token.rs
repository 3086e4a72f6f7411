//! Tokens of the API: making one, and the first one.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
};

use jiff::Timestamp;
use weir_schema::Name;

use crate::{
    access::{Role, Token},
    keys,
    store::{Change, Store, StoreError},
};

/// A token with 256 random bits, and its secret, which is shown once.
pub fn new(
    name: Name,
    role: Role,
    expires_at: Option<Timestamp>,
) -> Result<(Token, String), getrandom::Error> {
    let secret = keys::random(PREFIX)?;
    let (sha256, prefix) = (keys::hash(&secret), keys::beginning(&secret));
    let now = Timestamp::now();
    let created_at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Ok((Token { name, sha256, prefix, role, created_at, expires_at }, secret))
}

/// Makes an administrator's token if there is none yet. It stands in `file`, which only its owner can read; the store
/// has its hash. True if it was made.
pub fn first(store: &mut dyn Store, file: &Path) -> Result<bool, TokenError> {
    let contents = store.read()?;
    if !contents.tokens.is_empty() {
        return Ok(false);
    }
    let (token, secret) = new(first_name(), Role::Admin, None)?;
    let mut draft = OsString::from(file);
    draft.push(format!(".{}", process::id()));
    let draft = PathBuf::from(draft);
    let failed = |error| TokenError::File(file.into(), error);
    // The file comes first: a token that nobody knows could not be replaced.
    write(&draft, &secret).map_err(failed)?;
    match store.commit(contents.revision, &[Change::Admit(token)], Timestamp::now()) {
        Ok(()) => fs::rename(&draft, file).map(|()| true).map_err(failed),
        // Another process has written since: its token is the first, or there is none yet.
        Err(StoreError::Stale) => {
            fs::remove_file(&draft).map_err(failed)?;
            first(store, file)
        }
        Err(error) => Err(error.into()),
    }
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
    #[error("cannot write the first token to {}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// Its hash cannot be saved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[expect(clippy::expect_used, reason = "the text is a name")]
fn first_name() -> Name {
    Name::try_from("first".to_owned()).expect("first is a name")
}

const PREFIX: &str = "wt-";
const OWNER_ONLY: u32 = 0o600;
