//! What is answered to a request that goes no further.

use std::borrow::Cow;

use weir_core::Reply;
use weir_schema::router::Model;
use weir_wire::openai::{self, ApiError, Endpoint, ModelList};

/// The models a caller may use.
pub(crate) fn model_list<'a>(models: impl Iterator<Item = (&'a str, &'a Model)>) -> Reply {
    let models = models.map(|(name, model)| described(name, model));
    Reply::json(200, "weir_router_models", ModelList::new(models.collect()).to_body())
}

/// One model.
pub(crate) fn model(name: &str, model: &Model) -> Reply {
    Reply::json(200, "weir_router_models", described(name, model).to_body())
}

/// A path that nothing answers (404), or a known one with another method (405).
pub(crate) fn unserved(method: &str, path: &str) -> Reply {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let message = |status: &str| Cow::Owned(format!("{status} ({method} {path})"));
    match Endpoint::at(path) {
        Some(known) => {
            let wrong = ApiError::invalid_request(405, "method_not_allowed", message("Not allowed to"));
            error(&wrong).with_header("allow", known.methods())
        }
        None => error(&ApiError::invalid_request(404, "unknown_url", message("Unknown request URL"))),
    }
}

/// A path with an escaped slash that is in no name.
pub(crate) fn escaped_slash() -> ApiError {
    const MESSAGE: &str = "Only the name of a model or of an MCP server may have an escaped slash in a path.";
    ApiError::invalid_request(400, "escaped_slash", Cow::Borrowed(MESSAGE))
}

/// The body is larger than any may be.
pub(crate) fn too_large(limit_bytes: u64) -> ApiError {
    let message = format!("The request body is larger than {limit_bytes} bytes.");
    ApiError::invalid_request(413, "request_too_large", Cow::Owned(message))
}

/// An error in OpenAI's form.
pub(crate) fn error(error: &ApiError) -> Reply {
    let details = format!("weir_router_{}", error.code.unwrap_or("bad_body"));
    Reply::json(error.status, details, error.to_body())
}

fn described(name: &str, model: &Model) -> openai::Model {
    openai::Model::new(name, model.created, model.owned_by.as_str())
}
