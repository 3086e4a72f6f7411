//! What becomes of a call.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use weir_core::Metric;
use weir_wire::jsonrpc::RpcError;

use crate::filter::{CALLS_OK, CALLS_REFUSED, CALLS_TIMEOUT, CALLS_TOOL_ERROR, CALLS_UPSTREAM_ERROR};
use crate::version::Version;

/// A call that is done.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    /// The members of its result, or the error that stands in its place.
    pub(crate) answer: Result<Map<String, Value>, RpcError>,
}

/// How a call has ended, as metrics and the access log have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ok,
    UnknownTool,
    Denied,
    InvalidArgs,
    ToolError,
    Upstream4xx,
    Upstream5xx,
    Unreachable,
    Timeout,
}

impl Outcome {
    /// An answer of these contents.
    pub(crate) fn content(content: Value) -> Self {
        let answer = Map::from_iter([("content".to_owned(), Value::Array(vec![content]))]);
        Self { kind: Kind::Ok, answer: Ok(answer) }
    }

    /// An answer that is a text.
    pub(crate) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::content(json!({"type": "text", "text": text.into()}))
    }

    /// A failure that the model should read.
    pub(crate) fn failure(kind: Kind, text: impl Into<Cow<'static, str>>) -> Self {
        let mut outcome = Self::text(text);
        if let Ok(answer) = &mut outcome.answer {
            answer.insert("isError".into(), Value::Bool(true));
        }
        Self { kind, ..outcome }
    }

    /// A failure that the client's program should read.
    pub(crate) fn error(kind: Kind, error: RpcError) -> Self {
        Self { kind, answer: Err(error) }
    }

    /// The same answer with its value beside its text, which revisions before 2026-07-28 know of objects only.
    pub(crate) fn with_structure(mut self, value: Value, version: Version) -> Self {
        if let Ok(answer) = &mut self.answer
            && (version.is_modern() || value.is_object())
        {
            answer.insert("structuredContent".into(), value);
        }
        self
    }
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UnknownTool => "unknown_tool",
            Self::Denied => "denied",
            Self::InvalidArgs => "invalid_args",
            Self::ToolError => "tool_error",
            Self::Upstream4xx => "upstream_4xx",
            Self::Upstream5xx => "upstream_5xx",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
        }
    }

    pub(crate) fn metric(self) -> Metric {
        match self {
            Self::Ok => CALLS_OK,
            Self::UnknownTool | Self::Denied | Self::InvalidArgs => CALLS_REFUSED,
            Self::ToolError => CALLS_TOOL_ERROR,
            Self::Upstream4xx | Self::Upstream5xx | Self::Unreachable => CALLS_UPSTREAM_ERROR,
            Self::Timeout => CALLS_TIMEOUT,
        }
    }
}

/// An image or a sound as content, if the media type says it is one.
pub(crate) fn media(content_type: &str, body: &[u8]) -> Option<Value> {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = ["image", "audio"]
        .into_iter()
        .find(|kind| media.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/')))?;
    Some(json!({"type": kind, "data": STANDARD.encode(body), "mimeType": media}))
}

/// The beginning of a text, as much as an error should carry.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_ERROR_TEXT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// How much of an API's error is told, in bytes.
const MAX_ERROR_TEXT: usize = 2 * 1024;
