//! Anthropic's messages. Source: Anthropic's API reference, "Messages" and "Streaming messages".

mod ask;
mod reader;
mod send;
mod writer;

use serde_json::{Map, Value};

pub(super) use ask::to_chat;
pub(super) use reader::Reader;
pub(super) use send::of_chat;
pub(super) use writer::Writer;

/// Whether a request asks to be shown what the model thinks.
pub(super) fn is_thinking(body: &Map<String, Value>) -> bool {
    let kind = body.get("thinking").and_then(|thinking| thinking.get("type")).and_then(Value::as_str);
    matches!(kind, Some("enabled" | "adaptive"))
}

/// Why an answer ends, in the words of both.
const REASONS: [(&str, &str); 4] = [
    ("end_turn", "stop"),
    ("max_tokens", "length"),
    ("tool_use", "tool_calls"),
    ("refusal", "content_filter"),
];

/// How many tokens a model may think, by the effort that is asked for.
const EFFORTS: [(&str, u64); 3] = [("low", 2048), ("medium", 8192), ("high", 24576)];
