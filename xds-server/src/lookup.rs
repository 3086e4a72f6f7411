//! Where Envoys look up keys one by one.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::sync::watch;
use weir_schema::KeyHash;

use crate::gateways::Gateways;

/// `GET /v1/key-lookup/{sha256}`: 200 with what the key allows, or 404. It is served where Envoys connect.
pub fn router(served: watch::Receiver<Arc<Gateways>>) -> Router {
    Router::new().route(&format!("{PATH}/{{sha256}}"), get(find)).with_state(served)
}

async fn find(State(served): State<watch::Receiver<Arc<Gateways>>>, Path(sha256): Path<String>) -> Response {
    let gateways = Arc::clone(&served.borrow());
    if gateways.version().is_none() {
        // Nothing is known yet, so nothing is known to be absent.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let hash = KeyHash::try_from(sha256).ok();
    match hash.and_then(|hash| gateways.find_key(&hash)) {
        Some(key) => Json(key).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": "no key has this secret"}))).into_response(),
    }
}

/// Where keys are looked up.
pub const PATH: &str = "/v1/key-lookup";
