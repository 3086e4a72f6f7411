//! An answer of chat completions, as one of responses.

use serde_json::{Map, Value, json};

use crate::answer::{Frame, Step};
use crate::sse::SseEvent;
use crate::translate::chat::{Tokens, text};
use crate::translate::failure::Failure;
use crate::translate::steps::{self, WriteEvents};

/// Writes an answer of responses. Its output is repeated at the end of a stream, so it is kept, up to a limit.
#[derive(Debug)]
pub(crate) struct Writer {
    echo: Map<String, Value>,
    now: u64,
    id: String,
    model: Value,
    /// The number of the next event.
    sequence: u64,
    output: Vec<Value>,
    open: Option<Open>,
    /// How many calls have begun.
    calls: u64,
    /// How many bytes of the answer are kept.
    kept: usize,
    reason: Option<String>,
    usage: Option<Tokens>,
    begun: bool,
    ended: bool,
}

/// The item that is being written, and its text so far.
#[derive(Debug)]
struct Open {
    kind: Kind,
    item: Value,
    written: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Text,
    Refusal,
    /// A call, by its index among the calls.
    Call(u64),
}

impl Writer {
    pub(crate) fn new(echo: Map<String, Value>, now: u64) -> Self {
        Self {
            echo,
            now,
            id: String::new(),
            model: Value::Null,
            sequence: 0,
            output: Vec::new(),
            open: None,
            calls: 0,
            kept: 0,
            reason: None,
            usage: None,
            begun: false,
            ended: false,
        }
    }

    fn begin(&mut self, answer: &Value) {
        let id = text(answer, "id").unwrap_or_default();
        self.id = id.strip_prefix("chatcmpl-").unwrap_or(id).to_owned();
        self.model = answer.get("model").cloned().unwrap_or_default();
        self.begun = true;
    }

    /// The response as far as it has come.
    fn response(&self, status: &str, error: Value) -> Value {
        let incomplete = match self.reason.as_deref() {
            Some("length") => json!({"reason": "max_output_tokens"}),
            Some("content_filter") => json!({"reason": "content_filter"}),
            Some(_) | None => Value::Null,
        };
        let completed = (status == "completed").then_some(self.now);
        let mut response = json!({
            "id": format!("resp_{}", self.id), "object": "response", "created_at": self.now,
            "completed_at": completed, "status": status,
            "error": error, "incomplete_details": incomplete, "model": self.model, "output": self.output,
            "store": false, "usage": self.usage.map(usage),
        });
        if let Some(members) = response.as_object_mut() {
            members.extend(self.echo.clone());
        }
        response
    }

