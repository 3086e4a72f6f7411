//! How a tool is listed.

use serde_json::{Map, Value};
use weir_schema::mcp::{Annotations, Tool};

use crate::input::Input;

/// How a tool is listed, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Up to the revision 2025-11-25.
    pub legacy: String,
    /// Since the revision 2026-07-28.
    pub modern: String,
}

impl Listing {
    pub(super) fn of(tool: &Tool, input: &Input) -> Self {
        let mut mirrored = input.schema.clone();
        for (name, header) in &input.mirrored {
            let property = mirrored.get_mut("properties").and_then(|all| all.get_mut(name));
            if let Some(Value::Object(property)) = property {
                property.insert("x-mcp-header".into(), Value::from(spelled(tool, name).unwrap_or(header)));
            }
        }
        // An answer that is no object came with 2026-07-28.
        let is_object =
            tool.output_schema.as_ref().is_some_and(|schema| schema.get("type") == Some(&"object".into()));
        Self { legacy: described(tool, &input.schema, is_object), modern: described(tool, &mirrored, true) }
    }
}

/// The header as the configuration writes it.
fn spelled<'a>(tool: &'a Tool, name: &str) -> Option<&'a str> {
    tool.args.iter().find(|arg| arg.name.as_str() == name)?.mcp_header.as_deref()
}

fn described(tool: &Tool, input: &Map<String, Value>, with_output: bool) -> String {
    let mut all = Map::new();
    all.insert("name".into(), Value::from(tool.name.as_str()));
    let texts = [("title", &tool.title), ("description", &tool.description)];
    all.extend(
        texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text.as_deref()?)))),
    );
    all.insert("inputSchema".into(), Value::Object(input.clone()));
    if let Some(output) = tool.output_schema.as_ref().filter(|_| with_output) {
        all.insert("outputSchema".into(), Value::Object(output.clone()));
    }
    if let Some(annotations) = &tool.annotations {
        all.insert("annotations".into(), hints(annotations));
    }
    Value::Object(all).to_string()
}

fn hints(annotations: &Annotations) -> Value {
    let Annotations { read_only_hint, destructive_hint, idempotent_hint, open_world_hint } = *annotations;
    let hints = [
        ("readOnlyHint", read_only_hint),
        ("destructiveHint", destructive_hint),
        ("idempotentHint", idempotent_hint),
        ("openWorldHint", open_world_hint),
    ];
    let given = |(name, hint): (&str, Option<bool>)| Some((name.to_owned(), Value::Bool(hint?)));
    Value::Object(hints.into_iter().filter_map(given).collect())
}
