//! The `model-compat` filter: fits each attempt to the upstream it goes to.
//!
//! It stands in the filter chain of a cluster, so a fallback to another provider gets a name, a path and a host of its
//! own. What Envoy's attempts share, a header of the last one included, it writes anew each time.
//!
//! | event | action |
//! |---|---|
//! | request head | where the `router` filter has left it to each attempt: set `:path` and `:authority`, hold; anything else passes |
//! | request body | hold it until it is whole where rules edit it, else until the model's name is in it; edit, set `content-length`, let all flow; a member that a rule refuses is a 400 |
//! | | for an upstream that speaks another interface than the client: hold all of it, and translate it |
//! | response head | hold a 200 until its body shows that it is an answer |
//! | | hold an error, where it has to be told in the client's words |
//! | response body | an error in place of an answer gets the status of an error, so that Envoy tries the next target; else make it the client's, meter it, and publish what it has used as that grows |

mod account;
mod attempt;
mod body;
mod filter;
mod health;
mod incoming;
mod opening;
mod outgoing;
mod reply;
mod speech;
mod stream;

pub use filter::ModelCompat;
pub use stream::CompatStream;

weir_host::plugin!(crate::ModelCompat, response);
