//! Values that complete what a user has begun to write.

use std::rc::Rc;

use serde_json::{Map, Value, json};
use weir_schema::mcp::Variable;
use weir_tool::{PromptPlan, ResourcePlan};
use weir_wire::jsonrpc::RpcError;

use super::Answer;
use crate::era::Asked;

/// Answers `completion/complete`.
pub(super) fn complete(
    prompts: &[PromptPlan],
    resources: &[Rc<ResourcePlan>],
    asked: &Asked<'_>,
) -> Result<Answer, RpcError> {
    let invalid = |message: &'static str| RpcError::new(RpcError::INVALID_PARAMS, message);
    let of = asked.object("ref").unwrap_or_default();
    let argument = asked.object("argument").unwrap_or_default();
    let text =
        |object: &Map<String, Value>, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(kind), Some(name), Some(begun)) =
        (text(&of, "type"), text(&argument, "name"), text(&argument, "value"))
    else {
        return Err(invalid("\"ref\" and \"argument\" say what is completed"));
    };
    let variables: &[Variable] = match kind.as_str() {
        "ref/prompt" => {
            let prompt = prompts.iter().find(|prompt| Some(&prompt.name) == text(&of, "name").as_ref());
            &prompt.ok_or_else(|| invalid("there is no prompt of this name"))?.arguments
        }
        "ref/resource" => {
            let uri = text(&of, "uri").unwrap_or_default();
            let resource = resources.iter().find(|resource| resource.is_written(&uri));
            &resource.ok_or_else(|| invalid("there is no such resource"))?.variables
        }
        _ => return Err(invalid("\"ref\" is of no known type")),
    };
    let known = variables.iter().find(|variable| variable.name.as_str() == name);
    let values = known.map_or(&[][..], |variable| variable.enum_values.as_slice());
    let fitting: Vec<_> = values.iter().filter(|value| value.starts_with(&begun)).collect();
    let shown: Vec<_> = fitting.iter().take(MAX_VALUES).collect();
    let completion = json!({"values": shown, "total": fitting.len(), "hasMore": fitting.len() > MAX_VALUES});
    Ok(Answer::Result(Map::from_iter([("completion".to_owned(), completion)])))
}

/// How many values an answer may have. Source: MCP, "Completion".
const MAX_VALUES: usize = 100;
