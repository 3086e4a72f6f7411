//! What a server has answered to a call of this filter: one JSON text, or events up to the one that answers.

use serde::Deserialize;
use serde_json::Value;
use weir_core::{Answer, CallError};
use weir_wire::jsonrpc::RpcError;
use weir_wire::{SseFrame, SseFramer};

use super::convert::{NEEDS_INPUT, not_possible};
use super::object::Object;
use super::session;

/// An answer that has come whole.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) status: u16,
    /// The session that the server has begun.
    pub(super) session: Option<String>,
    /// What it has told on the way, as JSON.
    pub(super) told: Vec<Told>,
    /// Whether it has asked the client something.
    pub(super) asks: bool,
    /// What it has answered: a result as JSON, or an error. Absent: nothing that could be read.
    pub(super) outcome: Option<Result<String, RpcError>>,
}

/// A notification.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) method: String,
    pub(super) json: String,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    Slow,
    Unreachable,
    TooLarge,
}

impl Heard {
    pub(super) fn of(answer: Result<Answer<'_>, CallError>) -> Result<Self, Silence> {
        let answer = match answer {
            Ok(answer) if answer.status == GATEWAY_TIMEOUT => return Err(Silence::Slow),
            Ok(answer) => answer,
            Err(CallError::TooLarge) => return Err(Silence::TooLarge),
            Err(CallError::Failed | CallError::Refused) => return Err(Silence::Unreachable),
        };
        let session = answer.head.text(session::HEADER).map(str::to_owned);
        let mut heard = Self { status: answer.status, session, ..Self::default() };
        let media = answer.head.text("content-type").unwrap_or_default().trim_start().to_ascii_lowercase();
        if media.starts_with("text/event-stream") {
            let mut framer = SseFramer::new(answer.body.len());
            // An event is never longer than the body it is in.
            let _whole = framer.feed(answer.body, |frame| match frame {
                SseFrame::Event(event) => heard.add(event.data),
                SseFrame::Silence(_) => {}
            });
        } else {
            heard.add(answer.body);
        }
        Ok(heard)
    }

    /// The result, or the error in its place.
    pub(super) fn into_result(self) -> Result<String, RpcError> {
        match self.outcome {
            Some(Ok(result)) if (200..300).contains(&self.status) => Ok(result),
            Some(Err(error)) => Err(error),
            None if self.asks => Err(not_possible(NEEDS_INPUT)),
            Some(Ok(_)) | None => Err(not_possible(format!("the server has answered HTTP {}", self.status))),
        }
    }

    fn add(&mut self, data: &[u8]) {
        let Some(message) = str::from_utf8(data).ok().and_then(Object::parse) else { return };
        match (message.text("method"), message.get("id")) {
            (Some(method), None) => self.told.push(Told { method, json: message.to_string() }),
            (Some(_), Some(_)) => self.asks = true,
            (None, _) if self.outcome.is_some() => {}
            (None, _) => {
                let error = || message.get("error").and_then(error).map(Err);
                self.outcome = message.get("result").map(|result| Ok(result.to_owned())).or_else(error);
            }
        }
    }
}

impl Silence {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            // One that asks the client something waits in vain.
            Self::Slow => "the server took too long, or waits for something that its client cannot be asked",
            Self::Unreachable => "the server could not be reached",
            Self::TooLarge => "the server's answer is too large",
        }
    }
}

fn error(json: &str) -> Option<RpcError> {
    #[derive(Deserialize)]
    struct Wire {
        code: i32,
        #[serde(default)]
        message: String,
        data: Option<Value>,
    }
    let Wire { code, message, data } = serde_json::from_str(json).ok()?;
    Some(RpcError { code, message: message.into(), data })
}

const GATEWAY_TIMEOUT: u16 = 504;

#[cfg(test)]
mod tests {
    use weir_core::Head;

    use super::*;

    fn heard(status: u16, media: &str, body: &str) -> Heard {
        let fields = [("content-type", media), ("mcp-session-id", "s")];
        let head = Head::new(&fields, false);
        Heard::of(Ok(Answer { status, head: &head, body: body.as_bytes() })).unwrap()
    }

    #[test]
    fn an_answer_is_found_in_json_and_behind_what_is_told() {
        let result = r#"{"jsonrpc":"2.0","id":1,"result":{"a": 1.50}}"#;
        let json = heard(200, "application/json", result);
        assert_eq!((json.outcome, json.session.as_deref()), (Some(Ok(r#"{"a": 1.50}"#.into())), Some("s")));
        let told = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
        let asked = r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage"}"#;
        let events = heard(
            200,
            "Text/Event-Stream",
            &format!("id: 1\ndata:\n\ndata: {told}\n\ndata: {asked}\n\ndata: {result}\n\n"),
        );
        assert_eq!(events.told, [Told { method: "notifications/progress".into(), json: told.into() }]);
        assert!(events.asks && events.outcome == Some(Ok(r#"{"a": 1.50}"#.into())));
    }

    #[test]
    fn what_is_no_answer_has_no_outcome() {
        let error = heard(
            404,
            "application/json",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#,
        );
        assert_eq!(error.into_result(), Err(RpcError::new(-32601, "no")));
        for (media, body) in
            [("text/html", "<p>"), ("application/json", r#"{"id":1}"#), ("text/event-stream", "data: {}\n\n")]
        {
            let error = heard(502, media, body).into_result().unwrap_err();
            assert_eq!(error.message, "the server has answered HTTP 502", "{body}");
        }
        assert_eq!(Heard::of(Err(CallError::TooLarge)).unwrap_err(), Silence::TooLarge);
    }
}
