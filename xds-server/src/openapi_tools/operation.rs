//! One operation of a document.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{Selection, arguments::Arguments, schema::Document};

/// An operation (OpenAPI 3.1, "Operation Object").
#[derive(Debug)]
pub(super) struct Operation<'a> {
    /// Its `operationId`, or its method and path if it has none.
    pub(super) id: String,
    method: &'static str,
    path: &'a str,
    /// What it shares with the others of its path.
    item: &'a Value,
    body: &'a Value,
}

impl<'a> Operation<'a> {
    pub(super) fn new(method: &'static str, path: &'a str, item: &'a Value, body: &'a Value) -> Self {
        let named = body.get("operationId").and_then(Value::as_str).map(str::to_owned);
        Self { id: named.unwrap_or_else(|| format!("{method}_{path}")), method, path, item, body }
    }

    pub(super) fn is_deprecated(&self) -> bool {
        self.body.get("deprecated") == Some(&Value::Bool(true))
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &'a str> {
        let tags = self.body.get("tags").and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(Value::as_str)
    }

    /// The tool that makes this call, or why there is none.
    pub(super) fn tool(
        &self,
        document: &Document<'a>,
        server: &str,
        selection: &Selection,
    ) -> Result<Value, &'static str> {
        let mut arguments = Arguments::of(document, self.path);
        for parameter in self.parameters(document) {
            arguments.parameter(parameter)?;
        }
        if let Some(body) = self.body.get("requestBody") {
            arguments.body(document.resolve(body))?;
        }
        if has_stray_brace(&arguments.url) {
            return Err("its path has a variable that is no parameter");
        }
        let mut request = Map::from_iter([
            ("upstream".to_owned(), json!({"url": format!("{server}{}", arguments.url)})),
            ("method".to_owned(), self.method.to_ascii_uppercase().into()),
        ]);
        if arguments.form {
            request.insert("content_type".into(), "application/x-www-form-urlencoded".into());
        }
        if let Some(body) = arguments.body {
            request.insert("body".into(), body);
        }
        let mut tool = Map::from_iter([("name".to_owned(), Value::from(self.name(selection)))]);
        if let Some(title) = self.text("summary") {
            tool.insert("title".into(), title.into());
        }
        if let Some(description) = self.description(selection) {
            tool.insert("description".into(), description.into());
        }
        if let Some(annotations) = self.annotations() {
            tool.insert("annotations".into(), annotations);
        }
        if !arguments.args.is_empty() {
            tool.insert("args".into(), arguments.args.into());
        }
        tool.insert("request_template".into(), request.into());
        Ok(tool.into())
    }

    /// Its parameters; one of its own stands before that of its path with the same name and place.
    fn parameters(&self, document: &Document<'a>) -> Vec<&'a Value> {
        let listed = |of: &'a Value| of.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let mut all: Vec<&Value> = listed(self.body).map(|parameter| document.resolve(parameter)).collect();
        let key = |parameter: &Value| (parameter.get("name").cloned(), parameter.get("in").cloned());
        let own: Vec<_> = all.iter().map(|parameter| key(parameter)).collect();
        let shared = listed(self.item).map(|parameter| document.resolve(parameter));
        all.extend(shared.filter(|parameter| !own.contains(&key(parameter))));
        all
    }

    fn name(&self, selection: &Selection) -> String {
        if let Some(name) = selection.rename.get(&self.id) {
            return name.clone();
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        let mut name: String = self.id.chars().map(plain).collect();
        while name.contains("__") {
            name = name.replace("__", "_");
        }
        let name = format!("{}{}", selection.prefix, name.trim_matches('_'));
        name.chars().take(LONGEST).collect()
    }

    fn description(&self, selection: &Selection) -> Option<String> {
        if let Some(description) = selection.describe.get(&self.id) {
            return Some(description.clone());
        }
        let texts: Vec<_> =
            ["summary", "description"].into_iter().filter_map(|name| self.text(name)).collect();
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let text = self.body.get(name).and_then(Value::as_str).map(str::trim);
        text.filter(|text| !text.is_empty())
    }

    /// What the method promises (RFC 9110, section 9.2).
    fn annotations(&self) -> Option<Value> {
        match self.method {
            "get" => Some(json!({"read_only_hint": true})),
            "put" => Some(json!({"idempotent_hint": true})),
            "delete" => Some(json!({"destructive_hint": true, "idempotent_hint": true})),
            _ => None,
        }
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.to_ascii_uppercase(), self.path)
    }
}

/// Whether a path has a brace that belongs to no action.
fn has_stray_brace(path: &str) -> bool {
    let mut rest = path;
    while let Some((text, tail)) = rest.split_once("{{") {
        if text.contains(['{', '}']) {
            return true;
        }
        rest = tail.split_once("}}").map_or("", |(_, after)| after);
    }
    rest.contains(['{', '}'])
}

/// Methods that can be tools: an answer to HEAD has nothing to say, and nobody needs OPTIONS or TRACE.
pub(super) const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The longest name of a tool.
const LONGEST: usize = 128;
