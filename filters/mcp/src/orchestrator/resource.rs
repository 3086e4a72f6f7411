//! Things that can be read.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Map, Value, json};
use weir_core::UnixTime;
use weir_schema::mcp::{Resource, Variable};
use weir_tool::{LoadError, RequestPlan, Scope, StepPlan};
use weir_wire::jsonrpc::RpcError;

use super::template_uri::UriTemplate;
use super::{Answer, list};
use crate::era::Asked;
use crate::run::{Limits, Run};
use crate::version::Version;

/// Something that can be read, checked.
#[derive(Debug)]
pub(crate) struct ResourcePlan {
    at: At,
    pub(crate) mime_type: Option<String>,
    source: Source,
    pub(super) variables: Vec<Variable>,
    listed: String,
}

#[derive(Debug)]
enum At {
    Uri(String),
    Template(String, UriTemplate),
}

#[derive(Debug)]
enum Source {
    Text(String),
    Call(Box<StepPlan>),
}

impl ResourcePlan {
    pub(super) fn of(resource: Resource) -> Result<Self, LoadError> {
        let Resource { uri, uri_template, name, title, description, mime_type, text, request, variables } =
            resource;
        let (at, key) = match (uri, uri_template) {
            (Some(uri), None) => (At::Uri(uri), "uri"),
            (None, Some(text)) => {
                let template = UriTemplate::parse(&text)?;
                (At::Template(text, template), "uriTemplate")
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(LoadError::new("uri", "a resource has a uri or a uri_template"));
            }
        };
        let mut listed = Map::from_iter([(key.to_owned(), Value::from(at.written()))]);
        listed.insert("name".into(), name.into());
        let texts = [("title", title), ("description", description), ("mimeType", mime_type.clone())];
        listed.extend(texts.into_iter().filter_map(|(key, text)| Some((key.into(), text?.into()))));
        let source = match (text, request) {
            (Some(text), None) => Source::Text(text),
            (None, Some(request)) => {
                let args: BTreeSet<_> = match &at {
                    At::Uri(_) => BTreeSet::new(),
                    At::Template(_, template) => template.variables().collect(),
                };
                let scope = Scope { args, steps: None, item: false };
                let plan = RequestPlan::of(&request, &scope, &[]).map_err(|error| error.within("request"))?;
                Source::Call(Box::new(StepPlan::single(&request, plan)))
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(LoadError::new("text", "a resource has a text or a request"));
            }
        };
        Ok(Self { at, mime_type, source, variables, listed: Value::Object(listed).to_string() })
    }

    pub(super) fn is_template(&self) -> bool {
        matches!(self.at, At::Template(..))
    }

    pub(super) fn listed(&self) -> String {
        self.listed.clone()
    }

    pub(super) fn completes(&self) -> bool {
        self.variables.iter().any(|variable| !variable.enum_values.is_empty())
    }

    /// Whether this is how its URI, or its template, is written.
    pub(super) fn is_written(&self, uri: &str) -> bool {
        self.at.written() == uri
    }

    /// The call that reads it, if there is one.
    pub(crate) fn call(&self) -> Option<&StepPlan> {
        match &self.source {
            Source::Text(_) => None,
            Source::Call(call) => Some(call),
        }
    }

    /// The variables of a URI, if it is this one's.
    fn read(&self, uri: &str) -> Option<Map<String, Value>> {
        match &self.at {
            At::Uri(own) => (own == uri).then(Map::new),
            At::Template(_, template) => template.read(uri),
        }
    }
}

impl At {
    fn written(&self) -> &str {
        match self {
            Self::Uri(text) | Self::Template(text, _) => text,
        }
    }
}

/// Answers `resources/read`.
pub(super) fn read(
    resources: &[Rc<ResourcePlan>],
    limits: Limits,
    now: UnixTime,
    asked: &Asked<'_>,
) -> Result<Answer, RpcError> {
    let Some(uri) = asked.text("uri") else {
        return Err(RpcError::new(RpcError::INVALID_PARAMS, "\"uri\" must be a string"));
    };
    let found = resources.iter().find_map(|resource| Some((resource, resource.read(&uri)?)));
    let Some((resource, variables)) = found else { return Err(not_found(&uri, asked.version)) };
    match &resource.source {
        Source::Text(text) => {
            let content = content(&uri, resource.mime_type.as_deref(), ("text", text));
            Ok(Answer::Result(contents(content, asked.version)))
        }
        Source::Call(_) => {
            let run = Run::of_resource(Rc::clone(resource), uri, variables, asked.version, limits, now);
            Ok(Answer::Run(Box::new(run)))
        }
    }
}

/// There is no such resource.
pub(crate) fn not_found(uri: &str, version: Version) -> RpcError {
    let code = if version.is_modern() { RpcError::INVALID_PARAMS } else { RpcError::RESOURCE_NOT_FOUND };
    let uri: String = uri.chars().take(512).collect();
    RpcError::new(code, "Resource not found").with_data(json!({"uri": uri}))
}

/// What has been read.
pub(crate) fn content(uri: &str, mime_type: Option<&str>, (key, value): (&str, &str)) -> Value {
    let mut content = Map::from_iter([("uri".to_owned(), Value::from(uri))]);
    if let Some(mime_type) = mime_type {
        content.insert("mimeType".into(), mime_type.into());
    }
    content.insert(key.into(), value.into());
    Value::Object(content)
}

/// The result that has it.
pub(crate) fn contents(content: Value, version: Version) -> Map<String, Value> {
    let mut result = Map::from_iter([("contents".to_owned(), Value::Array(vec![content]))]);
    if version.is_modern() {
        list::cached(&mut result);
        result.insert("ttlMs".into(), 0.into());
    }
    result
}
