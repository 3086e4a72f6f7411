//! What is answered to a request that goes no further.

use std::borrow::Cow;

use weir_core::Reply;
use weir_wire::openai::{ApiError, ErrorKind};

/// The host belongs to no domain.
pub(crate) fn unknown_host() -> Reply {
    const ERROR: ApiError = ApiError::invalid_request(
        421,
        "unknown_host",
        Cow::Borrowed("This gateway serves no API under the host name of this request."),
    );
    error(&ERROR)
}

/// No key was sent.
pub(crate) fn missing_key() -> Reply {
    const ERROR: ApiError = ApiError::invalid_request(
        401,
        "invalid_api_key",
        Cow::Borrowed(
            "You did not provide an API key. Send it in the header `Authorization: Bearer YOUR_KEY`.",
        ),
    );
    error(&ERROR).with_header("www-authenticate", "Bearer realm=\"weir\"")
}

/// The key is unknown, disabled or of another domain.
pub(crate) fn invalid_key() -> Reply {
    const ERROR: ApiError =
        ApiError::invalid_request(401, "invalid_api_key", Cow::Borrowed("The API key is not valid."));
    error(&ERROR).with_header("www-authenticate", INVALID_TOKEN)
}

/// The key has expired.
pub(crate) fn expired_key() -> Reply {
    const ERROR: ApiError =
        ApiError::invalid_request(401, "key_expired", Cow::Borrowed("The API key has expired."));
    error(&ERROR).with_header("www-authenticate", INVALID_TOKEN)
}

/// The key could not be looked up.
pub(crate) fn lookup_unavailable() -> Reply {
    const ERROR: ApiError = ApiError {
        status: 503,
        kind: ErrorKind::Server,
        code: Some("key_lookup_unavailable"),
        message: Cow::Borrowed("The API key cannot be checked at the moment. Try again."),
        param: None,
    };
    error(&ERROR).with_header("retry-after", "1")
}

/// No token was sent to a resource that needs one.
pub(crate) fn missing_token(challenge: String) -> Reply {
    const ERROR: ApiError = ApiError::invalid_request(
        401,
        "missing_token",
        Cow::Borrowed(
            "A token is needed. The header `WWW-Authenticate` says where to find out how to get one.",
        ),
    );
    error(&ERROR).with_header(CHALLENGE, challenge)
}

/// The token may not be used.
pub(crate) fn invalid_token(challenge: String) -> Reply {
    const ERROR: ApiError =
        ApiError::invalid_request(401, "invalid_token", Cow::Borrowed("The token is not valid here."));
    error(&ERROR).with_header(CHALLENGE, challenge)
}

/// The token is for less than the request.
pub(crate) fn insufficient_scope(challenge: String) -> Reply {
    const ERROR: ApiError = ApiError::invalid_request(
        403,
        "insufficient_scope",
        Cow::Borrowed("The token lacks a scope. The header `WWW-Authenticate` names all that are needed."),
    );
    error(&ERROR).with_header(CHALLENGE, challenge)
}

/// A token is in the query, where it would be logged.
pub(crate) fn token_in_query() -> Reply {
    const ERROR: ApiError = ApiError::invalid_request(
        400,
        "token_in_query",
        Cow::Borrowed("A token is sent in the header `Authorization: Bearer`, and never in the URL."),
    );
    error(&ERROR)
}

/// The keys that tokens are verified with are not to be had.
pub(crate) fn issuer_unavailable() -> Reply {
    const ERROR: ApiError = ApiError {
        status: 503,
        kind: ErrorKind::Server,
        code: Some("token_check_unavailable"),
        message: Cow::Borrowed("The token cannot be checked at the moment. Try again."),
        param: None,
    };
    error(&ERROR).with_header("retry-after", "1")
}

/// What there is to know of a resource (RFC 9728, section 3.2); clients in browsers may read it too.
pub(crate) fn described(description: String) -> Reply {
    Reply::json(200, "weir_auth_resource", description.into_bytes())
        .with_header(CORS, "*")
        .with_header("cache-control", "public, max-age=300")
}

/// Nothing is described there.
pub(crate) fn no_resource() -> Reply {
    const ERROR: ApiError =
        ApiError::invalid_request(404, "unknown_resource", Cow::Borrowed("No resource is described here."));
    error(&ERROR).with_header(CORS, "*")
}

/// A browser asks whether a page may ask for a description.
pub(crate) fn preflight() -> Reply {
    Reply {
        status: 204,
        details: "weir_auth_preflight".into(),
        headers: Vec::new(),
        body: Cow::Borrowed(b""),
    }
    .with_header(CORS, "*")
    .with_header("access-control-allow-methods", "GET")
    .with_header("access-control-allow-headers", "*")
    .with_header("access-control-max-age", "600")
}

/// A description is read, and nothing else.
pub(crate) fn only_get() -> Reply {
    const ERROR: ApiError = ApiError::invalid_request(
        405,
        "method_not_allowed",
        Cow::Borrowed("A description is read with GET."),
    );
    error(&ERROR).with_header("allow", "GET, HEAD, OPTIONS")
}

/// An error in OpenAI's form.
pub(crate) fn error(error: &ApiError) -> Reply {
    let details = format!("weir_auth_{}", error.code.unwrap_or("bad_body"));
    Reply::json(error.status, details, error.to_body())
}

/// Where a refused client is told what it needs.
pub(crate) const CHALLENGE: &str = "www-authenticate";
const CORS: &str = "access-control-allow-origin";
/// RFC 6750, section 3.1.
const INVALID_TOKEN: &str = "Bearer realm=\"weir\", error=\"invalid_token\"";
