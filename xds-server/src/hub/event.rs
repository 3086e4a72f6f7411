//! What is written on streams.

use axum::body::Bytes;
use serde_json::{Value, json};

/// A server-sent event (WHATWG HTML, section 9.2.6).
pub(super) fn event(name: &str, data: &[u8]) -> Bytes {
    let mut event = format!("event: {name}\n").into_bytes();
    let data = data.strip_suffix(b"\n").unwrap_or(data);
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}

/// The event that carries a JSON-RPC message.
pub(super) fn message(message: &Value) -> Bytes {
    event("message", message.to_string().as_bytes())
}

/// A JSON-RPC error (JSON-RPC 2.0, section 5.1).
pub(super) fn error(id: Option<&Value>, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// JSON-RPC: the text is no JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: the JSON is no request.
pub(super) const INVALID_REQUEST: i32 = -32600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_several_lines_stays_one_event() {
        assert_eq!(event("message", b"{\r\n}\n"), "event: message\ndata: {\ndata: \ndata: }\n\n");
        assert_eq!(event("endpoint", b"/a"), "event: endpoint\ndata: /a\n\n");
        assert_eq!(message(&json!({"a": "x\ny"})), "event: message\ndata: {\"a\":\"x\\ny\"}\n\n");
    }
}
