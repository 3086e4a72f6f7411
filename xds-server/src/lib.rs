//! The control plane of Weir: it serves one file, and what its API has stored, to Envoy.
//!
//! ```text
//! weir.yaml → file →┬→ model → compile → encode → xds → Envoy
//! cli → client → admin → registry ↔ store
//! ```
//!
//! `discovery` adds the nodes that registries know, after `encode`.
//!
//! `file` says where a text is wrong, `model` what does not fit together, `compile` writes Envoy's resources
//! as JSON, `encode` makes protobuf of them, and `xds` brings each node what it does not have yet. Everything
//! between `file` and `xds` is pure; a configuration that any step refuses is never served.

pub mod access;
pub mod admin;
pub mod authorities;
pub mod bootstrap;
pub mod cli;
pub mod client;
pub mod compile;
pub mod discovery;
pub mod drain;
pub mod encode;
pub mod file;
#[cfg(test)]
mod folder;
pub mod gateways;
pub mod history;
pub mod hub;
pub mod key_table;
pub mod keys;
pub mod ledger;
pub mod listen;
pub mod load;
pub mod lookup;
pub mod marketplace;
pub mod mcp_client;
pub mod mcp_lint;
pub mod model;
pub mod modules;
pub mod object;
pub mod openapi_tools;
pub mod records;
pub mod registry;
pub mod schema;
pub mod secret;
pub mod serve;
pub mod session_keys;
pub mod snapshot;
pub mod status;
pub mod store;
pub mod suggest;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod watch;
pub mod xds;
