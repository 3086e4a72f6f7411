//! Templates over arguments and results.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_template::{Data, Engine, Limits, RenderError, RenderProblem, Template};

use crate::{LoadError, Unfit};

/// A template that is rendered as text, or as a value if it is one action.
#[derive(Clone, Debug)]
pub struct Text(Source);

#[derive(Clone, Debug)]
enum Source {
    /// Without actions.
    Literal(String),
    Template(Box<Template>),
}

/// What a template may name.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a> {
    /// Arguments.
    pub args: BTreeSet<&'a str>,
    /// Steps, as `.steps.<name>`; `None` where there are no such.
    pub steps: Option<BTreeSet<&'a str>>,
    /// Whether there is an `.item`.
    pub item: bool,
}

impl Text {
    /// Reads a template that may name what is in `scope`.
    ///
    /// # Errors
    ///
    /// Where it is wrong, or what it names that is not there.
    pub fn parse(source: &str, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let text = Self::unscoped(source)?;
        let Source::Template(template) = &text.0 else { return Ok(text) };
        for name in template.variables() {
            if !scope.has(name) {
                return Err(LoadError::new("", format!("no argument is named \"{name}\"")));
            }
        }
        if let Some(steps) = &scope.steps
            && let Some(unknown) = named_steps(source).into_iter().find(|name| !steps.contains(name))
        {
            return Err(LoadError::new("", format!("no step is named \"{unknown}\"")));
        }
        Ok(text)
    }

    /// Reads a template over data that nobody knows before: the answer of an API.
    ///
    /// # Errors
    ///
    /// Where it is wrong.
    pub fn unscoped(source: &str) -> Result<Self, LoadError> {
        if !source.contains("{{") {
            return Ok(Self(Source::Literal(source.into())));
        }
        let template = Template::parse(source, Engine::Go).map_err(|error| LoadError::new("", error))?;
        Ok(Self(Source::Template(Box::new(template))))
    }

    /// Reads a template that is one action, for its value. `None`: it is something else.
    ///
    /// # Errors
    ///
    /// As [`Text::parse`].
    pub fn action(source: &str, scope: &Scope<'_>) -> Result<Option<Self>, LoadError> {
        let Some(action) = action(source) else { return Ok(None) };
        // Its own mistakes first, with their places.
        Self::parse(source, scope)?;
        Self::parse(&format!("{{{{ {action} | jsonify }}}}"), scope).map(Some)
    }

    /// The text, with each value as it prints.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn render(&self, data: &Data) -> Result<String, Unfit> {
        match &self.0 {
            Source::Literal(text) => Ok(text.clone()),
            Source::Template(template) => template.render(data, LIMITS).map_err(unfit),
        }
    }

    /// The text, with each value as `encode` writes it behind what stands there before.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn render_encoded(
        &self,
        data: &Data,
        encode: &mut dyn FnMut(&str, &mut String),
    ) -> Result<String, Unfit> {
        match &self.0 {
            Source::Literal(text) => Ok(text.clone()),
            Source::Template(template) => template.render_encoded(data, LIMITS, encode).map_err(unfit),
        }
    }

    /// The value of an [action](Self::action).
    ///
    /// # Errors
    ///
    /// What does not fit; [`Unfit::Absent`] if there is none.
    pub fn value(&self, data: &Data) -> Result<Value, Unfit> {
        serde_json::from_str(&self.render(data)?).map_err(|error| Unfit::Other(error.to_string()))
    }

    /// The members of the data that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let template = match &self.0 {
            Source::Literal(_) => None,
            Source::Template(template) => Some(template),
        };
        template.into_iter().flat_map(|template| template.variables()).map(String::as_str)
    }
}

impl Scope<'_> {
    fn has(&self, name: &str) -> bool {
        self.args.contains(name) || (name == STEPS && self.steps.is_some()) || (name == ITEM && self.item)
    }
}

/// What stands in `{{ }}`, if that is all there is.
pub(crate) fn action(source: &str) -> Option<&str> {
    let inside = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    if inside.contains("{{") || inside.contains("}}") {
        return None;
    }
    let inside = inside.strip_prefix("- ").unwrap_or(inside);
    let inside = inside.strip_suffix(" -").unwrap_or(inside).trim();
    (!inside.is_empty() && !inside.starts_with("/*")).then_some(inside)
}

/// The name of the variable that an action is, if it is that alone.
pub(crate) fn variable(action: &str) -> Option<&str> {
    let name = action.strip_prefix('.')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

/// The steps whose results a template names.
pub(crate) fn named_steps(source: &str) -> BTreeSet<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = |rest: &'_ str| rest.find(|c| !plain(c)).unwrap_or(rest.len());
    source.split(".steps.").skip(1).filter_map(|rest| rest.get(..name(rest))).collect()
}

/// A value as a template prints it.
pub(crate) fn printed(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn unfit(error: RenderError) -> Unfit {
    match error.problem {
        RenderProblem::NotSet { .. } => Unfit::Absent(error.to_string()),
        _ => Unfit::Other(error.to_string()),
    }
}

/// The member of the data that has the results of steps.
pub const STEPS: &str = "steps";
/// The member of the data that has the item of a repeated step.
pub const ITEM: &str = "item";

/// What one template may write: as much as an answer may have.
const LIMITS: Limits = Limits { output_bytes: 1024 * 1024, iterations: 10_000 };
