//! What an answer has used, read from its body while it flows.

#[cfg(test)]
mod tests;

use memchr::memmem;
use serde_json::{Map, Value};

use crate::openai::Endpoint;
use crate::prompt::Weight;
use crate::sse::{SseFrame, SseFramer};

/// Meters the body of one answer: JSON or server-sent events, as the interfaces of OpenAI, Anthropic and
/// Gemini have them.
///
/// ```
/// # use weir_wire::Meter;
/// let mut meter = Meter::of(Some(b"text/event-stream"));
/// meter.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"four\"}}]}\n\n");
/// assert_eq!(meter.totals().delivered, 1);
/// meter.feed(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n");
/// assert_eq!((meter.totals().input, meter.totals().output), (Some(7), Some(2)));
/// ```
#[derive(Clone, Debug)]
pub struct Meter {
    form: Form,
    tally: Tally,
}

/// What is counted of an answer, whoever reads it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Whether what comes is nothing that a model writes, so that no part of it is a token.
    silent: bool,
    totals: Totals,
    text: Weight,
    parts: u64,
}

/// What is known of an answer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tokens of the prompt, cached ones included, if the upstream has said it.
    pub input: Option<u64>,
    /// Tokens of the answer, reasoning included, if the upstream has said it.
    pub output: Option<u64>,
    /// Those of the prompt that the upstream had cached.
    pub cached_input: u64,
    /// Those of the answer that are not shown.
    pub reasoning: u64,
    /// About how many tokens of an answer have come, whatever the upstream says.
    pub delivered: u64,
}

#[derive(Clone, Debug)]
enum Form {
    /// The end of what has come.
    Json(Vec<u8>),
    Events(SseFramer),
    /// Sounds or images, of which no part is a token.
    Binary,
}

impl Meter {
    /// A meter for a body of this `content-type`.
    pub fn of(content_type: Option<&[u8]>) -> Self {
        let is = |kind: &[u8]| content_type.is_some_and(|media| media.starts_with(kind));
        let form = if is(b"text/event-stream") {
            Form::Events(SseFramer::new(LONGEST_EVENT))
        } else if BINARY.iter().any(|kind| is(kind)) {
            Form::Binary
        } else {
            Form::Json(Vec::new())
        };
        Self { form, tally: Tally::default() }
    }

    /// A meter for the answer of `endpoint` with this `content-type`. What is no model's writing, such as a vector, is
    /// not counted as delivered, and the counting of tokens uses none.
    pub fn at(endpoint: Option<&Endpoint>, content_type: Option<&[u8]>) -> Self {
        let mut meter = Self::of(content_type);
        meter.tally.silent = endpoint.is_some_and(|endpoint| !endpoint.is_generated());
        if endpoint == Some(&Endpoint::CountTokens) {
            meter.form = Form::Binary;
            meter.tally.totals = Totals { input: Some(0), output: Some(0), ..Totals::default() };
        }
        meter
    }

    /// Reads more of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        match &mut self.form {
            Form::Json(held) => {
                self.tally.text.add(chunk);
                held.extend_from_slice(chunk);
                if held.len() > HELD {
                    find_usage(held, &mut self.tally.totals);
                    // What is cut in two here is found with the rest of it.
                    held.drain(..held.len().saturating_sub(LONGEST_USAGE));
                }
            }
            Form::Events(framer) => {
                let tally = &mut self.tally;
                // A stream whose events are too long is not read on; what came before counts.
                let _stopped = framer.feed(chunk, |frame| match frame {
                    SseFrame::Event(event) => tally.event(event.data),
                    SseFrame::Silence(_) => {}
                });
            }
            Form::Binary => {}
        }
    }

    /// What is known so far.
    pub fn totals(&self) -> Totals {
        let mut totals = self.tally.totals();
        if let Form::Json(held) = &self.form {
            find_usage(held, &mut totals);
        }
        totals
    }
}

impl Tally {
    /// Counts the data of an event, of whichever interface it is.
    pub fn event(&mut self, data: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Value>(data) else { return };
        let said = self.totals.output;
        self.usage_in(event.get("message"));
        // How Anthropic's streams begin: of the answer there is nothing yet, whatever is counted.
        self.totals.output = said;
        self.usage_in(Some(&event));
        self.usage_in(event.get("response"));
        self.part(|text| {
            match event.get("delta") {
                Some(Value::String(delta)) => text.add(delta.as_bytes()),
                Some(delta) => add_texts(delta, text),
                None => {}
            }
            for choice in event.get("choices").and_then(Value::as_array).into_iter().flatten() {
                for holder in [choice.get("delta"), choice.get("text")].into_iter().flatten() {
                    add_texts(holder, text);
                }
            }
            for candidate in event.get("candidates").and_then(Value::as_array).into_iter().flatten() {
                if let Some(content) = candidate.get("content") {
                    add_texts(content, text);
                }
            }
        });
    }

