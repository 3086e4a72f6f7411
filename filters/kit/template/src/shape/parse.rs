use serde_json::{Map, Number, Value};

use super::{Bounds, InvalidShape, Kind, Rules, Shape, ShapeProblem};

pub(super) fn parse(schema: &Map<String, Value>) -> Result<Shape, InvalidShape> {
    read(schema, &mut Vec::new())
}

fn read(schema: &Map<String, Value>, at: &mut Vec<String>) -> Result<Shape, InvalidShape> {
    if at.len() > MAX_DEPTH {
        return Err(wrong(at, ShapeProblem::TooDeep));
    }
    let mut rules = Rules::default();
    for (keyword, value) in schema {
        at.push(keyword.clone());
        keyword_of(&mut rules, keyword, value, at)?;
        at.pop();
    }
    Ok(Shape(Box::new(rules)))
}

fn keyword_of(
    rules: &mut Rules,
    keyword: &str,
    value: &Value,
    at: &mut Vec<String>,
) -> Result<(), InvalidShape> {
    let invalid = |at: &[String]| wrong(at, ShapeProblem::Invalid);
    match keyword {
        "type" => {
            let names = value.as_array().map_or_else(|| vec![value], |names| names.iter().collect());
            let kinds = names.into_iter().map(|name| name.as_str().and_then(kind_named));
            rules.kinds = Some(kinds.collect::<Option<_>>().ok_or_else(|| invalid(at))?);
        }
        "enum" => rules.one_of = Some(value.as_array().ok_or_else(|| invalid(at))?.clone()),
        "const" => rules.one_of = Some(vec![value.clone()]),
        "properties" => {
            for (name, schema) in value.as_object().ok_or_else(|| invalid(at))? {
                at.push(name.clone());
                rules.properties.insert(name.clone(), any(schema, at)?);
                at.pop();
            }
        }
        "required" => {
            let names = value.as_array().ok_or_else(|| invalid(at))?.iter();
            let names = names.map(|name| name.as_str().map(ToOwned::to_owned));
            rules.required = names.collect::<Option<_>>().ok_or_else(|| invalid(at))?;
        }
        "additionalProperties" => rules.additional = Some(any(value, at)?),
        "items" => rules.items = Some(any(value, at)?),
        "minProperties" => rules.members.least = Some(count(value, at)?),
        "maxProperties" => rules.members.most = Some(count(value, at)?),
        "minItems" => rules.length = Bounds { least: Some(count(value, at)?), ..rules.length },
        "maxItems" => rules.length = Bounds { most: Some(count(value, at)?), ..rules.length },
        "uniqueItems" => rules.unique = value.as_bool().ok_or_else(|| invalid(at))?,
        "minLength" => rules.characters.least = Some(count(value, at)?),
        "maxLength" => rules.characters.most = Some(count(value, at)?),
        "minimum" => rules.minimum = Some(number(value, at)?),
        "maximum" => rules.maximum = Some(number(value, at)?),
        "exclusiveMinimum" => rules.exclusive_minimum = Some(number(value, at)?),
        "exclusiveMaximum" => rules.exclusive_maximum = Some(number(value, at)?),
        "anyOf" => rules.any_of = several(value, at)?,
        "allOf" => rules.all_of = several(value, at)?,
        _ if ANNOTATIONS.contains(&keyword) => {}
        _ => return Err(wrong(at, ShapeProblem::Unsupported)),
    }
    Ok(())
}

/// A schema where one can be `true` or `false` too.
fn any(schema: &Value, at: &mut Vec<String>) -> Result<Shape, InvalidShape> {
    match schema {
        Value::Bool(may_be) => Ok(Shape(Box::new(Rules { never: !may_be, ..Rules::default() }))),
        Value::Object(schema) => read(schema, at),
        _ => Err(wrong(at, ShapeProblem::Invalid)),
    }
}

fn several(value: &Value, at: &mut Vec<String>) -> Result<Vec<Shape>, InvalidShape> {
    let schemas = value.as_array().filter(|schemas| !schemas.is_empty());
    schemas.ok_or_else(|| wrong(at, ShapeProblem::Invalid))?.iter().map(|schema| any(schema, at)).collect()
}

fn count(value: &Value, at: &[String]) -> Result<usize, InvalidShape> {
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| wrong(at, ShapeProblem::Invalid))
}

fn number(value: &Value, at: &[String]) -> Result<Number, InvalidShape> {
    value.as_number().cloned().ok_or_else(|| wrong(at, ShapeProblem::Invalid))
}

fn kind_named(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "string" => Kind::String,
        "array" => Kind::Array,
        "object" => Kind::Object,
        _ => return None,
    })
}

fn wrong(at: &[String], problem: ShapeProblem) -> InvalidShape {
    InvalidShape { at: at.join("."), problem }
}

/// Keywords that say something to people only.
const ANNOTATIONS: [&str; 11] = [
    "$comment",
    "$id",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "format",
    "readOnly",
    "title",
    "writeOnly",
];

/// How many names and keywords may stand around one.
const MAX_DEPTH: usize = 64;
