//! What has happened: how much was used, and what was done to quotas by hand.
//!
//! ```text
//! Envoy ── access log over gRPC ──► service ──► Record ──► database: sums by minute and by hour
//! ```
//!
//! Records never hold a request up. Their queue is bounded; what does not fit is counted and logged.

pub mod database;
mod postgres;
pub mod record;
pub mod service;
mod sql;
mod sqlite;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests;

#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
mod generated {
    tonic::include_proto!("envoy.service.accesslog.v3.AccessLogService");
}