    fn status(&self) -> &'static str {
        match self.reason.as_deref() {
            Some("length" | "content_filter") => "incomplete",
            Some(_) | None => "completed",
        }
    }

    fn event(&mut self, kind: &str, body: Value, frames: &mut Vec<Frame>) {
        let mut event = json!({"type": kind, "sequence_number": self.sequence});
        if let (Some(members), Value::Object(body)) = (event.as_object_mut(), body) {
            members.extend(body);
        }
        self.sequence = self.sequence.saturating_add(1);
        frames.push(Frame::of(Some(kind), event.to_string().as_bytes()));
    }

    /// Goes on with an item, after the one before is done.
    fn go_on(&mut self, kind: Kind, call: &Value, frames: &mut Vec<Frame>) {
        if self.open.as_ref().is_some_and(|open| open.kind == kind) {
            return;
        }
        self.close(frames);
        let at = self.output.len();
        let item = self.item(kind, call, "in_progress", None);
        let (id, index) = (item.get("id").cloned(), at);
        self.event("response.output_item.added", json!({"output_index": at, "item": item}), frames);
        match kind {
            Kind::Reasoning => {
                let part = json!({"type": "summary_text", "text": ""});
                let body = json!({"item_id": id, "output_index": index, "summary_index": 0, "part": part});
                self.event("response.reasoning_summary_part.added", body, frames);
            }
            Kind::Text | Kind::Refusal => {
                let body =
                    json!({"item_id": id, "output_index": index, "content_index": 0, "part": part(kind, "")});
                self.event("response.content_part.added", body, frames);
            }
            Kind::Call(_) => {}
        }
        self.open = Some(Open { kind, item, written: String::new() });
    }

    /// Adds a piece to the open item.
    fn write(&mut self, piece: &str, frames: &mut Vec<Frame>) {
        self.kept = self.kept.saturating_add(piece.len());
        if self.kept > MOST_KEPT {
            return self.fail(&Failure::in_stream(TOO_LONG), frames);
        }
        let Some(open) = &mut self.open else { return };
        open.written.push_str(piece);
        let kind = open.kind;
        let body = at(&open.item, self.output.len(), kind, [("delta", piece.into())]);
        let name = match kind {
            Kind::Reasoning => "response.reasoning_summary_text.delta",
            Kind::Text => "response.output_text.delta",
            Kind::Refusal => "response.refusal.delta",
            Kind::Call(_) => "response.function_call_arguments.delta",
        };
        self.event(name, body, frames);
    }

    fn close(&mut self, frames: &mut Vec<Frame>) {
        let Some(Open { kind, item, written }) = self.open.take() else { return };
        let index = self.output.len();
        let body = |name: &str, value: Value| at(&item, index, kind, [(name, value)]);
        match kind {
            Kind::Reasoning => {
                let part = json!({"type": "summary_text", "text": written});
                self.event(
                    "response.reasoning_summary_text.done",
                    body("text", written.clone().into()),
                    frames,
                );
                self.event("response.reasoning_summary_part.done", body("part", part), frames);
            }
            Kind::Text | Kind::Refusal => {
                let (name, done) = match kind {
                    Kind::Refusal => ("refusal", "response.refusal.done"),
                    Kind::Text | Kind::Reasoning | Kind::Call(_) => ("text", "response.output_text.done"),
                };
                self.event(done, body(name, written.clone().into()), frames);
                self.event("response.content_part.done", body("part", part(kind, &written)), frames);
            }
            Kind::Call(_) => {
                let mut body = body("arguments", written.clone().into());
                if let (Some(members), Some(name)) = (body.as_object_mut(), item.get("name")) {
                    members.insert("name".into(), name.clone());
                }
                self.event("response.function_call_arguments.done", body, frames);
            }
        }
        let done = self.item(kind, &item, "completed", Some(&written));
        self.event("response.output_item.done", json!({"output_index": index, "item": done}), frames);
        self.output.push(done);
    }

    /// An item of the output. What is known of a call is in `call`: as chat completions have it, or as the item has.
    fn item(&self, kind: Kind, call: &Value, status: &str, written: Option<&str>) -> Value {
        let at = self.output.len();
        match kind {
            Kind::Reasoning => {
                let summary = written.map(|text| json!({"type": "summary_text", "text": text}));
                let summary: Vec<Value> = summary.into_iter().collect();
                json!({"id": format!("rs_{}_{at}", self.id), "type": "reasoning", "summary": summary})
            }
            Kind::Text | Kind::Refusal => {
                let content: Vec<Value> = written.map(|text| part(kind, text)).into_iter().collect();
                json!({
                    "id": format!("msg_{}_{at}", self.id), "type": "message", "status": status, "role": "assistant",
                    "content": content,
                })
            }
            Kind::Call(_) => {
                let id = call.get("call_id").or_else(|| call.get("id")).cloned();
                let id = id.unwrap_or_else(|| format!("call_{}_{at}", self.id).into());
                let name = call.pointer("/function/name").or_else(|| call.get("name"));
                json!({
                    "id": format!("fc_{}_{at}", self.id), "type": "function_call", "status": status, "call_id": id,
                    "name": name, "arguments": written.unwrap_or_default(),
                })
            }
        }
    }
}

impl WriteEvents for Writer {
    fn has_ended(&self) -> bool {
        self.ended
    }

