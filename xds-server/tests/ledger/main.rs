//! The quota filter and the ledger, driven together.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

mod crowd;
mod fleet;
#[path = "../../src/folder.rs"]
mod folder;
mod model;
mod periods;
mod redis;
#[expect(dead_code, reason = "other tests do more with it")]
#[path = "../../src/ledger/tests/server.rs"]
mod server;
