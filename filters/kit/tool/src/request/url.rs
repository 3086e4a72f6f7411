//! The path and query of a call.

use serde_json::Value;
use weir_schema::mcp::{Arg, ArgStyle};
use weir_template::Data;

use super::argument;
use crate::encode::{percent, percented};
use crate::template::{self, Scope, Text, printed};
use crate::{LoadError, Unfit};

/// A path and query, checked.
#[derive(Clone, Debug)]
pub(super) struct UrlPlan {
    path: Text,
    pairs: Vec<Pair>,
}

/// A part of a query.
#[derive(Clone, Debug)]
enum Pair {
    /// A template, which becomes this part as a whole.
    Written(Text),
    /// A key and a value, which is left out if it is absent.
    Value { key: String, value: Text, style: ArgStyle },
    /// An argument under its name.
    Arg { name: String, style: ArgStyle },
}

impl UrlPlan {
    pub(super) fn of(source: &str, scope: &Scope<'_>, args: &[Arg]) -> Result<Self, LoadError> {
        check_literals(source)?;
        let (path, query) = split_at(source, '?').unwrap_or((source, ""));
        if !path.starts_with('/') {
            return Err(LoadError::new("", "must begin with a slash"));
        }
        if path.split('/').any(|part| part == "." || part == "..") {
            return Err(LoadError::new("", "must have no part \".\" or \"..\""));
        }
        let path = Text::parse(&with_braces(path), scope)?;
        Ok(Self { path, pairs: pairs(query, scope, args)? })
    }

    pub(super) fn append(&mut self, arg: &Arg) {
        self.pairs.push(Pair::Arg { name: arg.name.as_str().into(), style: arg.style });
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let of_pair = |pair| match pair {
            &Pair::Written(ref text) | &Pair::Value { value: ref text, .. } => Some(text),
            Pair::Arg { .. } => None,
        };
        self.path.names().chain(self.pairs.iter().filter_map(of_pair).flat_map(Text::names))
    }

    pub(super) fn write(&self, data: &Data) -> Result<String, Unfit> {
        let mut empty = false;
        let mut url = self.path.render_encoded(data, &mut |value, into| {
            empty |= value.is_empty();
            percent(value, into);
        })?;
        if empty || url.split('/').any(|part| part == "." || part == "..") {
            return Err(Unfit::Other("a value in the path must not be empty, \".\" or \"..\"".into()));
        }
        let mut before = '?';
        for pair in &self.pairs {
            for pair in pair.write(data)? {
                url.push(before);
                url.push_str(&pair);
                before = '&';
            }
        }
        Ok(url)
    }
}

impl Pair {
    fn write(&self, data: &Data) -> Result<Vec<String>, Unfit> {
        match self {
            Self::Written(text) => text.render_encoded(data, &mut percent).map(|pair| vec![pair]),
            Self::Value { key, value, style } => match value.value(data) {
                Ok(value) => Ok(written(key, &value, *style)),
                Err(Unfit::Absent(_)) => Ok(Vec::new()),
                Err(unfit) => Err(unfit),
            },
            Self::Arg { name, style } => {
                Ok(argument(data, name)
                    .map_or_else(Vec::new, |value| written(&percented(name), value, *style)))
            }
        }
    }
}

/// A value under its key, which is encoded.
fn written(key: &str, value: &Value, style: ArgStyle) -> Vec<String> {
    let pair = |value: &str| format!("{key}={value}");
    match (value, style) {
        (Value::Array(items), _) if items.is_empty() => Vec::new(),
        (Value::Array(items), ArgStyle::Repeat) => {
            items.iter().map(|item| pair(&percented(&printed(item)))).collect()
        }
        (Value::Array(items), ArgStyle::Csv) => {
            let items: Vec<_> = items.iter().map(|item| percented(&printed(item))).collect();
            vec![pair(&items.join(","))]
        }
        (value, _) => vec![pair(&percented(&printed(value)))],
    }
}

