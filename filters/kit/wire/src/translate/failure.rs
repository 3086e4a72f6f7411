//! Errors, from one interface to another.

use serde_json::{Value, json};

use super::Protocol;

/// An error as any of the interfaces tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    status: u16,
    message: String,
    kind: Option<String>,
    code: Option<Value>,
    param: Option<String>,
}

/// Whether an answer with this status is an error.
pub fn is_error_status(status: u16) -> bool {
    status >= 400
}

impl Failure {
    /// Reads an error that came with `status`: `{"error": {…}}`, as all have it, or what servers behind them answer.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Gemini's streams answer a list.
        let body = body.get(0).unwrap_or(&body);
        let error = body.get("error").unwrap_or(body);
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        let message =
            error.as_str().map(str::to_owned).or_else(|| text("message")).or_else(|| text("detail"));
        let code = error.get("code").filter(|code| code.is_string()).cloned();
        Self {
            status,
            message: message.unwrap_or_else(|| format!("The upstream answered with status {status}.")),
            kind: text("type"),
            code: code.or_else(|| error.get("status").filter(|status| status.is_string()).cloned()),
            param: text("param"),
        }
    }

    /// The status that the error's words mean, where it came in a stream.
    pub(super) fn in_stream(body: &[u8]) -> Self {
        let status = crate::openai::ConcealedError::read(body).map_or(502, |error| error.status);
        Self::read(status, body)
    }

    /// The error as a body of this interface.
    pub fn to_body(&self, protocol: Protocol) -> Vec<u8> {
        let body = match protocol {
            Protocol::Messages => self.to_messages(),
            Protocol::Chat | Protocol::Responses | Protocol::Gemini => self.to_openai(),
        };
        body.to_string().into_bytes()
    }

    pub(super) fn to_openai(&self) -> Value {
        let kind = match self.status {
            _ if self.kind.as_deref().is_some_and(|kind| !ANTHROPIC.contains(&kind)) => self.kind.as_deref(),
            429 => Some("rate_limit_exceeded"),
            400..=499 => Some("invalid_request_error"),
            _ => Some("server_error"),
        };
        // What Anthropic calls a type is a code here.
        let code = self.code.clone().or_else(|| self.kind.clone().map(Value::from));
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": code}})
    }

    pub(super) fn to_messages(&self) -> Value {
        let own = self.kind.as_deref().filter(|kind| ANTHROPIC.contains(kind));
        let meant = MEANINGS.iter().find(|(status, _)| *status == self.status).map(|(_, kind)| *kind);
        let kind =
            meant.or(own).unwrap_or(if self.status < 500 { "invalid_request_error" } else { "api_error" });
        json!({"type": "error", "error": {"type": kind, "message": self.message}})
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_ref().and_then(Value::as_str).or(self.kind.as_deref())
    }
}

/// Anthropic's documentation, "Errors".
const MEANINGS: [(u16, &str); 9] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

/// The types of Anthropic's errors.
const ANTHROPIC: [&str; 10] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "overloaded_error",
    "api_error",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str, protocol: Protocol) -> String {
        String::from_utf8(Failure::read(status, body.as_bytes()).to_body(protocol)).unwrap()
    }

    #[test]
    fn an_error_is_told_in_the_words_of_the_client() {
        let quota = r#"{"error":{"message":"Spent.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
        assert_eq!(
            told(429, quota, Protocol::Messages),
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"Spent."}}"#
        );
        let busy =
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Busy."},"request_id":"r"}"#;
        assert_eq!(
            told(529, busy, Protocol::Chat),
            r#"{"error":{"message":"Busy.","type":"server_error","param":null,"code":"overloaded_error"}}"#
        );
        let gemini = r#"[{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT"}}]"#;
        assert_eq!(
            told(400, gemini, Protocol::Responses),
            r#"{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":"INVALID_ARGUMENT"}}"#
        );
        assert_eq!(
            told(502, "<html>", Protocol::Messages),
            r#"{"type":"error","error":{"type":"api_error","message":"The upstream answered with status 502."}}"#
        );
    }
}
