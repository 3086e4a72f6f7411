//! What is answered to a request that goes no further, and to an answer that is not passed on.

use serde_json::json;
use weir_core::Reply;
use weir_template::chat::Refusal;
use weir_wire::openai::{ApiError, ErrorKind};

/// Another method than the one that templates are called with.
pub(crate) fn wrong_method(method: &str) -> Reply {
    let method: String = method.chars().take(16).collect();
    let message = format!("A template is called with POST, not {method}.");
    let error = ApiError::invalid_request(405, "method_not_allowed", message.into());
    api_error(&error).with_header("allow", "POST")
}

/// A body that is not JSON by its head.
pub(crate) fn wrong_media_type() -> Reply {
    let message = "A template reads a JSON body; say so with content-type: application/json.";
    api_error(&ApiError::invalid_request(415, "unsupported_media_type", message.into()))
}

pub(crate) fn api_error(error: &ApiError) -> Reply {
    let details = format!("weir_chat_template_{}", error.code.unwrap_or("bad_body"));
    Reply::json(error.status, details, error.to_body())
}

pub(crate) fn refusal(refusal: &Refusal) -> Reply {
    let details = format!("weir_chat_template_{}", refusal.code);
    Reply::json(refusal.status, details, body(refusal))
}

/// A refusal in OpenAI's form.
pub(crate) fn body(refusal: &Refusal) -> Vec<u8> {
    let kind = if refusal.status < 500 { ErrorKind::InvalidRequest } else { ErrorKind::Server };
    let Refusal { code, message, param, .. } = refusal;
    let error = json!({"message": message, "type": kind.as_str(), "param": param, "code": code});
    json!({"error": error}).to_string().into_bytes()
}
