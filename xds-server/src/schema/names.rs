//! The further names under which the file takes keys and values of an MCP server, which schemars does not know.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Adds them to a schema of the file.
pub(super) fn add_others(schema: &mut Value) {
    let Some(definitions) = schema.get_mut("definitions").and_then(Value::as_object_mut) else { return };
    for name in reached(definitions, MCP_SERVER) {
        let Some(definition) = definitions.get_mut(&name).and_then(Value::as_object_mut) else { continue };
        add_values(&name, definition);
        add_keys(&name, definition);
    }
}

/// The definitions that one refers to, over others too, and itself.
fn reached(definitions: &Map<String, Value>, from: &str) -> BTreeSet<String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(name) = next.pop() {
        if let Some(definition) = definitions.get(&name)
            && reached.insert(name)
        {
            refer(definition, &mut next);
        }
    }
    reached
}

fn refer(schema: &Value, to: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str().and_then(|text| text.strip_prefix("#/definitions/")) {
                    Some(name) if key == "$ref" => to.push(name.to_owned()),
                    _ => refer(value, to),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| refer(item, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn add_values(definition: &str, schema: &mut Map<String, Value>) {
    for one in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(one) = one.as_object_mut() else { continue };
        let Some(value) = one.get("const").and_then(Value::as_str) else { continue };
        let others = others(definition, value);
        if !others.is_empty() {
            let all = [value].into_iter().chain(others.iter().copied()).map(Value::from).collect();
            one.shift_remove("const");
            one.insert("enum".into(), Value::Array(all));
        }
    }
}

fn add_keys(definition: &str, schema: &mut Map<String, Value>) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let mut named = Vec::new();
    for (key, property) in properties.iter() {
        let others = others(definition, key).iter().map(|other| (*other).to_owned());
        let others: Vec<_> = camel_case(key).into_iter().chain(others).collect();
        named.push((key.clone(), others, property.clone()));
    }
    for (key, others, property) in named {
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
        properties.extend(others.iter().map(|other| (other.clone(), property.clone())));
        if !others.is_empty() {
            need_either(schema, &key, &others);
        }
    }
}

/// Where a key is needed, has one of all its names needed.
fn need_either(schema: &mut Map<String, Value>, key: &str, others: &[String]) {
    let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) else { return };
    let Some(place) = required.iter().position(|one| one == key) else { return };
    required.remove(place);
    let names = [key].into_iter().chain(others.iter().map(String::as_str));
    let either: Vec<_> = names.map(|name| json!({"required": [name]})).collect();
    if let Some(all) = schema.entry("allOf").or_insert_with(|| json!([])).as_array_mut() {
        all.push(json!({"anyOf": either}));
    }
}

/// The name in camelCase, where that is another.
fn camel_case(name: &str) -> Option<String> {
    let mut parts = name.split('_');
    let first = parts.next()?.to_owned();
    let camel = parts.fold(first, |camel, part| {
        let (initial, rest) = part.split_at_checked(1).unwrap_or((part, ""));
        camel + &initial.to_ascii_uppercase() + rest
    });
    (camel != name).then_some(camel)
}

/// The further names of a key or a value that are not its own in camelCase.
fn others(definition: &str, name: &str) -> &'static [&'static str] {
    let known = OTHERS.iter().find(|(place, key, _)| (*place, *key) == (definition, name));
    known.map_or(&[], |(_, _, others)| others)
}

/// The definition of an MCP server.
const MCP_SERVER: &str = "McpOptions";
const OTHERS: [(&str, &str, &[&str]); 7] = [
    ("McpOptions", "apiOrchestrator", &["api_orchestrator"]),
    ("Header", "name", &["key"]),
    ("Arg", "default_value", &["default"]),
    ("Arg", "enum_values", &["enum"]),
    ("ArgType", "integer", &["int", "int64", "int32"]),
    ("ArgType", "number", &["float", "float64", "double"]),
    ("ArgType", "boolean", &["bool"]),
];
