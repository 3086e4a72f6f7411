//! What an answer has used, read from its body while it flows.

#[cfg(test)]
mod tests;

use memchr::memmem;
use serde_json::{Map, Value};

use crate::prompt::Weight;
use crate::sse::{SseFrame, SseFramer};

/// Meters the body of one answer: JSON or server-sent events, as OpenAI's and Anthropic's interfaces have them.
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
}

impl Meter {
    /// A meter for a body of this `content-type`.
    pub fn of(content_type: Option<&[u8]>) -> Self {
        let events = content_type.is_some_and(|media| media.starts_with(b"text/event-stream"));
        let form = if events { Form::Events(SseFramer::new(LONGEST_EVENT)) } else { Form::Json(Vec::new()) };
        Self { form, tally: Tally::default() }
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
        for holder in [Some(&event), event.get("message"), event.get("response")].into_iter().flatten() {
            if let Some(usage) = holder.get("usage").and_then(Value::as_object) {
                self.usage(usage);
            }
        }
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
        });
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
        Totals { delivered: self.text.tokens().max(self.parts), ..self.totals }
    }
}

impl Totals {
    fn learn(&mut self, usage: &Map<String, Value>) {
        let number = |name: &str| usage.get(name).and_then(Value::as_u64);
        let detail = |group: &str, name: &str| usage.get(group)?.get(name)?.as_u64();
        // Anthropic does not count cached tokens among those of the prompt.
        let cache = [number("cache_read_input_tokens"), number("cache_creation_input_tokens")];
        let beside = cache.iter().flatten().fold(0, |sum: u64, tokens| sum.saturating_add(*tokens));
        let input = number("prompt_tokens").or_else(|| Some(number("input_tokens")?.saturating_add(beside)));
        let output = number("completion_tokens").or_else(|| number("output_tokens"));
        let cached = detail("prompt_tokens_details", "cached_tokens")
            .or_else(|| detail("input_tokens_details", "cached_tokens"))
            .or(number("cache_read_input_tokens"));
        let reasoning = detail("completion_tokens_details", "reasoning_tokens")
            .or_else(|| detail("output_tokens_details", "reasoning_tokens"));
        // Streams say it again as it grows.
        self.input = self.input.max(input);
        self.output = self.output.max(output);
        self.cached_input = self.cached_input.max(cached.unwrap_or(0));
        self.reasoning = self.reasoning.max(reasoning.unwrap_or(0));
    }
}

/// Reads every `usage` object in a part of a JSON body. In a string the name would have its quotes escaped.
fn find_usage(held: &[u8], totals: &mut Totals) {
    for at in memmem::find_iter(held, NAME) {
        let rest = held.get(at.saturating_add(NAME.len())..).unwrap_or_default().trim_ascii_start();
        let value = rest.strip_prefix(b":").unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(value).into_iter::<Value>();
        if let Some(Ok(Value::Object(usage))) = values.next() {
            totals.learn(&usage);
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

const NAME: &[u8] = b"\"usage\"";
const NAMES: [&str; 5] = ["role", "id", "type", "stop_reason", "stop_sequence"];
/// How much of a JSON body is held.
const HELD: usize = 64 * 1024;
const LONGEST_USAGE: usize = 4 * 1024;
const LONGEST_EVENT: usize = 1024 * 1024;