    /// Counts what an event, or a part of it, says of usage.
    fn usage_in(&mut self, holder: Option<&Value>) {
        let usages = ["usage", "usageMetadata"].map(|name| holder?.get(name)?.as_object());
        usages.into_iter().flatten().for_each(|usage| self.usage(usage));
    }

    /// Counts a `usage` that the upstream has said.
    pub fn usage(&mut self, usage: &Map<String, Value>) {
        self.totals.learn(usage);
    }

    /// Counts a part of a stream, whose texts `add` adds. One with a text has at least one token.
    pub fn part(&mut self, add: impl FnOnce(&mut Weight)) {
        let before = self.text.bytes();
        add(&mut self.text);
        self.parts = self.parts.saturating_add(u64::from(self.text.bytes() > before));
    }

    /// What is known so far.
    pub fn totals(&self) -> Totals {
        let delivered = if self.silent { 0 } else { self.text.tokens().max(self.parts) };
        Totals { delivered, ..self.totals }
    }
}

impl Totals {
    fn learn(&mut self, usage: &Map<String, Value>) {
        let number = |name: &str| usage.get(name).and_then(Value::as_u64);
        let detail = |group: &str, name: &str| usage.get(group)?.get(name)?.as_u64();
        // Anthropic does not count cached tokens among those of the prompt.
        let cache = [number("cache_read_input_tokens"), number("cache_creation_input_tokens")];
        let beside = cache.iter().flatten().fold(0, |sum: u64, tokens| sum.saturating_add(*tokens));
        let input = number("prompt_tokens")
            .or_else(|| Some(number("input_tokens")?.saturating_add(beside)))
            .or(number("promptTokenCount"));
        let thought = number("thoughtsTokenCount");
        let output = number("completion_tokens").or_else(|| number("output_tokens")).or_else(|| {
            // Gemini does not count thoughts among the tokens of the answer.
            Some(number("candidatesTokenCount").or(thought)?.saturating_add(thought.unwrap_or(0)))
        });
        // A rerank has a total only.
        let input = input.or_else(|| number("total_tokens").filter(|_| output.is_none()));
        let cached = detail("prompt_tokens_details", "cached_tokens")
            .or_else(|| detail("input_tokens_details", "cached_tokens"))
            .or(number("cache_read_input_tokens"))
            .or(number("cachedContentTokenCount"));
        let reasoning = detail("completion_tokens_details", "reasoning_tokens")
            .or_else(|| detail("output_tokens_details", "reasoning_tokens"))
            .or(thought);
        // Streams say it again as it grows.
        self.input = self.input.max(input);
        self.output = self.output.max(output);
        self.cached_input = self.cached_input.max(cached.unwrap_or(0));
        self.reasoning = self.reasoning.max(reasoning.unwrap_or(0));
    }
}

/// Reads every object that tells usage in a part of a JSON body. In a string the name would have its quotes escaped.
fn find_usage(held: &[u8], totals: &mut Totals) {
    for name in USAGES {
        for at in memmem::find_iter(held, name) {
            let rest = held.get(at.saturating_add(name.len())..).unwrap_or_default().trim_ascii_start();
            let value = rest.strip_prefix(b":").unwrap_or_default();
            let mut values = serde_json::Deserializer::from_slice(value).into_iter::<Value>();
            if let Some(Ok(Value::Object(usage))) = values.next() {
                totals.learn(&usage);
            }
        }
    }
}

/// Adds the texts in a delta, wherever they stand, but for those that are names.
pub(crate) fn add_texts(value: &Value, text: &mut Weight) {
    match value {
        Value::String(piece) => text.add(piece.as_bytes()),
        Value::Array(items) => items.iter().for_each(|item| add_texts(item, text)),
        Value::Object(members) => {
            let said = members.iter().filter(|(name, _)| !is_name(name.as_bytes()));
            said.for_each(|(_, value)| add_texts(value, text));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a member of a delta has a text that no model has written.
pub(crate) fn is_name(member: &[u8]) -> bool {
    NAMES.iter().any(|name| name.as_bytes() == member)
}

/// Who tells usage under which name: most, Gemini, and Cohere's rerank in `meta`.
const USAGES: [&[u8]; 3] = [b"\"usage\"", b"\"usageMetadata\"", b"\"tokens\""];
/// How the media types begin that are no text.
const BINARY: [&[u8]; 4] = [b"audio/", b"image/", b"video/", b"application/octet-stream"];
/// Members of a delta whose texts no model has written.
const NAMES: [&str; 5] = ["role", "id", "type", "stop_reason", "stop_sequence"];
/// How much of a JSON body is held.
const HELD: usize = 64 * 1024;
const LONGEST_USAGE: usize = 4 * 1024;
const LONGEST_EVENT: usize = 1024 * 1024;
