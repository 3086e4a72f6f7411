//! What an API has answered.

use serde_json::Value;
use weir_core::{Answer, CallError};

use super::Failure;
use crate::outcome::Kind;

/// An answer that has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

/// Reads the outcome of a call; `is_late` says whether its time is over, as the proxy answers then in the API's place.
pub(super) fn read(
    answer: Result<Answer<'_>, CallError>,
    limit: u32,
    timeout_ms: u32,
    is_late: impl FnOnce() -> bool,
) -> Result<Received, Failure> {
    let unreachable = |text: &str| Failure { kind: Kind::Unreachable, text: text.into() };
    match answer {
        // The proxy's clock and ours need not agree to the millisecond.
        Ok(answer)
            if answer.status == GATEWAY_TIMEOUT && (answer.body.starts_with(TIMED_OUT) || is_late()) =>
        {
            Err(Failure::timeout(timeout_ms))
        }
        Ok(answer) if answer.body.starts_with(NOT_CONNECTED) => {
            Err(unreachable("the API could not be reached"))
        }
        Ok(answer) => Ok(Received {
            status: answer.status,
            content_type: answer.head.text("content-type").unwrap_or_default().to_owned(),
            body: answer.body.to_vec(),
        }),
        Err(CallError::TooLarge) => {
            let text = format!("the answer is larger than {limit} bytes");
            Err(Failure { kind: Kind::ToolError, text })
        }
        // The proxy breaks off an answer that is far too large.
        Err(CallError::Failed) => Err(unreachable("the API broke off, or its answer was too large")),
        Err(CallError::Refused) => Err(unreachable("the API is not known to the gateway")),
    }
}

impl Received {
    /// The answer if it is no error; otherwise what `told` makes of it.
    pub(super) fn into_ok(self, told: impl FnOnce(u16, &[u8]) -> String) -> Result<Self, Failure> {
        match self.status {
            200..300 => Ok(self),
            500.. => Err(Failure { kind: Kind::Upstream5xx, text: told(self.status, &self.body) }),
            _ => Err(Failure { kind: Kind::Upstream4xx, text: told(self.status, &self.body) }),
        }
    }

    /// Its JSON, or its text.
    pub(super) fn value(&self) -> Value {
        value(&self.body)
    }
}

/// A body's JSON, or its text.
pub(super) fn value(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

impl Failure {
    /// The same failure of a step that has a name.
    pub(super) fn of_step(self, name: &str) -> Self {
        match name {
            "" => self,
            name => Self { text: format!("step \"{name}\": {}", self.text), ..self },
        }
    }
}

const GATEWAY_TIMEOUT: u16 = 504;
/// What the proxy answers in the place of an API whose time is over.
const TIMED_OUT: &[u8] = b"upstream request timeout";
/// How Envoy's own answer begins when an upstream does not answer.
const NOT_CONNECTED: &[u8] = b"upstream connect error or disconnect/reset before headers";

#[cfg(test)]
mod tests {
    use crate::run::duration;

    #[test]
    fn a_time_is_written_for_people() {
        assert_eq!((duration(10_000), duration(1500)), ("10 s".into(), "1500 ms".into()));
    }
}
