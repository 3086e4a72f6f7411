//! From one interface of models to another.
//!
//! A client's request, whichever of the interfaces it speaks, becomes one of OpenAI's chat completions, and that becomes
//! one of the upstream's interface; the answer goes back the same way, as steps of an [answer](crate::answer). Where both
//! speak the same, nothing here is used. What has no counterpart and would change what is meant is refused; what would
//! only have been a hint is left out. `docs/protocols.md` lists both.

mod anthropic;
mod chat;
mod failure;
mod gemini;
mod responses;
mod steps;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::answer::Step;
use crate::openai::{ApiError, Endpoint};
use crate::sse::SseEvent;

pub use failure::{Failure, is_error_status};

/// An interface of models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's chat completions.
    #[default]
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Gemini's `generateContent`. No client speaks it here.
    Gemini,
}

/// A request as the upstream is sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// The body.
    pub body: Vec<u8>,
    /// Where it is sent: what follows the base path of the upstream's API.
    pub path: String,
    /// What the way back needs to know.
    pub asked: Asked,
}

/// What of a request its answer is written by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    client: Protocol,
    upstream: Protocol,
    /// Whether the answer comes in events.
    pub stream: bool,
    /// Whether the client has asked for the usage of a stream of chunks.
    include_usage: bool,
    /// Whether an answer without content shows what the model has thought.
    thinking: bool,
    /// What an answer of the responses interface repeats of its request.
    echo: Map<String, Value>,
}

impl Protocol {
    /// What a client speaks who asks at this endpoint; `None` if it is none that is translated.
    pub fn at(endpoint: &Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::ChatCompletions => Some(Self::Chat),
            Endpoint::Responses => Some(Self::Responses),
            Endpoint::Messages => Some(Self::Messages),
            Endpoint::Completions
            | Endpoint::CountTokens
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

    fn path(self, model: &str, stream: bool) -> String {
        match self {
            Self::Chat => "/chat/completions".into(),
            Self::Responses => "/responses".into(),
            Self::Messages => "/messages".into(),
            Self::Gemini if stream => format!("/models/{model}:streamGenerateContent?alt=sse"),
            Self::Gemini => format!("/models/{model}:generateContent"),
        }
    }
}

/// Translates a request for `model`, as the upstream calls it, from the client's interface to the upstream's.
///
/// ```
/// # use weir_wire::translate::{Protocol, request};
/// let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;
/// let sent = request(Protocol::Messages, Protocol::Chat, "gpt", body).expect("it has a counterpart");
/// assert_eq!(sent.path, "/chat/completions");
/// let expected = r#"{"model":"gpt","messages":[{"role":"user","content":"Hi"}],"max_tokens":9}"#;
/// assert_eq!(String::from_utf8(sent.body).expect("it is text"), expected);
/// ```
pub fn request(
    client: Protocol,
    upstream: Protocol,
    model: &str,
    body: &[u8],
) -> Result<Translated, ApiError> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Err(unsupported("The request body is not a JSON object.".into(), None));
    };
    let mut asked = Asked {
        client,
        upstream,
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        include_usage: body.get("stream_options").and_then(|options| options.get("include_usage"))
            == Some(&Value::Bool(true)),
        thinking: anthropic::is_thinking(&body),
        echo: Map::new(),
    };
    let mut chat = match client {
        Protocol::Messages => anthropic::to_chat(body)?,
        Protocol::Responses => {
            asked.echo = responses::echo(&body);
            responses::to_chat(body)?
        }
        Protocol::Chat | Protocol::Gemini => body,
    };
    chat.insert("model".into(), model.into());
    let body = match upstream {
        Protocol::Chat => chat,
        Protocol::Messages => anthropic::of_chat(chat)?,
        Protocol::Gemini => gemini::of_chat(chat)?,
        Protocol::Responses => responses::of_chat(chat)?,
    };
    let path = upstream.path(model, asked.stream);
    Ok(Translated { body: Value::Object(body).to_string().into_bytes(), path, asked })
}

