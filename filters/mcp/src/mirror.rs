//! Header fields that repeat what the body says, for those on the way.
//!
//! Source: MCP 2026-07-28, "Transports", "Standard MCP Request Headers" and "Custom Headers from Tool Parameters".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use weir_core::Head;

/// The header fields of the protocol, as a request has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    pub(crate) version: Field,
    pub(crate) method: Field,
    pub(crate) name: Field,
    /// Those behind `mcp-param-`.
    params: Vec<(String, Field)>,
}

/// A header field that may stand there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field {
    #[default]
    Absent,
    Once(String),
    /// Several, or one that is no text: nobody could say what it means.
    Unclear,
}

impl Mirror {
    pub(crate) fn of(head: &Head<'_>) -> Self {
        let mut mirror = Self::default();
        for (name, value) in head.fields() {
            let Some(name) = name.strip_prefix(b"mcp-").and_then(|name| str::from_utf8(name).ok()) else {
                continue;
            };
            match (name, name.strip_prefix("param-")) {
                ("protocol-version", _) => mirror.version.add(value),
                ("method", _) => mirror.method.add(value),
                ("name", _) => mirror.name.add(value),
                (_, Some(param)) => match mirror.params.iter_mut().find(|(known, _)| known == param) {
                    Some((_, field)) => field.add(value),
                    None => {
                        let mut field = Field::Absent;
                        field.add(value);
                        mirror.params.push((param.into(), field));
                    }
                },
                (_, None) => {}
            }
        }
        mirror
    }

    /// Whether `mcp-param-<header>` repeats an argument, or is absent as it is.
    pub(crate) fn repeats(&self, header: &str, argument: Option<&Value>) -> bool {
        let field = self.params.iter().find(|(known, _)| known == header).map_or(&Field::Absent, |(_, f)| f);
        match (field, argument.filter(|value| !value.is_null())) {
            (Field::Absent, None) => true,
            (Field::Once(field), Some(argument)) => decoded(field).is_some_and(|text| says(&text, argument)),
            (Field::Absent | Field::Once(_) | Field::Unclear, _) => false,
        }
    }
}

impl Field {
    fn add(&mut self, value: &[u8]) {
        *self = match (&self, str::from_utf8(value)) {
            (Self::Absent, Ok(text)) => Self::Once(text.into()),
            (Self::Absent | Self::Once(_) | Self::Unclear, _) => Self::Unclear,
        };
    }

    /// Whether it is there once, and says `text` as it stands.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self, Self::Once(field) if field == text)
    }

    /// Whether it is there once, and says `text` when it is decoded.
    pub(crate) fn means(&self, text: &str) -> bool {
        matches!(self, Self::Once(field) if decoded(field).as_deref() == Some(text))
    }
}

/// A value that may be written `=?base64?…?=`.
fn decoded(value: &str) -> Option<String> {
    let Some(inside) = value.strip_prefix("=?base64?").and_then(|value| value.strip_suffix("?=")) else {
        return Some(value.into());
    };
    // Only the canonical form is read: trailing bits that are not zero are refused.
    String::from_utf8(STANDARD.decode(inside).ok()?).ok()
}

fn says(text: &str, argument: &Value) -> bool {
    match argument {
        Value::String(value) => value == text,
        Value::Bool(value) => text == if *value { "true" } else { "false" },
        Value::Number(number) => {
            let whole = text.trim_end_matches('0').strip_suffix('.').unwrap_or(text);
            number.to_string() == text
                || (whole.parse::<i64>().is_ok() && number.as_f64() == whole.parse().ok())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mirror(fields: &[(&str, &str)]) -> Mirror {
        Mirror::of(&Head::new(fields, true))
    }

    #[test]
    fn an_argument_and_its_header_agree_or_are_both_absent() {
        for (field, argument, expected) in [
            (Some("eu"), Some(json!("eu")), true),
            (Some("=?base64?5L2g5aW9?="), Some(json!("你好")), true),
            (Some("=?base64?5L2g5aW?="), Some(json!("你好")), false),
            (Some("=?base64?////?="), Some(json!("x")), false),
            (Some("42"), Some(json!(42)), true),
            (Some("42.0"), Some(json!(42)), true),
            (Some("42"), Some(json!(42.0)), true),
            (Some("43"), Some(json!(42)), false),
            (Some("4.2e1"), Some(json!(42)), false),
            (Some("9007199254740993"), Some(json!(9007199254740993_i64)), true),
            (Some("true"), Some(json!(true)), true),
            (Some("True"), Some(json!(true)), false),
            (Some("eu"), None, false),
            (Some("eu"), Some(Value::Null), false),
            (None, Some(json!("eu")), false),
            (None, None, true),
            (None, Some(Value::Null), true),
        ] {
            let fields: Vec<_> = field.map(|value| ("mcp-param-region", value)).into_iter().collect();
            assert_eq!(
                mirror(&fields).repeats("region", argument.as_ref()),
                expected,
                "{field:?} {argument:?}"
            );
        }
    }

    #[test]
    fn a_field_that_stands_there_twice_says_nothing() {
        let twice = mirror(&[
            ("mcp-method", "ping"),
            ("mcp-method", "ping"),
            ("mcp-param-a", "1"),
            ("mcp-param-a", "1"),
        ]);
        assert_eq!(twice.method, Field::Unclear);
        assert!(
            !twice.method.is("ping") && !twice.repeats("a", Some(&json!(1))) && !twice.repeats("a", None)
        );
    }
}
