//! What a Weir filter is, without a proxy: it is told what happened and answers what to do.
//!
//! A [`Filter`] is one plugin configuration; it makes a [`Stream`] for every request. A stream receives events
//! (`on_request_head`, …), asks for effects through [`Cx`] and says with a [`Flow`] how the request goes on. It
//! performs nothing: `weir-host` does so in Envoy, and a test reads the effects.
//!
//! ```
//! use std::rc::Rc;
//! use weir_core::{ConfigError, Cx, Filter, Flow, Head, Metric, Stream, StreamId, testing::Bench};
//!
//! struct Greet;
//! impl Filter for Greet {
//!     const NAME: &'static str = "greet";
//!     const METRICS: &'static [Metric] = &[];
//!     type Config = String;
//!     type Stream = Greeting;
//!     fn new(name: String) -> Result<Self, ConfigError> { Ok(Self) }
//!     fn stream(self: &Rc<Self>, _: StreamId) -> Greeting { Greeting }
//! }
//!
//! struct Greeting;
//! impl Stream for Greeting {
//!     fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
//!         if head.get("x-name").is_none() {
//!             cx.set_request_header("x-name", "nobody");
//!         }
//!         Flow::Continue
//!     }
//! }
//!
//! let bench = Bench::default();
//! let (flow, effects) = bench.run(|cx| Greeting.on_request_head(cx, &Head::new(&[(":path", "/")], true)));
//! assert_eq!(flow, Flow::Continue);
//! assert_eq!(effects.len(), 1);
//! ```

mod call;
mod cx;
mod filter;
mod head;
mod metric;
mod reply;
mod store;
mod time;

pub mod testing;

pub use call::{Answer, Call, CallError, CallId, Owner};
pub use cx::{Cx, Effect, Level, Part, Proxy, Side};
pub use filter::{ConfigError, Filter, Flow, Stream, StreamId};
pub use head::Head;
pub use metric::{Metric, MetricKind};
pub use reply::Reply;
pub use store::{Cas, Entry, SharedStore, StoreError, transact, update};
pub use time::UnixTime;
