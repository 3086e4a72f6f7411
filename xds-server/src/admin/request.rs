//! What a request of the API says: who sends it, what for, and under which condition.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query as Params, Request},
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Admin, error::ApiError};
use crate::{
    keys,
    object::{ObjectId, ObjectKind},
    registry::{Condition, Query},
    store::Role,
};

/// A request from someone who has a token.
pub(super) struct Caller;

/// A request from someone who has a token, where there are tokens.
pub(super) struct Restorer;

/// The kind of objects that the path names.
pub(super) struct OfKind(pub(super) ObjectKind);

/// The object that the path names.
pub(super) struct OfObject(pub(super) ObjectId);

/// The condition that the headers name.
pub(super) struct If(pub(super) Condition);

/// A body of JSON.
pub(super) struct Body(pub(super) Value);

impl FromRequestParts<Arc<Admin>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        let credentials = text(&parts.headers, &header::AUTHORIZATION)?;
        let token = credentials.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        // Who guesses learns nothing from how long the look-up takes: it is by hash.
        match admin.registry.role(&keys::hash(token.unwrap_or_default()))? {
            Some(Role::Admin) => Ok(Self),
            None => Err(ApiError::unauthorized()),
        }
    }
}

impl FromRequestParts<Arc<Admin>> for Restorer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        if admin.registry.has_store() {
            Caller::from_request_parts(parts, admin).await?;
        }
        Ok(Self)
    }
}

impl FromRequestParts<Arc<Admin>> for OfKind {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, admin).await;
        let Path(kind) = path.map_err(|_| ApiError::unknown_path())?;
        ObjectKind::named(&kind).map(Self).ok_or_else(ApiError::unknown_path)
    }
}

impl FromRequestParts<Arc<Admin>> for OfObject {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, admin).await;
        let Path((kind, name)) = path.map_err(|_| ApiError::unknown_path())?;
        ObjectKind::named(&kind).map(|kind| Self(kind.id(name))).ok_or_else(ApiError::unknown_path)
    }
}

impl FromRequest<Arc<Admin>> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, admin).await.map_err(|_| ApiError::too_large())?;
        let body = serde_json::from_slice(&bytes);
        body.map(Self).map_err(|error| ApiError::bad_request("invalid_json", format!("the body: {error}")))
    }
}

impl Body {
    /// The body as a type of its own; its unknown keys are refused.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        serde_json::from_value(self.0)
            .map_err(|error| ApiError::bad_request("invalid_body", error.to_string()))
    }
}

impl FromRequestParts<Arc<Admin>> for If {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Admin>) -> Result<Self, ApiError> {
        let if_match = text(&parts.headers, &header::IF_MATCH)?;
        match (if_match, text(&parts.headers, &header::IF_NONE_MATCH)?) {
            (None, None) => Ok(Self(Condition::None)),
            (Some("*"), None) => Ok(Self(Condition::Present)),
            (Some(etags), None) => {
                let etags = etags.split(',').map(|etag| etag.trim().into());
                Ok(Self(Condition::Matches(etags.collect())))
            }
            (None, Some("*")) => Ok(Self(Condition::Absent)),
            (_, Some(_)) => {
                let message = "If-None-Match is * here, and not beside If-Match";
                Err(ApiError::bad_request("invalid_header", message))
            }
        }
    }
}

/// The query of a list.
pub(super) fn query(kind: ObjectKind, parts: &Parts) -> Result<Query, ApiError> {
    let refuse = |name: &str, rule: &str| ApiError::bad_request("invalid_query", format!("{name}: {rule}"));
    let params = Params::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Params(params) = params.map_err(|_| refuse("the query", "it is not name=value&..."))?;
    let mut query = Query { kind, after: None, limit: PAGE, labels: Vec::new() };
    for (name, value) in params {
        match name.as_str() {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
                query.limit = limit.ok_or_else(|| refuse("limit", "a number from 1 to 1000"))?;
            }
            "page_token" => {
                let after =
                    BASE64_URL_SAFE_NO_PAD.decode(&value).ok().and_then(|name| String::from_utf8(name).ok());
                query.after = Some(after.ok_or_else(|| refuse("page_token", "not one that this API gave"))?);
            }
            "label" if kind.has_labels() => {
                let (label, value) =
                    value.split_once('=').ok_or_else(|| refuse("label", "written as k=v"))?;
                query.labels.push((label.into(), value.into()));
            }
            other => return Err(refuse(other, "no parameter of this list")),
        }
    }
    Ok(query)
}

/// The token that stands for all objects after this name.
pub(super) fn page_token(name: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(name)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let invalid = || ApiError::bad_request("invalid_header", format!("{name}: not one line of plain text"));
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.to_str().map_err(|_| invalid())).transpose()?;
    if values.next().is_some() { Err(invalid()) } else { Ok(first) }
}

/// How many objects a list has unless it is asked for another number.
pub(super) const PAGE: usize = 100;
/// How many objects a list can be asked for.
pub(super) const LARGEST_PAGE: usize = 1000;
