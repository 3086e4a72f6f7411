//! The body of a call.

use serde_json::{Map, Value};
use weir_schema::mcp::Arg;
use weir_template::Data;

use super::argument;
use crate::encode::{json_inside, percent, percented};
use crate::template::{Scope, Text, printed};
use crate::{LoadError, Unfit};

/// A body, checked, and its media type.
#[derive(Clone, Debug)]
pub(super) struct BodyPlan {
    body: Body,
    media: String,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    /// JSON, or pairs of a form, of a value whose strings are templates.
    Value {
        node: Node,
        form: bool,
    },
    /// A text.
    Text {
        text: Text,
        syntax: Syntax,
    },
}

/// What a value must not break in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Json,
    Form,
    Plain,
}

/// A value whose strings are templates.
#[derive(Clone, Debug)]
enum Node {
    Fixed(Value),
    Text(Text),
    /// The value of a single action; absent, it is left out.
    Action(Text),
    Arg(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl BodyPlan {
    pub(super) fn of(
        body: Option<&Value>,
        media: Option<&str>,
        scope: &Scope<'_>,
    ) -> Result<Self, LoadError> {
        let media = media.unwrap_or(JSON);
        if !media.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(LoadError::new("content_type", "is no media type"));
        }
        let syntax = Syntax::of(media);
        let body = match (body, syntax) {
            (None, _) => Body::None,
            (Some(Value::String(source)), _) => {
                let text = Text::parse(source, scope).map_err(|error| error.within("body"))?;
                Body::Text { text, syntax }
            }
            (Some(value), Syntax::Json) => Body::Value { node: Node::of(value, scope)?, form: false },
            (Some(value @ Value::Object(_)), Syntax::Form) => {
                Body::Value { node: Node::of(value, scope)?, form: true }
            }
            (Some(_), _) => return Err(LoadError::new("body", "must be a text for this content_type")),
        };
        Ok(Self { body, media: media.into() })
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.body, Body::None)
    }

    /// The media type, if there is a body.
    pub(super) fn media(&self) -> Option<&str> {
        Some(self.media.as_str()).filter(|_| !self.is_empty())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let mut names = Vec::new();
        match &self.body {
            Body::None => {}
            Body::Value { node, .. } => node.names(&mut names),
            Body::Text { text, .. } => names.extend(text.names()),
        }
        names.into_iter()
    }

    pub(super) fn append(&mut self, arg: &Arg, media: Option<&str>) -> Result<(), &'static str> {
        let name = arg.name.as_str().to_owned();
        if self.is_empty() {
            let form = match Syntax::of(media.unwrap_or(JSON)) {
                Syntax::Json => false,
                Syntax::Form => true,
                Syntax::Plain => return Err("a body of this content_type has no members"),
            };
            self.body = Body::Value { node: Node::Object(Vec::new()), form };
        }
        match &mut self.body {
            Body::Value { node: Node::Object(members), .. } => {
                members.push((name.clone(), Node::Arg(name)));
                Ok(())
            }
            Body::None | Body::Value { .. } | Body::Text { .. } => Err("the body has no members"),
        }
    }

    pub(super) fn write(&self, data: &Data) -> Result<Vec<u8>, Unfit> {
        match &self.body {
            Body::None => Ok(Vec::new()),
            Body::Value { node, form: false } => {
                let value = node.write(data)?.unwrap_or(Value::Object(Map::new()));
                Ok(value.to_string().into_bytes())
            }
            Body::Value { node, form: true } => Ok(form(node.write(data)?).into_bytes()),
            Body::Text { text, syntax: Syntax::Plain } => Ok(text.render(data)?.into_bytes()),
            Body::Text { text, syntax: Syntax::Form } => {
                Ok(text.render_encoded(data, &mut percent)?.into_bytes())
            }
            Body::Text { text, syntax: Syntax::Json } => json(text, data),
        }
    }
}

impl Syntax {
    fn of(media: &str) -> Self {
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            FORM => Self::Form,
            essence if essence == JSON || essence.ends_with("+json") => Self::Json,
            _ => Self::Plain,
        }
    }
}

impl Node {
    fn of(value: &Value, scope: &Scope<'_>) -> Result<Self, LoadError> {
        Self::read(value, scope).map_err(|error| error.within("body"))
    }

    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, LoadError> {
        Ok(match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Fixed(value.clone()),
            Value::String(source) => match Text::action(source, scope)? {
                Some(action) => Self::Action(action),
                None => Self::Text(Text::parse(source, scope)?),
            },
            Value::Array(items) => {
                let item = |(at, item)| {
                    Self::read(item, scope).map_err(|error: LoadError| error.within(&format!("[{at}]")))
                };
                Self::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let member = |(name, value): (&String, _)| {
                    let node = Self::read(value, scope).map_err(|error| error.within(name))?;
                    Ok((name.clone(), node))
                };
                Self::Object(members.iter().map(member).collect::<Result<_, LoadError>>()?)
            }
        })
    }

    fn names<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::Fixed(_) => {}
            Self::Arg(name) => into.push(name),
            Self::Text(text) | Self::Action(text) => into.extend(text.names()),
            Self::Array(items) => items.iter().for_each(|item| item.names(into)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.names(into)),
        }
    }

    /// The value; nothing if it is absent.
    fn write(&self, data: &Data) -> Result<Option<Value>, Unfit> {
        Ok(Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Arg(name) => return Ok(argument(data, name).cloned()),
            Self::Text(text) => Value::String(text.render(data)?),
            Self::Action(text) => match text.value(data) {
                Err(Unfit::Absent(_)) => return Ok(None),
                value => value?,
            },
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.write(data)).collect::<Result<_, _>>()?;
                Value::Array(items.into_iter().flatten().collect())
            }
            Self::Object(members) => {
                let mut written = Map::new();
                for (name, member) in members {
                    if let Some(value) = member.write(data)? {
                        written.insert(name.clone(), value);
                    }
                }
                Value::Object(written)
            }
        }))
    }
}

/// The members of an object as pairs of a form.
fn form(value: Option<Value>) -> String {
    let mut pairs = Vec::new();
    for (name, value) in value.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            value => std::slice::from_ref(value),
        };
        pairs.extend(items.iter().map(|item| format!("{}={}", percented(name), percented(&printed(item)))));
    }
    pairs.join("&")
}

/// A JSON text. In a string a value stays inside; elsewhere it must be a whole value of its own.
fn json(text: &Text, data: &Data) -> Result<Vec<u8>, Unfit> {
    let mut broken = false;
    let mut quotes = Quotes::default();
    let written = text.render_encoded(data, &mut |value, into| {
        if quotes.are_open(into) {
            json_inside(value, into);
        } else {
            broken |= serde_json::from_str::<serde::de::IgnoredAny>(value).is_err();
            into.push_str(value);
        }
    })?;
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&written).is_ok();
    match broken || !is_json {
        true => Err(Unfit::Other("the body is not JSON; a text stands in quotes or in jsonify".into())),
        false => Ok(written.into_bytes()),
    }
}

/// Whether a JSON text that grows is inside a string.
#[derive(Default)]
struct Quotes {
    read: usize,
    open: bool,
    escaped: bool,
}

impl Quotes {
    fn are_open(&mut self, text: &str) -> bool {
        for byte in text.as_bytes().get(self.read..).unwrap_or_default() {
            (self.open, self.escaped) = match (byte, self.escaped) {
                (b'"', false) => (!self.open, false),
                (b'\\', false) => (self.open, self.open),
                _ => (self.open, false),
            };
        }
        self.read = text.len();
        self.open
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
