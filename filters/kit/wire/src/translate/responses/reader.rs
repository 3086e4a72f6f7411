//! An answer of responses, as one of chat completions.

use serde_json::{Map, Value, json};

use crate::answer::{Frame, Step};
use crate::sse::SseEvent;
use crate::translate::chat::{Chunks, Tokens, done, text};
use crate::translate::failure::Failure;
use crate::translate::steps;

/// Reads an answer of responses.
#[derive(Debug)]
pub(crate) struct Reader {
    chunks: Chunks,
    /// The calls that have begun: which one an item is, by its place in the output.
    calls: Map<String, Value>,
    ended: bool,
}

impl Reader {
    pub(crate) fn new(now: u64) -> Self {
        Self { chunks: Chunks::new(now), calls: Map::new(), ended: false }
    }

    fn frames(&mut self, event: &Value) -> Vec<Frame> {
        let delta = |name: &str| vec![self.chunks.delta(json!({name: event.get("delta")}))];
        match text(event, "type").unwrap_or_default() {
            "response.created" => {
                let response = event.get("response").unwrap_or(&Value::Null);
                self.chunks.begin(text(response, "id"), response.get("model"));
                vec![self.chunks.delta(json!({"role": "assistant", "content": ""}))]
            }
            "response.output_text.delta" => delta("content"),
            "response.refusal.delta" => delta("refusal"),
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                delta("reasoning_content")
            }
            "response.output_item.added" => self.item(event),
            "response.function_call_arguments.delta" => match self.calls.get(&place(event)) {
                Some(index) => {
                    let call = json!({"index": index, "function": {"arguments": event.get("delta")}});
                    vec![self.chunks.delta(json!({"tool_calls": [call]}))]
                }
                None => Vec::new(),
            },
            "response.completed" | "response.incomplete" => {
                self.ended = true;
                let response = event.get("response").unwrap_or(&Value::Null);
                let reason = reason(response, !self.calls.is_empty());
                let end = self.chunks.choice(0, json!({}), Some(reason));
                vec![end, self.chunks.usage(tokens(response)), done()]
            }
            "response.failed" | "error" => {
                self.ended = true;
                let response = event.get("response").unwrap_or(event);
                let failure = Failure::in_stream(response.to_string().as_bytes());
                vec![Frame::of(None, failure.to_openai().to_string().as_bytes())]
            }
            _ => Vec::new(),
        }
    }

    fn item(&mut self, event: &Value) -> Vec<Frame> {
        let item = event.get("item").unwrap_or(&Value::Null);
        if text(item, "type") != Some("function_call") {
            return Vec::new();
        }
        let index = self.calls.len();
        self.calls.insert(place(event), index.into());
        let mut call = call(item);
        if let Some(members) = call.as_object_mut() {
            members.insert("index".into(), index.into());
        }
        vec![self.chunks.delta(json!({"tool_calls": [call]}))]
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
        let items = answer.get("output")?.as_array()?;
        self.chunks.begin(text(&answer, "id"), answer.get("model"));
        let of = |kind: &'static str| items.iter().filter(move |item| text(item, "type") == Some(kind));
        let texts = |item: &Value, list: &str, name: &str| {
            let parts = item.get(list).and_then(Value::as_array);
            parts.into_iter().flatten().filter_map(|part| text(part, name)).collect::<String>()
        };
        let said: String = of("message").map(|item| texts(item, "content", "text")).collect();
        let refused: String = of("message").map(|item| texts(item, "content", "refusal")).collect();
        let thought =
            of("reasoning").map(|item| texts(item, "summary", "text") + &texts(item, "content", "text"));
        let thought: String = thought.collect();
        let calls: Vec<Value> = of("function_call").map(call).collect();
        let or_null = |text: String| if text.is_empty() { Value::Null } else { text.into() };
        let reason = reason(&answer, !calls.is_empty());
        let mut message = json!({"role": "assistant", "content": or_null(said), "refusal": or_null(refused)});
        if let Some(members) = message.as_object_mut() {
            if !thought.is_empty() {
                members.insert("reasoning_content".into(), thought.into());
            }
            if !calls.is_empty() {
                members.insert("tool_calls".into(), calls.into());
            }
        }
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": reason});
        Some(self.chunks.whole(json!([choice]), tokens(&answer)))
    }
}

/// Where an item stands in the output, as the key of what is kept of it.
fn place(event: &Value) -> String {
    event.get("output_index").map(Value::to_string).unwrap_or_default()
}

fn call(item: &Value) -> Value {
    let arguments = item.get("arguments").cloned().unwrap_or_else(|| "".into());
    json!({
        "id": item.get("call_id"), "type": "function",
        "function": {"name": item.get("name"), "arguments": arguments},
    })
}

fn reason(response: &Value, called: bool) -> &'static str {
    match response.pointer("/incomplete_details/reason").and_then(Value::as_str) {
        Some("content_filter") => "content_filter",
        Some(_) => "length",
        None if called => "tool_calls",
        None => "stop",
    }
}

fn tokens(response: &Value) -> Tokens {
    let number = |pointer: &str| response.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Tokens {
        prompt: number("/usage/input_tokens"),
        completion: number("/usage/output_tokens"),
        cached: number("/usage/input_tokens_details/cached_tokens"),
        reasoning: number("/usage/output_tokens_details/reasoning_tokens"),
    }
}
