//! The header fields of a call.

use weir_schema::mcp::{Arg, Header};
use weir_template::Data;

use super::argument;
use crate::encode::{field, percented};
use crate::template::{Scope, Text, printed};
use crate::{LoadError, Unfit, template};

/// The header fields of a call, checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    written: Vec<(String, Value)>,
    cookies: Vec<String>,
}

#[derive(Clone, Debug)]
enum Value {
    /// A template; one that is a single action is left out if it is absent.
    Written { text: Text, single: bool },
    /// An argument.
    Arg(String),
}

impl Fields {
    pub(super) fn of(headers: &[Header], scope: &Scope<'_>) -> Result<Self, LoadError> {
        let mut fields = Self::default();
        for (at, header) in headers.iter().enumerate() {
            let field = |field: &str| format!("headers[{at}].{field}");
            let name = name(&header.name).map_err(|problem| LoadError::new(field("name"), problem))?;
            let source = &header.value.0;
            let text = Text::parse(source, scope).map_err(|error| error.within(&field("value")))?;
            let single = template::action(source).is_some();
            fields.written.push((name, Value::Written { text, single }));
        }
        Ok(fields)
    }

    pub(super) fn append(&mut self, arg: &Arg) -> Result<(), &'static str> {
        let field = name(&arg.name.as_str().replace('_', "-"))?;
        self.written.push((field, Value::Arg(arg.name.as_str().into())));
        Ok(())
    }

    pub(super) fn append_cookie(&mut self, arg: &Arg) {
        self.cookies.push(arg.name.as_str().into());
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.written
            .iter()
            .filter_map(|(_, value)| match value {
                Value::Written { text, .. } => Some(text),
                Value::Arg(_) => None,
            })
            .flat_map(Text::names)
    }

    pub(super) fn write(&self, data: &Data) -> Result<Vec<(String, String)>, Unfit> {
        let mut fields = Vec::new();
        for (name, value) in &self.written {
            if let Some(value) = value.write(name, data)? {
                fields.push((name.clone(), value));
            }
        }
        let cookie = |name: &String| Some(format!("{name}={}", percented(&printed(argument(data, name)?))));
        let cookies: Vec<_> = self.cookies.iter().filter_map(cookie).collect();
        if !cookies.is_empty() {
            fields.push(("cookie".into(), cookies.join("; ")));
        }
        Ok(fields)
    }
}

impl Value {
    fn write(&self, name: &str, data: &Data) -> Result<Option<String>, Unfit> {
        let mut plain = true;
        let written = match self {
            Self::Written { text, single } => {
                let mut encode = |value: &str, into: &mut String| plain &= field(value, into);
                match text.render_encoded(data, &mut encode) {
                    Err(Unfit::Absent(_)) if *single => return Ok(None),
                    written => written?,
                }
            }
            Self::Arg(arg) => {
                let Some(value) = argument(data, arg) else { return Ok(None) };
                let mut written = String::new();
                plain = field(&printed(value), &mut written);
                written
            }
        };
        match plain {
            true => Ok(Some(written)),
            false => Err(Unfit::Other(format!("the header \"{name}\" cannot have control characters"))),
        }
    }
}

/// A field's name in lower case, if a tool may set it.
fn name(name: &str) -> Result<String, &'static str> {
    let name = name.to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("is no name of a header");
    }
    if CREDENTIALS.contains(&name.as_str()) {
        return Err("is for credentials; name a secret in \"auth\"");
    }
    let reserved = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if reserved || RESERVED.contains(&name.as_str()) {
        return Err("is not for tools to set");
    }
    Ok(name)
}

const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];
const PREFIXES: [&str; 3] = ["x-weir-", "x-envoy-", "proxy-"];
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
