//! What a server says of itself: the `ServerDetail` of the registry API, as it was published.

use std::fmt;

use serde_json::{Map, Value};

/// A document that keeps the rules of the registry API, version 2025-12-01. What the rules do not know stays in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document(Map<String, Value>);

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidDocument {
    /// The field: `remotes[0].url`.
    pub field: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

type Checked = Result<(), InvalidDocument>;

impl Document {
    /// A document that somebody wants to publish.
    pub fn parse(document: Value) -> Result<Self, InvalidDocument> {
        let Value::Object(fields) = document else { return Err(wrong("the body", "is no object")) };
        let it = At { at: String::new(), fields: &fields };
        it.check_all()?;
        let document = Self(fields);
        if document.to_string().len() > LARGEST {
            return Err(wrong("the body", "is longer than 64 KiB"));
        }
        Ok(document)
    }

    /// A document as it was stored, by whatever rules there were then. `None`: it has no name or no version.
    pub fn stored(document: Value) -> Option<Self> {
        let Value::Object(fields) = document else { return None };
        let has = |name: &str| fields.get(name).is_some_and(Value::is_string);
        (has("name") && has("version")).then_some(Self(fields))
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// The version that it is of.
    pub fn version(&self) -> &str {
        self.text("version")
    }

    /// The part of the name before the slash: whose name it is, in reverse.
    pub fn namespace(&self) -> &str {
        self.name().split('/').next().unwrap_or_default()
    }

    /// All of it.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde_json::to_string(&self.0).map_err(|_| fmt::Error)?.fmt(f)
    }
}

/// An object in a document.
struct At<'a> {
    at: String,
    fields: &'a Map<String, Value>,
}

impl<'a> At<'a> {
    fn check_all(&self) -> Checked {
        self.is("name", true, is_name, NAME)?;
        self.is("description", true, |text| is_short(text, 100), "is a text of 1 to 100 characters")?;
        self.is("version", true, is_version, VERSION)?;
        self.is("title", false, |text| is_short(text, 100), "is a text of 1 to 100 characters")?;
        self.is("websiteUrl", false, is_url, URL)?;
        self.is("$schema", false, is_url, URL)?;
        if self.fields.contains_key("status") {
            return Err(self.wrong("status", "is no part of a document; PATCH …/status changes it"));
        }
        if let Some(repository) = self.object("repository")? {
            repository.is("url", true, is_url, URL)?;
            repository.is("source", true, |text| !text.is_empty(), "is missing")?;
        }
        self.each("icons", Self::check_icon)?;
        self.each("remotes", |remote| {
            remote.check_transport(&["streamable-http", "sse"])?;
            remote.check_variables()
        })?;
        self.each("packages", Self::check_package)?;
        self.object("_meta").map(|_| ())
    }

    fn check_icon(&self) -> Checked {
        let src = |text: &str| text.starts_with("https://") && text.len() <= 255 && is_url(text);
        self.is("src", true, src, "is an https:// URL of at most 255 characters")?;
        self.is("mimeType", false, |text| IMAGES.contains(&text), "is no type of an icon")?;
        self.is("theme", false, |text| ["light", "dark"].contains(&text), "is light or dark")?;
        let sizes = self.list("sizes")?;
        let good = |size: &Value| size.as_str().is_some_and(is_size);
        if sizes.iter().all(good) { Ok(()) } else { Err(self.wrong("sizes", "are such as 48x48, or any")) }
    }

    fn check_package(&self) -> Checked {
        self.is("registryType", true, |text| !text.is_empty(), "is missing")?;
        self.is("identifier", true, |text| !text.is_empty(), "is missing")?;
        self.is("version", false, is_version, VERSION)?;
        let hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
        self.is("fileSha256", false, hash, "is a SHA-256 in lower case")?;
        self.each("environmentVariables", Self::check_input)?;
        match self.object("transport")? {
            Some(transport) => transport.check_transport(&["stdio", "streamable-http", "sse"]),
            None => Err(self.wrong("transport", "is missing")),
        }
    }

