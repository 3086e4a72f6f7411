//! JSON-RPC 2.0 messages and batches, as the Model Context Protocol sends them.
//!
//! A filter must not understand another message than the server behind it. So a member that matters may stand once
//! only, also to a parser that ignores case; an id is a string or an integer, and is kept byte for byte.

mod asked;
mod error;
mod member;

#[cfg(test)]
mod tests;

use core::str;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use asked::{Asked, asked};
pub use error::RpcError;
pub use member::{Members, NotMembers};

/// What a body holds.
#[derive(Debug)]
pub enum Body<'a> {
    /// One message.
    Single(Message<'a>),
    /// A batch, at most [`MAX_BATCH`] long; what is no message in it is an error of its own.
    Batch(Vec<Result<Message<'a>, Malformed<'a>>>),
}

/// A message.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Something that wants an answer.
    Request(Id<'a>, Call<'a>),
    /// Something that wants none.
    Notification(Call<'a>),
    /// An answer to something that the other side has asked.
    Response,
}

/// What is asked or told.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: String,
    /// Its parameters: an object, if any.
    pub params: Option<&'a RawValue>,
}

/// The id of a request: the JSON of a string or an integer, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<'a>(&'a str);

/// What is no message, or no body of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// What is wrong with it.
    pub problem: Problem,
    /// Its id, if it has a right one.
    pub id: Option<Id<'a>>,
}

/// What can be wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The body is not JSON in UTF-8.
    NotJson,
    /// It is neither an object nor an array.
    NotMessage,
    /// A batch has no message.
    EmptyBatch,
    /// A batch has too many messages.
    LongBatch,
    /// `jsonrpc` is not `"2.0"`.
    Version,
    /// `id` is neither a string nor an integer, or is too long.
    Id,
    /// There is no `method`, or it is no string.
    Method,
    /// `params` is no object.
    Params,
    /// A member stands there twice, perhaps in another case.
    Twice,
}

impl<'a> Body<'a> {
    /// Reads a body.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed<'a>> {
        let refused = |problem| Malformed { problem, id: None };
        let text = str::from_utf8(bytes).map_err(|_| refused(Problem::NotJson))?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| refused(Problem::NotJson))?;
        match raw.get().as_bytes().first() {
            Some(b'{') => Message::parse(raw).map(Self::Single),
            Some(b'[') => {
                let items: Vec<&RawValue> =
                    serde_json::from_str(raw.get()).map_err(|_| refused(Problem::NotJson))?;
                match items.len() {
                    0 => Err(refused(Problem::EmptyBatch)),
                    1..=MAX_BATCH => Ok(Self::Batch(items.into_iter().map(Message::parse).collect())),
                    _ => Err(refused(Problem::LongBatch)),
                }
            }
            _ => Err(refused(Problem::NotMessage)),
        }
    }
}

impl<'a> Message<'a> {
    fn parse(raw: &'a RawValue) -> Result<Self, Malformed<'a>> {
        let members = Members::parse(raw, &MEMBERS).map_err(|problem| Malformed {
            problem: match problem {
                NotMembers::NotObject => Problem::NotMessage,
                NotMembers::Twice => Problem::Twice,
            },
            id: None,
        })?;
        let id = members.get("id").map(Id::parse);
        let refused = |problem| Malformed { problem, id: id.and_then(Result::ok) };
        if members.get("jsonrpc").and_then(text).as_deref() != Some("2.0") {
            return Err(refused(Problem::Version));
        }
        if let Some(Err(InvalidId)) = id {
            return Err(refused(Problem::Id));
        }
        let Some(method) = members.get("method") else {
            let answers = members.get("result").is_some() || members.get("error").is_some();
            return if answers { Ok(Self::Response) } else { Err(refused(Problem::Method)) };
        };
        let method = text(method).ok_or(refused(Problem::Method))?;
        let params = members.get("params");
        if params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(refused(Problem::Params));
        }
        let call = Call { method, params };
        Ok(match id {
            Some(Ok(id)) => Self::Request(id, call),
            Some(Err(InvalidId)) | None => Self::Notification(call),
        })
    }
}

impl<'a> Id<'a> {
    fn parse(raw: &'a RawValue) -> Result<Self, InvalidId> {
        let json = raw.get();
        let digits = json.strip_prefix('-').unwrap_or(json);
        let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let fits = json.len() <= MAX_ID && (is_integer || text(raw).is_some());
        if fits { Ok(Self(json)) } else { Err(InvalidId) }
    }

    /// An id that has been read before, as [`Id::as_json`] gave it.
    pub fn written(json: &'a str) -> Self {
        Self(json)
    }

    /// The id as it was written.
    pub fn as_json(self) -> &'a str {
        self.0
    }

    /// The answer to the request with this id; `result` is JSON.
    pub fn answer(self, result: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.0)
    }
}

impl Problem {
    /// A sentence for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "the body is not JSON in UTF-8",
            Self::NotMessage => "the body is no JSON-RPC message",
            Self::EmptyBatch => "the batch is empty",
            Self::LongBatch => "a batch has at most 20 messages",
            Self::Version => "\"jsonrpc\" must be \"2.0\"",
            Self::Id => "\"id\" must be a string or an integer",
            Self::Method => "\"method\" must be a string",
            Self::Params => "\"params\" must be an object",
            Self::Twice => "a member stands there twice",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct InvalidId;

/// The text of a JSON string.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    String::deserialize(raw).ok()
}

/// How many messages a batch may have.
pub const MAX_BATCH: usize = 20;
/// The longest id, in bytes as it is written.
const MAX_ID: usize = 1024;
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
