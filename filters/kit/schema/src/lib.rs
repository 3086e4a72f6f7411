//! The configuration of every Weir filter, and the names both planes must agree on.
//!
//! The control plane writes these types as JSON, the filters read them. Keys are `snake_case`, units are
//! part of a key's name, and an unknown key is refused. The rule of a value lives in its type.

mod amount;
mod host;
mod names;
mod template;
mod time;
mod zone;

pub mod auth;
pub mod chat_template;
pub mod compat;
pub mod cooling;
pub mod ledger;
pub mod mcp;
pub mod oauth;
pub mod quota;
pub mod router;
pub mod state;

pub use amount::{Amount, InvalidAmount};
pub use host::{Host, HostPattern, InvalidHost};
pub use names::{InvalidName, KeyHash, ModelName, ModelPattern, Name};
pub use template::TemplateEngine;
pub use time::{InvalidTimestamp, Timestamp};
pub use zone::{InvalidZone, Zone};

/// A request header that only Weir's own filters write, and that `auth` and `router` take from every client:
/// the key under which Envoy's route table finds the model's route.
pub const ROUTE_HEADER: &str = "x-weir-route";

/// A request header by which a client names the provider of a path that has no model, such as `/v1/files`. `auth` leaves
/// it, and `router` alone reads and removes it.
pub const PROVIDER_HEADER: &str = "x-weir-provider";

/// Every header with this prefix belongs to Weir; a client's are removed, but for [`PROVIDER_HEADER`].
pub const HEADER_PREFIX: &str = "x-weir-";

/// Request headers of other systems that choose a host, a retry or a timeout in Envoy, and that are therefore
/// taken from every client.
///
/// Sources: Envoy, "HTTP header manipulation" and "Router"; Gateway API Inference Extension, endpoint picker
/// protocol.
pub const STEERING_HEADERS: [&str; 14] = [
    "x-envoy-decorator-operation",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-dst-host",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-ms",
    "x-gateway-destination-endpoint",
];
