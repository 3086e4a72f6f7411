//! Prompts for people to choose.

use serde_json::{Map, Value, json};
use weir_schema::mcp::{Message, Prompt, Role, Variable};
use weir_template::Data;

use crate::{LoadError, Scope, Text, Unfit};

/// A prompt, checked.
#[derive(Clone, Debug)]
pub struct PromptPlan {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it needs to know.
    pub arguments: Vec<Variable>,
    messages: Vec<(Role, Text)>,
    listed: String,
}

impl PromptPlan {
    /// Checks a prompt.
    ///
    /// # Errors
    ///
    /// The first field that is wrong.
    pub fn of(prompt: Prompt) -> Result<Self, LoadError> {
        let Prompt { name, title, description, arguments, messages } = prompt;
        let args = arguments.iter().map(|argument| argument.name.as_str()).collect();
        let scope = Scope { args, steps: None, item: false };
        let message = |(at, message): (usize, &Message)| {
            let text = Text::parse(&message.text.0, &scope);
            Ok((message.role, text.map_err(|error| error.within(&format!("messages[{at}].text")))?))
        };
        let messages = messages.iter().enumerate().map(message).collect::<Result<_, LoadError>>()?;
        let mut listed = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
        let texts = [("title", &title), ("description", &description)];
        listed
            .extend(texts.into_iter().filter_map(|(key, text)| Some((key.into(), text.as_deref()?.into()))));
        if !arguments.is_empty() {
            listed.insert("arguments".into(), arguments.iter().map(described).collect());
        }
        let listed = Value::Object(listed).to_string();
        Ok(Self { name, description, arguments, messages, listed })
    }

    /// How it is listed, as JSON.
    pub fn listed(&self) -> &str {
        &self.listed
    }

    /// The prompt's result: its messages with what is given.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn filled(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Unfit> {
        let invalid = |message| Unfit::Other(message);
        let mut filled = Map::new();
        for argument in &self.arguments {
            let name = argument.name.as_str();
            match given.get(name) {
                Some(Value::String(text)) => filled.insert(name.into(), Value::from(text.as_str())),
                Some(_) => return Err(invalid(format!("\"{name}\" must be a string"))),
                None if argument.required => return Err(invalid(format!("\"{name}\" is required"))),
                None => filled.insert(name.into(), Value::from("")),
            };
        }
        let data = Data::from(Value::Object(filled));
        let message = |(role, text): &(Role, Text)| {
            let role = match role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            Ok(json!({"role": role, "content": {"type": "text", "text": text.render(&data)?}}))
        };
        let messages = self.messages.iter().map(message).collect::<Result<_, Unfit>>()?;
        let mut result = Map::new();
        if let Some(description) = &self.description {
            result.insert("description".into(), description.as_str().into());
        }
        result.insert("messages".into(), Value::Array(messages));
        Ok(result)
    }
}

fn described(argument: &Variable) -> Value {
    let Variable { name, title, description, required, enum_values: _ } = argument;
    let mut described = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
    let texts = [("title", title), ("description", description)];
    described.extend(texts.into_iter().filter_map(|(key, text)| Some((key.into(), text.as_deref()?.into()))));
    described.insert("required".into(), Value::Bool(*required));
    Value::Object(described)
}