    fn check_transport(&self, known: &[&str]) -> Checked {
        self.is("type", true, |text| known.contains(&text), "is no transport that is known here")?;
        if self.fields.get("type").is_some_and(|kind| kind == "stdio") {
            return Ok(());
        }
        let url = |text: &str| is_url(text) || is_url_of_variable(text);
        self.is("url", true, url, "is a URL, or begins with a variable such as {host}")?;
        self.each("headers", Self::check_input)
    }

    /// A header or a variable of the environment. Whatever is secret is for its user to fill in.
    fn check_input(&self) -> Checked {
        self.is("name", true, |text| !text.is_empty(), "is missing")?;
        let is_secret = self.fields.get("isSecret") == Some(&Value::Bool(true));
        let value = self.fields.get("value").and_then(Value::as_str);
        if is_secret && value.is_some_and(|value| !value.contains('{')) {
            return Err(self.wrong("value", "would publish a secret; leave it out, or make it a variable"));
        }
        self.check_variables()
    }

    fn check_variables(&self) -> Checked {
        let Some(variables) = self.object("variables")? else { return Ok(()) };
        for name in variables.fields.keys() {
            let variable = variables.object(name)?;
            let secret = variable.filter(|of| of.fields.get("isSecret") == Some(&Value::Bool(true)));
            if let Some(secret) = secret.filter(|of| of.fields.contains_key("value")) {
                return Err(secret.wrong("value", "would publish a secret; leave it out"));
            }
        }
        Ok(())
    }

    /// A text that keeps a rule.
    fn is(&self, name: &str, needed: bool, rule: impl Fn(&str) -> bool, problem: &'static str) -> Checked {
        match self.fields.get(name) {
            None if !needed => Ok(()),
            None => Err(self.wrong(name, "is missing")),
            Some(Value::String(text)) if rule(text) => Ok(()),
            Some(_) => Err(self.wrong(name, problem)),
        }
    }

    fn object(&self, name: &str) -> Result<Option<Self>, InvalidDocument> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(At { at: self.path(name), fields })),
            Some(_) => Err(self.wrong(name, "is no object")),
        }
    }

    fn list(&self, name: &str) -> Result<&'a [Value], InvalidDocument> {
        match self.fields.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.wrong(name, "is no list")),
        }
    }

    fn each(&self, name: &str, check: impl Fn(&Self) -> Checked) -> Checked {
        for (nth, item) in self.list(name)?.iter().enumerate() {
            let at = format!("{}[{nth}]", self.path(name));
            let fields = item.as_object().ok_or_else(|| wrong(&at, "is no object"))?;
            check(&At { at, fields })?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    fn wrong(&self, name: &str, problem: &'static str) -> InvalidDocument {
        wrong(&self.path(name), problem)
    }
}

/// Whether this can be a server's name: `^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$`.
fn is_name(text: &str) -> bool {
    let of = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let parts = text.split_once('/');
    (3..=200).contains(&text.len()) && parts.is_some_and(|(space, name)| of(space, b".-") && of(name, b"._-"))
}

/// Whether this is one version, and neither a range nor a word for one.
pub(super) fn is_version(text: &str) -> bool {
    let is_range = text.starts_with(['^', '~', '<', '>', '=', '*'])
        || text.contains("||")
        || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
        || text.split(['.', '-', '+']).take(3).any(|part| ["x", "X", "*"].contains(&part));
    !text.is_empty() && text.len() <= 255 && text != "latest" && !is_range
}

fn is_short(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= most
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(plain))
}

/// `{host}/mcp`
fn is_url_of_variable(text: &str) -> bool {
    let variable = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let is_word = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    variable.is_some_and(|(name, rest)| is_word(name) && !rest.contains(char::is_whitespace))
}

fn is_size(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text == "any" || text.split_once('x').is_some_and(|(wide, high)| is_number(wide) && is_number(high))
}

fn wrong(field: &str, problem: &'static str) -> InvalidDocument {
    InvalidDocument { field: field.into(), problem }
}

