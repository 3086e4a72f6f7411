//! Errors of the API, all in one form.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{object::ObjectId, registry::Refusal, store::StoreError};

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Body {
    message: String,
    r#type: &'static str,
    code: &'static str,
    object: Option<String>,
    field: Option<String>,
}

#[derive(Serialize)]
struct Envelope {
    error: Body,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let r#type = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        Self { status, body: Body { message: message.into(), r#type, code, object: None, field: None } }
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_url", "there is nothing at this path; see /openapi.json")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path has no such method")
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// A token whose role is not for this.
    pub(super) fn role() -> Self {
        Self::forbidden("a token of this role is not for this; see /openapi.json for what is")
    }

    pub(super) fn not_found(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "an API token is needed, as \"Authorization: Bearer wt-...\"";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", message)
    }

    /// A request whose body, query or headers are wrong in themselves.
    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn no_ledger() -> Self {
        let message = "there is no ledger here; start weir with --store or --ledger";
        Self::new(StatusCode::NOT_IMPLEMENTED, "no_ledger", message)
    }

    pub(super) fn ledger_failed(message: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_failed", message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "the body is too large")
    }

    pub(super) fn exists(id: &ObjectId) -> Self {
        let message = format!("{id} is there already; PUT replaces it");
        Self::new(StatusCode::CONFLICT, "already_exists", message).about(id)
    }

    pub(super) fn fault(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", message)
    }

    /// Nothing of the request has been done, since this process ends.
    pub(super) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "weir is stopping, and has not begun this request",
        )
    }

    /// Its status and its message, for those who are told in another form.
    pub(super) fn plain(self) -> (StatusCode, String) {
        (self.status, self.body.message)
    }

    fn about(mut self, id: &ObjectId) -> Self {
        self.body.object = Some(id.to_string());
        self
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let new = |status, code| Self::new(status, code, message.clone());
        match &refusal {
            Refusal::NoStore => new(StatusCode::NOT_IMPLEMENTED, "no_store"),
            Refusal::Missing(id) => new(StatusCode::NOT_FOUND, "not_found").about(id),
            Refusal::NoToken(_) => new(StatusCode::NOT_FOUND, "not_found"),
            Refusal::TokenExists(_) => new(StatusCode::CONFLICT, "already_exists"),
            Refusal::LastToken(_) => new(StatusCode::CONFLICT, "in_use"),
            Refusal::Taken(id) => new(StatusCode::CONFLICT, "already_exists").about(id),
            Refusal::Held(id) => new(StatusCode::CONFLICT, "in_use").about(id),
            Refusal::Denied { object, field, .. } => {
                let mut error = new(StatusCode::FORBIDDEN, "forbidden");
                error.body.object = object.as_ref().map(ObjectId::to_string);
                error.body.field = Some(field.clone()).filter(|field| !field.is_empty());
                error
            }
            Refusal::Elsewhere => new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_object"),
            Refusal::OwnedByFile(id) => new(StatusCode::CONFLICT, "owned_by_file").about(id),
            Refusal::Immutable(id) => new(StatusCode::CONFLICT, "immutable").about(id),
            Refusal::Condition(id) => new(StatusCode::PRECONDITION_FAILED, "precondition_failed").about(id),
            Refusal::InUse { id, .. } => new(StatusCode::CONFLICT, "in_use").about(id),
            Refusal::Invalid { object, field, .. } => {
                let mut error = new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_object");
                error.body.object = object.as_ref().map(ObjectId::to_string);
                error.body.field = Some(field.clone()).filter(|field| !field.is_empty());
                error
            }
            Refusal::Rest(_) => new(StatusCode::SERVICE_UNAVAILABLE, "configuration_refused"),
            Refusal::Store(StoreError::Stale) => new(StatusCode::CONFLICT, "conflict"),
            Refusal::Store(_) => new(StatusCode::SERVICE_UNAVAILABLE, "store_failed"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Envelope { error: self.body })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
