//! The `auth` filter: who is calling, and which models may they use.
//!
//! | event | action |
//! |---|---|
//! | request head | with `domains`: find the tenant by the host, or answer 421; take the key from `authorization`, `x-api-key` or `api-key`; find it by its SHA-256, on its own domain only; remove every credential, every `x-weir-*` header and every header that steers Envoy; publish consumer, key id, domain and grant; or answer 401 |
//! | request head to one of `resources` | take whom Envoy's `jwt_authn` has verified a token of, or a key if it allows keys, or answer 401 with a challenge; describe the resource at `/.well-known/oauth-protected-resource` |
//! | a key that is not configured | with `lookup`: ask the cluster once per key and worker, hold the request meanwhile, keep the answer in the cache that all workers share |
//! | request body | with `model_check: here` and a key that does not allow every model: hold until the model is known, then let flow or answer 404, and go on looking for a second `model` |

mod claims;
mod credential;
mod directory;
mod filter;
mod hosts;
mod lookup;
mod reply;
mod resource;
mod stream;

pub use filter::Auth;
pub use stream::AuthStream;

weir_host::plugin!(crate::Auth);
