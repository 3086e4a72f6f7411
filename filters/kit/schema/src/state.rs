//! Names of the filter state that filters publish for each other, for access logs and for CEL.
//!
//! Envoy puts `wasm.` before each name: an access log reads `%FILTER_STATE(wasm.weir.consumer:PLAIN)%`.

/// Who is calling: the key's consumer. Written by `auth`.
pub const CONSUMER: &str = "weir.consumer";
/// The public id of the key that was used. Written by `auth`.
pub const KEY_ID: &str = "weir.key_id";
/// The tenant of the caller. Written by `auth`.
pub const DOMAIN: &str = "weir.domain";
/// Patterns of the models the caller may use, one a line; `*` alone for all. Written by `auth`.
pub const GRANT: &str = "weir.grant";
/// The model the request asks for. Written by the first filter that reads the body.
pub const MODEL: &str = "weir.model";
/// The model's name at the upstream. Written by `router`.
pub const UPSTREAM_MODEL: &str = "weir.upstream_model";
