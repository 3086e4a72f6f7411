//! What is answered to a request that a rule of its model refuses.

use std::borrow::Cow;

use weir_core::Reply;
use weir_wire::openai::ApiError;
use weir_wire::translate;

use crate::body::Refused;

/// A member that the model does not take.
pub(crate) fn refused(refused: &Refused) -> Reply {
    let message = format!("Unsupported parameter: `{}` is not supported with this model.", refused.param);
    error(&ApiError::invalid_request(400, "unsupported_parameter", Cow::Owned(message)))
}

/// A body that had to be edited as a whole and is too large to be held.
pub(crate) fn too_large(limit_bytes: usize) -> Reply {
    let message = format!(
        "For this model a request is held whole to be fitted to its upstream: at most {limit_bytes} bytes."
    );
    error(&ApiError::invalid_request(413, "request_too_large", Cow::Owned(message)))
}

/// About how many tokens a prompt is, for an upstream that does not count them.
pub(crate) fn counted(body: &[u8]) -> Reply {
    Reply::json(200, "weir_model_compat_counted", translate::count(body))
}

/// An error in OpenAI's form.
pub(crate) fn error(error: &ApiError) -> Reply {
    let details = format!("weir_model_compat_{}", error.code.unwrap_or("refused"));
    Reply::json(error.status, details, error.to_body())
}
