//! Bytes from clients and models.
//!
//! Nothing here knows a proxy: the readers take bytes in any chunking, keep a bounded part of them, and
//! answer the same however the bytes were cut.
//!
//! | module | reads |
//! |---|---|
//! | [`jsonrpc`] | a JSON-RPC message or batch, as MCP sends it |
//! | [`meter`] | an answer's body while it flows, for what it has used |
//! | [`openai`] | whole bodies, endpoints and errors of OpenAI's interface |
//! | [`prompt`] | a text, for about how many tokens it is |
//! | [`rename`] | where a model's name stands, to write another one there |
//! | [`scan`] | a request's JSON body while it streams, for `model` and its neighbours |
//! | [`sse`] | a stream of server-sent events, frame by frame |

pub mod jsonrpc;
pub mod meter;
pub mod openai;
pub mod prompt;
pub mod rename;
pub mod scan;
pub mod sse;

pub use meter::{Meter, Totals};
pub use prompt::Weight;
pub use rename::Rename;
pub use scan::{Member, RequestScan, ScanError};
pub use sse::{EventTooLong, SseEvent, SseFrame, SseFramer};