    fn chunk(&mut self, chunk: &Value, frames: &mut Vec<Frame>) {
        if !self.begun {
            self.begin(chunk);
            let response = self.response("in_progress", Value::Null);
            self.event("response.created", json!({"response": response}), frames);
            self.event("response.in_progress", json!({"response": response}), frames);
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.usage = Some(Tokens::of(usage));
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return };
        let delta = choice.get("delta").unwrap_or(&Value::Null);
        let piece = |name: &str| text(delta, name).filter(|piece| !piece.is_empty());
        for (kind, piece) in [
            (Kind::Reasoning, piece("reasoning_content").or_else(|| piece("reasoning"))),
            (Kind::Text, piece("content")),
            (Kind::Refusal, piece("refusal")),
        ] {
            if let Some(piece) = piece {
                self.go_on(kind, &Value::Null, frames);
                self.write(piece, frames);
            }
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (at, call) in (0_u64..).zip(calls) {
            let index = call.get("index").and_then(Value::as_u64).unwrap_or(at);
            let open = self.open.as_ref().map(|open| open.kind);
            if index < self.calls && open != Some(Kind::Call(index)) {
                // An item that is done cannot go on, and arguments must not get lost.
                return self.fail(&Failure::in_stream(INTERLEAVED), frames);
            }
            self.calls = self.calls.max(index.saturating_add(1));
            self.go_on(Kind::Call(index), call, frames);
            let arguments = call.pointer("/function/arguments").and_then(Value::as_str);
            if let Some(piece) = arguments.filter(|piece| !piece.is_empty()) {
                self.write(piece, frames);
            }
        }
        if let Some(reason) = text(choice, "finish_reason") {
            self.reason = Some(reason.to_owned());
        }
    }

    fn fail(&mut self, failure: &Failure, frames: &mut Vec<Frame>) {
        if self.ended {
            return;
        }
        self.ended = true;
        let code = failure.code().unwrap_or("server_error").to_owned();
        let error = json!({"code": code, "message": failure.message()});
        let response = self.response("failed", error);
        self.event("response.failed", json!({"response": response}), frames);
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) -> bool {
        if self.reason.is_none() {
            return false;
        }
        self.close(frames);
        self.ended = true;
        let status = self.status();
        let response = self.response(status, Value::Null);
        self.event(&format!("response.{status}"), json!({"response": response}), frames);
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
        self.begin(&answer);
        self.usage = answer.get("usage").map(Tokens::of);
        self.reason = text(choice, "finish_reason").map(str::to_owned);
        let message = choice.get("message").unwrap_or(&Value::Null);
        let piece = |name: &str| text(message, name).filter(|piece| !piece.is_empty());
        for (kind, written) in [
            (Kind::Reasoning, piece("reasoning_content").or_else(|| piece("reasoning"))),
            (Kind::Text, piece("content")),
            (Kind::Refusal, piece("refusal")),
        ] {
            if written.is_some() {
                let item = self.item(kind, &Value::Null, "completed", written);
                self.output.push(item);
            }
        }
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let arguments = call.pointer("/function/arguments").and_then(Value::as_str);
            let item = self.item(Kind::Call(0), call, "completed", arguments);
            self.output.push(item);
        }
        Some(self.response(self.status(), Value::Null).to_string().into_bytes())
    }
}

/// What an event says of a part of an item.
fn at<const N: usize>(item: &Value, index: usize, kind: Kind, more: [(&str, Value); N]) -> Value {
    let mut body = json!({"item_id": item.get("id"), "output_index": index});
    if let Some(members) = body.as_object_mut() {
        match kind {
            Kind::Reasoning => drop(members.insert("summary_index".into(), 0.into())),
            Kind::Text | Kind::Refusal => drop(members.insert("content_index".into(), 0.into())),
            Kind::Call(_) => {}
        }
        if kind == Kind::Text {
            members.insert("logprobs".into(), json!([]));
        }
        members.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    body
}

fn part(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Refusal => json!({"type": "refusal", "refusal": text}),
        Kind::Text | Kind::Reasoning | Kind::Call(_) => {
            json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
        }
    }
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt.saturating_add(tokens.completion),
    })
}

/// How many bytes of an answer are kept to be repeated.
const MOST_KEPT: usize = 8 * 1024 * 1024;
const TOO_LONG: &[u8] =
    br#"{"error":{"message":"The answer is too long to be repeated at its end.","type":"server_error"}}"#;
const INTERLEAVED: &[u8] =
    br#"{"error":{"message":"The upstream goes on with a tool call after it has begun another.","type":"server_error"}}"#;
