//! The marketplace for callers of a gateway: Envoy has authenticated them, and says who they are.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query as Params, Request, State},
    http::{HeaderMap, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::task::block_in_place;

use super::{Asked, Problem};
use crate::{
    hub::{DOMAIN_HEADER, KEY_HEADER, PREFIX},
    registry::Registry,
};

/// What Envoy sends on: `/mcp-hub` and the path that the client asked for.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new().route(&format!("{PREFIX}/v0.1/{{*path}}"), get(answer)).with_state(registry)
}

/// Callers only read; what is published, is published at the control plane.
async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    match read(&registry, &request) {
        Ok(found) => (StatusCode::OK, [(CACHE_CONTROL, "no-store")], Json(found)).into_response(),
        Err(problem) => (problem.status(), Json(json!({"error": problem.to_string()}))).into_response(),
    }
}

fn read(registry: &Registry, request: &Request) -> Result<serde_json::Value, Problem> {
    let Params(params) = Params::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|_| Problem::Bad("the query is not name=value&...".into()))?;
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let asked = Asked::of(request.method(), path, &params)?;
    let said = |name| said(request.headers(), name);
    let market = block_in_place(|| registry.market_of(said(DOMAIN_HEADER), said(KEY_HEADER)));
    let market =
        market.ok_or_else(|| Problem::Forbidden("the marketplace is for holders of a key".into()))?;
    asked.read(&market).unwrap_or(Err(Problem::Method))
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
