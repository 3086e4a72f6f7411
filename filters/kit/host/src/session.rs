//! One request as the host keeps it: the filter's stream, and what of the exchange is held or asked for.

use std::rc::Rc;

use weir_core::{Filter, Part, Side};

/// A request in a VM.
pub(crate) struct Session<F: Filter> {
    pub(crate) stream: F::Stream,
    pub(crate) root: u32,
    pub(crate) metrics: Rc<[u32]>,
    pub(crate) reads: Reads,
    pub(crate) request: Message,
    pub(crate) response: Message,
    pub(crate) ended: bool,
    /// The count of host calls when the request began, where that is counted.
    pub(crate) calls_before: Option<u64>,
}

impl<F: Filter> Session<F> {
    pub(crate) fn message(&mut self, side: Side) -> &mut Message {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// The side that a verdict from elsewhere (a call, a wake) is about, and how much of its held body the stream
    /// has been told.
    pub(crate) fn held(&self) -> Option<(Side, usize)> {
        match (self.request, self.response) {
            _ if self.ended => None,
            (Message::Held { told }, _) => Some((Side::Request, told)),
            (Message::Flowing | Message::Answered, Message::Held { told }) => Some((Side::Response, told)),
            (Message::Flowing | Message::Answered, Message::Flowing | Message::Answered) => None,
        }
    }
}

/// How far a request or response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// What came has flowed on.
    Flowing,
    /// The proxy holds what came; the stream has been told the first `told` bytes of the held body.
    Held { told: usize },
    /// The client has been answered by the filter.
    Answered,
}

/// What a stream asked to be told about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) request_body: bool,
    pub(crate) response_head: bool,
    pub(crate) response_body: bool,
}

impl Reads {
    pub(crate) fn set(&mut self, part: Part, wanted: bool) {
        match part {
            Part::RequestBody => self.request_body = wanted,
            Part::ResponseHead => self.response_head = wanted,
            Part::ResponseBody => self.response_body = wanted,
        }
    }

    pub(crate) fn body(self, side: Side) -> bool {
        match side {
            Side::Request => self.request_body,
            Side::Response => self.response_body,
        }
    }
}
