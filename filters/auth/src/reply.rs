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

/// An error in OpenAI's form.
pub(crate) fn error(error: &ApiError) -> Reply {
    let details = format!("weir_auth_{}", error.code.unwrap_or("bad_body"));
    Reply::json(error.status, details, error.to_body())
}

/// RFC 6750, section 3.1.
const INVALID_TOKEN: &str = "Bearer realm=\"weir\", error=\"invalid_token\"";
