//! The configuration of every Weir filter, and the names both planes must agree on.
//!
//! The control plane writes these types as JSON, the filters read them. Keys are `snake_case`, units are
//! part of a key's name, and an unknown key is refused. The rule of a value lives in its type.

mod names;
mod time;

pub mod auth;
pub mod router;
pub mod state;

pub use names::{InvalidName, KeyHash, ModelName, ModelPattern, Name};
pub use time::{InvalidTimestamp, Timestamp};

/// A request header that only Weir's own filters write, and that `auth` and `router` take from every client:
/// the key under which Envoy's route table finds the model's route.
pub const ROUTE_HEADER: &str = "x-weir-route";

/// Every header with this prefix belongs to Weir; a client's are removed.
pub const HEADER_PREFIX: &str = "x-weir-";
