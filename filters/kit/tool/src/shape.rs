//! Values checked against a JSON Schema: the part of it that arguments need.
//!
//! All that is wrong is found at once, since a model can only mend what it is told. A keyword that is not known here
//! asks for nothing.

mod coerce;
mod problem;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use problem::{MAX_PROBLEMS, Problems};

use problem::{listed, shown};

/// A JSON Schema, as far as values are checked.
pub type Schema = Map<String, Value>;

/// Whether a value of another type may be taken for the one that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// `"5"` is a number where one is wanted, and `null` is absent where nothing has to be there: what models write.
    Lenient,
    /// A value is what it is.
    Strict,
}

/// Checks a value and gives it back as it is meant.
///
/// # Errors
///
/// All that is wrong with it.
pub fn check(schema: &Schema, value: Value, strictness: Strictness) -> Result<Value, Problems> {
    let mut check = Check { strictness, problems: Problems::default() };
    let value = check.value(schema, value, &Path::Root, 0);
    if check.problems.is_empty() { Ok(value) } else { Err(check.problems) }
}

/// Where a value stands.
enum Path<'a> {
    Root,
    Member(&'a Self, &'a str),
    Item(&'a Self, usize),
}

struct Check {
    strictness: Strictness,
    problems: Problems,
}

impl Check {
    fn value(&mut self, schema: &Schema, value: Value, path: &Path<'_>, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            self.wrong(path, format!("is nested deeper than {MAX_DEPTH}"));
            return value;
        }
        let value = match self.strictness {
            Strictness::Lenient => coerce::coerce(schema, value),
            Strictness::Strict => value,
        };
        if !coerce::types(schema).is_none_or(|mut types| types.any(|kind| coerce::is(kind, &value))) {
            let wanted: Vec<_> = coerce::types(schema).into_iter().flatten().map(coerce::article).collect();
            self.wrong(path, format!("must be {} (got {})", wanted.join(" or "), shown(&value)));
            return value;
        }
        self.allowed(schema, &value, path);
        match value {
            Value::Object(members) => Value::Object(self.members(schema, members, path, depth)),
            Value::Array(items) => Value::Array(self.items(schema, items, path, depth)),
            Value::Number(ref number) => {
                self.bounds(schema, number.as_f64().unwrap_or(f64::NAN), path);
                value
            }
            Value::String(ref text) => {
                self.size(schema, ["minLength", "maxLength"], text.chars().count(), "characters", path);
                value
            }
            Value::Null | Value::Bool(_) => value,
        }
    }

    fn allowed(&mut self, schema: &Schema, value: &Value, path: &Path<'_>) {
        let same = |allowed: &Value| equal(allowed, value);
        if let Some(Value::Array(values)) = schema.get("enum")
            && !values.iter().any(same)
        {
            self.wrong(path, format!("must be one of {} (got {})", listed(values), shown(value)));
        }
        if let Some(only) = schema.get("const").filter(|only| !same(only)) {
            self.wrong(path, format!("must be {} (got {})", shown(only), shown(value)));
        }
    }

    fn members(
        &mut self,
        schema: &Schema,
        members: Map<String, Value>,
        path: &Path<'_>,
        depth: usize,
    ) -> Map<String, Value> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|known| known.as_str() == Some(name)));
        let mut checked = Map::new();
        for (name, value) in members {
            let known = properties.and_then(|properties| properties.get(&name));
            let at = Path::Member(path, &name);
            let absent = self.strictness == Strictness::Lenient
                && value.is_null()
                && known.is_none_or(|known| !coerce::takes_null(known));
            if absent && !is_required(&name) {
                continue;
            }
            let value = match (known, schema.get("additionalProperties")) {
                (Some(Value::Object(of)), _) | (None, Some(Value::Object(of))) => {
                    self.value(of, value, &at, depth.saturating_add(1))
                }
                (None, Some(Value::Bool(false))) => {
                    self.wrong(&at, "is unknown".into());
                    continue;
                }
                (Some(_), _) | (None, _) => value,
            };
            checked.insert(name, value);
        }
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !checked.contains_key(name) {
                self.wrong(&Path::Member(path, name), "is required".into());
            }
        }
        checked
    }

    fn items(&mut self, schema: &Schema, items: Vec<Value>, path: &Path<'_>, depth: usize) -> Vec<Value> {
        let unbounded = !schema.contains_key("maxItems") && self.strictness == Strictness::Lenient;
        if unbounded && items.len() > MAX_ITEMS {
            self.wrong(path, format!("has more than {MAX_ITEMS} items"));
            return items;
        }
        self.size(schema, ["minItems", "maxItems"], items.len(), "items", path);
        let Some(Value::Object(of)) = schema.get("items") else { return items };
        let item = |(at, item)| self.value(of, item, &Path::Item(path, at), depth.saturating_add(1));
        items.into_iter().enumerate().map(item).collect()
    }

    fn bounds(&mut self, schema: &Schema, number: f64, path: &Path<'_>) {
        let bound = |name: &str| schema.get(name).and_then(|bound| Some((bound.as_f64()?, bound)));
        if let Some((_, least)) = bound("minimum").filter(|(bound, _)| number < *bound) {
            self.wrong(path, format!("must be at least {least} (got {number})"));
        }
        if let Some((_, most)) = bound("maximum").filter(|(bound, _)| number > *bound) {
            self.wrong(path, format!("must be at most {most} (got {number})"));
        }
    }

    fn size(&mut self, schema: &Schema, names: [&str; 2], size: usize, unit: &str, path: &Path<'_>) {
        let [least, most] = names.map(|name| schema.get(name).and_then(Value::as_u64));
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        if let Some(least) = least.filter(|least| size < *least) {
            self.wrong(path, format!("must have at least {least} {unit} (got {size})"));
        }
        if let Some(most) = most.filter(|most| size > *most) {
            self.wrong(path, format!("must have at most {most} {unit} (got {size})"));
        }
    }

    fn wrong(&mut self, path: &Path<'_>, problem: String) {
        self.problems.push(format!("\"{}\" {problem}", path.text()));
    }
}

impl Path<'_> {
    fn text(&self) -> String {
        match self {
            Self::Root => "arguments".into(),
            Self::Member(Self::Root, name) => problem::cut(name),
            Self::Member(parent, name) => format!("{}.{}", parent.text(), problem::cut(name)),
            Self::Item(parent, at) => format!("{}[{at}]", parent.text()),
        }
    }
}

/// Whether two values are the same to JSON Schema: `1` and `1.0` are.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

/// How deep a value may nest.
const MAX_DEPTH: usize = 32;
/// How many items an array of a schema without `maxItems` may have.
const MAX_ITEMS: usize = 1000;
