//! The MCP registry API: which servers there are, and publishing more.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Query as Params, Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, WWW_AUTHENTICATE,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::{Admin, error::ApiError, operation::Operation, request::By};
use crate::{
    access::Role,
    listen::Peer,
    marketplace::{Asked, Document, Place, Problem, StatusChange, Viewer},
    registry::{Refused, viewer},
};

/// Everything below `/v0.1`.
pub(super) async fn marketplace(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let asked = Params::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|_| Problem::Bad("the query is not name=value&...".into()))
        .and_then(|Params(params)| Asked::of(&parts.method, parts.uri.path(), &params));
    let asked = match asked {
        Ok(Asked::Preflight) => return preflight(),
        Ok(asked) => asked,
        Err(problem) => return refused(&problem, parts.uri.path()),
    };
    let role = match role(&asked, &mut parts, &admin).await {
        Ok(role) => role,
        Err(error) => return told(error, parts.uri.path()),
    };
    if let Some(read) = asked.read(&admin.registry.market(&role.as_ref().map_or(Viewer::Everything, viewer)))
    {
        return read.map_or_else(|problem| refused(&problem, parts.uri.path()), |found| good(&found));
    }
    let Some(role) = role else { return told(ApiError::unauthorized(), parts.uri.path()) };
    let path = parts.uri.path().to_owned();
    let body = match Bytes::from_request(Request::from_parts(parts, body), &()).await {
        Ok(body) => body,
        Err(_) => return told(ApiError::too_large(), &path),
    };
    match block_in_place(|| write(&admin, &role, asked, &body)) {
        Ok(answer) => good(&answer),
        Err(Refused::Problem(problem)) => refused(&problem, &path),
        Err(Refused::Registry(refusal)) => told(refusal.into(), &path),
    }
}

/// Whose token the request comes with. Without a store there are none, and who is on this machine may read.
async fn role(asked: &Asked, parts: &mut Parts, admin: &Arc<Admin>) -> Result<Option<Role>, ApiError> {
    let operation = match asked {
        Asked::List(_) | Asked::Preflight => Operation::ListServers,
        Asked::Versions(..) => Operation::ServerVersions,
        Asked::Version(..) => Operation::ServerVersion,
        Asked::Publish => Operation::PublishServer,
        Asked::Replace(..) => Operation::ReplaceServer,
        Asked::Delete(..) => Operation::DeleteServer,
        Asked::SetStatus(_, Some(_)) => Operation::SetStatusOfServerVersion,
        Asked::SetStatus(_, None) => Operation::SetStatusOfServer,
    };
    let reads = matches!(asked, Asked::List(_) | Asked::Versions(..) | Asked::Version(..));
    let peer = parts.extensions.get::<ConnectInfo<Peer>>();
    let is_here = peer.is_some_and(|ConnectInfo(Peer(peer))| peer.ip().is_loopback());
    if reads && is_here && !admin.registry.has_store() {
        return Ok(None);
    }
    By::from_request_parts(parts, admin).await?.may(operation).map(Some)
}

fn write(admin: &Admin, role: &Role, asked: Asked, body: &[u8]) -> Result<Value, Refused> {
    let registry = &admin.registry;
    let body = || {
        let body: Result<Value, _> = serde_json::from_slice(body);
        body.map_err(|error| Refused::Problem(Problem::Bad(format!("the body: {error}"))))
    };
    let document = || Document::parse(body()?).map_err(|invalid| Refused::Problem(invalid.into()));
    match asked {
        Asked::Publish => registry.publish(role, &document()?),
        Asked::Replace(name, version) => {
            let document = document()?;
            if (document.name(), document.version()) != (&name, &version) {
                let rule = "name, version: are not those of the path";
                return Err(Refused::Problem(Problem::Bad(rule.into())));
            }
            registry.republish(role, &document)
        }
        Asked::Delete(name, version, purge) => registry.unpublish(role, &name, &version, purge),
        Asked::SetStatus(name, version) => {
            let change = StatusChange::parse(&body()?).map_err(Refused::Problem)?;
            let changed = registry.set_status(role, &name, version.as_deref(), &change)?;
            Ok(match version {
                Some(_) => changed.into_iter().next().unwrap_or_default(),
                None => json!({"updatedCount": changed.len(), "servers": changed}),
            })
        }
        Asked::List(_) | Asked::Versions(..) | Asked::Version(..) | Asked::Preflight => {
            Err(Refused::Problem(Problem::Method))
        }
    }
}

fn good(body: &Value) -> Response {
    open((StatusCode::OK, [(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

fn refused(problem: &Problem, path: &str) -> Response {
    let error = Json(json!({"error": problem.to_string()}));
    let mut response = (problem.status(), error).into_response();
    if *problem == Problem::Method {
        let methods = Place::at(path).map_or(&[] as &[_], |place| place.methods());
        let methods: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
        response
            .headers_mut()
            .extend(HeaderValue::try_from(methods.join(", ")).ok().map(|allow| (ALLOW, allow)));
    }
    if problem.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    open(response)
}

/// An error of the rest of the API, in the form of this one.
fn told(error: ApiError, path: &str) -> Response {
    let (status, message) = error.plain();
    refused(&Problem::Other(status, message), path)
}

/// Pages anywhere may read it, with a token that they have been given.
fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    open((StatusCode::NO_CONTENT, headers).into_response())
}

fn open(mut response: Response) -> Response {
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
