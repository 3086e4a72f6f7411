//! Where a file is wrong, and how.

use std::fmt;

use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, Error, Options};

use super::File;
use crate::suggest::{hint, nearest};

/// What is wrong with a file: `12:5: models[0].targets[1].provdier: unknown key; did you mean "provider"?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The line and column, where the parser knows them.
    pub place: Option<Place>,
    /// The path of the value; empty for the whole file.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A line and a column of a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for FileError {}

/// Reads a file's text; the error knows the path that was being read.
pub(super) fn parse(text: &str) -> Result<File, FileError> {
    let mut path = String::new();
    serde_saphyr::with_deserializer_from_str_with_options(text, options(), |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    })
    .map_err(|error| FileError::new(path, error.without_snippet()))
}

/// Reads the text of another document, which is an object.
pub(super) fn document(text: &str) -> Result<Map<String, Value>, FileError> {
    serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| FileError::new(String::new(), error.without_snippet()))
}

impl FileError {
    fn new(path: String, error: &Error) -> Self {
        let place = error.location().filter(|location| location.line() > 0);
        let place = place.map(|location| Place { line: location.line(), column: location.column() });
        // The root's path is a dot; a key that could not be read ends a path with a question mark.
        let at = path.trim_end_matches(['.', '?']).to_owned();
        Self { place, at, problem: problem(error) }
    }
}

fn problem(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. }
        | Error::SerdeUnknownVariant { variant: field, expected, .. } => {
            format!("unknown key{}", hint(nearest(field, expected.iter().copied())))
        }
        Error::SerdeMissingField { field, .. } => format!("the key \"{field}\" is missing"),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key \"{key}\" is written twice"),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            // Only the kind of what was found: the value may be a secret in the wrong place.
            let kind = unexpected.split(['"', '`', '(']).next().unwrap_or_default().trim();
            format!("expected {expected}, found {kind}")
        }
        Error::Unexpected { expected: "sequence start", .. } => "expected a list".into(),
        Error::Unexpected { expected: "mapping start", .. } => "expected keys with values".into(),
        Error::InvalidScalar { ty: "u16", .. } => format!("expected a number up to {}", u16::MAX),
        Error::InvalidScalar { ty: "u32", .. } => format!("expected a number up to {}", u32::MAX),
        Error::InvalidBooleanStrict { .. } => "expected true or false".into(),
        Error::Message { msg, .. } => msg.clone(),
        other => without_place(&other.to_string()),
    }
}

/// The place is told before the path, once.
fn without_place(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split_once(" at line ").map_or(line, |(text, _)| text).to_owned()
}

fn options() -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
        strict_booleans: true,
        // Room for a million keys. Aliases, which could make a small file large, have limits of their own.
        budget: serde_saphyr::budget! { max_nodes: 10_000_000, max_events: 10_000_000 },
    }
}
