//! An answer of OpenAI's interface, made what the client has asked for.

use core::ops::Range;

use serde_json::{Map, Value, json};

use super::ending::{Course, Ending};
use super::step::{Frame, Step};
use super::thread::{Think, Thread};
use super::{reason, usage};
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
    /// Where the client finds what the model has thought.
    pub think: Think,
    /// How a stream ends that is whole. Absent: nobody knows.
    pub ending: Option<Ending>,
}

/// Makes an answer what its client has asked for, and counts what is in it.
#[derive(Debug)]
pub struct Fit {
    terms: Terms,
    tally: Tally,
    course: Course,
    finish_reason: Option<String>,
    /// The answers, by their index.
    threads: Vec<Thread>,
    /// The last event, as long as the client has not been told all of it.
    pending: Option<Vec<u8>>,
}

/// What of an event decides whether it is handed on.
#[derive(Debug, Default)]
struct Seen {
    /// It has a list of choices, which may be empty.
    choices: Option<usize>,
    usage: bool,
    /// What comes to an answer of another interface than chat completions.
    delta: Option<Range<usize>>,
    /// It has a member in which other interfaces tell more than a delta.
    more: bool,
    /// How many of the choices say nothing any more.
    silent: usize,
}

/// Where the members of a choice stand.
#[derive(Debug, Default)]
struct Choice {
    index: usize,
    reason: Option<Range<usize>>,
    said: Option<Range<usize>>,
}

impl Fit {
    pub(super) fn new(terms: Terms) -> Self {
        let (tally, course) = (Tally::default(), Course::default());
        Self { terms, tally, course, finish_reason: None, threads: Vec::new(), pending: None }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_deref()
    }

    /// Whether a stream that ends now is not whole.
    pub(super) fn is_broken(&self) -> bool {
        self.terms.ending.is_some() && self.course.is_open()
    }

