//! The `chat-template` filter: endpoints that take variables and answer as a model does.
//!
//! | event | action |
//! |---|---|
//! | request head | find the endpoint by path and tenant; elsewhere leave, here hold the request |
//! | request body | kept until its end, then made a chat completion's request, which goes the way of every other |
//! | response head | say which template it was; hold the answer where the caller gets another than the model gives |
//! | response body | kept until it is whole, then reduced to its text or the JSON in it, or answered 502 |

mod endpoints;
mod filter;
mod reply;
mod stream;

pub use filter::ChatTemplates;
pub use stream::ChatTemplateStream;

weir_host::plugin!(crate::ChatTemplates, response);