/// The pairs of a query. A query that cannot be cut, as a block spans several pairs, is one template.
fn pairs(query: &str, scope: &Scope<'_>, args: &[Arg]) -> Result<Vec<Pair>, LoadError> {
    let mut pairs = Vec::new();
    let mut rest = Some(query).filter(|query| !query.is_empty());
    while let Some(source) = rest {
        let (one, tail) = split_at(source, '&').map_or((source, None), |(one, tail)| (one, Some(tail)));
        match pair(one, scope, args) {
            Ok(pair) => pairs.push(pair),
            Err(error) => {
                let whole = Text::parse(query, scope).map_err(|_| error)?;
                return Ok(vec![Pair::Written(whole)]);
            }
        }
        rest = tail;
    }
    Ok(pairs)
}

fn pair(source: &str, scope: &Scope<'_>, args: &[Arg]) -> Result<Pair, LoadError> {
    if let Some((key, value)) = source.split_once('=').filter(|(key, _)| !key.contains("{{"))
        && let Some(text) = Text::action(value, scope)?
    {
        let name = template::action(value).and_then(template::variable);
        let style = args.iter().find(|arg| Some(arg.name.as_str()) == name).map(|arg| arg.style);
        return Ok(Pair::Value { key: key.into(), value: text, style: style.unwrap_or_default() });
    }
    Text::parse(source, scope).map(Pair::Written)
}

/// Splits at the first `mark` that is in no action.
fn split_at(source: &str, mark: char) -> Option<(&str, &str)> {
    let mut at = 0;
    while let Some(rest) = source.get(at..) {
        let found = rest.find(mark)?;
        match rest.find("{{").filter(|action| *action < found) {
            Some(action) => {
                let end = rest.get(action..)?.find("}}")?;
                at = at.saturating_add(action).saturating_add(end).saturating_add(2);
            }
            None => {
                let (before, after) = source.split_at_checked(at.saturating_add(found))?;
                return Some((before, after.strip_prefix(mark)?));
            }
        }
    }
    None
}

/// The same path with `{name}` written as `{{ .name }}`.
fn with_braces(path: &str) -> String {
    let mut written = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        written.push_str(before);
        let one = after.split_once('}').filter(|(name, _)| template::variable(&format!(".{name}")).is_some());
        rest = match (one, after.strip_prefix('{')) {
            (Some((name, tail)), _) => {
                written.push_str(&format!("{{{{ .{name} }}}}"));
                tail
            }
            (None, Some(action)) => {
                let (inside, tail) = action.split_once("}}").unwrap_or((action, ""));
                written.push_str(&format!("{{{{{inside}}}}}"));
                tail
            }
            (None, None) => {
                written.push('{');
                after
            }
        };
    }
    written.push_str(rest);
    written
}

/// What stands around the actions must be a URL already.
fn check_literals(source: &str) -> Result<(), LoadError> {
    let mut rest = source;
    loop {
        let (literal, tail) = rest.split_once("{{").map_or((rest, None), |(one, tail)| (one, Some(tail)));
        if let Some(wrong) = literal.chars().find(|c| !c.is_ascii_graphic() || "#\"<>\\^`|".contains(*c)) {
            return Err(LoadError::new("", format!("{wrong:?} must be percent-encoded")));
        }
        match tail {
            Some(tail) => rest = tail.split_once("}}").map_or("", |(_, rest)| rest),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_in_an_action_splits_nothing() {
        assert_eq!(split_at("/a{{ b? }}c?d?e", '?'), Some(("/a{{ b? }}c", "d?e")));
        assert_eq!(split_at("/a{{ b? }}c", '?'), None);
        assert_eq!(split_at("/a{{ b?", '?'), None);
    }

    #[test]
    fn single_braces_are_variables_too() {
        assert_eq!(with_braces("/a/{b}/{{ .c }}/{d"), "/a/{{ .b }}/{{ .c }}/{d");
        assert_eq!(with_braces("/{a}{b}"), "/{{ .a }}{{ .b }}");
        assert_eq!(with_braces("/{a b}"), "/{a b}");
    }
}
