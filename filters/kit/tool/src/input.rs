//! The JSON Schema of a tool's arguments.

use serde_json::{Map, Value};
use weir_schema::mcp::{Arg, ArgType, Tool};

use crate::LoadError;
use crate::shape::{self, Schema, Strictness};

/// What a tool takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The schema that arguments are checked against.
    pub schema: Schema,
    /// What arguments are if they are not given.
    pub defaults: Map<String, Value>,
    /// The arguments that clients repeat in a header, each with the header's name behind `mcp-param-`.
    pub mirrored: Vec<(String, String)>,
}

impl Input {
    /// What `tool` takes.
    ///
    /// # Errors
    ///
    /// The first argument that contradicts itself.
    pub fn of(tool: &Tool) -> Result<Self, LoadError> {
        let mut input = Self { schema: base(tool), defaults: Map::new(), mirrored: Vec::new() };
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (at, arg) in tool.args.iter().enumerate() {
            let name = arg.name.as_str();
            let wrong = |field: &str, problem: &str| LoadError::new(format!("args[{at}].{field}"), problem);
            if tool.args.iter().take(at).any(|other| other.name == arg.name) {
                return Err(wrong("name", "another argument has this name"));
            }
            let schema = match tool.input_schema.as_ref().and_then(|schema| property(schema, name)) {
                Some(schema) => schema.clone(),
                None => schema_of(arg, at)?,
            };
            if let Some(default) =
                default_of(arg, &schema).map_err(|problem| wrong("default_value", &problem))?
            {
                input.defaults.insert(name.into(), default);
            } else if arg.required {
                required.push(Value::from(name));
            }
            if let Some(header) = &arg.mcp_header {
                input.mirror(arg, header).map_err(|problem| wrong("mcp_header", problem))?;
            }
            let schema = described(schema, arg, input.defaults.get(name));
            properties.insert(name.into(), Value::Object(schema));
        }
        if tool.input_schema.is_none() {
            if !properties.is_empty() {
                input.schema.insert("properties".into(), Value::Object(properties));
            }
            if !required.is_empty() {
                input.schema.insert("required".into(), Value::Array(required));
            }
            input.schema.insert("additionalProperties".into(), Value::Bool(false));
        }
        Ok(input)
    }

    /// Arguments as they are meant, with defaults.
    ///
    /// # Errors
    ///
    /// All that is wrong with them.
    pub fn take(&self, mut args: Map<String, Value>) -> Result<Map<String, Value>, shape::Problems> {
        for (name, default) in &self.defaults {
            let given = args.get(name).is_some_and(|value| !value.is_null());
            if !given {
                args.insert(name.clone(), default.clone());
            }
        }
        match shape::check(&self.schema, Value::Object(args), Strictness::Lenient)? {
            Value::Object(args) => Ok(args),
            _ => Ok(Map::new()),
        }
    }

    fn mirror(&mut self, arg: &Arg, header: &str) -> Result<(), &'static str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if header.is_empty() || !header.bytes().all(plain) {
            return Err("is no name of a header");
        }
        if !matches!(arg.kind, ArgType::String | ArgType::Integer | ArgType::Boolean) {
            return Err("only a string, an integer or a boolean can be repeated in a header");
        }
        let header = header.to_ascii_lowercase();
        if self.mirrored.iter().any(|(_, known)| *known == header) {
            return Err("another argument has this header");
        }
        self.mirrored.push((arg.name.as_str().into(), header));
        Ok(())
    }
}

fn base(tool: &Tool) -> Schema {
    let object = || Map::from_iter([("type".to_owned(), Value::from("object"))]);
    tool.input_schema.clone().unwrap_or_else(object)
}

fn property<'a>(schema: &'a Schema, name: &str) -> Option<&'a Schema> {
    schema.get("properties")?.get(name)?.as_object()
}

fn schema_of(arg: &Arg, at: usize) -> Result<Schema, LoadError> {
    let kind = match arg.kind {
        ArgType::String => "string",
        ArgType::Integer => "integer",
        ArgType::Number => "number",
        ArgType::Boolean => "boolean",
        ArgType::Array => "array",
        ArgType::Object => "object",
    };
    let mut schema = Map::from_iter([("type".to_owned(), Value::from(kind))]);
    let bounds = [
        ("minLength", arg.min_length),
        ("maxLength", arg.max_length),
        ("minItems", arg.min_items),
        ("maxItems", arg.max_items),
    ];
    schema
        .extend(bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), Value::from(bound?)))));
    let limits = [("minimum", &arg.minimum), ("maximum", &arg.maximum)];
    schema.extend(
        limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit.clone()?.into()))),
    );
    if let Some(items) = &arg.items {
        schema.insert("items".into(), Value::Object(items.0.clone()));
    }
    if let Some(properties) = &arg.properties {
        schema.insert("properties".into(), Value::Object(properties.clone()));
    }
    for (nth, value) in arg.enum_values.iter().enumerate() {
        if let Err(problems) = shape::check(&schema, value.clone(), Strictness::Strict) {
            let problem = problems.to_string().replacen("\"arguments\" ", "", 1);
            return Err(LoadError::new(format!("args[{at}].enum_values[{nth}]"), problem));
        }
    }
    if !arg.enum_values.is_empty() {
        schema.insert("enum".into(), Value::Array(arg.enum_values.clone()));
    }
    Ok(schema)
}

