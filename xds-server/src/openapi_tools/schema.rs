//! Schemas of a document, cut down to what an MCP server checks.

use serde_json::{Map, Value, json};

/// A document, whose parts refer to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'a> {
    pub(super) root: &'a Value,
}

impl<'a> Document<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root }
    }

    /// What a part refers to, if it only refers; a reference out of the document leads to nothing.
    pub(super) fn resolve(&self, part: &'a Value) -> &'a Value {
        let mut part = part;
        for _ in 0..DEEPEST {
            let Some(reference) = part.get("$ref").and_then(Value::as_str) else { return part };
            let found = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            part = found.unwrap_or(&Value::Null);
        }
        &Value::Null
    }

    /// A schema as the subset of JSON Schema that arguments are checked by. What is too deep, or refers to itself,
    /// is any value of its type.
    pub(super) fn shape(&self, schema: &'a Value) -> Map<String, Value> {
        self.shape_at(schema, 0)
    }

    fn shape_at(&self, schema: &'a Value, depth: usize) -> Map<String, Value> {
        let schema = self.resolve(schema);
        let mut shape = Map::new();
        if let Some(kind) = self.kind(schema) {
            shape.insert("type".into(), kind.into());
        }
        if depth >= DEEPEST {
            return shape;
        }
        for name in KEPT {
            if let Some(value) = schema.get(name) {
                shape.insert(name.into(), value.clone());
            }
        }
        let values = schema.get("enum").and_then(Value::as_array);
        if let Some(values) = values.filter(|values| !values.is_empty()) {
            shape.insert("enum".into(), values.iter().filter(|value| !value.is_null()).cloned().collect());
        }
        if let Some(items) = schema.get("items") {
            shape.insert("items".into(), self.shape_at(items, depth.saturating_add(1)).into());
        }
        let members = self.members(schema);
        if !members.is_empty() {
            let shaped = members.iter().map(|(name, member)| {
                (name.to_string(), self.shape_at(member, depth.saturating_add(1)).into())
            });
            shape.insert("properties".into(), Value::Object(shaped.collect()));
            let required = self.required(schema);
            if !required.is_empty() {
                shape.insert("required".into(), json!(required));
            }
        }
        shape
    }

    /// The type of a schema's values, without null; `None` if there are several.
    pub(super) fn kind(&self, schema: &'a Value) -> Option<&'a str> {
        self.kind_at(schema, 0)
    }

    fn kind_at(&self, schema: &'a Value, depth: usize) -> Option<&'a str> {
        let schema = self.resolve(schema);
        match schema.get("type") {
            Some(Value::String(kind)) => return Some(kind),
            Some(Value::Array(kinds)) => {
                let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                return kinds.next().filter(|_| kinds.next().is_none());
            }
            _ => {}
        }
        if schema.get("properties").is_some() {
            return Some("object");
        }
        if schema.get("items").is_some() {
            return Some("array");
        }
        if depth >= DEEPEST {
            return None;
        }
        let choices = CHOICES.into_iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
        let mut kinds = choices.map(|choice| self.kind_at(choice, depth.saturating_add(1)));
        let first = kinds.next()??;
        kinds.all(|kind| kind == Some(first) || kind == Some("null")).then_some(first)
    }

    /// The members of an object, those of all parts of an `allOf` included.
    pub(super) fn members(&self, schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
        let mut members: Vec<(&str, &Value)> = Vec::new();
        for part in self.parts(schema, 0) {
            for (name, member) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if !members.iter().any(|(known, _)| known == name) {
                    members.push((name, member));
                }
            }
        }
        members
    }

    /// The members that an object must have.
    pub(super) fn required(&self, schema: &'a Value) -> Vec<&'a str> {
        let parts = self.parts(schema, 0);
        let required = parts.iter().filter_map(|part| part.get("required")?.as_array()).flatten();
        required.filter_map(Value::as_str).collect()
    }

    fn parts(&self, schema: &'a Value, depth: usize) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        let mut parts = vec![schema];
        if depth < DEEPEST {
            let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
            parts.extend(all.flat_map(|part| self.parts(part, depth.saturating_add(1))));
        }
        parts
    }
}

/// Keywords that are kept as they are.
const KEPT: [&str; 7] =
    ["description", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"];

/// Keywords that list several schemas for one value.
const CHOICES: [&str; 3] = ["allOf", "oneOf", "anyOf"];

/// How deep schemas are followed.
const DEEPEST: usize = 8;
