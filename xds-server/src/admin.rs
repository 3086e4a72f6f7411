//! The HTTP side of the control plane.

mod apply;
mod error;
mod marketplace;
mod objects;
pub mod openapi;
mod operation;
mod quotas;
mod render;
mod request;
#[cfg(test)]
mod tests;
mod tokens;
mod usage;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_SECURITY_POLICY, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
    },
    response::{Html, IntoResponse},
    routing::{MethodRouter, any, delete, get, post},
};
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    ledger::book::Book,
    listen::Peer,
    records::database::Records,
    registry::Registry,
    schema,
    status::{Config, Report, Status},
};

use error::ApiError;
use request::{Restorer, Visitor};

/// What the HTTP side is over.
#[derive(Debug)]
pub struct Admin {
    /// How everything is.
    pub status: Arc<Status>,
    /// The configuration.
    pub registry: Arc<Registry>,
    /// What Envoys are granted, if that is shared.
    pub book: Option<Book>,
    /// What was used, if that is written down.
    pub records: Option<Records>,
}

/// Health, status, snapshots, the objects, and the document that describes them.
pub fn router(admin: Admin) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (path, to)| router.route(path, to));
    router
        .fallback(async || ApiError::unknown_path())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .with_state(Arc::new(admin))
}

/// Every path and what is behind it.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Admin>>)> {
    let objects = get(objects::get).put(objects::put).delete(objects::delete);
    vec![
        ("/healthz", get(async || "ok\n")),
        ("/readyz", get(ready)),
        ("/", get(page)),
        ("/openapi.json", get(document)),
        ("/v1/schema", get(async || Json(schema::of_file()))),
        ("/v1/status", get(report)),
        ("/v1/snapshots", get(snapshots)),
        ("/v1/snapshots/{version}/restore", post(restore)),
        ("/v1/apply", post(apply::apply).layer(DefaultBodyLimit::max(LARGEST_DOCUMENT))),
        ("/v1/templates/render", post(render::render)),
        ("/v1/tokens", get(tokens::list).post(tokens::create)),
        ("/v1/tokens/{*name}", delete(tokens::revoke)),
        ("/v1/usage", get(usage::usage)),
        ("/v1/audit", get(usage::audit)),
        ("/v1/quotas/{name}/state", get(quotas::state)),
        ("/v1/quotas/{name}/adjust", post(quotas::adjust)),
        ("/v1/quotas/{name}/reset", post(quotas::reset)),
        ("/v0.1/{*path}", any(marketplace::marketplace)),
        ("/v1/{kind}", get(objects::list).post(objects::create)),
        ("/v1/{kind}/{*name}", objects.merge(post(objects::act))),
    ]
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    if admin.status.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no configuration has been accepted yet\n")
    }
}

async fn report(_: Visitor, State(admin): State<Arc<Admin>>) -> Json<Report> {
    Json(admin.status.report())
}

/// The page of the document, for people: all in one file, from which a browser asks for nothing elsewhere.
async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(include_str!("admin/page.html")))
}

async fn document() -> Json<Value> {
    Json(openapi::document())
}

async fn snapshots(_: Visitor, State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(json!({"snapshots": admin.status.history()}))
}

async fn restore(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    _: Restorer,
    Path(version): Path<String>,
) -> Result<Json<Config>, ApiError> {
    // A page in somebody's browser is on this machine too, and its requests say where it came from.
    if !peer.ip().is_loopback() || headers.contains_key(ORIGIN) {
        return Err(ApiError::forbidden("a snapshot is restored from the machine of weir itself"));
    }
    let config =
        admin.status.restore(&version).map_err(|problem| ApiError::not_found(problem.to_string()))?;
    warn!(version, "an earlier snapshot is served until the configuration changes");
    Ok(Json(config))
}

/// What the page may do: run its own script, and ask this server.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
    form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The largest document that is applied in one request, in bytes.
const LARGEST_DOCUMENT: usize = 64 * 1024 * 1024;
