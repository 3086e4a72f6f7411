//! OpenAI's HTTP interface: its endpoints, its errors, and its bodies.
//!
//! A body keeps every member it does not know, and a known one's absence or null, so what was read is what is
//! written. Only members that a gateway acts on are named; whatever else an upstream sends, of whatever type,
//! is no reason to refuse it.

mod chat;
mod concealed;
mod embeddings;
mod endpoint;
mod error;
mod field;
mod models;
mod refusal;
mod usage;

#[cfg(test)]
mod tests;

pub use self::{
    chat::{
        ChatChunk, ChatCompletion, ChatRequest, Choice, ChunkChoice, Content, Delta, Message, StreamOptions,
    },
    concealed::ConcealedError,
    embeddings::{EmbeddingsRequest, EmbeddingsResponse},
    endpoint::{Endpoint, RequestBody},
    error::{ApiError, ErrorBody, ErrorDetail, ErrorKind},
    field::Field,
    models::{Model, ModelList},
    usage::{CompletionTokensDetails, PromptTokensDetails, Usage},
};

/// The data of the event that ends a stream of chunks.
pub const DONE: &[u8] = b"[DONE]";