    /// Reads the members of an answer, or of a part of one unless it is `whole`, and edits them.
    fn read(&mut self, json: &[u8], whole: bool, splice: &mut Splice<'_>) -> Seen {
        let mut seen = Seen::default();
        for member in walk::members(json, 0..json.len()) {
            let value = member.value.clone();
            match walk::name_of(json, &member) {
                b"model" => self.model(json, value, splice),
                b"choices" => {
                    let mut choices = 0_usize;
                    for choice in walk::items(json, value) {
                        choices = choices.saturating_add(1);
                        let silent = self.choice(json, choice, whole, splice);
                        seen.silent = seen.silent.saturating_add(usize::from(silent));
                    }
                    seen.choices = Some(choices);
                }
                b"usage" => {
                    seen.more = true;
                    seen.usage |= self.usage(json, value, splice);
                }
                b"delta" => seen.delta = Some(value),
                b"candidates" | b"usageMetadata" => seen.more = true,
                // Groq has it there, unless it is asked for.
                b"x_groq" => {
                    if let Some(usage) = walk::member(json, value, b"usage") {
                        self.count(json, usage.value);
                    }
                }
                b"type" => self.course.learn_type(json.get(value).unwrap_or_default()),
                b"sequence_number" => self.course.learn_number(json.get(value).unwrap_or_default()),
                b"error" => self.course.learn_error(json.get(value).unwrap_or_default()),
                // Where Anthropic's interface and that of responses have the model.
                b"message" | b"response" => {
                    seen.more = true;
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

    /// Reads and edits a choice; whether it says nothing any more.
    fn choice(&mut self, json: &[u8], choice: Range<usize>, whole: bool, splice: &mut Splice<'_>) -> bool {
        let Choice { index, reason, said } = self.measure(json, choice);
        let word = reason.clone().and_then(|reason| json.get(reason)).and_then(walk::inside);
        let other = match word {
            // Some say so while there is none.
            Some(b"") => Some("null".to_owned()),
            Some(word) => {
                let word = String::from_utf8_lossy(word);
                let normal = reason::normal(&word);
                self.finish_reason.get_or_insert_with(|| normal.unwrap_or(&word).to_owned());
                normal.map(|normal| format!("\"{normal}\""))
            }
            None => None,
        };
        let ends = word.is_some_and(|word| !word.is_empty());
        self.course.choice(index, ends);
        let last = whole || ends;
        let (mut edits, silent) = match said {
            Some(said) if self.terms.think != Think::Keep => {
                let think = self.terms.think;
                self.thread(index)
                    .map_or_else(Default::default, |thread| thread.edits(json, said, think, last))
            }
            Some(_) | None => Default::default(),
        };
        if let (Some(reason), Some(other)) = (reason, other) {
            edits.push((reason, other.into_bytes()));
            edits.sort_by_key(|(range, _)| (range.start, range.end));
        }
        for (range, with) in edits {
            splice.replace(range, &with);
        }
        silent && !last
    }

    /// Finds the members of a choice, and counts what is in them.
    fn measure(&mut self, json: &[u8], choice: Range<usize>) -> Choice {
        let mut found = Choice::default();
        for member in walk::members(json, choice) {
            let value = member.value.clone();
            match walk::name_of(json, &member) {
                b"index" => {
                    let index = json.get(value).and_then(|index| str::from_utf8(index).ok());
                    found.index = index.and_then(|index| index.parse().ok()).unwrap_or(0);
                }
                b"delta" | b"message" => {
                    self.tally.part(|text| weigh(json, value.clone(), text));
                    found.said = Some(value).filter(|value| json.get(value.start) == Some(&b'{'));
                }
                b"text" => self.tally.part(|text| text.add(text_of(json, value))),
                b"finish_reason" => found.reason = Some(value),
                // Moonshot has it there, unless it is asked for.
                b"usage" => {
                    self.count(json, value);
                }
                _ => {}
            }
        }
        found
    }

    /// The answer of this index, unless there are too many.
    fn thread(&mut self, index: usize) -> Option<&mut Thread> {
        if index >= self.threads.len() && index < MOST_THREADS {
            self.threads.resize_with(index.saturating_add(1), Thread::default);
        }
        self.threads.get_mut(index)
    }

    /// Counts a usage and writes it in OpenAI's words; whether it is one.
    fn usage(&mut self, json: &[u8], value: Range<usize>, splice: &mut Splice<'_>) -> bool {
        let Some((usage, is_normal)) = self.count(json, value.clone()) else { return false };
        if !is_normal {
            splice.replace(value, Value::from(usage).to_string().as_bytes());
        }
        true
    }

    /// Counts a usage, if it is one: in OpenAI's words, and whether they were the upstream's too.
    fn count(&mut self, json: &[u8], value: Range<usize>) -> Option<(Map<String, Value>, bool)> {
        let text = json.get(value).filter(|text| text.starts_with(b"{"))?;
        let usage: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let normal = usage::normal(&usage);
        let is_normal = normal.is_none();
        let usage = normal.unwrap_or(usage);
        self.tally.usage(&usage);
        Some((usage, is_normal))
    }

    /// Hands on what was held back, in an event like the last one.
    fn flush(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        let Some(mut event) =
            self.pending.take().and_then(|last| serde_json::from_slice::<Value>(&last).ok())
        else {
            return;
        };
        let think = self.terms.think;
        let left = self.threads.iter_mut().enumerate().filter(|(_, thread)| thread.is_pending());
        let choices = left.map(|(index, thread)| {
            let delta = format!("{{{}}}", thread.finish(think));
            let delta: Value = serde_json::from_str(&delta).unwrap_or_default();
            json!({"index": index, "delta": delta, "finish_reason": null})
        });
        let choices: Vec<_> = choices.collect();
        if let Some(event) = event.as_object_mut() {
            event.insert("choices".into(), choices.into());
            event.shift_remove("usage");
        }
        next(&Frame::of(None, event.to_string().as_bytes()).event());
    }
}

impl Step for Fit {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        self.course.begin();
        if event.data == DONE {
            self.course.finish();
            self.flush(next);
            return next(event);
        }
        let mut splice = Splice::of(event.data);
        let seen = self.read(event.data, false, &mut splice);
        match &seen.delta {
            _ if seen.choices.is_some() => {}
            // Where all is read there is more than a delta, which is rare; a delta comes with every token.
            _ if seen.more => self.tally.event(event.data),
            Some(delta) => self.tally.part(|text| weigh_delta(event.data, delta.clone(), text)),
            None => {}
        }
        if self.course.has_failed() {
            self.finish_reason.get_or_insert_with(|| FAILED.to_owned());
        }
        let edited = splice.finish();
        let data = edited.as_deref().unwrap_or(event.data);
        if seen.choices > Some(0) {
            self.pending = self.threads.iter().any(Thread::is_pending).then(|| data.to_vec());
        }
        let all_silent = seen.silent > 0 && seen.choices == Some(seen.silent) && !seen.usage;
        if all_silent || self.terms.hide_usage && seen.usage && seen.choices == Some(0) {
            return;
        }
        match &edited {
            Some(data) => next(&Frame::with_data(event, data).event()),
            None => next(event),
        }
    }

    fn end(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        self.flush(next);
        if let Some(ending) = self.terms.ending.filter(|_| self.is_broken()) {
            self.finish_reason.get_or_insert_with(|| FAILED.to_owned());
            next(&ending.broken(&self.course).event());
        }
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let mut splice = Splice::of(body);
        let seen = self.read(body, true, &mut splice);
        if seen.choices.is_none() && !seen.usage {
            self.tally.event(body);
        }
        splice.finish()
    }
}

/// Weighs a delta, which is a text or an object with some.
fn weigh_delta(json: &[u8], delta: Range<usize>, text: &mut Weight) {
    match json.get(delta.start) {
        Some(b'"') => text.add(text_of(json, delta)),
        Some(_) | None => weigh(json, delta, text),
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

/// Why an answer has ended that has failed, as OpenRouter says it; OpenAI has no word.
const FAILED: &str = "error";
/// How many answers of one response are told apart.
const MOST_THREADS: usize = 128;