/// An error of the gateway's own, which is one of OpenAI's interface, in the form of the interface at `path`; `None` if it
/// has that form.
pub fn worded(path: &str, status: u16, body: &[u8]) -> Option<Vec<u8>> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    let is_anthropic = path.strip_prefix("/v1/messages").is_some_and(is_below);
    (is_anthropic && is_error_status(status)).then(|| Failure::read(status, body).to_body(Protocol::Messages))
}

/// About how many tokens the prompt of a `count_tokens` request is, as the answer to it.
pub fn count(body: &[u8]) -> Vec<u8> {
    let mut weight = crate::Weight::default();
    weight.add(body);
    format!(r#"{{"input_tokens":{}}}"#, weight.tokens()).into_bytes()
}

impl Asked {
    /// The step that makes an upstream's answer one of chat completions, if it is none. `now` is in seconds since 1970.
    pub fn before(&self, now: u64) -> Option<Before> {
        Some(Before(match self.upstream {
            Protocol::Chat => return None,
            Protocol::Messages => Reader::Messages(anthropic::Reader::new(now)),
            Protocol::Gemini => Reader::Gemini(gemini::Reader::new(now)),
            Protocol::Responses => Reader::Responses(responses::Reader::new(now)),
        }))
    }

    /// The step that makes an answer of chat completions one of the client's interface, if it is none.
    pub fn after(&self, now: u64) -> Option<After> {
        Some(After(match self.client {
            Protocol::Chat | Protocol::Gemini => return None,
            Protocol::Messages => Writer::Messages(anthropic::Writer::new(self.thinking)),
            Protocol::Responses => {
                Writer::Responses(Box::new(responses::Writer::new(self.echo.clone(), now)))
            }
        }))
    }

    /// Whether the client has not asked for the event that tells the usage of a stream of chunks.
    pub fn hide_usage(&self) -> bool {
        self.client == Protocol::Chat && self.stream && !self.include_usage
    }

    /// An error of the upstream's in the form of the client's interface.
    pub fn failure(&self, status: u16, body: &[u8]) -> Vec<u8> {
        Failure::read(status, body).to_body(self.client)
    }
}

/// Makes chat completions of another interface's answers.
#[derive(Debug)]
pub struct Before(Reader);

/// Makes another interface's answers of chat completions.
#[derive(Debug)]
pub struct After(Writer);

#[derive(Debug)]
enum Reader {
    Messages(anthropic::Reader),
    Gemini(gemini::Reader),
    Responses(responses::Reader),
}

#[derive(Debug)]
enum Writer {
    Messages(anthropic::Writer),
    Responses(Box<responses::Writer>),
}

impl Step for Before {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        match &mut self.0 {
            Reader::Messages(reader) => reader.event(event, next),
            Reader::Gemini(reader) => reader.event(event, next),
            Reader::Responses(reader) => reader.event(event, next),
        }
    }

    fn end(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        match &mut self.0 {
            Reader::Messages(reader) => reader.end(next),
            Reader::Gemini(reader) => reader.end(next),
            Reader::Responses(reader) => reader.end(next),
        }
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        match &mut self.0 {
            Reader::Messages(reader) => reader.body(body),
            Reader::Gemini(reader) => reader.body(body),
            Reader::Responses(reader) => reader.body(body),
        }
    }
}

impl Step for After {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        match &mut self.0 {
            Writer::Messages(writer) => writer.event(event, next),
            Writer::Responses(writer) => writer.event(event, next),
        }
    }

    fn end(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        match &mut self.0 {
            Writer::Messages(writer) => writer.end(next),
            Writer::Responses(writer) => writer.end(next),
        }
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        match &mut self.0 {
            Writer::Messages(writer) => writer.body(body),
            Writer::Responses(writer) => writer.body(body),
        }
    }
}

/// What the upstream's interface cannot express.
fn unsupported(message: String, param: Option<&'static str>) -> ApiError {
    let error = ApiError::invalid_request(400, "unsupported_by_upstream", message.into());
    match param {
        Some(param) => error.about(param),
        None => error,
    }
}
