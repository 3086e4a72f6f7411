//! What all translations say of chat completions.

use serde_json::{Map, Value, json};

use crate::answer::Frame;
use crate::openai::ApiError;

use super::unsupported;

/// The chunks of one answer.
#[derive(Debug)]
pub(super) struct Chunks {
    id: String,
    model: Value,
    created: u64,
}

/// The tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Those of the prompt, cached ones included.
    pub(super) prompt: u64,
    /// Those of the answer, thoughts included.
    pub(super) completion: u64,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
}

impl Chunks {
    pub(super) fn new(created: u64) -> Self {
        Self { id: "chatcmpl".into(), model: "".into(), created }
    }

    /// Learns the answer's id and model.
    pub(super) fn begin(&mut self, id: Option<&str>, model: Option<&Value>) {
        if let Some(id) = id {
            self.id = format!("chatcmpl-{id}");
        }
        if let Some(model) = model {
            self.model = model.clone();
        }
    }

    /// What comes to the answer.
    pub(super) fn delta(&self, delta: Value) -> Frame {
        self.choice(0, delta, None)
    }

    /// What comes to one of several answers, or why it ends.
    pub(super) fn choice(&self, index: u64, delta: Value, finish_reason: Option<&str>) -> Frame {
        let choice = json!({"index": index, "delta": delta, "finish_reason": finish_reason});
        self.chunk(json!([choice]), Value::Null)
    }

    /// The tokens that were used.
    pub(super) fn usage(&self, tokens: Tokens) -> Frame {
        self.chunk(json!([]), tokens.to_json())
    }

    fn chunk(&self, choices: Value, usage: Value) -> Frame {
        let mut chunk = self.envelope("chat.completion.chunk", choices);
        if !usage.is_null() {
            chunk.insert("usage".into(), usage);
        }
        Frame::of(None, Value::Object(chunk).to_string().as_bytes())
    }

    /// A whole answer.
    pub(super) fn whole(&self, choices: Value, tokens: Tokens) -> Vec<u8> {
        let mut body = self.envelope("chat.completion", choices);
        body.insert("usage".into(), tokens.to_json());
        Value::Object(body).to_string().into_bytes()
    }

    fn envelope(&self, object: &str, choices: Value) -> Map<String, Value> {
        let fields = [
            ("id", self.id.as_str().into()),
            ("object", object.into()),
            ("created", self.created.into()),
            ("model", self.model.clone()),
            ("choices", choices),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Tokens {
    /// Reads the usage of a chat completion.
    pub(super) fn of(usage: &Value) -> Self {
        let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        Self {
            prompt: number("/prompt_tokens"),
            completion: number("/completion_tokens"),
            cached: number("/prompt_tokens_details/cached_tokens"),
            reasoning: number("/completion_tokens_details/reasoning_tokens"),
        }
    }

    fn to_json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt.saturating_add(self.completion),
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        })
    }
}

/// The data of the event that ends a stream.
pub(super) fn done() -> Frame {
    Frame::of(None, crate::openai::DONE)
}

/// A text member.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// The parts of a content, which may be a text alone.
pub(super) fn parts(content: Option<Value>) -> Vec<Value> {
    match content {
        Some(Value::Array(parts)) => parts,
        Some(Value::String(text)) => vec![json!({"type": "text", "text": text})],
        Some(_) | None => Vec::new(),
    }
}

/// The texts of a content, of which nothing else is kept.
pub(super) fn plain(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.as_str().or_else(|| text(part, "text")));
            texts.collect::<Vec<_>>().join("\n")
        }
        Some(_) | None => String::new(),
    }
}

/// Reads what a model wrote as the arguments of a call.
pub(super) fn arguments(text: &str) -> Result<Value, ApiError> {
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_str(text).ok().filter(Value::is_object).ok_or_else(|| {
        unsupported("The arguments of a tool call are not a JSON object.".into(), Some("messages"))
    })
}

/// The media type and the data of a `data:` URL in base64.
pub(super) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (media, data) = url.strip_prefix("data:")?.split_once(',')?;
    Some((media.strip_suffix(";base64")?, data))
}

/// Moves members that both sides have under names of their own.
pub(super) fn carry(from: &mut Map<String, Value>, to: &mut Map<String, Value>, names: &[(&str, &str)]) {
    for (old, new) in names {
        if let Some(value) = from.remove(*old).filter(|value| !value.is_null()) {
            to.insert((*new).to_owned(), value);
        }
    }
}

/// Refuses members that say something which has no counterpart.
pub(super) fn refuse(from: &Map<String, Value>, names: &[&'static str]) -> Result<(), ApiError> {
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
    };
    match names.iter().find(|name| from.get(**name).is_some_and(says)) {
        Some(name) => {
            Err(unsupported(format!("`{name}` is not supported by this model's upstream."), Some(name)))
        }
        None => Ok(()),
    }
}

/// More than one answer, which only chat completions have.
pub(super) fn one_answer(chat: &Map<String, Value>) -> Result<(), ApiError> {
    match chat.get("n").and_then(Value::as_u64) {
        Some(2..) => {
            Err(unsupported("This model's upstream gives one answer; `n` must be 1.".into(), Some("n")))
        }
        Some(0 | 1) | None => Ok(()),
    }
}
