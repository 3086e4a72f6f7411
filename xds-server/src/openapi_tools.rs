//! The operations of an OpenAPI document (3.0 and 3.1) as tools of an MCP server, in the shape that the file has for them.
//!
//! One operation is one tool: parameters and the members of a JSON or form body are its arguments. What a tool cannot
//! say is left out whole and reported, never half.

mod arguments;
mod operation;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use operation::{METHODS, Operation};
use schema::Document;

/// Which operations become tools, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// The base URL of the API, in place of the document's first server.
    pub server: Option<String>,
    /// Only these operations, by `operationId`. Empty: all of them.
    pub include: BTreeSet<String>,
    /// Not these.
    pub exclude: BTreeSet<String>,
    /// Only operations with one of these tags. Empty: whatever the tags.
    pub tags: BTreeSet<String>,
    /// What the name of each tool begins with.
    pub prefix: String,
    /// The names of tools, by `operationId`.
    pub rename: BTreeMap<String, String>,
    /// The descriptions of tools, by `operationId`, in place of the document's.
    pub describe: BTreeMap<String, String>,
}

/// What a document becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// The tools, in the order of the document.
    pub tools: Vec<Value>,
    /// The operations that were wanted and cannot be tools.
    pub skipped: Vec<Skipped>,
}

/// An operation that is no tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its method and path.
    pub operation: String,
    /// Its `operationId`, or what stands in place of one.
    #[serde(skip)]
    pub id: Option<String>,
    /// Why.
    pub reason: &'static str,
}

/// Why nothing of a document can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is another format.
    #[error("this is no OpenAPI document of version 3.0 or 3.1")]
    NotOpenApi,
    /// It does not say where the API is.
    #[error("the document names no server with http:// or https://; say which one is meant (`server`)")]
    NoServer,
    /// A name leads to no operation.
    #[error("the document has no operation \"{0}\"")]
    Unknown(String),
    /// Two tools would have one name.
    #[error("two operations would be the tool \"{0}\"; rename one of them")]
    SameName(String),
    /// No MCP server should have so many.
    #[error(
        "the document has more than {TOOLS} operations that are wanted; choose some of them (`include`, `tags`)"
    )]
    TooMany,
}

/// The tools of a document.
///
/// # Errors
/// If it is no OpenAPI document, says nowhere where its API is, or if the selection does not fit it.
pub fn import(document: &Value, selection: &Selection) -> Result<Import, ImportError> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.0") && !version.starts_with("3.1") {
        return Err(ImportError::NotOpenApi);
    }
    let document = Document::new(document);
    let server = server(&document, selection)?;
    let operations = operations(&document);
    selection.check(&operations)?;
    let mut done = Import::default();
    let mut names = BTreeSet::new();
    for operation in operations.iter().filter(|operation| selection.wants(operation)) {
        let tool = match operation.tool(&document, &server, selection) {
            Ok(tool) => tool,
            Err(reason) => {
                let id = Some(operation.id.clone());
                done.skipped.push(Skipped { operation: operation.to_string(), id, reason });
                continue;
            }
        };
        let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
        if !names.insert(name.to_owned()) {
            return Err(ImportError::SameName(name.into()));
        }
        done.tools.push(tool);
        if done.tools.len() > TOOLS {
            return Err(ImportError::TooMany);
        }
    }
    Ok(done)
}

impl Selection {
    fn check(&self, operations: &[Operation<'_>]) -> Result<(), ImportError> {
        let known: BTreeSet<_> = operations.iter().map(|operation| operation.id.as_str()).collect();
        let named =
            self.include.iter().chain(&self.exclude).chain(self.rename.keys()).chain(self.describe.keys());
        match named.into_iter().find(|name| !known.contains(name.as_str())) {
            Some(name) => Err(ImportError::Unknown(name.clone())),
            None => Ok(()),
        }
    }

    /// Operations that nobody should use any more are wanted only by name.
    fn wants(&self, operation: &Operation<'_>) -> bool {
        let included = if self.include.is_empty() {
            !operation.is_deprecated()
        } else {
            self.include.contains(&operation.id)
        };
        let tagged = self.tags.is_empty() || operation.tags().any(|tag| self.tags.contains(tag));
        included && tagged && !self.exclude.contains(&operation.id)
    }
}

fn operations<'a>(document: &Document<'a>) -> Vec<Operation<'a>> {
    let paths = document.root.get("paths").and_then(Value::as_object).into_iter().flatten();
    let of = |(path, item): (&'a String, &'a Value)| {
        let item = document.resolve(item);
        let methods = METHODS.into_iter().filter_map(move |method| Some((method, item.get(method)?)));
        methods.map(move |(method, body)| Operation::new(method, path, item, body)).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

/// The base URL of the API, without a slash at its end.
fn server(document: &Document<'_>, selection: &Selection) -> Result<String, ImportError> {
    let first = document.root.pointer("/servers/0");
    let url = match &selection.server {
        Some(server) => server.clone(),
        None => {
            let first = first.ok_or(ImportError::NoServer)?;
            let url = first.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
            let variables = first.get("variables").and_then(Value::as_object).into_iter().flatten();
            variables.fold(url, |url, (name, variable)| {
                let value = variable.get("default").and_then(Value::as_str).unwrap_or_default();
                url.replace(&format!("{{{name}}}"), value)
            })
        }
    };
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    if !is_url || url.contains(['{', '}', ' ']) {
        return Err(ImportError::NoServer);
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// The most tools that one document becomes.
const TOOLS: usize = 1000;

#[cfg(test)]
mod tests;