const NAME: &str = "is a namespace in reverse DNS, one slash and a name of letters, digits, '.', '_' and '-': com.example/weather";
const VERSION: &str = "is one version such as 1.0.2; no range, and not \"latest\"";
const URL: &str = "is a URL that begins with http:// or https://";
const IMAGES: [&str; 5] = ["image/png", "image/jpeg", "image/jpg", "image/svg+xml", "image/webp"];
/// The longest document, in bytes.
const LARGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(more: Value) -> Value {
        let mut document =
            json!({"name": "com.example/weather", "description": "Tells the weather.", "version": "1.0.2"});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document
    }

    #[test]
    fn a_document_of_all_there_is_keeps_what_is_in_it() {
        let whole = with(json!({
            "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
            "title": "Weather",
            "repository": {"url": "https://github.com/example/weather", "source": "github"},
            "websiteUrl": "https://example.com",
            "icons": [{"src": "https://example.com/i.png", "mimeType": "image/png", "sizes": ["48x48", "any"]}],
            "packages": [{"registryType": "npm", "identifier": "@example/weather", "version": "1.0.2",
                "transport": {"type": "stdio"}, "environmentVariables": [{"name": "KEY", "isSecret": true}]}],
            "remotes": [{"type": "streamable-http", "url": "https://{tenant}.example.com/mcp",
                "variables": {"tenant": {"isRequired": true}},
                "headers": [{"name": "Authorization", "value": "Bearer {key}",
                    "variables": {"key": {"isRequired": true, "isSecret": true}}}]},
                {"type": "sse", "url": "{base}/sse"}],
            "_meta": {"io.modelcontextprotocol.registry/publisher-provided": {"team": "sky"}},
            "later": [1],
        }));
        let document = Document::parse(whole.clone()).unwrap();
        assert_eq!(Value::Object(document.fields().clone()), whole);
        let named = (document.name(), document.namespace(), document.version());
        assert_eq!(named, ("com.example/weather", "com.example", "1.0.2"));
        assert_eq!(Document::stored(whole), Some(document));
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_its_field() {
        let remote = |more: Value| json!({"remotes": [more]});
        for (more, field) in [
            (json!({"name": "weather"}), "name"),
            (json!({"name": "com.example/a/b"}), "name"),
            (json!({"name": "com_example/a"}), "name"),
            (json!({"description": ""}), "description"),
            (json!({"description": "é".repeat(101)}), "description"),
            (json!({"title": "x".repeat(101)}), "title"),
            (json!({"version": "latest"}), "version"),
            (json!({"version": "^1.2.3"}), "version"),
            (json!({"version": ">=1.2.3"}), "version"),
            (json!({"version": "1.x"}), "version"),
            (json!({"version": "1.2.*"}), "version"),
            (json!({"version": "1.0 - 2.0"}), "version"),
            (json!({"version": 1}), "version"),
            (json!({"status": "active"}), "status"),
            (json!({"websiteUrl": "ftp://x"}), "websiteUrl"),
            (json!({"repository": {"url": "https://x"}}), "repository.source"),
            (json!({"icons": [{"src": "http://x/i.png"}]}), "icons[0].src"),
            (json!({"icons": [{"src": "https://x/i.png", "sizes": ["48"]}]}), "icons[0].sizes"),
            (json!({"remotes": {}}), "remotes"),
            (remote(json!({"type": "stdio"})), "remotes[0].type"),
            (remote(json!({"type": "sse", "url": "{a b}/x"})), "remotes[0].url"),
            (
                remote(json!({"type": "sse", "url": "https://x", "headers": [{}]})),
                "remotes[0].headers[0].name",
            ),
            (
                remote(json!({"type": "sse", "url": "https://x",
                    "headers": [{"name": "X-Key", "isSecret": true, "value": "sk-1"}]})),
                "remotes[0].headers[0].value",
            ),
            (json!({"packages": [{"registryType": "npm", "identifier": "x"}]}), "packages[0].transport"),
            (json!({"_meta": []}), "_meta"),
        ] {
            assert_eq!(Document::parse(with(more.clone())).unwrap_err().field, field, "{more}");
        }
        assert_eq!(Document::parse(json!([])).unwrap_err().field, "the body");
        let large = with(json!({"_meta": {"x": "x".repeat(64 * 1024)}}));
        assert_eq!(Document::parse(large).unwrap_err().field, "the body");
    }
}
