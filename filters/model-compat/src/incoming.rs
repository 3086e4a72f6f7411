//! An answer on its way to the client.

use weir_core::{Cx, Flow, Head, Part, Side, UnixTime};
use weir_wire::Meter;
use weir_wire::answer::{Pipeline, Terms};
use weir_wire::openai::ConcealedError;

use crate::account::Account;
use crate::filter::CONCEALED;
use crate::opening::{Opening, Verdict};

/// An answer.
///
/// ```text
/// Passing ──► Opening ──► Streaming
///                 ├─────► Long
///                 └─────► Passing | Refused
/// ```
#[derive(Debug)]
pub(crate) struct Incoming {
    phase: Phase,
    account: Account,
}

#[derive(Debug)]
enum Phase {
    /// What comes flows on, unread.
    Passing,
    /// The head is held, and the body so far.
    Opening { opening: Opening, terms: Terms },
    /// Events flow, each made what the client has asked for.
    Streaming(Pipeline),
    /// A body that is too long to be held flows as it is, and is metered.
    Long(Meter),
    /// It was an error; nothing more of it passes.
    Refused,
}

impl Incoming {
    /// The answer to an attempt that begins now.
    pub(crate) fn begin(now: UnixTime) -> Self {
        Self { phase: Phase::Passing, account: Account::begin(now) }
    }

    /// Reads the head of an answer that has to be fitted to these terms.
    pub(crate) fn on_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>, terms: Terms) -> Flow {
        let readable =
            head.get(":status") == Some(b"200") && !head.is_end() && head.get("content-encoding").is_none();
        match Opening::of(head.text("content-type")).filter(|_| readable) {
            Some(opening) => {
                self.phase = Phase::Opening { opening, terms };
                Flow::Wait
            }
            None => {
                cx.skip(Part::ResponseBody);
                Flow::Continue
            }
        }
    }

    pub(crate) fn on_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        match &mut self.phase {
            Phase::Passing => {}
            Phase::Refused => cx.replace_body(Side::Response, 0..chunk.len(), ""),
            Phase::Opening { opening, terms } => {
                let verdict = opening.feed(chunk, end);
                let (terms, held) = (terms.clone(), opening.held().to_vec());
                return self.open(cx, verdict, &held, terms, end);
            }
            Phase::Streaming(way) => {
                if let Some(written) = way.feed(chunk, end) {
                    cx.replace_body(Side::Response, 0..chunk.len(), written);
                }
                self.account.tell(cx, way, end);
            }
            Phase::Long(meter) => {
                meter.feed(chunk);
            }
        }
        Flow::Continue
    }

    /// Goes on after the opening, of which all that has come is `held`.
    fn open(&mut self, cx: &mut Cx<'_>, verdict: Verdict, held: &[u8], terms: Terms, end: bool) -> Flow {
        let mut way = Pipeline::new(terms);
        let all = 0..held.len();
        self.phase = match verdict {
            Verdict::Unclear => return Flow::Wait,
            Verdict::Whole => {
                if let Some(written) = way.body(held) {
                    cx.set_response_header("content-length", written.len().to_string());
                    cx.replace_body(Side::Response, all, written);
                }
                self.account.tell(cx, &way, true);
                cx.skip(Part::ResponseBody);
                Phase::Passing
            }
            Verdict::Stream => {
                // Of a stream that says how long it is, no event could have another length.
                cx.remove_response_header("content-length");
                if let Some(written) = way.feed(held, end) {
                    cx.replace_body(Side::Response, all, written);
                }
                self.account.tell(cx, &way, end);
                Phase::Streaming(way)
            }
            Verdict::Long => {
                let mut meter = Meter::of(None);
                meter.feed(held);
                self.account.tell_totals(cx, meter.totals(), true);
                Phase::Long(meter)
            }
            Verdict::Error(error) => {
                refuse(cx, &error);
                cx.remove_response_header("content-length");
                cx.set_response_header("content-type", "application/json");
                cx.replace_body(Side::Response, all, error.body);
                Phase::Refused
            }
        };
        Flow::Continue
    }

    pub(crate) fn on_trailers(&mut self, cx: &mut Cx<'_>) {
        // A body that has not ended by now is broken, and out of reach.
        if matches!(self.phase, Phase::Opening { .. }) {
            cx.skip(Part::ResponseBody);
            self.phase = Phase::Passing;
        }
    }

    pub(crate) fn on_end(&mut self, cx: &mut Cx<'_>) {
        match &self.phase {
            Phase::Streaming(way) => self.account.tell(cx, way, true),
            Phase::Long(meter) => self.account.tell_totals(cx, meter.totals(), true),
            Phase::Passing | Phase::Opening { .. } | Phase::Refused => {}
        }
    }
}

/// Gives the answer the status of its error: Envoy tries the next target, or tells the client.
fn refuse(cx: &mut Cx<'_>, error: &ConcealedError) {
    cx.set_response_header(":status", error.status.to_string());
    cx.count(CONCEALED);
}
