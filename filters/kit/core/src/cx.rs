//! What a filter may ask for while it handles an event.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use crate::{Call, Metric, SharedStore, StreamId, UnixTime};

/// The proxy as a filter may question it: at once, and without changing anything but the shared store.
pub trait Proxy {
    /// The time.
    fn now(&self) -> UnixTime;

    /// Filter state that a filter has published on this request ([`Cx::publish`]).
    fn state(&self, key: &str) -> Option<Vec<u8>>;

    /// An attribute of the request (Envoy: "Attributes"), such as `["source", "address"]`.
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// The store that all workers share.
    fn store(&self) -> &dyn SharedStore;
}

/// One event's context: questions to the proxy, and the effects asked for, in order.
pub struct Cx<'a> {
    proxy: &'a dyn Proxy,
    now: OnceCell<UnixTime>,
    effects: Vec<Effect>,
}

/// Something a filter wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sets a header field, in place of any of its name.
    SetHeader(Side, Cow<'static, str>, String),
    /// Removes every header field of a name.
    RemoveHeader(Side, Cow<'static, str>),
    /// Replaces a range of the held body: what came since the body last flowed on, this chunk included.
    ReplaceBody(Side, Range<usize>, Vec<u8>),
    /// Starts telling the stream about a part of the exchange.
    Read(Part),
    /// Stops telling the stream about a part of the exchange.
    Skip(Part),
    /// Publishes filter state on the request, for later filters and the access log.
    Publish(&'static str, String),
    /// Adds to a counter.
    Count(Metric, u64),
    /// Sets a gauge, or adds a sample to a histogram.
    Record(Metric, u64),
    /// Calls an upstream.
    Call(Call),
    /// Wakes a stream of this worker.
    Wake(StreamId),
    /// Writes a line to the proxy's log.
    Log(Level, String),
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client.
    Request,
    /// To the client.
    Response,
}

/// A part of the exchange that a stream is told about only if it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Body and trailers of the request.
    RequestBody,
    /// Header fields of the response.
    ResponseHead,
    /// Body and trailers of the response.
    ResponseBody,
}

/// How much a line in the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Of use to those who look for an error.
    Debug,
    /// Worth knowing.
    Info,
    /// Wrong, and handled.
    Warn,
    /// A fault of ours.
    Error,
}

impl<'a> Cx<'a> {
    /// A context with no effects yet.
    pub fn new(proxy: &'a dyn Proxy) -> Self {
        Self { proxy, now: OnceCell::new(), effects: Vec::new() }
    }

    /// The time of this event; the same at every call.
    pub fn now(&self) -> UnixTime {
        *self.now.get_or_init(|| self.proxy.now())
    }

    /// Filter state published on this request by a filter before.
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.proxy.state(key)
    }

    /// An attribute of the request.
    pub fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.proxy.attribute(path)
    }

    /// The store that all workers share.
    pub fn store(&self) -> &'a dyn SharedStore {
        self.proxy.store()
    }

    /// Sets a header field of the request. The head must still be held.
    pub fn set_request_header(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.effects.push(Effect::SetHeader(Side::Request, name.into(), value.into()));
    }

    /// Removes a header field of the request. The head must still be held.
    pub fn remove_request_header(&mut self, name: impl Into<Cow<'static, str>>) {
        self.effects.push(Effect::RemoveHeader(Side::Request, name.into()));
    }

    /// Sets a header field of the response. The head must still be held.
    pub fn set_response_header(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.effects.push(Effect::SetHeader(Side::Response, name.into(), value.into()));
    }

    /// Removes a header field of the response. The head must still be held.
    pub fn remove_response_header(&mut self, name: impl Into<Cow<'static, str>>) {
        self.effects.push(Effect::RemoveHeader(Side::Response, name.into()));
    }

    /// Replaces a range of the held body of `side`. The message's `content-length` is the caller's to mend.
    pub fn replace_body(&mut self, side: Side, range: Range<usize>, with: impl Into<Vec<u8>>) {
        self.effects.push(Effect::ReplaceBody(side, range, with.into()));
    }

    /// Asks to be told about a part of the exchange. For the request's body that is at its head: what was held
    /// before nobody asked is told with the next chunk only.
    pub fn read(&mut self, part: Part) {
        self.effects.push(Effect::Read(part));
    }

    /// Asks not to be told any more about a part of the exchange.
    pub fn skip(&mut self, part: Part) {
        self.effects.push(Effect::Skip(part));
    }

    /// Publishes filter state on the request.
    pub fn publish(&mut self, key: &'static str, value: impl Into<String>) {
        self.effects.push(Effect::Publish(key, value.into()));
    }

    /// Adds one to a counter.
    pub fn count(&mut self, metric: Metric) {
        self.effects.push(Effect::Count(metric, 1));
    }

    /// Adds to a counter.
    pub fn add(&mut self, metric: Metric, number: u64) {
        self.effects.push(Effect::Count(metric, number));
    }

    /// Sets a gauge, or adds a sample to a histogram.
    pub fn record(&mut self, metric: Metric, value: u64) {
        self.effects.push(Effect::Record(metric, value));
    }

    /// Calls an upstream.
    pub fn call(&mut self, call: Call) {
        self.effects.push(Effect::Call(call));
    }

    /// Wakes a stream of this worker; one that is over is passed by.
    pub fn wake(&mut self, stream: StreamId) {
        self.effects.push(Effect::Wake(stream));
    }

    /// Writes a line to the proxy's log. Never give it a secret or a body.
    pub fn log(&mut self, level: Level, line: impl Into<String>) {
        self.effects.push(Effect::Log(level, line.into()));
    }

    /// The effects asked for, in order.
    pub fn take_effects(self) -> Vec<Effect> {
        self.effects
    }
}
