//! The `router` filter: which model a request asks for, and where it goes.
//!
//! | event | action |
//! |---|---|
//! | request head | `GET /v1/models` and `GET /v1/models/{id}` are answered here; an unknown path is 404; a path of a provider, such as `/v1/files`, goes to the provider that the request names; any other POST is held until its model is known |
//! | request body | scan until the model is known; find it among those of the caller's domain and check it against the caller's grant; write the route header and the upstream's model name; let all flow; go on scanning for a second `model` or an end that is not JSON |
//! | end | a request for one of several targets that has ended as a failure of the last of them is told, so that later ones ask it last |
//!
//! Nothing is buffered beyond what comes before `model`, and never more than `held_body_bytes`.

mod catalog;
mod filter;
mod last;
mod names;
mod order;
mod pins;
mod reply;
mod stream;

pub use filter::Router;
pub use stream::RouterStream;

weir_host::plugin!(crate::Router);
