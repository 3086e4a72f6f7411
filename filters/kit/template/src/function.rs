//! What a template can call.

mod compare;
mod object;

use core::cmp::Ordering;

pub(crate) use compare::numbers;

use compare::compare;
use handlebars::template::TemplateElement;
use handlebars::{
    Context, Handlebars, Helper, HelperDef, PathAndJson, RenderContext, RenderError, ScopedJson,
};
use serde_json::Value;

use crate::Position;
use crate::fault::RenderProblem;
use crate::sink::Bounded;

/// A function, by the name that templates know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Len,
    Jsonify,
    MakeJsonObject,
    SliceToIndexMap,
    Index,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Not,
}

/// The helper that takes parts of a result. No function has its name.
pub(crate) const FIELD: &str = "field of";

/// How many bytes of JSON `jsonify` may make of one value, so that nested calls cannot double them without end.
const MAX_JSON_BYTES: usize = 16 * 1024 * 1024;

/// Makes the functions known.
pub(crate) fn register(functions: &mut Handlebars<'_>) {
    functions.register_helper(FIELD, Box::new(Field));
    for function in Function::ALL {
        functions.register_helper(function.name(), Box::new(function));
    }
}

impl Function {
    pub(crate) const ALL: [Self; 14] = [
        Self::Len,
        Self::Jsonify,
        Self::MakeJsonObject,
        Self::SliceToIndexMap,
        Self::Index,
        Self::Eq,
        Self::Ne,
        Self::Lt,
        Self::Le,
        Self::Gt,
        Self::Ge,
        Self::And,
        Self::Or,
        Self::Not,
    ];

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Len => "len",
            Self::Jsonify => "jsonify",
            Self::MakeJsonObject => "make_json_object",
            Self::SliceToIndexMap => "slice_to_index_map",
            Self::Index => "index",
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
        }
    }

    /// What is wrong with a number of arguments: how many there should be.
    pub(crate) fn refuses(self, arguments: usize) -> Option<&'static str> {
        let (fits, takes) = match self {
            Self::Len | Self::Jsonify | Self::Not => (arguments == 1, "one argument"),
            Self::MakeJsonObject => (arguments.is_multiple_of(2), "a value for every key"),
            Self::SliceToIndexMap => (matches!(arguments, 1 | 2), "an array and, if need be, a number"),
            Self::Index => (arguments >= 2, "a value and the way into it"),
            Self::Eq => (arguments >= 2, "two arguments or more"),
            Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge => (arguments == 2, "two arguments"),
            Self::And | Self::Or => (arguments >= 1, "one argument or more"),
        };
        (!fits).then_some(takes)
    }
}

impl HelperDef for Function {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        functions: &'reg Handlebars<'reg>,
        data: &'rc Context,
        scope: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let failed = |problem: RenderProblem| problem.at(position(helper));
        match self {
            Self::And => first(helper, functions, data, scope, |value| !is_truthy(value)),
            Self::Or => first(helper, functions, data, scope, is_truthy),
            Self::Not => {
                let value = helper.param(1).is_some_and(|argument| is_truthy(argument.value()));
                Ok(ScopedJson::Derived(Value::Bool(!value)))
            }
            Self::Index => index(helper, data),
            Self::Len => length(argument(helper, 0)?.value()).map(derived).map_err(failed),
            Self::Jsonify => json(argument(helper, 0)?.value()).map(derived).map_err(failed),
            Self::MakeJsonObject => object::make_json_object(&values(helper)?).map(derived).map_err(failed),
            Self::SliceToIndexMap => {
                object::slice_to_index_map(&values(helper)?).map(derived).map_err(failed)
            }
            Self::Eq => compare(*self, &values(helper)?, Ordering::is_eq).map(derived).map_err(failed),
            Self::Ne => compare(*self, &values(helper)?, Ordering::is_ne).map(derived).map_err(failed),
            Self::Lt => compare(*self, &values(helper)?, Ordering::is_lt).map(derived).map_err(failed),
            Self::Le => compare(*self, &values(helper)?, Ordering::is_le).map(derived).map_err(failed),
            Self::Gt => compare(*self, &values(helper)?, Ordering::is_gt).map(derived).map_err(failed),
            Self::Ge => compare(*self, &values(helper)?, Ordering::is_ge).map(derived).map_err(failed),
        }
    }
}

/// `(...).a.b`: members of a result. One that is not there is not set, as with any variable.
struct Field;

impl HelperDef for Field {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        data: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let Some(base) = helper.param(1) else { return Ok(ScopedJson::Missing) };
        let mut part = scoped(base, data);
        for name in helper.params().iter().skip(2).filter_map(|name| name.value().as_str()) {
            if let Value::Array(_) = part.as_json() {
                let name = name.to_owned();
                return Err(RenderProblem::NoField { name }.at(position(helper)));
            }
            part = inside(part, data, name, |value| value.get(name));
        }
        Ok(part)
    }
}

/// Argument number `index` of a call, which has to be set.
pub(crate) fn argument<'a, 'rc>(
    helper: &'a Helper<'rc>,
    index: usize,
) -> Result<&'a PathAndJson<'rc>, RenderError> {
    // The first parameter is the place.
    let argument = helper.param(index.saturating_add(1)).filter(|argument| !argument.is_value_missing());
    argument.ok_or_else(|| {
        let asked = helper.param(index.saturating_add(1)).and_then(PathAndJson::relative_path);
        RenderProblem::NotSet { name: asked.cloned().unwrap_or_default() }.at(position(helper))
    })
}

