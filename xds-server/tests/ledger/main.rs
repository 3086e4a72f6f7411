//! The quota filter and the ledger, driven together.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

mod crowd;
mod fleet;
mod model;
mod periods;
