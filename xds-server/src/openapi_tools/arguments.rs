//! The arguments of a tool, and where each goes.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::schema::Document;

/// What is known of the arguments so far, and of the request they make.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    document: &'a Document<'a>,
    names: BTreeSet<String>,
    pub(super) args: Vec<Value>,
    /// The path, and the part of the query that arguments cannot make by their names.
    pub(super) url: String,
    /// The body, where the names of arguments do not make it.
    pub(super) body: Option<Value>,
    pub(super) form: bool,
}

impl<'a> Arguments<'a> {
    pub(super) fn of(document: &'a Document<'a>, path: &str) -> Self {
        Self { document, names: BTreeSet::new(), args: Vec::new(), url: path.into(), body: None, form: false }
    }

    /// Adds a parameter (OpenAPI 3.1, "Parameter Object").
    pub(super) fn parameter(&mut self, parameter: &'a Value) -> Result<(), &'static str> {
        let text = |name: &str| parameter.get(name).and_then(Value::as_str);
        let (Some(name), Some(place)) = (text("name"), text("in")) else {
            return Err("a parameter has no name");
        };
        if place == "header" && IGNORED.iter().any(|ignored| name.eq_ignore_ascii_case(ignored)) {
            return Ok(());
        }
        let Some(schema) = parameter.get("schema") else {
            return Err("a parameter has a media type in place of a schema");
        };
        let required = parameter.get("required") == Some(&Value::Bool(true));
        let arg = match place {
            "path" => {
                let arg = self.name(name, is_in_templates);
                let known = self.url.replace(&format!("{{{name}}}"), &format!("{{{{ .{arg} }}}}"));
                if known == self.url {
                    return Err("a parameter of the path is not in it");
                }
                self.url = known;
                self.arg(arg, schema, text("description"), required, "path")
            }
            "query" if is_name(name) && !self.names.contains(name) => {
                let arg = self.name(name, is_name);
                let joined = parameter.get("explode") == Some(&Value::Bool(false));
                let mut arg = self.arg(arg, schema, text("description"), required, "query");
                if let Some(fields) = arg.as_object_mut().filter(|_| joined) {
                    fields.insert("style".into(), "csv".into());
                }
                arg
            }
            "query" => {
                let arg = self.name(name, is_in_templates);
                let before = if self.url.contains('?') { '&' } else { '?' };
                let encoded = name.replace('[', "%5B").replace(']', "%5D").replace(' ', "%20");
                self.url = format!("{}{before}{encoded}={{{{ .{arg} }}}}", self.url);
                self.arg(arg, schema, text("description"), required, "query")
            }
            "header" | "cookie" if is_name(name) && !self.names.contains(name) => {
                let arg = self.name(name, is_name);
                self.arg(arg, schema, text("description"), required, place)
            }
            "header" | "cookie" => return Err("the name of a header or cookie cannot be an argument's"),
            _ => return Err("a parameter stands in no known place"),
        };
        self.args.push(arg);
        Ok(())
    }

    /// Adds the body (OpenAPI 3.1, "Request Body Object").
    pub(super) fn body(&mut self, body: &'a Value) -> Result<(), &'static str> {
        let Some(content) = body.get("content").and_then(Value::as_object) else { return Ok(()) };
        let of = |media: &str| content.iter().find(|(name, _)| name.split(';').next() == Some(media));
        let (form, media) = match (of("application/json"), of("application/x-www-form-urlencoded")) {
            (Some((_, media)), _) => (false, media),
            (None, Some((_, media))) => (true, media),
            (None, None) => return Err("its body is neither JSON nor a form"),
        };
        self.form = form;
        let schema = media.get("schema").unwrap_or(&Value::Null);
        let members = self.document.members(schema);
        let needed = body.get("required") == Some(&Value::Bool(true));
        if members.is_empty() {
            if form {
                return Err("the fields of its form are not named");
            }
            let arg = self.name("body", is_in_templates);
            self.body = Some(format!("{{{{ .{arg} }}}}").into());
            let description = body.get("description").and_then(Value::as_str);
            let arg = self.arg(arg, schema, description, needed, "body");
            self.args.push(arg);
            return Ok(());
        }
        let required = self.document.required(schema);
        let plain = members.iter().all(|(name, _)| is_name(name) && !self.names.contains(*name));
        let mut structured = Map::new();
        for (name, member) in members {
            let arg = if plain { self.name(name, is_name) } else { self.name(name, is_in_templates) };
            structured.insert(name.into(), format!("{{{{ .{arg} }}}}").into());
            let description = self.document.resolve(member).get("description").and_then(Value::as_str);
            let arg = self.arg(arg, member, description, needed && required.contains(&name), "body");
            self.args.push(arg);
        }
        if !plain {
            self.body = Some(Value::Object(structured));
        }
        Ok(())
    }

    fn arg(
        &self,
        name: String,
        schema: &'a Value,
        description: Option<&str>,
        required: bool,
        position: &str,
    ) -> Value {
        let shape = self.document.shape(schema);
        let mut arg = Map::from_iter([("name".to_owned(), Value::from(name))]);
        let described = description.or_else(|| shape.get("description").and_then(Value::as_str));
        if let Some(text) = described.map(str::trim).filter(|text| !text.is_empty()) {
            arg.insert("description".into(), text.into());
        }
        let kind = shape.get("type").and_then(Value::as_str).unwrap_or("string");
        arg.insert("type".into(), kind.into());
        for (known, ours) in KEYWORDS {
            if let Some(value) = shape.get(known) {
                arg.insert(ours.into(), value.clone());
            }
        }
        if let Some(default) = self.document.resolve(schema).get("default").filter(|value| !value.is_null()) {
            arg.insert("default_value".into(), default.clone());
        }
        if required {
            arg.insert("required".into(), true.into());
        }
        arg.insert("position".into(), position.into());
        Value::Object(arg)
    }

    /// A name that no argument has yet: the one of the document if it will do.
    fn name(&mut self, name: &str, will_do: fn(&str) -> bool) -> String {
        let mut plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(LONGEST).collect();
        if !plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            plain.insert(0, '_');
        }
        let first = if will_do(name) { name.to_owned() } else { plain.clone() };
        let others = (2..).map(|number: u32| format!("{plain}_{number}"));
        let free = [first].into_iter().chain(others).find(|name| !self.names.contains(name));
        let free = free.unwrap_or(plain);
        self.names.insert(free.clone());
        free
    }
}

/// Whether an argument may have this name.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.len() <= LONGEST && name.bytes().all(plain)
}

/// Whether it can also stand in a template.
fn is_in_templates(name: &str) -> bool {
    is_name(name) && !name.contains('-')
}

/// Keywords of a schema, and what an argument calls them.
const KEYWORDS: [(&str, &str); 9] = [
    ("enum", "enum_values"),
    ("items", "items"),
    ("properties", "properties"),
    ("minimum", "minimum"),
    ("maximum", "maximum"),
    ("minLength", "min_length"),
    ("maxLength", "max_length"),
    ("minItems", "min_items"),
    ("maxItems", "max_items"),
];

/// Header fields that OpenAPI describes elsewhere ("Parameter Object").
const IGNORED: [&str; 3] = ["accept", "content-type", "authorization"];

/// The longest name of an argument, with room for a number.
const LONGEST: usize = 60;