/// Where a call stands in the template.
pub(crate) fn position(helper: &Helper<'_>) -> Option<Position> {
    Position::from_json(helper.param(0)?.value())
}

/// Whether a condition holds: empty values, zero, `false` and null do not.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// What an error calls a value.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn values<'a>(helper: &'a Helper<'_>) -> Result<Vec<&'a Value>, RenderError> {
    let count = helper.params().len().saturating_sub(1);
    (0..count).map(|index| argument(helper, index).map(PathAndJson::value)).collect()
}

fn derived<'rc>(value: Value) -> ScopedJson<'rc> {
    ScopedJson::Derived(value)
}

/// The first argument that `decides`, else the last one. Those behind it are not looked at, so they may take for
/// granted what it says; one that is not set counts as null.
fn first<'reg: 'rc, 'rc>(
    helper: &Helper<'rc>,
    functions: &'reg Handlebars<'reg>,
    data: &'rc Context,
    scope: &mut RenderContext<'reg, 'rc>,
    decides: impl Fn(&Value) -> bool,
) -> Result<ScopedJson<'rc>, RenderError> {
    let held = helper.template().and_then(|template| template.elements.first());
    let Some(TemplateElement::Expression(held)) = held else { return Ok(ScopedJson::Missing) };
    let mut last = ScopedJson::Missing;
    for argument in &held.params {
        last = scoped(&argument.expand(functions, data, scope)?, data);
        if decides(last.as_json()) {
            break;
        }
    }
    Ok(last)
}

fn index<'rc>(helper: &Helper<'rc>, data: &'rc Context) -> Result<ScopedJson<'rc>, RenderError> {
    let mut part = scoped(argument(helper, 0)?, data);
    for step in values(helper)?.into_iter().skip(1) {
        let failed = |problem: RenderProblem| problem.at(position(helper));
        part = match (part.as_json(), step) {
            (Value::Array(items), Value::Number(number)) => {
                let wrong = || RenderProblem::WrongType {
                    function: "index",
                    takes: "a whole number for an array",
                    found: "a fraction",
                };
                let number = number.as_i64().ok_or_else(|| failed(wrong()))?;
                let out_of_range = RenderProblem::OutOfRange { index: number, length: items.len() };
                let number = usize::try_from(number).ok().filter(|number| *number < items.len());
                let number = number.ok_or_else(|| failed(out_of_range))?;
                inside(part, data, &number.to_string(), |value| value.get(number))
            }
            (Value::Object(_), Value::String(key)) => inside(part, data, key, |value| value.get(key)),
            (Value::Array(_), other) => return Err(failed(wrong_step("a number for an array", other))),
            (Value::Object(_), other) => return Err(failed(wrong_step("a string for an object", other))),
            (other, _) => return Err(failed(wrong_step("an array or an object", other))),
        };
    }
    Ok(part)
}

fn wrong_step(takes: &'static str, found: &Value) -> RenderProblem {
    RenderProblem::WrongType { function: "index", takes, found: kind_of(found) }
}

/// A part of `whole`, without a copy where the data has it.
fn inside<'rc>(
    whole: ScopedJson<'rc>,
    data: &'rc Context,
    segment: &str,
    get: impl Fn(&Value) -> Option<&Value>,
) -> ScopedJson<'rc> {
    match whole {
        ScopedJson::Context(value, mut path) => match get(value) {
            Some(part) => {
                path.push(segment.to_owned());
                at_path(data, path).unwrap_or_else(|| ScopedJson::Derived(part.clone()))
            }
            None => ScopedJson::Missing,
        },
        ScopedJson::Constant(value) => get(value).map_or(ScopedJson::Missing, ScopedJson::Constant),
        ScopedJson::Derived(value) => get(&value).cloned().map_or(ScopedJson::Missing, ScopedJson::Derived),
        ScopedJson::Missing => ScopedJson::Missing,
    }
}

/// An argument as a result, without a copy where the data or the template has it.
fn scoped<'rc>(argument: &PathAndJson<'rc>, data: &'rc Context) -> ScopedJson<'rc> {
    if argument.is_value_missing() {
        return ScopedJson::Missing;
    }
    if let Some(constant) = argument.try_get_constant_value() {
        return ScopedJson::Constant(constant);
    }
    let found = argument.context_path().and_then(|path| at_path(data, path.clone()));
    found.unwrap_or_else(|| ScopedJson::Derived(argument.value().clone()))
}

fn at_path(data: &Context, path: Vec<String>) -> Option<ScopedJson<'_>> {
    let value = path.iter().try_fold(data.data(), |value, segment| match value {
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        value => value.get(segment.as_str()),
    })?;
    Some(ScopedJson::Context(value, path))
}

/// A string has characters, not bytes.
fn length(value: &Value) -> Result<Value, RenderProblem> {
    match value {
        Value::String(text) => Ok(Value::from(text.chars().count())),
        Value::Array(items) => Ok(Value::from(items.len())),
        Value::Object(members) => Ok(Value::from(members.len())),
        Value::Null | Value::Bool(_) | Value::Number(_) => Err(RenderProblem::WrongType {
            function: "len",
            takes: "a string, an array or an object",
            found: kind_of(value),
        }),
    }
}

fn json(value: &Value) -> Result<Value, RenderProblem> {
    let mut text = String::new();
    let mut bounded = Bounded { text: &mut text, limit: MAX_JSON_BYTES };
    core::fmt::write(&mut bounded, format_args!("{value}"))
        .map_err(|_| RenderProblem::TooLong { limit: MAX_JSON_BYTES })?;
    Ok(Value::String(text))
}
