//! The marketplace: which MCP servers there are, as the MCP registry API (v0.1, OpenAPI of 2025-12-01) tells it.
//!
//! ```text
//! model → Catalog ─┐
//! store → Published┴→ Market → pages, versions
//! ```
//!
//! The configuration offers its own servers; others are published over the API. Everyone is shown what is for them, and
//! only that is counted and paged.

mod catalog;
mod document;
pub mod gateway;
mod market;
mod request;
#[cfg(test)]
mod tests;
mod version;

pub use catalog::{Catalog, Viewer};
pub use document::{Document, InvalidDocument};
pub use market::{Lifecycle, Market, Published, Query};
pub use request::{Asked, Place, Problem, StatusChange};
pub(crate) use request::{LARGEST_PAGE, PAGE};
