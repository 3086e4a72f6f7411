//! An answer of OpenAI's interface, made what the client has asked for.

use core::ops::Range;

use serde_json::Value;

use super::step::{Frame, Step};
use crate::meter::{Tally, add_texts, is_name};
use crate::prompt::Weight;
use crate::splice::Splice;
use crate::sse::SseEvent;
use crate::{openai::DONE, walk};

/// What an answer has to be for its client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What `model` says, as a JSON string. Absent: what the upstream says.
    pub model: Option<String>,
    /// Whether the client has not asked for the event that tells the usage of a stream.
    pub hide_usage: bool,
}

/// Makes an answer what its client has asked for, and counts what is in it.
#[derive(Debug)]
pub struct Fit {
    terms: Terms,
    tally: Tally,
    finish_reason: Option<String>,
}

/// What of an event decides whether it is handed on.
#[derive(Debug, Default)]
struct Seen {
    /// It has a list of choices, which may be empty.
    choices: Option<usize>,
    usage: bool,
}

impl Fit {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, tally: Tally::default(), finish_reason: None }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_deref()
    }

    /// Reads the members of an answer or of a part of one, and edits them.
    fn read(&mut self, json: &[u8], splice: &mut Splice<'_>) -> Seen {
        let mut seen = Seen::default();
        for member in walk::members(json, 0..json.len()) {
            let value = member.value.clone();
            match walk::name_of(json, &member) {
                b"model" => self.model(json, value, splice),
                b"choices" => {
                    let mut choices = 0_usize;
                    for choice in walk::items(json, value) {
                        choices = choices.saturating_add(1);
                        self.choice(json, choice);
                    }
                    seen.choices = Some(choices);
                }
                b"usage" => seen.usage |= self.usage(json, value),
                // Where Anthropic's interface and that of responses have the model.
                b"message" | b"response" => {
                    if let Some(model) = walk::member(json, value, b"model") {
                        self.model(json, model.value, splice);
                    }
                }
                _ => {}
            }
        }
        seen
    }

    fn model(&self, json: &[u8], value: Range<usize>, splice: &mut Splice<'_>) {
        if let Some(model) = &self.terms.model
            && json.get(value.clone()).is_some_and(|now| now.starts_with(b"\"") && now != model.as_bytes())
        {
            splice.replace(value, model.as_bytes());
        }
    }

    fn choice(&mut self, json: &[u8], choice: Range<usize>) {
        for member in walk::members(json, choice) {
            let value = member.value.clone();
            match walk::name_of(json, &member) {
                b"delta" | b"message" => self.tally.part(|text| weigh(json, value, text)),
                b"text" => self.tally.part(|text| text.add(text_of(json, value))),
                b"finish_reason" => {
                    let reason = json.get(value).and_then(walk::inside).filter(|reason| !reason.is_empty());
                    if let Some(reason) = reason.and_then(|reason| str::from_utf8(reason).ok()) {
                        self.finish_reason.get_or_insert_with(|| reason.to_owned());
                    }
                }
                _ => {}
            }
        }
    }

    /// Counts a usage; whether it is one.
    fn usage(&mut self, json: &[u8], value: Range<usize>) -> bool {
        let Some(text) = json.get(value).filter(|text| text.starts_with(b"{")) else { return false };
        let Ok(Value::Object(usage)) = serde_json::from_slice(text) else { return false };
        self.tally.usage(&usage);
        true
    }
}

impl Step for Fit {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        if event.data == DONE {
            return next(event);
        }
        let mut splice = Splice::of(event.data);
        let seen = self.read(event.data, &mut splice);
        if seen.choices.is_none() {
            self.tally.event(event.data);
        }
        if self.terms.hide_usage && seen.usage && seen.choices == Some(0) {
            return;
        }
        match splice.finish() {
            Some(data) => next(&Frame::with_data(event, &data).event()),
            None => next(event),
        }
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let mut splice = Splice::of(body);
        self.read(body, &mut splice);
        splice.finish()
    }
}

/// Weighs the texts of a delta or a message, as [`Tally::event`] does.
fn weigh(json: &[u8], object: Range<usize>, text: &mut Weight) {
    for member in walk::members(json, object) {
        if is_name(walk::name_of(json, &member)) {
            continue;
        }
        let value = json.get(member.value.clone()).unwrap_or_default();
        match value.first() {
            Some(b'"') => text.add(text_of(json, member.value)),
            Some(b'{' | b'[') => {
                if let Ok(value) = serde_json::from_slice(value) {
                    add_texts(&value, text);
                }
            }
            _ => {}
        }
    }
}

/// A string as it is written, which is about as long as what it means.
fn text_of(json: &[u8], value: Range<usize>) -> &[u8] {
    json.get(value).and_then(walk::inside).unwrap_or_default()
}
