//! What a request of the registry API asks for, and what can be wrong with it.

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    document::InvalidDocument,
    market::{Lifecycle, Market, Query, after},
};
use crate::model::decode;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `/v0.1/servers`
    Servers,
    /// `/v0.1/publish`
    Publish,
    /// `/v0.1/servers/{name}/versions`
    Versions(String),
    /// `/v0.1/servers/{name}/versions/{version}`
    Version(String, String),
    /// `/v0.1/servers/{name}/versions/{version}/status`
    StatusOfVersion(String, String),
    /// `/v0.1/servers/{name}/status`
    Status(String),
}

/// What is asked for at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Some servers.
    List(Query),
    /// All versions of a server.
    Versions(String, bool),
    /// A version of a server.
    Version(String, String, bool),
    /// To publish a document.
    Publish,
    /// To publish another document for a version.
    Replace(String, String),
    /// To mark a version as deleted, or to forget it.
    Delete(String, String, bool),
    /// To say of a version, or of all, whether it is to be used.
    SetStatus(String, Option<String>),
    /// What a browser asks before it asks for anything.
    Preflight,
}

/// `StatusUpdateRequest`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// Whether it is to be used.
    pub status: Lifecycle,
    /// Why.
    pub message: Option<String>,
}

/// Why a request is not answered with what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is nothing at its path.
    #[error("Not found")]
    NoPath,
    /// There is no such server that the caller is shown.
    #[error("Server not found")]
    NoServer,
    /// The server has no such version.
    #[error("Server version not found")]
    NoVersion,
    /// The path has no such method.
    #[error("Method not allowed")]
    Method,
    /// It is wrong in itself.
    #[error("{0}")]
    Bad(String),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// Something of another kind, with its status.
    #[error("{1}")]
    Other(StatusCode, String),
}

impl Place {
    /// What a request's path names. A name's slash stands as it is, or as `%2F`.
    pub fn at(path: &str) -> Option<Self> {
        match path.strip_prefix(ROOT)? {
            "/servers" => return Some(Self::Servers),
            "/publish" => return Some(Self::Publish),
            _ => {}
        }
        let parts: Vec<_> = path.strip_prefix(ROOT)?.strip_prefix("/servers/")?.split('/').collect();
        let of = |parts: &[&str]| decode(&parts.join("/")).ok().filter(|text| !text.is_empty());
        let (name, rest) = match *parts.as_slice() {
            [_, "versions" | "status", ..] => parts.split_at(1),
            [_, _, "versions" | "status", ..] => parts.split_at(2),
            _ => return None,
        };
        let name = of(name)?;
        match *rest {
            ["versions"] => Some(Self::Versions(name)),
            ["versions", version] => Some(Self::Version(name, of(&[version])?)),
            ["versions", version, "status"] => Some(Self::StatusOfVersion(name, of(&[version])?)),
            ["status"] => Some(Self::Status(name)),
            _ => None,
        }
    }

    /// The methods of the place beside `OPTIONS`.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Self::Servers | Self::Versions(_) => &[Method::GET],
            Self::Publish => &[Method::POST],
            Self::Version(..) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::StatusOfVersion(..) | Self::Status(_) => &[Method::PATCH],
        }
    }
}

impl Asked {
    /// What a request asks for by its method, its path and the parameters of its query.
    pub fn of(method: &Method, path: &str, params: &[(String, String)]) -> Result<Self, Problem> {
        let place = Place::at(path).ok_or(Problem::NoPath)?;
        if method == Method::OPTIONS {
            return Ok(Self::Preflight);
        }
        let method = if method == Method::HEAD { &Method::GET } else { method };
        if !place.methods().contains(method) {
            return Err(Problem::Method);
        }
        let flagged = |named: &str| {
            let value = params.iter().find(|(name, _)| name == named).map(|(_, value)| flag(named, value));
            value.transpose().map(Option::unwrap_or_default)
        };
        let deleted = || flagged("include_deleted");
        Ok(match place {
            Place::Servers => Self::List(query(params)?),
            Place::Publish => Self::Publish,
            Place::Versions(name) => Self::Versions(name, deleted()?),
            Place::Version(name, version) if method == Method::GET => {
                Self::Version(name, version, deleted()?)
            }
            Place::Version(name, version) if method == Method::PUT => Self::Replace(name, version),
            Place::Version(name, version) => Self::Delete(name, version, flagged("purge")?),
            Place::StatusOfVersion(name, version) => Self::SetStatus(name, Some(version)),
            Place::Status(name) => Self::SetStatus(name, None),
        })
    }

