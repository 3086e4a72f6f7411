//! OpenAI's responses. Source: OpenAI's API reference, "Responses" and "Streaming events".

mod ask;
mod reader;
mod send;
mod writer;

pub(super) use ask::{echo, to_chat};
pub(super) use reader::Reader;
pub(super) use send::of_chat;
pub(super) use writer::Writer;