fn default_of(arg: &Arg, schema: &Schema) -> Result<Option<Value>, String> {
    let Some(default) = arg.default_value.clone() else { return Ok(None) };
    // Protobuf's way: a list or an object is written as a text too.
    let read = match (&default, arg.kind) {
        (Value::String(text), ArgType::Array | ArgType::Object) => {
            serde_json::from_str(text).unwrap_or(default)
        }
        _ => default,
    };
    let checked = shape::check(schema, read, Strictness::Lenient);
    checked.map(Some).map_err(|problems| problems.to_string().replacen("\"arguments\" ", "", 1))
}

/// The schema with what is said of the argument, in the order people expect.
fn described(schema: Schema, arg: &Arg, default: Option<&Value>) -> Schema {
    let mut described = Map::new();
    let (kind, rest): (Map<_, _>, Map<_, _>) = schema.into_iter().partition(|(name, _)| name == "type");
    described.extend(kind);
    if let Some(description) = &arg.description {
        described.insert("description".into(), Value::from(description.as_str()));
    }
    if let Some(default) = default {
        described.insert("default".into(), default.clone());
    }
    described.extend(rest);
    described
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(args: Value) -> Result<Input, String> {
        let tool = serde_json::from_value(json!({"name": "t", "args": args})).unwrap();
        Input::of(&tool).map_err(|error| error.to_string())
    }

    #[test]
    fn the_schema_says_what_the_arguments_do() {
        let input = input(json!([
            {"name": "env", "description": "Where", "type": "string", "default_value": "uat"},
            {"name": "level", "enum_values": ["DEBUG", "ERROR"], "required": true},
            {"name": "size", "type": "int", "defaultValue": "10", "minimum": 1, "required": true},
            {"name": "ids", "type": "array", "items": {"type": "integer"}, "max_items": 5}
        ]))
        .unwrap();
        let expected = json!({
            "type": "object",
            "properties": {
                "env": {"type": "string", "description": "Where", "default": "uat"},
                "level": {"type": "string", "enum": ["DEBUG", "ERROR"]},
                "size": {"type": "integer", "default": 10, "minimum": 1},
                "ids": {"type": "array", "maxItems": 5, "items": {"type": "integer"}}
            },
            "required": ["level"],
            "additionalProperties": false
        });
        assert_eq!(Value::Object(input.schema.clone()).to_string(), expected.to_string());
        let args = json!({"level": "DEBUG", "env": null, "ids": ["1"]}).as_object().unwrap().clone();
        let taken = json!({"level": "DEBUG", "env": "uat", "ids": [1], "size": 10});
        assert_eq!(Value::Object(input.take(args).unwrap()), taken);
    }

    #[test]
    fn a_tool_without_arguments_takes_none() {
        let schema = json!({"type": "object", "additionalProperties": false});
        assert_eq!(Value::Object(input(json!([])).unwrap().schema), schema);
    }

    #[test]
    fn arguments_that_contradict_themselves_are_refused() {
        for (args, expected) in [
            (json!([{"name": "a"}, {"name": "a"}]), "args[1].name: another argument has this name"),
            (
                json!([{"name": "a", "enum_values": ["x", 1]}]),
                "args[0].enum_values[1]: must be a string (got 1)",
            ),
            (
                json!([{"name": "a", "enum_values": ["x"], "default_value": "y"}]),
                "args[0].default_value: must be one of x (got \"y\")",
            ),
            (
                json!([{"name": "a", "type": "integer", "default_value": "y"}]),
                "args[0].default_value: must be an integer (got \"y\")",
            ),
            (
                json!([{"name": "a", "mcp_header": "A"}, {"name": "b", "mcp_header": "a"}]),
                "args[1].mcp_header: another argument has this header",
            ),
            (
                json!([{"name": "a", "type": "number", "mcp_header": "A"}]),
                "args[0].mcp_header: only a string, an integer or a boolean can be repeated in a header",
            ),
        ] {
            assert_eq!(input(args).unwrap_err(), expected);
        }
    }
}
