//! How a stream ends that is whole, and what is said where one breaks off.

use serde_json::{Value, json};

use super::step::Frame;
use crate::openai::Endpoint;

/// The end that a client waits for in a stream, by its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Of chat completions and completions: `[DONE]`, or a reason in each of the choices, since some leave out the former.
    Chunks,
    /// Of responses: an event that the response is over.
    Responses,
    /// Of messages: `message_stop`.
    Messages,
}

/// How far a stream has come.
#[derive(Debug, Default)]
pub(super) struct Course {
    begun: bool,
    /// Whether it has said that it is over.
    over: bool,
    /// Whether it has said that it has failed.
    failed: bool,
    /// The choices that have begun and not said why they end, by their indexes.
    open: u128,
    reasoned: bool,
    /// The number of the last event, where events have one.
    number: Option<u64>,
}

impl Ending {
    /// How the stream ends that answers a request at `endpoint`; `None` if there is none that everyone writes alike.
    pub fn at(endpoint: &Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::ChatCompletions | Endpoint::Completions => Some(Self::Chunks),
            Endpoint::Responses => Some(Self::Responses),
            Endpoint::Messages => Some(Self::Messages),
            Endpoint::CountTokens
            | Endpoint::Embeddings
            | Endpoint::Rerank
            | Endpoint::Moderations
            | Endpoint::ImageGenerations
            | Endpoint::ImageEdits
            | Endpoint::ImageVariations
            | Endpoint::Speech
            | Endpoint::Transcriptions
            | Endpoint::Translations
            | Endpoint::Stored
            | Endpoint::Models
            | Endpoint::Model(_) => None,
        }
    }

    /// The event that says that a stream has broken off.
    pub(super) fn broken(self, course: &Course) -> Frame {
        let (name, data) = match self {
            Self::Chunks => (None, broken()),
            Self::Responses => {
                let number = course.number.map_or(0, |number| number.saturating_add(1));
                let error = json!({
                    "type": "error", "code": CODE, "message": MESSAGE, "param": null, "sequence_number": number,
                });
                (Some("error"), error)
            }
            Self::Messages => {
                let error = json!({"type": "api_error", "message": MESSAGE});
                (Some("error"), json!({"type": "error", "error": error}))
            }
        };
        Frame::of(name, data.to_string().as_bytes())
    }
}

impl Course {
    /// An event has come.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// The stream has said that it is over.
    pub(super) fn finish(&mut self) {
        self.over = true;
    }

    /// An event of this type has come, as JSON has it.
    pub(super) fn learn_type(&mut self, literal: &[u8]) {
        self.over |= LAST.contains(&literal);
        self.failed |= FAILED.contains(&literal);
    }

    /// An error has come, if this is one, as JSON has it.
    pub(super) fn learn_error(&mut self, literal: &[u8]) {
        self.failed |= literal.starts_with(b"{") || literal.starts_with(b"\"") && literal != b"\"\"";
    }

    /// The number of an event has come, as JSON has it.
    pub(super) fn learn_number(&mut self, literal: &[u8]) {
        self.number = str::from_utf8(literal).ok().and_then(|number| number.parse().ok()).or(self.number);
    }

    /// A part of a choice has come: the last one if it says why it `ends`.
    pub(super) fn choice(&mut self, index: usize, ends: bool) {
        let bit = u32::try_from(index).ok().and_then(|index| 1_u128.checked_shl(index)).unwrap_or(0);
        self.reasoned |= ends;
        self.open = if ends { self.open & !bit } else { self.open | bit };
    }

    /// Whether something has come and not its end.
    pub(super) fn is_open(&self) -> bool {
        let is_over = self.over || self.failed || self.reasoned && self.open == 0;
        self.begun && !is_over
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }
}

/// The error of an answer that has broken off, in OpenAI's form.
pub fn broken() -> Value {
    json!({"error": {"message": MESSAGE, "type": "server_error", "param": null, "code": CODE}})
}

const MESSAGE: &str = "The upstream's answer has ended before it was complete.";
const CODE: &str = "upstream_incomplete";
/// The types of the events after which nothing comes.
const LAST: [&[u8]; 4] =
    [b"\"message_stop\"", b"\"response.completed\"", b"\"response.incomplete\"", b"\"response.cancelled\""];
/// Those that say that there was an error.
const FAILED: [&[u8]; 2] = [b"\"error\"", b"\"response.failed\""];
