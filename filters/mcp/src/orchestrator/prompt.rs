//! Prompts for people to choose.

use serde_json::{Map, Value, json};
use weir_schema::mcp::{Message, Prompt, Role, Variable};
use weir_template::Data;
use weir_tool::{LoadError, Scope, Text};
use weir_wire::jsonrpc::RpcError;

use super::Answer;
use crate::era::Asked;

/// A prompt, checked.
#[derive(Debug)]
pub(crate) struct PromptPlan {
    pub(super) name: String,
    description: Option<String>,
    pub(super) arguments: Vec<Variable>,
    messages: Vec<(Role, Text)>,
    listed: String,
}

impl PromptPlan {
    pub(super) fn of(prompt: Prompt) -> Result<Self, LoadError> {
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

    pub(super) fn listed(&self) -> String {
        self.listed.clone()
    }

    pub(super) fn completes(&self) -> bool {
        self.arguments.iter().any(|argument| !argument.enum_values.is_empty())
    }

    fn filled(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, RpcError> {
        let invalid = |message| RpcError::new(RpcError::INVALID_PARAMS, message);
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
            let text = text.render(&data).map_err(|unfit| invalid(unfit.to_string()))?;
            Ok(json!({"role": role, "content": {"type": "text", "text": text}}))
        };
        let messages = self.messages.iter().map(message).collect::<Result<_, RpcError>>()?;
        let mut result = Map::new();
        if let Some(description) = &self.description {
            result.insert("description".into(), description.as_str().into());
        }
        result.insert("messages".into(), Value::Array(messages));
        Ok(result)
    }
}

/// Answers `prompts/get`.
pub(super) fn get(prompts: &[PromptPlan], asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let invalid = |message: &'static str| RpcError::new(RpcError::INVALID_PARAMS, message);
    let name = asked.text("name").ok_or_else(|| invalid("\"name\" must be a string"))?;
    let given = asked.object("arguments").ok_or_else(|| invalid("\"arguments\" must be an object"))?;
    let prompt = prompts.iter().find(|prompt| prompt.name == name);
    let prompt = prompt.ok_or_else(|| invalid("there is no prompt of this name"))?;
    prompt.filled(&given).map(Answer::Result)
}

fn described(argument: &Variable) -> Value {
    let Variable { name, title, description, required, enum_values: _ } = argument;
    let mut described = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
    let texts = [("title", title), ("description", description)];
    described.extend(texts.into_iter().filter_map(|(key, text)| Some((key.into(), text.as_deref()?.into()))));
    described.insert("required".into(), Value::Bool(*required));
    Value::Object(described)
}