    /// The answer of a market to what is only read; `None` if that is not all that is asked for.
    pub fn read(&self, market: &Market) -> Option<Result<Value, Problem>> {
        match self {
            Self::List(query) => Some(Ok(market.page(query))),
            Self::Versions(name, deleted) => Some(market.versions(name, *deleted).ok_or(Problem::NoServer)),
            Self::Version(name, version, deleted) => {
                let found = market.version(name, version, *deleted);
                Some(found.ok_or_else(|| match market.versions(name, *deleted) {
                    Some(_) => Problem::NoVersion,
                    None => Problem::NoServer,
                }))
            }
            Self::Publish | Self::Replace(..) | Self::Delete(..) | Self::SetStatus(..) | Self::Preflight => {
                None
            }
        }
    }
}

impl StatusChange {
    /// Reads the body of a request.
    pub fn parse(body: &Value) -> Result<Self, Problem> {
        let Body { status, status_message } =
            Body::deserialize(body).map_err(|error| Problem::Bad(error.to_string()))?;
        let status = Lifecycle::named(&status)
            .ok_or_else(|| Problem::Bad("status: is active, deprecated or deleted".into()))?;
        if status_message.as_ref().is_some_and(|text| text.chars().count() > LONGEST_MESSAGE) {
            return Err(Problem::Bad("statusMessage: is at most 500 characters long".into()));
        }
        Ok(Self { status, message: status_message })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    status: String,
    status_message: Option<String>,
}

impl Problem {
    /// The status of its answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoPath | Self::NoServer | Self::NoVersion => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Other(status, _) => *status,
        }
    }
}

impl From<InvalidDocument> for Problem {
    fn from(invalid: InvalidDocument) -> Self {
        Self::Bad(invalid.to_string())
    }
}

/// Parameters that are not known are somebody else's.
fn query(params: &[(String, String)]) -> Result<Query, Problem> {
    let mut query = Query { limit: PAGE, ..Query::default() };
    let bad = |name: &str, rule: &str| Problem::Bad(format!("{name}: {rule}"));
    for (name, value) in params.iter().filter(|(_, value)| !value.is_empty()) {
        match name.as_str() {
            "cursor" => {
                let after = after(value).ok_or_else(|| bad(name, "is not one that this registry gave"))?;
                query.after = Some(after);
            }
            "limit" => {
                let limit: Option<usize> = value.parse().ok().filter(|limit| *limit > 0);
                query.limit = limit.ok_or_else(|| bad(name, "is a number from 1 to 100"))?.min(LARGEST_PAGE);
            }
            "search" => query.search = Some(value.clone()),
            "updated_since" => {
                let since = value.parse().map_err(|_| bad(name, "is a time such as 2026-11-01T00:00:00Z"))?;
                query.updated_since = Some(since);
            }
            "version" => query.version = Some(value.clone()),
            "include_deleted" => query.include_deleted = flag(name, value)?,
            _ => {}
        }
    }
    Ok(query)
}

fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| Problem::Bad(format!("{name}: is true or false")))
}

/// Where the registry API begins.
const ROOT: &str = "/v0.1";

/// How many servers a page has unless it is asked for another number, and at most.
pub(crate) const PAGE: usize = 30;
pub(crate) const LARGEST_PAGE: usize = 100;
const LONGEST_MESSAGE: usize = 500;
