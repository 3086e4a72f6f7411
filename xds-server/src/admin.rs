//! The HTTP side of the control plane.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode, header::ORIGIN},
    routing::{get, post},
};
use serde_json::{Value, json};
use tracing::warn;

use crate::status::{Config, Report, Status};

/// `GET /healthz`, `GET /readyz`, `GET /v1/status`, and the snapshots under `/v1/snapshots`.
pub fn router(status: Arc<Status>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/v1/status", get(report))
        .route("/v1/snapshots", get(snapshots))
        .route("/v1/snapshots/{version}/restore", post(restore))
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

async fn snapshots(State(status): State<Arc<Status>>) -> Json<Value> {
    Json(json!({"snapshots": status.history()}))
}

async fn restore(
    State(status): State<Arc<Status>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Path(version): Path<String>,
) -> Result<Json<Config>, Refusal> {
    // A page in somebody's browser is on this machine too, and its requests say where it came from.
    if !peer.ip().is_loopback() || headers.contains_key(ORIGIN) {
        return Err(refusal(StatusCode::FORBIDDEN, "a snapshot is restored from the machine of weir itself"));
    }
    let config =
        status.restore(&version).map_err(|problem| refusal(StatusCode::NOT_FOUND, &problem.to_string()))?;
    warn!(version, "an earlier snapshot is served until the configuration changes");
    Ok(Json(config))
}

type Refusal = (StatusCode, Json<Value>);

fn refusal(status: StatusCode, message: &str) -> Refusal {
    (status, Json(json!({"error": {"message": message}})))
}
