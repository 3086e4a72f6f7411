//! Secrets: values that are never printed, and where they are read from.

use std::{collections::BTreeMap, fmt, fs, path::Path, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use weir_schema::Name;

/// A secret value. It has no `Display` and no `Serialize`; its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value as it stands in a file or a variable, one line or PEM; white space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidSecret::Empty);
        }
        let pem = text.contains(PEM);
        let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || (pem && byte.is_ascii_whitespace());
        if !text.bytes().all(fits) {
            return Err(InvalidSecret::Character);
        }
        Ok(Self(text.into()))
    }

    /// Whether it can be a certificate with its chain. A placeholder can be anything.
    pub fn fits_certificate(&self) -> bool {
        self.is_placeholder() || self.0.contains("-----BEGIN CERTIFICATE-----")
    }

    /// Whether it can be a private key without a pass phrase. A placeholder can be anything.
    pub fn fits_private_key(&self) -> bool {
        let key = self.0.contains("PRIVATE KEY-----") && !self.0.contains("ENCRYPTED");
        self.is_placeholder() || key
    }

    /// Whether it can stand in a header. A placeholder can be anything.
    pub fn fits_header(&self) -> bool {
        !self.0.contains(PEM)
    }

    /// Whether nobody could guess it. A placeholder can be anything.
    pub fn is_long(&self) -> bool {
        self.is_placeholder() || self.0.len() >= LONG
    }

    fn is_placeholder(&self) -> bool {
        self.0 == REDACTED
    }

    /// What stands in a secret's place wherever it is shown.
    pub fn placeholder() -> Self {
        Self(REDACTED.into())
    }

    /// The value itself. Only the encoder, which writes to Envoy, has a reason to call this.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a secret is read from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "Written")]
pub enum SecretSource {
    /// An environment variable of the control plane.
    Env(String),
    /// A file; a relative path starts at the folder of the configuration file.
    File(PathBuf),
}

/// A source as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["env"]}, {"required": ["file"]}]))]
struct Written {
    /// The name of an environment variable of `weir`.
    env: Option<String>,
    /// The path of a file; a relative one starts at the folder of the configuration file.
    file: Option<PathBuf>,
}

impl TryFrom<Written> for SecretSource {
    type Error = NoSource;

    fn try_from(written: Written) -> Result<Self, NoSource> {
        match (written.env, written.file) {
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(path)) => Ok(Self::File(path)),
            (None, None) | (Some(_), Some(_)) => Err(NoSource),
        }
    }
}

/// It is not said where a secret comes from, or said twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret comes either from {{env: NAME}} or from {{file: PATH}}")]
pub struct NoSource;

impl SecretSource {
    fn read(&self, folder: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Secret, Unreadable> {
        let text = match self {
            Self::Env(name) => variable(name).ok_or_else(|| Unreadable::Unset(name.clone()))?,
            Self::File(path) => {
                let path = folder.join(path);
                fs::read_to_string(&path).map_err(|error| Unreadable::File(path, error))?
            }
        };
        Ok(Secret::parse(&text)?)
    }
}

/// Reads every secret. `folder` is where the configuration file lies, `variable` looks up the environment.
pub fn read_all(
    sources: &BTreeMap<Name, SecretSource>,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<Name, Secret>, SecretError> {
    let read = |(name, source): (&Name, &SecretSource)| match source.read(folder, variable) {
        Ok(secret) => Ok((name.clone(), secret)),
        Err(problem) => Err(SecretError { name: name.clone(), problem }),
    };
    sources.iter().map(read).collect()
}

/// Stands in for every secret without reading any, for checks that must not need them.
pub fn placeholders(sources: &BTreeMap<Name, SecretSource>) -> BTreeMap<Name, Secret> {
    sources.keys().map(|name| (name.clone(), Secret::placeholder())).collect()
}

/// A secret that cannot be had. Its text never has the value in it.
#[derive(Debug, thiserror::Error)]
#[error("secrets.{name}: {problem}")]
pub struct SecretError {
    /// The secret's name.
    pub name: Name,
    /// What is wrong.
    pub problem: Unreadable,
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The variable is not in the environment.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// The file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// The value cannot be a secret.
    #[error(transparent)]
    Invalid(#[from] InvalidSecret),
}

/// Why a value cannot be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Nothing but white space.
    #[error("the secret is empty")]
    Empty,
    /// Something that a header cannot carry.
    #[error("the secret has a character that is not printable ASCII")]
    Character,
}

/// How long a secret is that keys are derived from.
const LONG: usize = 32;

/// What begins every PEM block (RFC 7468).
const PEM: &str = "-----BEGIN ";

/// The text of [`Secret::placeholder`].
pub const REDACTED: &str = "[redacted]";

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_secret_is_trimmed_and_never_shown() {
        let secret = Secret::parse(" sk-123\n").unwrap();
        assert_eq!(secret.expose(), "sk-123");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(Secret::parse("\n"), Err(InvalidSecret::Empty));
        assert_eq!(Secret::parse("a\nb"), Err(InvalidSecret::Character));
    }

    #[test]
    fn a_secret_says_what_it_can_be_used_for() {
        let fits = |text: &str| {
            let secret = Secret::parse(text).unwrap();
            [secret.fits_header(), secret.fits_certificate(), secret.fits_private_key()]
        };
        assert_eq!(fits("sk-123"), [true, false, false]);
        assert_eq!(
            fits("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
            [false, true, false]
        );
        assert_eq!(
            fits("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"),
            [false, false, true]
        );
        assert_eq!(fits("-----BEGIN EC PRIVATE KEY-----\r\nM"), [false, false, true]);
        assert_eq!(fits("-----BEGIN ENCRYPTED PRIVATE KEY-----\nM"), [false, false, false]);
        assert_eq!(fits(REDACTED), [true, true, true]);
        let is_long = |text: &str| Secret::parse(text).unwrap().is_long();
        assert!(is_long(&"x".repeat(32)) && is_long(REDACTED) && !is_long(&"x".repeat(31)));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let sources = BTreeMap::from([(name("openai"), SecretSource::Env("NO_SUCH".into()))]);
        let error = read_all(&sources, Path::new("."), &|_| None).unwrap_err();
        assert_eq!(error.to_string(), "secrets.openai: the environment variable NO_SUCH is not set");
        let read = read_all(&sources, Path::new("."), &|_| Some("k".into())).unwrap();
        assert_eq!(read, BTreeMap::from([(name("openai"), Secret("k".into()))]));
    }
}
