//! Gemini's `generateContent`. Source: the Gemini API reference, "Generating content".

mod reader;
mod send;

pub(super) use reader::Reader;
pub(super) use send::of_chat;
