//! Tools as a server lists them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use weir_schema::mcp::ToolName;

use super::{Finding, Findings, Severity};

/// What is found of the tools that a server lists.
pub fn lint_tools(server: &str, tools: &[Value]) -> Vec<Finding> {
    let mut findings = Findings::of(server);
    if tools.len() > MANY {
        let message = format!(
            "{} tools: models choose badly among more than {MANY}; leave some out, or make several servers",
            tools.len()
        );
        findings.add(Severity::Warning, None, "many-tools", message);
    }
    let (mut names, mut alike) = (BTreeSet::new(), BTreeMap::new());
    for tool in tools {
        let name = text(tool, "name");
        if !names.insert(name) {
            findings.add(Severity::Error, Some(name), "same-name", "another tool has this name");
        } else if let Some(other) = alike.insert(plain(name), name) {
            let message = format!("is hard to tell apart from {other}");
            findings.add(Severity::Warning, Some(name), "similar-name", message);
        }
        lint_tool(&mut findings, name, tool);
    }
    findings.found
}

fn lint_tool(findings: &mut Findings, name: &str, tool: &Value) {
    let mut add = |severity, rule, message: String| findings.add(severity, Some(name), rule, message);
    if ToolName::try_from(name.to_owned()).is_err() {
        let rule = "a name has 1 to 128 letters, digits, '_', '.' and '-'; some clients refuse others";
        add(Severity::Error, "name", rule.into());
    } else if name.len() > LONG_NAME {
        add(
            Severity::Warning,
            "name",
            format!("is longer than the {LONG_NAME} characters that some models take"),
        );
    }
    let description = text(tool, "description").trim();
    match description.chars().count() {
        0 => add(Severity::Warning, "no-description", "a model does not know what it is for".into()),
        count if count > LONG => {
            let message =
                format!("its description has {count} characters, and every request to a model pays for them");
            add(Severity::Warning, "long-description", message);
        }
        count if count < SHORT => {
            add(Severity::Info, "short-description", format!("{description:?} says little to a model"));
        }
        _ => {}
    }
    let annotations = tool.get("annotations").and_then(Value::as_object);
    let hint = |hint: &str| annotations.and_then(|hints| hints.get(hint)?.as_bool());
    if let Some(word) = destructive(name).filter(|_| hint("readOnlyHint") == Some(true)) {
        add(Severity::Error, "annotations", format!("says that it only reads, and is called {word:?}"));
    } else if let Some(word) = destructive(name)
        && hint("destructiveHint").is_none()
        && hint("readOnlyHint").is_none()
    {
        let message = format!(
            "{word:?} sounds as if something is lost; say so with destructiveHint, or that it is not"
        );
        add(Severity::Warning, "annotations", message);
    } else if annotations.is_none() {
        add(
            Severity::Info,
            "annotations",
            "no annotations: clients ask their users before they call it".into(),
        );
    }
    if tool.get("outputSchema").is_none() {
        add(Severity::Info, "no-output-schema", "its answers are text only".into());
    }
    match tool.get("inputSchema").and_then(Value::as_object) {
        Some(schema) => lint_input(findings, name, schema),
        None => findings.add(Severity::Error, Some(name), "input-schema", "has no inputSchema"),
    }
}

fn lint_input(findings: &mut Findings, tool: &str, schema: &Map<String, Value>) {
    if schema.get("type").is_none_or(|kind| kind != "object") {
        let message = "the type of inputSchema is not \"object\"";
        findings.add(Severity::Error, Some(tool), "input-schema", message);
    }
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| !properties.contains_key(*name)) {
        let message = format!("{name:?} is required, and no argument");
        findings.add(Severity::Error, Some(tool), "required", message);
    }
    if properties.len() > MANY_ARGUMENTS {
        let message = format!("{} arguments; models fill in few of so many", properties.len());
        findings.add(Severity::Warning, Some(tool), "many-arguments", message);
    }
    for (name, property) in properties {
        if text(property, "description").trim().is_empty() {
            let message = format!("{name:?} has no description");
            findings.add(Severity::Warning, Some(tool), "no-argument-description", message);
        }
        lint_values(findings, tool, name, property);
    }
}

fn lint_values(findings: &mut Findings, tool: &str, name: &str, property: &Value) {
    let default = property.get("default");
    let values = property.get("enum").and_then(Value::as_array);
    if let (Some(default), Some(values)) = (default, values)
        && !values.contains(default)
    {
        let message = format!("the default of {name:?} is none of its values");
        findings.add(Severity::Error, Some(tool), "default", message);
    }
    let Some(kind) = property.get("type").and_then(Value::as_str) else { return };
    if let Some(values) = values {
        if values.is_empty() {
            findings.add(Severity::Error, Some(tool), "enum", format!("{name:?} can have no value"));
        }
        if let Some(value) = values.iter().find(|value| !is_of(value, kind)) {
            let message = format!("{value} is a value of {name:?}, which is of the type {kind}");
            findings.add(Severity::Error, Some(tool), "enum", message);
        }
        let distinct: BTreeSet<_> = values.iter().map(Value::to_string).collect();
        if distinct.len() < values.len() {
            findings.add(Severity::Warning, Some(tool), "enum", format!("{name:?} has a value twice"));
        }
    }
    if let Some(default) = default.filter(|default| !is_of(default, kind)) {
        let message = format!("the default of {name:?} is {default}, and its type {kind}");
        findings.add(Severity::Error, Some(tool), "default", message);
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

/// The word of a name that says that something is lost.
fn destructive(name: &str) -> Option<&'static str> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            spaced.push(' ');
        }
        spaced.push(c.to_ascii_lowercase());
    }
    let mut words = spaced.split(|c: char| !c.is_ascii_alphanumeric());
    words.find_map(|word| DESTRUCTIVE.into_iter().find(|known| *known == word))
}

/// A name without what is easily mistaken in it.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

const DESTRUCTIVE: [&str; 11] = [
    "delete",
    "remove",
    "drop",
    "purge",
    "destroy",
    "erase",
    "wipe",
    "truncate",
    "kill",
    "terminate",
    "revoke",
];
const MANY: usize = 40;
const MANY_ARGUMENTS: usize = 20;
const LONG: usize = 1024;
const SHORT: usize = 10;
const LONG_NAME: usize = 64;
