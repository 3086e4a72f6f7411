//! Anthropic's answer, as one of chat completions.

use serde_json::{Value, json};

use super::REASONS;
use crate::answer::{Frame, Step};
use crate::sse::SseEvent;
use crate::translate::chat::{Chunks, Tokens, done, text};
use crate::translate::failure::Failure;
use crate::translate::steps;

/// Reads an answer of messages.
#[derive(Debug)]
pub(crate) struct Reader {
    chunks: Chunks,
    tokens: Tokens,
    /// How many calls of tools have begun.
    calls: u64,
    /// Whether the call under way has got arguments.
    argued: Option<bool>,
    ended: bool,
}

impl Reader {
    pub(crate) fn new(now: u64) -> Self {
        Self { chunks: Chunks::new(now), tokens: Tokens::default(), calls: 0, argued: None, ended: false }
    }

    /// The frames that take an event's place.
    fn frames(&mut self, event: &Value) -> Vec<Frame> {
        let frame = |delta: Value| vec![self.chunks.delta(delta)];
        match text(event, "type") {
            Some("message_start") => {
                let message = event.get("message").unwrap_or(&Value::Null);
                self.chunks.begin(text(message, "id"), message.get("model"));
                self.learn(message.get("usage"));
                vec![self.chunks.delta(json!({"role": "assistant", "content": ""}))]
            }
            Some("content_block_start") => self.begin(event.get("content_block").unwrap_or(&Value::Null)),
            Some("content_block_delta") => {
                let delta = event.get("delta").unwrap_or(&Value::Null);
                match text(delta, "type") {
                    Some("text_delta") => frame(json!({"content": delta.get("text")})),
                    Some("thinking_delta") => frame(json!({"reasoning_content": delta.get("thinking")})),
                    Some("signature_delta") => frame(json!({"reasoning_details": [{
                        "type": "reasoning.text", "index": event.get("index"), "signature": delta.get("signature"),
                    }]})),
                    Some("input_json_delta") => {
                        self.arguments(text(delta, "partial_json").unwrap_or_default())
                    }
                    _ => Vec::new(),
                }
            }
            Some("content_block_stop") => match self.argued.take() {
                Some(false) => self.arguments("{}"),
                Some(true) | None => Vec::new(),
            },
            Some("message_delta") => {
                self.learn(event.get("usage"));
                let reason = event.pointer("/delta/stop_reason").and_then(Value::as_str).map(reason);
                vec![self.chunks.choice(0, json!({}), reason)]
            }
            Some("message_stop") => {
                self.ended = true;
                vec![self.chunks.usage(self.tokens), done()]
            }
            Some("error") => {
                self.ended = true;
                let failure = Failure::in_stream(event.to_string().as_bytes());
                vec![Frame::of(None, failure.to_openai().to_string().as_bytes())]
            }
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, block: &Value) -> Vec<Frame> {
        match text(block, "type") {
            Some("tool_use") => {
                let call = json!({
                    "index": self.calls, "id": block.get("id"), "type": "function",
                    "function": {"name": block.get("name"), "arguments": ""},
                });
                self.calls = self.calls.saturating_add(1);
                self.argued = Some(false);
                vec![self.chunks.delta(json!({"tool_calls": [call]}))]
            }
            Some("text") if text(block, "text").is_some_and(|text| !text.is_empty()) => {
                vec![self.chunks.delta(json!({"content": block.get("text")}))]
            }
            Some("redacted_thinking") => vec![self.chunks.delta(json!({"reasoning_details": [
                {"type": "reasoning.encrypted", "data": block.get("data")},
            ]}))],
            _ => Vec::new(),
        }
    }

    fn arguments(&mut self, piece: &str) -> Vec<Frame> {
        if piece.is_empty() {
            return Vec::new();
        }
        self.argued = self.argued.map(|_| true);
        let call = json!({"index": self.calls.saturating_sub(1), "function": {"arguments": piece}});
        vec![self.chunks.delta(json!({"tool_calls": [call]}))]
    }

    /// Anthropic does not count cached tokens among those of the prompt.
    fn learn(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage else { return };
        let number = |name: &str| usage.get(name).and_then(Value::as_u64);
        let read = number("cache_read_input_tokens").unwrap_or(0);
        let beside = read.saturating_add(number("cache_creation_input_tokens").unwrap_or(0));
        if let Some(input) = number("input_tokens") {
            self.tokens.prompt = self.tokens.prompt.max(input.saturating_add(beside));
        }
        self.tokens.cached = self.tokens.cached.max(read);
        self.tokens.completion = self.tokens.completion.max(number("output_tokens").unwrap_or(0));
    }

    fn message(&self, blocks: &[Value]) -> Value {
        let texts = |kind: &str, name: &str| {
            let of = blocks.iter().filter(|block| text(block, "type") == Some(kind));
            of.filter_map(|block| text(block, name)).collect::<String>()
        };
        let (said, thought) = (texts("text", "text"), texts("thinking", "thinking"));
        let call = |block: &Value| {
            let arguments = block.get("input").unwrap_or(&Value::Null).to_string();
            json!({"id": block.get("id"), "type": "function", "function": {
                "name": block.get("name"), "arguments": arguments,
            }})
        };
        let of = |kind: &'static str| blocks.iter().filter(move |block| text(block, "type") == Some(kind));
        let calls: Vec<Value> = of("tool_use").map(call).collect();
        let content = if said.is_empty() && !calls.is_empty() { Value::Null } else { said.into() };
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        let Some(members) = message.as_object_mut() else { return message };
        if !thought.is_empty() {
            members.insert("reasoning_content".into(), thought.into());
        }
        let signed = of("thinking").map(|block| {
            json!({
                "type": "reasoning.text", "text": block.get("thinking"), "signature": block.get("signature"),
            })
        });
        let hidden = of("redacted_thinking")
            .map(|block| json!({"type": "reasoning.encrypted", "data": block.get("data")}));
        let details: Vec<Value> = signed.chain(hidden).collect();
        if !details.is_empty() {
            members.insert("reasoning_details".into(), details.into());
        }
        if !calls.is_empty() {
            members.insert("tool_calls".into(), calls.into());
        }
        message
    }
}

impl Step for Reader {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        steps::read(event, next, |event| self.frames(event));
    }

    fn end(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        if !self.ended {
            steps::break_off(next);
        }
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let blocks = answer.get("content")?.as_array()?;
        self.chunks.begin(text(&answer, "id"), answer.get("model"));
        self.learn(answer.get("usage"));
        let reason = text(&answer, "stop_reason").map(reason);
        let choice =
            json!({"index": 0, "message": self.message(blocks), "logprobs": null, "finish_reason": reason});
        Some(self.chunks.whole(json!([choice]), self.tokens))
    }
}

fn reason(reason: &str) -> &'static str {
    match reason {
        "model_context_window_exceeded" => "length",
        _ => REASONS.iter().find(|(theirs, _)| *theirs == reason).map_or("stop", |(_, ours)| *ours),
    }
}
