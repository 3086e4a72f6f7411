//! An answer of chat completions, as one of Anthropic's.

use serde_json::{Value, json};

use super::REASONS;
use crate::answer::{Frame, Step};
use crate::sse::SseEvent;
use crate::translate::chat::{Tokens, text};
use crate::translate::failure::Failure;
use crate::translate::steps::{self, WriteEvents};

/// Writes an answer of messages.
///
/// ```text
/// message_start ping (content_block_start content_block_delta* content_block_stop)* message_delta message_stop
/// ```
#[derive(Debug)]
pub(crate) struct Writer {
    /// Whether the client is shown what the model has thought.
    thinking: bool,
    begun: bool,
    ended: bool,
    /// How many blocks there are.
    blocks: u64,
    open: Option<Block>,
    /// How many calls of tools have begun.
    calls: u64,
    reason: Option<String>,
    tokens: Tokens,
}

/// The block that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    /// A call of a tool, by its index among the calls.
    Call(u64),
}

impl Writer {
    pub(crate) fn new(thinking: bool) -> Self {
        let (reason, tokens) = (None, Tokens::default());
        Self { thinking, begun: false, ended: false, blocks: 0, open: None, calls: 0, reason, tokens }
    }

    fn call(&mut self, index: u64, call: &Value, frames: &mut Vec<Frame>) {
        if self.ended {
            return;
        }
        let block = Block::Call(index);
        if index < self.calls && self.open != Some(block) {
            // A block that has ended cannot go on, and arguments must not get lost.
            return self.fail(&Failure::in_stream(INTERLEAVED), frames);
        }
        if index >= self.calls {
            self.calls = index.saturating_add(1);
        }
        let started = || {
            let id = call.get("id").cloned().unwrap_or_else(|| format!("toolu_{index}").into());
            tool_use(&id, call, &json!({}))
        };
        self.open(block, started, frames);
        if let Some(piece) =
            call.pointer("/function/arguments").and_then(Value::as_str).filter(|p| !p.is_empty())
        {
            self.delta(&json!({"type": "input_json_delta", "partial_json": piece}), frames);
        }
    }

    /// Goes on with a block, after the one before has ended.
    fn open(&mut self, block: Block, start: impl FnOnce() -> Value, frames: &mut Vec<Frame>) {
        if self.open == Some(block) {
            return;
        }
        self.close(frames);
        let event = json!({"type": "content_block_start", "index": self.blocks, "content_block": start()});
        frames.push(frame(&event));
        self.open = Some(block);
    }

    fn delta(&self, delta: &Value, frames: &mut Vec<Frame>) {
        frames.push(frame(&json!({"type": "content_block_delta", "index": self.blocks, "delta": delta})));
    }

    fn close(&mut self, frames: &mut Vec<Frame>) {
        if self.open.take().is_some() {
            frames.push(frame(&json!({"type": "content_block_stop", "index": self.blocks})));
            self.blocks = self.blocks.saturating_add(1);
        }
    }

    fn blocks_of(&self, message: &Value) -> Vec<Value> {
        let piece = |name: &str| text(message, name).filter(|piece| !piece.is_empty());
        let thought = piece("reasoning_content").or_else(|| piece("reasoning")).filter(|_| self.thinking);
        let thought =
            thought.map(|thought| json!({"type": "thinking", "thinking": thought, "signature": ""}));
        let said = piece("content").or_else(|| piece("refusal"));
        let said = said.map(|said| json!({"type": "text", "text": said, "citations": null}));
        let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().map(|call| {
            let arguments = call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default();
            // What a model writes may be no JSON; then the client sees what it wrote.
            let input = serde_json::from_str(arguments).ok().filter(Value::is_object);
            let input = input.unwrap_or_else(|| match arguments.trim() {
                "" => json!({}),
                text => json!({"arguments": text}),
            });
            tool_use(call.get("id").unwrap_or(&Value::Null), call, &input)
        });
        thought.into_iter().chain(said).chain(calls).collect()
    }
}

impl WriteEvents for Writer {
    fn has_ended(&self) -> bool {
        self.ended
    }

