//! Tools of an MCP server that an OpenAPI document describes.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_tool::LoadError;

use super::options::{Orchestrator, ToolOptions};
use crate::openapi_tools::{self, Import, ImportError, Selection, Skipped};

/// `apiOrchestrator.openapi`: its operations are tools of the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenApi {
    /// The document, of OpenAPI 3.0 or 3.1: the path of a file beside the configuration file, or all of it.
    pub document: OpenApiDocument,
    /// The base URL of the API. Default the server's `upstream`, or the document's first server.
    #[serde(alias = "serverUrl", skip_serializing_if = "Option::is_none")]
    pub server_url: Option<String>,
    /// Only these operations, by `operationId`. Default all that are not deprecated.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub include: BTreeSet<String>,
    /// Not these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<String>,
    /// Only operations with one of these tags. Default whatever the tags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What the name of each tool begins with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The names of tools, by `operationId`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// The descriptions of tools, by `operationId`, in place of the document's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub describe: BTreeMap<String, String>,
}

/// An OpenAPI document, or where it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "an OpenAPI document, or the path of one")]
pub enum OpenApiDocument {
    /// The path of its file.
    Path(String),
    /// The document.
    Whole(Map<String, Value>),
}

impl Orchestrator {
    /// Puts the tools of the server's OpenAPI document among its own, which stand in place of those of their names.
    pub fn expand(&mut self) -> Result<(), LoadError> {
        let Some(openapi) = self.openapi.take() else { return Ok(()) };
        let base = self.upstream.as_ref().map(|upstream| upstream.url.as_str());
        let (tools, _) = openapi.tools(base).map_err(|error| error.within("openapi"))?;
        let own: BTreeSet<_> = self.tools.iter().map(|tool| tool.name.to_string()).collect();
        self.tools.extend(tools.into_iter().filter(|tool| !own.contains(tool.name.as_str())));
        Ok(())
    }
}

impl OpenApi {
    /// The tools of the document, and what is none; `base` is the server's own upstream.
    pub fn tools(&self, base: Option<&str>) -> Result<(Vec<ToolOptions>, Vec<Skipped>), LoadError> {
        let document = match &self.document {
            OpenApiDocument::Whole(document) => document,
            OpenApiDocument::Path(_) => {
                let rule = "is the path of a file, which only the configuration file may name; put the document here";
                return Err(LoadError::new("document", rule));
            }
        };
        // What begins with a slash is behind the server's upstream, whatever kind of address that is.
        let is_behind = self.server_url.is_none() && base.is_some();
        let server = if is_behind { Some(BEHIND.to_owned()) } else { self.server_url.clone() };
        let selection = Selection {
            server,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            tags: self.tags.clone(),
            prefix: self.prefix.clone(),
            rename: self.rename.clone(),
            describe: self.describe.clone(),
        };
        let Import { mut tools, skipped } =
            openapi_tools::import(&Value::Object(document.clone()), &selection).map_err(refused)?;
        if let Some(Skipped { operation, reason, .. }) = skipped.iter().find(|skipped| self.includes(skipped))
        {
            return Err(LoadError::new("include", format!("{operation} cannot be a tool: {reason}")));
        }
        if is_behind {
            tools.iter_mut().for_each(below_upstream);
        }
        let tools = tools.into_iter().map(|tool| {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            serde_json::from_value(tool).map_err(|error| LoadError::new(format!("tools.{name}"), error))
        });
        Ok((tools.collect::<Result<_, _>>()?, skipped))
    }

    /// Whether it was asked for by its name.
    fn includes(&self, skipped: &Skipped) -> bool {
        skipped.id.as_ref().is_some_and(|id| self.include.contains(id))
    }
}

/// Takes the placeholder's host from the URL of a tool.
fn below_upstream(tool: &mut Value) {
    if let Some(url) = tool.pointer_mut("/request_template/upstream/url")
        && let Some(path) = url.as_str().and_then(|text| text.strip_prefix(BEHIND))
    {
        *url = Value::from(path);
    }
}

fn refused(error: ImportError) -> LoadError {
    let field = match &error {
        ImportError::NotOpenApi | ImportError::TooMany => "document",
        ImportError::NoServer => "server_url",
        ImportError::Unknown(_) | ImportError::SameName(_) => "",
    };
    LoadError::new(field, error)
}

const BEHIND: &str = "http://upstream.invalid";
