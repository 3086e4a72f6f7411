//! What a client reads when Envoy itself answers: an error in the form of the OpenAI API.

use serde_json::{Value, json};

use crate::compile::typed;

pub(super) fn config() -> Value {
    let of_anthropic = ERRORS.iter().map(LocalError::of_anthropic);
    json!({"mappers": of_anthropic.chain(ERRORS.iter().map(LocalError::of_openai)).collect::<Vec<_>>()})
}

/// An error that Envoy finds, and how it is told.
struct LocalError {
    /// Which status codes, as a condition in CEL.
    when: &'static str,
    kind: &'static str,
    code: &'static str,
    /// The type of an error of Anthropic's interface.
    anthropic: &'static str,
    message: &'static str,
}

impl LocalError {
    fn of_openai(&self) -> Value {
        let Self { message, kind, code, .. } = self;
        let body =
            format!(r#"{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":"{code}"}}}}"#);
        Self::mapper(&format!("{BY_ENVOY} && {}", self.when), &body)
    }

    fn of_anthropic(&self) -> Value {
        let Self { message, anthropic, .. } = self;
        let body = format!(r#"{{"type":"error","error":{{"type":"{anthropic}","message":"{message}"}}}}"#);
        Self::mapper(&format!("{BY_ENVOY} && {TO_ANTHROPIC} && {}", self.when), &body)
    }

    fn mapper(expression: &str, body: &str) -> Value {
        let filter = typed(
            "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            json!({"expression": expression}),
        );
        json!({
            "filter": {"extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": filter,
            }},
            "body_format_override": {
                "text_format_source": {"inline_string": body},
                "content_type": "application/json",
            },
        })
    }
}

/// The replies of Weir's filters, whose details begin with their name, are left alone.
const BY_ENVOY: &str = "!response.code_details.startsWith('weir_')";

/// The client has asked at a path of Anthropic's. The path that Envoy knows is the last attempt's.
const TO_ANTHROPIC: &str =
    "(request.path.startsWith('/v1/messages') || filter_state['wasm.weir.protocol'] == b'messages')";

const CLIENT: &str = "invalid_request_error";
const SERVER: &str = "server_error";

/// The first that fits is used.
const ERRORS: [LocalError; 9] = [
    LocalError {
        when: "response.code == 404",
        kind: CLIENT,
        code: "not_found",
        anthropic: "not_found_error",
        message: "There is nothing at this path.",
    },
    LocalError {
        when: "response.code == 408",
        kind: CLIENT,
        code: "request_timeout",
        anthropic: "invalid_request_error",
        message: "The request did not arrive in time.",
    },
    LocalError {
        when: "response.code == 413",
        kind: CLIENT,
        code: "request_too_large",
        anthropic: "request_too_large",
        message: "The request body is too large.",
    },
    LocalError {
        when: "response.code == 431",
        kind: CLIENT,
        code: "request_headers_too_large",
        anthropic: "request_too_large",
        message: "The request headers are too large.",
    },
    LocalError {
        when: "response.code >= 400 && response.code < 500",
        kind: CLIENT,
        code: "bad_request",
        anthropic: "invalid_request_error",
        message: "The request is not valid HTTP.",
    },
    LocalError {
        when: "response.code == 502",
        kind: SERVER,
        code: "upstream_error",
        anthropic: "api_error",
        message: "The model's provider gave no valid answer.",
    },
    LocalError {
        // 507: one of several targets has failed while more of the request came than is kept for another.
        when: "response.code in [503, 507]",
        kind: SERVER,
        code: "upstream_unavailable",
        anthropic: "overloaded_error",
        message: "The model's provider cannot be reached.",
    },
    LocalError {
        when: "response.code == 504",
        kind: SERVER,
        code: "upstream_timeout",
        anthropic: "timeout_error",
        message: "The model's provider did not answer in time.",
    },
    LocalError {
        when: "response.code >= 500",
        kind: SERVER,
        code: "internal_error",
        anthropic: "api_error",
        message: "The gateway could not answer.",
    },
];