    fn chunk(&mut self, chunk: &Value, frames: &mut Vec<Frame>) {
        if !self.begun {
            self.begun = true;
            let message = json!({
                "id": id(chunk), "type": "message", "role": "assistant", "model": chunk.get("model"), "content": [],
                "stop_reason": null, "stop_sequence": null, "stop_details": null, "container": null,
                "usage": usage(Tokens::default()),
            });
            frames.push(frame(&json!({"type": "message_start", "message": message})));
            frames.push(frame(&json!({"type": "ping"})));
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.tokens = Tokens::of(usage);
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return };
        let delta = choice.get("delta").unwrap_or(&Value::Null);
        let piece = |name: &str| text(delta, name).filter(|piece| !piece.is_empty());
        let thought = piece("reasoning_content").or_else(|| piece("reasoning")).filter(|_| self.thinking);
        if let Some(thought) = thought {
            self.open(
                Block::Thinking,
                || json!({"type": "thinking", "thinking": "", "signature": ""}),
                frames,
            );
            self.delta(&json!({"type": "thinking_delta", "thinking": thought}), frames);
        }
        if let Some(said) = piece("content").or_else(|| piece("refusal")) {
            self.open(Block::Text, || json!({"type": "text", "text": "", "citations": null}), frames);
            self.delta(&json!({"type": "text_delta", "text": said}), frames);
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (at, call) in (0_u64..).zip(calls) {
            self.call(call.get("index").and_then(Value::as_u64).unwrap_or(at), call, frames);
        }
        if let Some(reason) = text(choice, "finish_reason") {
            self.reason = Some(reason.to_owned());
        }
    }

    fn fail(&mut self, failure: &Failure, frames: &mut Vec<Frame>) {
        self.ended = true;
        frames.push(frame(&failure.to_messages()));
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) -> bool {
        let Some(reason) = self.reason.take() else { return false };
        self.close(frames);
        self.ended = true;
        let delta = json!({"stop_reason": stop_reason(&reason), "stop_sequence": null});
        frames.push(frame(&json!({"type": "message_delta", "delta": delta, "usage": usage(self.tokens)})));
        frames.push(frame(&json!({"type": "message_stop"})));
        true
    }
}

impl Step for Writer {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        steps::write(self, event, next);
    }

    fn end(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        steps::finish(self, next);
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let choice = answer.pointer("/choices/0")?;
        let tokens = answer.get("usage").map(Tokens::of).unwrap_or_default();
        let message = json!({
            "id": id(&answer),
            "type": "message",
            "role": "assistant",
            "model": answer.get("model"),
            "content": self.blocks_of(choice.get("message").unwrap_or(&Value::Null)),
            "stop_reason": stop_reason(text(choice, "finish_reason").unwrap_or_default()),
            "stop_sequence": null,
            "stop_details": null,
            "container": null,
            "usage": usage(tokens),
        });
        Some(message.to_string().into_bytes())
    }
}

fn frame(event: &Value) -> Frame {
    Frame::of(text(event, "type"), event.to_string().as_bytes())
}

fn id(answer: &Value) -> String {
    let id = text(answer, "id").unwrap_or_default();
    format!("msg_{}", id.strip_prefix("chatcmpl-").unwrap_or(id))
}

fn stop_reason(reason: &str) -> &'static str {
    match reason {
        "function_call" => "tool_use",
        _ => REASONS.iter().find(|(_, theirs)| *theirs == reason).map_or("end_turn", |(ours, _)| *ours),
    }
}

fn tool_use(id: &Value, call: &Value, input: &Value) -> Value {
    let name = call.pointer("/function/name");
    json!({"type": "tool_use", "id": id, "name": name, "input": input, "caller": {"type": "direct"}})
}

/// Anthropic does not count cached tokens among those of the prompt.
fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.prompt.saturating_sub(tokens.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": null,
        "output_tokens": tokens.completion,
        "output_tokens_details": null,
        "server_tool_use": null,
        "service_tier": null,
        "inference_geo": null,
    })
}

const INTERLEAVED: &[u8] =
    br#"{"error":{"message":"The upstream goes on with a tool call after it has begun another.","type":"server_error"}}"#;
