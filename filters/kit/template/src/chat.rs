//! Chat templates: variables in, the request of a chat completion out, and what the caller gets of the answer.
//!
//! The request is built of values and written by a JSON encoder, so that no variable can end a string of it.

mod answer;
mod refusal;
mod request;

use core::fmt;

use serde_json::{Map, Value};
use weir_schema::chat_template::{ChatTemplate, Mode, Role, Streaming};

use crate::{InvalidShape, Shape, Template, TemplateError};

pub use refusal::Refusal;
pub use request::Request;

/// A chat template that has been read and checked.
#[derive(Clone, Debug)]
pub struct Chat {
    options: ChatTemplate,
    messages: Vec<(Role, Template)>,
    variables: Option<Shape>,
    answer: Option<Shape>,
}

/// A chat template that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidChat {
    /// The option: `messages[0].content`.
    pub field: String,
    /// What is wrong with it.
    pub problem: ChatProblem,
}

/// What is wrong with a chat template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatProblem {
    /// Its text is no template.
    Template(TemplateError),
    /// Its schema cannot be checked.
    Schema(InvalidShape),
    /// It says nothing.
    NoMessage,
    /// It says what is said in two ways.
    TwoPrompts,
    /// The parameter is one that the template itself writes.
    OwnParameter,
    /// A text or a JSON document cannot be streamed.
    Streamed,
    /// A schema for an answer that is not JSON.
    SchemaWithoutJson,
}

impl Chat {
    /// Reads and checks a template.
    ///
    /// # Errors
    ///
    /// The first option that is wrong.
    pub fn new(options: ChatTemplate) -> Result<Self, InvalidChat> {
        let messages = messages(&options)?;
        let own = |name: &&String| OWN.contains(&name.as_str());
        if let Some(name) = options.params.keys().find(own) {
            return Err(wrong(format!("params.{name}"), ChatProblem::OwnParameter));
        }
        if let Some(name) = options.allow_params.iter().find(own) {
            return Err(wrong(format!("allow_params.{name}"), ChatProblem::OwnParameter));
        }
        let mode = options.response.mode;
        if options.stream == Streaming::Always && mode != Mode::Openai {
            return Err(wrong("stream", ChatProblem::Streamed));
        }
        if options.response.schema.is_some() && mode != Mode::Json {
            return Err(wrong("response.schema", ChatProblem::SchemaWithoutJson));
        }
        let variables = shape("variables_schema", options.variables_schema.as_ref())?;
        let answer = shape("response.schema", options.response.schema.as_ref())?;
        Ok(Self { options, messages, variables, answer })
    }

    /// What the template was made of.
    #[must_use]
    pub fn options(&self) -> &ChatTemplate {
        &self.options
    }

    /// Whether the caller gets another answer than the model gives.
    #[must_use]
    pub fn reshapes(&self) -> bool {
        self.options.response.mode != Mode::Openai
    }
}

fn messages(options: &ChatTemplate) -> Result<Vec<(Role, Template)>, InvalidChat> {
    let prompts = [
        ("system_template", Role::System, &options.system_template),
        ("prompt_template", Role::User, &options.prompt_template),
    ];
    let prompts =
        prompts.into_iter().filter_map(|(field, role, text)| Some((field.to_owned(), role, text.as_ref()?)));
    let listed = options.messages.iter().enumerate();
    let listed =
        listed.map(|(nth, message)| (format!("messages[{nth}].content"), message.role, &message.content));
    let prompts: Vec<_> = prompts.collect();
    if !prompts.is_empty() && !options.messages.is_empty() {
        return Err(wrong("messages", ChatProblem::TwoPrompts));
    }
    if options.prompt_template.is_none() && options.messages.is_empty() {
        return Err(wrong("prompt_template", ChatProblem::NoMessage));
    }
    let read = |(field, role, text): (String, Role, &String)| match Template::parse(text, options.engine) {
        Ok(template) => Ok((role, template)),
        Err(error) => Err(wrong(field, ChatProblem::Template(error))),
    };
    prompts.into_iter().chain(listed).map(read).collect()
}

fn shape(field: &str, schema: Option<&Map<String, Value>>) -> Result<Option<Shape>, InvalidChat> {
    let read = |schema| Shape::parse(schema).map_err(|error| wrong(field, ChatProblem::Schema(error)));
    schema.map(read).transpose()
}

fn wrong(field: impl Into<String>, problem: ChatProblem) -> InvalidChat {
    InvalidChat { field: field.into(), problem }
}

impl fmt::Display for InvalidChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl core::error::Error for InvalidChat {}

impl fmt::Display for ChatProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Schema(error) => error.fmt(f),
            Self::NoMessage => f.write_str("a template needs a prompt_template or messages"),
            Self::TwoPrompts => {
                f.write_str("messages stand in place of prompt_template and system_template, not beside them")
            }
            Self::OwnParameter => f.write_str("the template writes this itself"),
            Self::Streamed => f.write_str("an answer whose form is changed is not streamed"),
            Self::SchemaWithoutJson => f.write_str("only an answer of the mode json has a schema"),
        }
    }
}

/// The name of a role in a message.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// What no parameter can be called.
const OWN: [&str; 6] = ["messages", "model", "n", "stream", "stream_options", "user"];
