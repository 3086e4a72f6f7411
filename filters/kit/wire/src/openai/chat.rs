use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Field, Usage};

/// The body of `POST /v1/chat/completions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model that is asked.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Whether the answer comes as chunks.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub stream: Field<bool>,
    /// What else comes with the chunks.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub stream_options: Field<StreamOptions>,
    /// The most tokens an answer may have, by its old name.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub max_tokens: Field<u64>,
    /// The most tokens an answer may have, reasoning included.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub max_completion_tokens: Field<u64>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What else comes with the chunks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Whether a last chunk, without choices, tells the usage.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub include_usage: Field<bool>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it: `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub content: Field<Content>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Texts, images and other parts.
    Parts(Vec<Value>),
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatCompletion {
    /// The model that has answered, by its upstream name.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub model: Field<String>,
    /// The answers, as many as were asked for.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// What it has cost.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub usage: Field<Usage>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One of the answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Which of the answers it is.
    #[serde(default)]
    pub index: u64,
    /// The answer.
    pub message: Message,
    /// Why it ends: `stop`, `length`, `tool_calls` and others.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub finish_reason: Field<String>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A part of a streamed answer: the data of one event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// The model that answers, by its upstream name.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub model: Field<String>,
    /// What comes to each answer; none where the chunk tells the usage.
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    /// What the answer has cost.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub usage: Field<Usage>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What comes to one of the answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// Which of the answers it is.
    #[serde(default)]
    pub index: u64,
    /// What comes.
    #[serde(default)]
    pub delta: Delta,
    /// Why it ends, in its last chunk.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub finish_reason: Field<String>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What comes to an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Who answers, in the first chunk.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub role: Field<String>,
    /// The next piece of text.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub content: Field<String>,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
