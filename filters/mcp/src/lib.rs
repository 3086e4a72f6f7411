//! The `mcp` filter: MCP servers that are made of REST calls, or that stand behind this gateway.
//!
//! | event | action |
//! |---|---|
//! | request head | find the server by path and tenant; refuse a foreign `Origin` and what its endpoint does not serve; hold the request |
//! | request body | read the message; find its revision of the protocol and check what that revision wants; answer here, or call APIs, or let it pass to its server |
//! | call done | give its answer to the tool that waits for it, and make the calls that waited for it; answer when all is done |
//!
//! Revisions 2024-11-05 to 2026-07-28 are served at one endpoint. No session is ever begun, and nothing of a request
//! outlives it. Policy follows the body; header fields that repeat it are compared with it first.

mod catalog;
mod era;
mod filter;
mod mirror;
mod orchestrator;
mod outcome;
mod proxy;
mod reply;
mod run;
mod stream;
mod version;

pub use filter::Mcp;
pub use stream::McpStream;

weir_host::plugin!(crate::Mcp, response);
