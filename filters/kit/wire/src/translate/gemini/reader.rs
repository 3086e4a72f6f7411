//! Gemini's answer, as one of chat completions.

use serde_json::{Value, json};

use crate::answer::{Frame, Step};
use crate::sse::SseEvent;
use crate::translate::chat::{Chunks, Tokens, done, text};
use crate::translate::failure::Failure;
use crate::translate::steps;

/// Reads an answer of `generateContent` or of `streamGenerateContent`.
#[derive(Debug)]
pub(crate) struct Reader {
    chunks: Chunks,
    tokens: Tokens,
    /// The answer's id, of which those of its calls are made.
    id: String,
    /// Each of the answers that has begun: how many calls it has, and whether it has ended.
    answers: Vec<Answer>,
    failed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    calls: u64,
    begun: bool,
    ended: bool,
}

impl Reader {
    pub(crate) fn new(now: u64) -> Self {
        let (chunks, tokens) = (Chunks::new(now), Tokens::default());
        Self { chunks, tokens, id: String::new(), answers: Vec::new(), failed: false }
    }

    fn begin(&mut self, answer: &Value) {
        if let Some(id) = text(answer, "responseId") {
            self.id = id.to_owned();
        }
        self.chunks.begin(text(answer, "responseId"), answer.get("modelVersion"));
        if let Some(usage) = answer.get("usageMetadata") {
            let number = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
            let reasoning = number("thoughtsTokenCount");
            self.tokens = Tokens {
                prompt: number("promptTokenCount").saturating_add(number("toolUsePromptTokenCount")),
                completion: number("candidatesTokenCount").saturating_add(reasoning),
                cached: number("cachedContentTokenCount"),
                reasoning,
            };
        }
    }

    /// What a candidate says, as the members of a message or of a delta, and why it ends.
    fn read(&mut self, at: usize, candidate: &Value) -> (Value, Option<&'static str>) {
        let parts = candidate.pointer("/content/parts").and_then(Value::as_array);
        let mut said = json!({});
        let mut calls = Vec::new();
        if self.answers.len() <= at {
            self.answers.resize(at.saturating_add(1).min(MOST_ANSWERS), Answer::default());
        }
        let mut answer = self.answers.get(at).copied().unwrap_or_default();
        for part in parts.into_iter().flatten() {
            if let Some(call) = part.get("functionCall") {
                calls.push(self.call(at, answer.calls, call, part.get("thoughtSignature")));
                answer.calls = answer.calls.saturating_add(1);
            } else if let Some(piece) = text(part, "text") {
                let thought = part.get("thought") == Some(&Value::Bool(true));
                append(&mut said, if thought { "reasoning_content" } else { "content" }, piece);
            }
        }
        if let (false, Some(members)) = (calls.is_empty(), said.as_object_mut()) {
            members.insert("tool_calls".into(), calls.into());
        }
        let reason = text(candidate, "finishReason").map(|reason| match reason {
            "STOP" if answer.calls > 0 => "tool_calls",
            "MAX_TOKENS" => "length",
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY"
            | "LANGUAGE" => "content_filter",
            _ => "stop",
        });
        answer.ended |= reason.is_some();
        if let Some(kept) = self.answers.get_mut(at) {
            *kept = answer;
        }
        (said, reason)
    }

    fn call(&self, answer: usize, at: u64, call: &Value, signature: Option<&Value>) -> Value {
        let made = || format!("call_{}_{answer}_{at}", self.id).into();
        let arguments = call.get("args").cloned().unwrap_or_else(|| json!({})).to_string();
        let mut written = json!({
            "index": at,
            "id": call.get("id").cloned().unwrap_or_else(made),
            "type": "function",
            "function": {"name": call.get("name"), "arguments": arguments},
        });
        if let (Some(signature), Some(members)) = (signature, written.as_object_mut()) {
            members.insert("extra_content".into(), json!({"google": {"thought_signature": signature}}));
        }
        written
    }

    fn frames(&mut self, event: &Value) -> Vec<Frame> {
        if event.get("error").is_some() {
            self.failed = true;
            let failure = Failure::in_stream(event.to_string().as_bytes());
            return vec![Frame::of(None, failure.to_openai().to_string().as_bytes())];
        }
        self.begin(event);
        let mut frames = Vec::new();
        for (at, candidate) in candidates(event) {
            let first = !self.answers.get(at).is_some_and(|answer| answer.begun);
            let (mut delta, reason) = self.read(at, &candidate);
            if let Some(answer) = self.answers.get_mut(at) {
                answer.begun = true;
            }
            if let (true, Some(members)) = (first, delta.as_object_mut()) {
                members.insert("role".into(), "assistant".into());
            }
            frames.push(self.chunks.choice(u64::try_from(at).unwrap_or(0), delta, reason));
        }
        frames
    }
}

impl Step for Reader {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        steps::read(event, next, |event| self.frames(event));
    }

    fn end(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        if self.failed {
            return;
        }
        if self.answers.is_empty() || self.answers.iter().any(|answer| !answer.ended) {
            return steps::break_off(next);
        }
        next(&self.chunks.usage(self.tokens).event());
        next(&done().event());
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        answer.get("candidates").or_else(|| answer.get("promptFeedback"))?;
        self.begin(&answer);
        let mut choices = Vec::new();
        for (at, candidate) in candidates(&answer) {
            let (said, reason) = self.read(at, &candidate);
            let mut message = json!({"role": "assistant", "content": null, "refusal": null});
            if let (Some(members), Value::Object(said)) = (message.as_object_mut(), said) {
                members.extend(said);
                for call in members.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten()
                {
                    call.as_object_mut().map(|call| call.remove("index"));
                }
            }
            choices.push(json!({"index": at, "message": message, "logprobs": null, "finish_reason": reason}));
        }
        Some(self.chunks.whole(choices.into(), self.tokens))
    }
}

/// The candidates by their index; of a prompt that was blocked one that says so.
fn candidates(answer: &Value) -> Vec<(usize, Value)> {
    let given = answer.get("candidates").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if given.is_empty() && answer.pointer("/promptFeedback/blockReason").is_some() {
        return vec![(0, json!({"finishReason": "PROHIBITED_CONTENT"}))];
    }
    let index = |at: usize, candidate: &Value| {
        let said = candidate.get("index").and_then(Value::as_u64);
        said.and_then(|said| usize::try_from(said).ok()).unwrap_or(at)
    };
    let all = given.iter().enumerate().map(|(at, candidate)| (index(at, candidate), candidate.clone()));
    all.filter(|(at, _)| *at < MOST_ANSWERS).collect()
}

fn append(said: &mut Value, name: &str, piece: &str) {
    let Some(members) = said.as_object_mut() else { return };
    match members.get_mut(name) {
        Some(Value::String(before)) => before.push_str(piece),
        Some(_) | None => drop(members.insert(name.to_owned(), piece.into())),
    }
}

/// How many answers Gemini gives at most.
const MOST_ANSWERS: usize = 8;
