//! Bytes from clients and models.
//!
//! Nothing here knows a proxy: the readers take bytes in any chunking, keep a bounded part of them, and
//! answer the same however the bytes were cut.
//!
//! | module | reads |
//! |---|---|
//! | [`answer`] | an answer on its way to the client, to make it what was asked for |
//! | [`body`] | a request's body, whichever form it has |
//! | [`form`] | a request's multipart form while it streams, for its field `model` |
//! | [`jsonrpc`] | a JSON-RPC message or batch, as MCP sends it |
//! | [`meter`] | an answer's body while it flows, for what it has used |
//! | [`openai`] | whole bodies, endpoints and errors of OpenAI's interface |
//! | [`prompt`] | a text, for about how many tokens it is |
//! | [`rename`] | where a model's name stands, to write another one there |
//! | [`scan`] | a request's JSON body while it streams, for `model` and its neighbours |
//! | [`splice`] | a text of which some parts are replaced |
//! | [`sse`] | a stream of server-sent events, frame by frame |
//! | [`translate`] | requests and answers of one interface, to write those of another |
//! | [`walk`] | where the parts of a JSON text stand |

pub mod answer;
pub mod body;
pub mod form;
pub mod jsonrpc;
pub mod meter;
pub mod openai;
pub mod prompt;
pub mod rename;
pub mod scan;
pub mod splice;
pub mod sse;
pub mod translate;
pub mod walk;

pub use body::BodyScan;
pub use form::{FormError, FormScan};
pub use meter::{Meter, Tally, Totals};
pub use prompt::Weight;
pub use rename::Rename;
pub use scan::{Member, RequestScan, ScanError};
pub use splice::Splice;
pub use sse::{EventTooLong, SseEvent, SseFrame, SseFramer};
