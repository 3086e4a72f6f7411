//! What a request of the API says: who sends it, what for, and under which condition.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query as Params, Request},
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Admin, error::ApiError, operation::Operation};
use crate::{
    access::{Role, Token},
    keys,
    listen::Peer,
    model::decode,
    object::{ObjectId, ObjectKind},
    registry::{Condition, Query},
};

/// A request from someone who has a token.
pub(super) struct By(Token);

/// A request from an administrator, where there are tokens.
pub(super) struct Restorer;

/// A request that may see how everything is: from this machine, or from an administrator, where there are tokens.
pub(super) struct Visitor;

/// The kind of objects that the path names.
pub(super) struct OfKind(pub(super) ObjectKind);

/// What the path names.
pub(super) enum Place {
    /// An object.
    Object(ObjectId),
    /// The keys that may use a model.
    Keys(ObjectId),
    /// A key that may use a model, or is to.
    Key(ObjectId, ObjectId),
}

/// The condition that the headers name.
pub(super) struct If(pub(super) Condition);

/// A body of JSON.
pub(super) struct Body(pub(super) Value);

impl By {
    /// The role, if it may ask for this.
    pub(super) fn may(self, operation: Operation) -> Result<Role, ApiError> {
        if operation.roles().contains(&self.0.role.name()) { Ok(self.0.role) } else { Err(ApiError::role()) }
    }

    /// Who it is, as the audit says it: the role and the token's name.
    pub(super) fn actor(&self) -> String {
        format!("{}/{}", self.0.role.name().as_str(), self.0.name)
    }
}

impl FromRequestParts<Arc<Admin>> for By {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        let credentials = text(&parts.headers, &header::AUTHORIZATION)?;
        let token = credentials.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        // Who guesses learns nothing from how long the look-up takes: it is by hash.
        let token = admin.registry.token(&keys::hash(token.unwrap_or_default()))?;
        token.map(Self).ok_or_else(ApiError::unauthorized)
    }
}

impl FromRequestParts<Arc<Admin>> for Restorer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        if admin.registry.has_store() {
            By::from_request_parts(parts, admin).await?.may(Operation::Restore)?;
        }
        Ok(Self)
    }
}

impl FromRequestParts<Arc<Admin>> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let is_here = peer.is_some_and(|ConnectInfo(Peer(peer))| peer.ip().is_loopback());
        if !is_here && admin.registry.has_store() {
            By::from_request_parts(parts, admin).await?.may(Operation::Restore)?;
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

impl FromRequestParts<Arc<Admin>> for Place {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Admin>) -> Result<Self, ApiError> {
        Self::path(parts.uri.path()).ok_or_else(ApiError::unknown_path)
    }
}

impl Place {
    /// What a path below `/v1/` names. A slash in a name may stand as it is, but where it would be read as one of
    /// `/keys/`, of which the last counts.
    fn path(path: &str) -> Option<Self> {
        let (kind, name) = path.strip_prefix("/v1/")?.split_once('/')?;
        let kind = ObjectKind::named(kind)?;
        let id =
            |kind: ObjectKind, name: &str| Some(kind.id(decode(name).ok().filter(|name| !name.is_empty())?));
        if kind != ObjectKind::Models {
            return id(kind, name).map(Self::Object);
        }
        match (name.rsplit_once("/keys/"), name.strip_suffix("/keys")) {
            (Some((model, key)), _) => Some(Self::Key(id(kind, model)?, id(ObjectKind::Keys, key)?)),
            (None, Some(model)) => id(kind, model).map(Self::Keys),
            (None, None) => id(kind, name).map(Self::Object),
        }
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
    let mut query = Query { kind, after: None, limit: PAGE, labels: Vec::new() };
    for (name, value) in params(parts)? {
        match name.as_str() {
            "limit" => query.limit = limit(&value)?,
            "page_token" => query.after = Some(after(&value)?),
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

/// The query of a list that has pages only: the name after which it begins, and how many there may be.
pub(super) fn pages(parts: &Parts) -> Result<(Option<String>, usize), ApiError> {
    let mut pages = (None, PAGE);
    for (name, value) in params(parts)? {
        match name.as_str() {
            "limit" => pages.1 = limit(&value)?,
            "page_token" => pages.0 = Some(after(&value)?),
            other => return Err(refuse(other, "no parameter of this list")),
        }
    }
    Ok(pages)
}

fn params(parts: &Parts) -> Result<Vec<(String, String)>, ApiError> {
    let params = Params::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    params.map(|Params(params)| params).map_err(|_| refuse("the query", "it is not name=value&..."))
}

fn limit(value: &str) -> Result<usize, ApiError> {
    let limit = value.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
    limit.ok_or_else(|| refuse("limit", "a number from 1 to 1000"))
}

fn after(value: &str) -> Result<String, ApiError> {
    let name = BASE64_URL_SAFE_NO_PAD.decode(value).ok().and_then(|name| String::from_utf8(name).ok());
    name.ok_or_else(|| refuse("page_token", "not one that this API gave"))
}

fn refuse(name: &str, rule: &str) -> ApiError {
    ApiError::bad_request("invalid_query", format!("{name}: {rule}"))
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
