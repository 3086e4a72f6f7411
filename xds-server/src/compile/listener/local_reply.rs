//! What a client reads when Envoy itself answers: an error in the form of the OpenAI API.

use serde_json::{Value, json};

use crate::compile::typed;

pub(super) fn config() -> Value {
    json!({"mappers": ERRORS.iter().map(LocalError::mapper).collect::<Vec<_>>()})
}

/// An error that Envoy finds, and how it is told.
struct LocalError {
    /// Which status codes, as a condition in CEL.
    when: &'static str,
    kind: &'static str,
    code: &'static str,
    message: &'static str,
}

impl LocalError {
    fn mapper(&self) -> Value {
        let expression = format!("{BY_ENVOY} && {}", self.when);
        let filter = typed(
            "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            json!({"expression": expression}),
        );
        let Self { message, kind, code, .. } = self;
        let body =
            format!(r#"{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":"{code}"}}}}"#);
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

const CLIENT: &str = "invalid_request_error";
const SERVER: &str = "server_error";

/// The first that fits is used.
const ERRORS: [LocalError; 9] = [
    LocalError {
        when: "response.code == 404",
        kind: CLIENT,
        code: "not_found",
        message: "There is nothing at this path.",
    },
    LocalError {
        when: "response.code == 408",
        kind: CLIENT,
        code: "request_timeout",
        message: "The request did not arrive in time.",
    },
    LocalError {
        when: "response.code == 413",
        kind: CLIENT,
        code: "request_too_large",
        message: "The request body is too large.",
    },
    LocalError {
        when: "response.code == 431",
        kind: CLIENT,
        code: "request_headers_too_large",
        message: "The request headers are too large.",
    },
    LocalError {
        when: "response.code >= 400 && response.code < 500",
        kind: CLIENT,
        code: "bad_request",
        message: "The request is not valid HTTP.",
    },
    LocalError {
        when: "response.code == 502",
        kind: SERVER,
        code: "upstream_error",
        message: "The model's provider gave no valid answer.",
    },
    LocalError {
        when: "response.code == 503",
        kind: SERVER,
        code: "upstream_unavailable",
        message: "The model's provider cannot be reached.",
    },
    LocalError {
        when: "response.code == 504",
        kind: SERVER,
        code: "upstream_timeout",
        message: "The model's provider did not answer in time.",
    },
    LocalError {
        when: "response.code >= 500",
        kind: SERVER,
        code: "internal_error",
        message: "The gateway could not answer.",
    },
];
