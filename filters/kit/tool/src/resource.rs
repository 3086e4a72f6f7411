//! Things that can be read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use weir_schema::mcp::{Resource, Variable};

use crate::uri::UriTemplate;
use crate::{LoadError, RequestPlan, Scope, StepPlan};

/// Something that can be read, checked.
#[derive(Clone, Debug)]
pub struct ResourcePlan {
    at: At,
    /// Its media type.
    pub mime_type: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// What completes its variables.
    pub variables: Vec<Variable>,
    listed: String,
}

#[derive(Clone, Debug)]
enum At {
    Uri(String),
    Template(String, UriTemplate),
}

/// Where a resource comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It says this.
    Text(String),
    /// An API is asked.
    Call(Box<StepPlan>),
}

impl ResourcePlan {
    /// Checks a resource.
    ///
    /// # Errors
    ///
    /// The first field that is wrong.
    pub fn of(resource: Resource) -> Result<Self, LoadError> {
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

    /// Whether its URI has variables.
    pub fn is_template(&self) -> bool {
        matches!(self.at, At::Template(..))
    }

    /// How it is listed, as JSON.
    pub fn listed(&self) -> &str {
        &self.listed
    }

    /// Whether this is how its URI, or its template, is written.
    pub fn is_written(&self, uri: &str) -> bool {
        self.at.written() == uri
    }

    /// The call that reads it, if there is one.
    pub fn call(&self) -> Option<&StepPlan> {
        match &self.source {
            Source::Text(_) => None,
            Source::Call(call) => Some(call),
        }
    }

    /// The variables of a URI, if it is this one's.
    pub fn read(&self, uri: &str) -> Option<Map<String, Value>> {
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
