//! What a server has answered to a call of this filter.

use serde_json::{Map, Value};
use weir_core::{Answer, CallError};
use weir_wire::{SseFrame, SseFramer};

use crate::proxy::session;

/// An answer that has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(super) status: u16,
    pub(super) media: String,
    /// The session that the server has begun.
    pub(super) session: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why a server has given no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is not there, or broke off.
    Unreachable,
    /// Its time was over.
    Slow,
    /// It has answered more than is read.
    TooLarge,
    /// An HTTP error.
    Status(u16),
    /// No JSON-RPC message.
    NoMessage,
    /// A JSON-RPC error with this code.
    Refused(i64),
}

impl Received {
    pub(super) fn of(answer: Result<Answer<'_>, CallError>) -> Result<Self, Failure> {
        match answer {
            Ok(answer) if answer.status == GATEWAY_TIMEOUT => Err(Failure::Slow),
            Ok(answer) => Ok(Self {
                status: answer.status,
                media: answer.head.text("content-type").unwrap_or_default().to_owned(),
                session: answer.head.text(session::HEADER).map(str::to_owned),
                body: answer.body.to_vec(),
            }),
            Err(CallError::TooLarge) => Err(Failure::TooLarge),
            Err(CallError::Failed | CallError::Refused) => Err(Failure::Unreachable),
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The result in it: the one message that answers, be it JSON or the event of a stream.
    pub(super) fn result(&self) -> Result<Map<String, Value>, Failure> {
        let found = if self.media.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
            let mut found = None;
            let mut framer = SseFramer::new(self.body.len());
            let read = framer.feed(&self.body, |frame| match frame {
                SseFrame::Event(event) if found.is_none() => found = outcome(event.data),
                SseFrame::Event(_) | SseFrame::Silence(_) => {}
            });
            found.filter(|_| read.is_ok())
        } else {
            outcome(&self.body)
        };
        match found {
            Some(Ok(result)) if self.is_ok() => Ok(result),
            Some(Err(code)) => Err(Failure::Refused(code)),
            Some(Ok(_)) | None if !self.is_ok() => Err(Failure::Status(self.status)),
            Some(Ok(_)) | None => Err(Failure::NoMessage),
        }
    }
}

impl Failure {
    /// For the log. What the server says of itself is not in it.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Unreachable => "it could not be reached".into(),
            Self::Slow => "it took too long".into(),
            Self::TooLarge => "its answer is too large".into(),
            Self::Status(status) => format!("it answered {status}"),
            Self::NoMessage => "its answer is no message".into(),
            Self::Refused(code) => format!("it answered with the error {code}"),
        }
    }
}

/// The result of a message that is an answer, or its error's code.
fn outcome(message: &[u8]) -> Option<Result<Map<String, Value>, i64>> {
    let mut message: Map<String, Value> = serde_json::from_slice(message).ok()?;
    if let Some(Value::Object(result)) = message.remove("result") {
        return Some(Ok(result));
    }
    let error = message.remove("error")?;
    Some(Err(error.get("code").and_then(Value::as_i64).unwrap_or_default()))
}

const GATEWAY_TIMEOUT: u16 = 504;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn received(status: u16, media: &str, body: &str) -> Result<Map<String, Value>, Failure> {
        Received { status, media: media.into(), session: None, body: body.as_bytes().to_vec() }.result()
    }

    #[test]
    fn a_result_is_found_in_json_and_among_events() {
        let expected = json!({"tools": []}).as_object().cloned().unwrap();
        let message = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#;
        assert_eq!(received(200, "application/json", message), Ok(expected.clone()));
        let events = format!(
            "id: 1\nretry: 100\ndata:\n\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"x\"}}\n\nevent: message\ndata: {message}\n\n"
        );
        assert_eq!(received(200, "Text/Event-Stream; charset=utf-8", &events), Ok(expected));
    }

    #[test]
    fn what_is_no_result_says_why() {
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#;
        assert_eq!(received(404, "application/json", error), Err(Failure::Refused(-32601)));
        assert_eq!(received(200, "application/json", error), Err(Failure::Refused(-32601)));
        assert_eq!(received(503, "text/plain", "upstream connect error"), Err(Failure::Status(503)));
        assert_eq!(received(200, "text/html", "<p>"), Err(Failure::NoMessage));
        assert_eq!(received(200, "text/event-stream", "data: {}\n\n"), Err(Failure::NoMessage));
        assert_eq!(
            received(500, "application/json", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Err(Failure::Status(500))
        );
    }
}
