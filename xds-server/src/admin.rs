//! The HTTP side of the control plane.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};

use crate::status::{Report, Status};

/// `GET /healthz`, `GET /readyz` and `GET /v1/status`.
pub fn router(status: Arc<Status>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/v1/status", get(report))
        .with_state(status)
}

async fn ready(State(status): State<Arc<Status>>) -> (StatusCode, &'static str) {
    if status.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no configuration has been accepted yet\n")
    }
}

async fn report(State(status): State<Arc<Status>>) -> Json<Report> {
    Json(status.report())
}
