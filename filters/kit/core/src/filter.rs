//! The two traits a filter implements.

use std::fmt;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::{Answer, CallError, CallId, Cx, Head, Metric, Reply};

/// A filter with one configuration, shared by all streams of a worker that began under it.
pub trait Filter: Sized + 'static {
    /// The filter's name: `auth`.
    const NAME: &'static str;
    /// Every metric the filter counts; a metric that is not listed is not defined in the proxy.
    const METRICS: &'static [Metric];
    /// The plugin configuration, as JSON.
    type Config: DeserializeOwned;
    /// What the filter keeps for one request.
    type Stream: Stream;

    /// Builds the filter, or says which field of the configuration is wrong.
    fn new(config: Self::Config) -> Result<Self, ConfigError>;

    /// Begins a request.
    fn stream(self: &Rc<Self>, id: StreamId) -> Self::Stream;

    /// A reply as the client of a request for `path` reads it. Default: as it is.
    fn worded(_path: &str, reply: Reply) -> Reply {
        reply
    }

    /// Learns the outcome of a call that belongs to the filter ([`crate::Owner::Filter`]).
    fn on_call_done(&self, _cx: &mut Cx<'_>, _call: CallId, _outcome: Result<Answer<'_>, CallError>) {}

    /// How often [`Filter::on_tick`] is wanted, in milliseconds. Every worker ticks, and the main thread too.
    fn tick_millis(&self) -> Option<u32> {
        None
    }

    /// Time has passed.
    fn on_tick(&self, _cx: &mut Cx<'_>) {}
}

/// One request and its response.
///
/// Only the request head and the end are told without asking; the other events come after [`Cx::read`].
/// While a stream waits, bodies and trailers wait too.
pub trait Stream {
    /// The request's header fields have come.
    fn on_request_head(&mut self, _cx: &mut Cx<'_>, _head: &Head<'_>) -> Flow {
        Flow::Continue
    }

    /// More of the request's body has come; `end` marks the last of it, unless trailers follow.
    fn on_request_body(&mut self, _cx: &mut Cx<'_>, _chunk: &[u8], _end: bool) -> Flow {
        Flow::Continue
    }

    /// The request's body has ended with trailers.
    fn on_request_trailers(&mut self, _cx: &mut Cx<'_>, _trailers: &Head<'_>) -> Flow {
        Flow::Continue
    }

    /// The response's header fields have come.
    fn on_response_head(&mut self, _cx: &mut Cx<'_>, _head: &Head<'_>) -> Flow {
        Flow::Continue
    }

    /// More of the response's body has come. `end` is not always told: work that must be done belongs in
    /// [`Stream::on_end`].
    fn on_response_body(&mut self, _cx: &mut Cx<'_>, _chunk: &[u8], _end: bool) -> Flow {
        Flow::Continue
    }

    /// The response's body has ended with trailers.
    fn on_response_trailers(&mut self, _cx: &mut Cx<'_>, _trailers: &Head<'_>) -> Flow {
        Flow::Continue
    }

    /// A call of this stream is done; the flow decides about the request.
    fn on_call_done(
        &mut self,
        _cx: &mut Cx<'_>,
        _call: CallId,
        _outcome: Result<Answer<'_>, CallError>,
    ) -> Flow {
        Flow::Wait
    }

    /// Another stream or the filter asked for this one ([`Cx::wake`]); the flow decides about the request.
    fn on_wake(&mut self, _cx: &mut Cx<'_>) -> Flow {
        Flow::Wait
    }

    /// The stream is over, whatever ended it. Told once.
    fn on_end(&mut self, _cx: &mut Cx<'_>) {}
}

/// How a request or a response goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// What has come so far flows on.
    Continue,
    /// All is held: what has come, and what comes until another event answers otherwise.
    Wait,
    /// The client is answered here, and the request goes no further.
    Reply(Reply),
}

/// A stream's number, unique within a worker while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A configuration the filter cannot work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the field: `keys[3].sha256`.
    pub field: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for ConfigError {}
