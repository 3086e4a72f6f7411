//! Things that can be read.

use std::rc::Rc;

use serde_json::{Map, Value, json};
use weir_core::UnixTime;
use weir_tool::ResourcePlan;
use weir_tool::resource::Source;
use weir_wire::jsonrpc::RpcError;

use super::{Answer, list};
use crate::era::Asked;
use crate::run::{Limits, Run};
use crate::version::Version;

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
