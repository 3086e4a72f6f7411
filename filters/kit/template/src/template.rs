use std::collections::BTreeSet;

use handlebars::template::Template as Built;
use handlebars::{Context, Handlebars, RenderContext, Renderable};
use serde_json::Value;

use crate::lower::lower;
use crate::sink::Sink;
use crate::{Engine, MAX_SOURCE_BYTES, Position, RenderError, RenderProblem, TemplateError, TemplateProblem};
use crate::{block, function, go, native};

/// A template that has been read and checked.
#[derive(Clone, Debug)]
pub struct Template {
    built: Built,
    functions: Handlebars<'static>,
    variables: BTreeSet<String>,
    reads_all: bool,
    paths: Paths,
}

/// What a template is filled with.
#[derive(Clone, Debug)]
pub struct Data(Context);

/// How much a template may do with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes it may write.
    pub output_bytes: usize,
    /// How often it may begin a repeated block, all its blocks together.
    pub iterations: usize,
}

/// What a front end has read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) nodes: Vec<crate::node::Node>,
    pub(crate) variables: BTreeSet<String>,
    pub(crate) reads_all: bool,
    pub(crate) paths: Paths,
}

/// The paths of a template as they are written, and where: handlebars does not say which of them has failed.
pub(crate) type Paths = Vec<(String, Position)>;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// The first mistake, with its place.
    pub fn parse(source: &str, engine: Engine) -> Result<Self, TemplateError> {
        if source.len() > MAX_SOURCE_BYTES {
            let problem = TemplateProblem::TooLong { limit: MAX_SOURCE_BYTES };
            return Err(TemplateError { position: Position::of(source, 0), problem });
        }
        let parsed = match engine {
            Engine::Go => go::parse(source)?,
            Engine::Handlebars => native::parse(source)?,
        };
        Ok(Self {
            built: lower(parsed.nodes),
            functions: functions(),
            variables: parsed.variables,
            reads_all: parsed.reads_all,
            paths: parsed.paths,
        })
    }

    /// Fills the template.
    ///
    /// # Errors
    ///
    /// The first part of the template that the data does not fit, or a limit.
    pub fn render(&self, data: &Data, limits: Limits) -> Result<String, RenderError> {
        self.render_into(data, Sink::new(limits, None))
    }

    /// Fills the template and leaves it to `encode` how a value is written: it is given each value as it would
    /// stand, and what has been written before it, and writes behind that. The template's own text is not encoded.
    ///
    /// # Errors
    ///
    /// As [`Template::render`].
    pub fn render_encoded(
        &self,
        data: &Data,
        limits: Limits,
        encode: &mut dyn FnMut(&str, &mut String),
    ) -> Result<String, RenderError> {
        self.render_into(data, Sink::new(limits, Some(encode)))
    }

    /// The members of the data that the template names, as far as they can be told without data: what it finds by
    /// walking through its own blocks is not among them.
    #[must_use]
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// Whether the template takes the data as a whole, `{{ . }}`, beside the members it names.
    #[must_use]
    pub fn reads_all(&self) -> bool {
        self.reads_all
    }

    fn render_into(&self, data: &Data, mut sink: Sink<'_>) -> Result<String, RenderError> {
        let mut scope = RenderContext::new(None);
        self.built
            .render(&self.functions, &data.0, &mut scope, &mut sink)
            .map_err(|error| self.located(RenderError::from_engine(&error)))?;
        Ok(sink.into_text())
    }

    /// Adds the place of the first path with the field that an array does not have.
    fn located(&self, error: RenderError) -> RenderError {
        let (None, RenderProblem::NoField { name }) = (error.position, &error.problem) else { return error };
        let has = |path: &str| path.split(['.', '/']).skip(1).any(|part| part == name);
        let position = self.paths.iter().find(|(path, _)| has(path)).map(|(_, position)| *position);
        RenderError { position, ..error }
    }
}

impl Data {
    /// The data.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.0.data()
    }
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        Self(Context::from(value))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes: 1024 * 1024, iterations: 100_000 }
    }
}

/// All that a template can call, and none of what handlebars brings along.
fn functions() -> Handlebars<'static> {
    let mut functions = Handlebars::new();
    for builtin in BUILTIN {
        functions.unregister_helper(builtin);
    }
    functions.set_strict_mode(true);
    block::register(&mut functions);
    function::register(&mut functions);
    functions
}

/// What handlebars registers by itself and no function of ours replaces.
const BUILTIN: [&str; 6] = ["gte", "log", "lookup", "lte", "raw", "unless"];
