//! The `quota` filter: who may use how much.
//!
//! | event | action |
//! |---|---|
//! | request head | find the rules that match; where one counts tokens, hold the request |
//! | request body | weigh the prompt, its first 64 KiB or, without a `content-length`, all of it; reserve under every rule at once, or answer 429 |
//! | a request whose provider has no room | with rules about providers: leave its targets out, and answer 429 if none is left |
//! | a request that no slice covers | with `ledger`: hold it, report to the ledger, and look again when that has answered |
//! | tick | with `ledger`: one worker of all reports what is used, when that is due |
//! | response head | tell what is left; meter the answer, unless a filter behind this one does |
//! | response body | read, never held |
//! | end | replace what was reserved by what was used, whatever ended the stream |

mod admission;
mod book;
mod counter;
mod estimate;
mod exact;
mod filter;
mod ledger;
mod reply;
mod rule;
mod stream;
#[cfg(weir_trap_on_demand)]
mod trap;
mod way;

pub use filter::Quota;
pub use stream::QuotaStream;

weir_host::plugin!(crate::Quota, response);
