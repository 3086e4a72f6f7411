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

use crate::encode::Encoded;

/// `GET /v1/key-lookup/{sha256}`: 200 with what the key allows, or 404. It is served where Envoys connect.
pub fn router(snapshots: watch::Receiver<Arc<Encoded>>) -> Router {
    Router::new().route(&format!("{PATH}/{{sha256}}"), get(find)).with_state(snapshots)
}

async fn find(
    State(snapshots): State<watch::Receiver<Arc<Encoded>>>,
    Path(sha256): Path<String>,
) -> Response {
    let snapshot = Arc::clone(&snapshots.borrow());
    if snapshot.version().is_none() {
        // Nothing is known yet, so nothing is known to be absent.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let hash = KeyHash::try_from(sha256).ok();
    match hash.and_then(|hash| snapshot.keys().find(&hash)) {
        Some(key) => Json(key).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": "no key has this secret"}))).into_response(),
    }
}

/// Where keys are looked up.
pub const PATH: &str = "/v1/key-lookup";
