//! Where gateways report what they have used.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{debug, error};
use weir_schema::ledger::Report;

use super::{PATH, answer, book::Book, renew};
use crate::gateways::Gateways;

/// The ledger as Envoys ask it.
#[derive(Clone, Debug)]
struct Service {
    book: Book,
    served: watch::Receiver<Arc<Gateways>>,
}

/// `POST /v1/ledger`: a report, answered by what is granted. It is served where Envoys connect.
pub fn router(book: Book, served: watch::Receiver<Arc<Gateways>>) -> Router {
    Router::new()
        .route(PATH, post(report))
        .layer(DefaultBodyLimit::max(LARGEST_REPORT))
        .with_state(Service { book, served })
}

async fn report(State(service): State<Service>, Json(report): Json<Report>) -> Response {
    let served = Arc::clone(&service.served.borrow());
    if served.version().is_none() {
        // No limit is known yet.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    debug!(node = report.node, sequence = report.sequence, counters = report.counters.len(), "report");
    let (quotas, sequence) = (Arc::clone(served.quotas()), report.sequence);
    let names = report.counters.iter().map(|counted| counted.counter.clone()).collect();
    let renewed = service
        .book
        .update(names, Arc::new(move |at, account, now| renew(account, &quotas.rules, (&report, at), now)))
        .await;
    match renewed {
        Ok(granted) => Json(answer(sequence, granted.into_iter().flatten())).into_response(),
        Err(problem) => {
            error!("a report was not taken: {problem}");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Now, in seconds since 1970.
pub(crate) fn seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

const LARGEST_REPORT: usize = 4 * 1024 * 1024;
