//! JSON Schema, as much of it as can be checked at once and in bounded time.

mod check;
mod parse;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

/// What a value has to be like.
///
/// Source: JSON Schema 2020-12. `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`,
/// `minProperties`, `maxProperties`, `items`, `minItems`, `maxItems`, `uniqueItems`, `minLength`, `maxLength`, the four
/// limits of numbers, `anyOf` and `allOf` are checked; annotations, `format` among them, are passed over; everything else
/// is refused when a shape is read, so that no rule is taken for checked that is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape(Box<Rules>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Rules {
    never: bool,
    kinds: Option<BTreeSet<Kind>>,
    one_of: Option<Vec<Value>>,
    properties: BTreeMap<String, Shape>,
    required: Vec<String>,
    additional: Option<Shape>,
    members: Bounds,
    items: Option<Shape>,
    length: Bounds,
    unique: bool,
    characters: Bounds,
    minimum: Option<Number>,
    exclusive_minimum: Option<Number>,
    maximum: Option<Number>,
    exclusive_maximum: Option<Number>,
    any_of: Vec<Shape>,
    all_of: Vec<Shape>,
}

/// A type of JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// How many there may be of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    least: Option<usize>,
    most: Option<usize>,
}

/// A schema that cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidShape {
    /// Where in the schema: `properties.name.type`.
    pub at: String,
    /// What is wrong there.
    pub problem: ShapeProblem,
}

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShapeProblem {
    /// The keyword is not among those that are checked.
    Unsupported,
    /// The keyword's value is not what JSON Schema wants there.
    Invalid,
    /// Schemas nest too deep.
    TooDeep,
}

/// Something about a value that does not fit its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where in the value: `reply_list[3].text`. Empty for the value itself.
    pub at: String,
    /// What is wrong there.
    pub problem: String,
}

impl Shape {
    /// Reads a schema.
    ///
    /// # Errors
    ///
    /// The first keyword that is unknown, wrong, or not checked here.
    pub fn parse(schema: &Map<String, Value>) -> Result<Self, InvalidShape> {
        parse::parse(schema)
    }

    /// What is wrong with a value: all of it, up to a number that is enough to mend it by.
    #[must_use]
    pub fn check(&self, value: &Value) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        check::check(&self.0, value, &mut String::new(), &mut misfits);
        misfits
    }

    /// Whether the schema names this member of an object.
    #[must_use]
    pub fn declares(&self, name: &str) -> bool {
        self.0.properties.contains_key(name)
    }
}

impl fmt::Display for InvalidShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(match self.problem {
            ShapeProblem::Unsupported => "this keyword of JSON Schema is not supported",
            ShapeProblem::Invalid => "JSON Schema has another kind of value here",
            ShapeProblem::TooDeep => "the schema nests too deep",
        })
    }
}

impl core::error::Error for InvalidShape {}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{} {}", self.at, self.problem)
        }
    }
}
