//! An answer on its way to the client.

use weir_core::{Cx, Flow, Head, Part, Side, UnixTime};
use weir_wire::answer::{Pipeline, Terms};
use weir_wire::openai::ConcealedError;
use weir_wire::translate::{Asked, is_error_status};
use weir_wire::{Meter, walk};

use crate::account::Account;
use crate::filter::{BROKEN, CONCEALED};
use crate::opening::{self, Opening, Verdict};

/// An answer.
///
/// ```text
/// Passing ──► Opening ──► Streaming
///    │            ├─────► Long
///    │            └─────► Passing | Refused
///    └──────► Failing ──► Refused
/// ```
#[derive(Debug)]
pub(crate) struct Incoming {
    phase: Phase,
    account: Account,
    /// Whether it was a stream that ended without having said so.
    is_broken: bool,
}

#[derive(Debug)]
enum Phase {
    /// What comes flows on, unread.
    Passing,
    /// The head is held, and the body so far.
    Opening { opening: Opening, terms: Terms, asked: Option<Asked> },
    /// An error is held to be told in the client's words.
    Failing { status: u16, held: Vec<u8>, asked: Asked },
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
        Self { phase: Phase::Passing, account: Account::begin(now), is_broken: false }
    }

    /// Reads the head of an answer that has to be fitted to these terms.
    pub(crate) fn on_head(
        &mut self,
        cx: &mut Cx<'_>,
        head: &Head<'_>,
        terms: Terms,
        asked: Option<Asked>,
    ) -> Flow {
        let status = head.text(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
        if let Some(asked) = asked.as_ref().filter(|_| is_error_status(status) && !head.is_end()) {
            self.phase = Phase::Failing { status, held: Vec::new(), asked: asked.clone() };
            return Flow::Wait;
        }
        let readable =
            head.get(":status") == Some(b"200") && !head.is_end() && head.get("content-encoding").is_none();
        match Opening::of(head.text("content-type")).filter(|_| readable) {
            Some(opening) => {
                self.phase = Phase::Opening { opening, terms, asked };
                Flow::Wait
            }
            None => {
                cx.skip(Part::ResponseBody);
                Flow::Continue
            }
        }
    }

    /// Whether it was an error, whatever its status, or has broken off.
    pub(crate) fn has_failed(&self) -> bool {
        self.is_broken || matches!(self.phase, Phase::Refused)
    }

    pub(crate) fn on_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        match &mut self.phase {
            Phase::Passing => {}
            Phase::Refused => cx.replace_body(Side::Response, 0..chunk.len(), ""),
            Phase::Opening { opening, terms, asked } => {
                let verdict = opening.feed(chunk, end);
                if verdict == Verdict::Unclear {
                    return Flow::Wait;
                }
                let (terms, held, asked) = (terms.clone(), opening.held().to_vec(), asked.take());
                return self.open(cx, verdict, &held, terms, asked, end);
            }
            Phase::Failing { status, held, asked } => {
                held.extend_from_slice(chunk);
                // The end is not always told: trailers may follow.
                let whole = end || opening::ends(chunk) && walk::whole(held).is_some();
                if !whole && held.len() <= LONGEST_FAILURE {
                    return Flow::Wait;
                }
                let (len, told) = (held.len(), asked.failure(*status, held));
                fail(cx, len, told);
                self.phase = Phase::Refused;
            }
            Phase::Streaming(way) => {
                if let Some(written) = way.feed(chunk, end) {
                    cx.replace_body(Side::Response, 0..chunk.len(), written);
                }
                self.account.tell(cx, way, end);
                self.is_broken = end && breaks(cx, way);
            }
            Phase::Long(meter) => {
                meter.feed(chunk);
            }
        }
        Flow::Continue
    }

    /// Goes on after the opening, of which all that has come is `held`.
    fn open(
        &mut self,
        cx: &mut Cx<'_>,
        verdict: Verdict,
        held: &[u8],
        terms: Terms,
        asked: Option<Asked>,
        end: bool,
    ) -> Flow {
        let mut way = way(terms, asked.as_ref(), cx.now());
        let all = 0..held.len();
        self.phase = match (verdict, asked) {
            (Verdict::Unclear, _) => return Flow::Wait,
            (Verdict::Whole, asked) => {
                let written = way.body(held);
                if let Some(asked) = asked.filter(|_| written.is_none()) {
                    return self.give_up(cx, held.len(), &asked, UNREADABLE);
                }
                if let Some(written) = written {
                    cx.set_response_header("content-length", written.len().to_string());
                    cx.replace_body(Side::Response, all, written);
                }
                self.account.tell(cx, &way, true);
                cx.skip(Part::ResponseBody);
                Phase::Passing
            }
            (Verdict::Stream, _) => {
                // Of a stream that says how long it is, no event could have another length.
                cx.remove_response_header("content-length");
                if let Some(written) = way.feed(held, end) {
                    cx.replace_body(Side::Response, all, written);
                }
                self.account.tell(cx, &way, end);
                self.is_broken = end && breaks(cx, &way);
                Phase::Streaming(way)
            }
            (Verdict::Long, Some(asked)) => return self.give_up(cx, held.len(), &asked, TOO_LONG),
            (Verdict::Long, None) => {
                let mut meter = Meter::of(None);
                meter.feed(held);
                self.account.tell_totals(cx, meter.totals(), true);
                Phase::Long(meter)
            }
            (Verdict::Error(error), asked) => {
                refuse(cx, &error);
                let told = asked.map(|asked| asked.failure(error.status, &error.body));
                fail(cx, held.len(), told.unwrap_or(error.body));
                Phase::Refused
            }
        };
        Flow::Continue
    }

    /// Answers with an error what cannot be translated.
    fn give_up(&mut self, cx: &mut Cx<'_>, len: usize, asked: &Asked, why: &[u8]) -> Flow {
        cx.set_response_header(":status", "502");
        fail(cx, len, asked.failure(502, why));
        self.phase = Phase::Refused;
        Flow::Continue
    }

    pub(crate) fn on_trailers(&mut self, cx: &mut Cx<'_>) {
        // A body that has not ended by now is broken, and out of reach.
        if matches!(self.phase, Phase::Opening { .. } | Phase::Failing { .. }) {
            cx.skip(Part::ResponseBody);
            self.phase = Phase::Passing;
        }
    }

    pub(crate) fn on_end(&mut self, cx: &mut Cx<'_>) {
        match &self.phase {
            Phase::Streaming(way) => self.account.tell(cx, way, true),
            Phase::Long(meter) => self.account.tell_totals(cx, meter.totals(), true),
            Phase::Passing | Phase::Opening { .. } | Phase::Failing { .. } | Phase::Refused => {}
        }
    }
}

/// The way of an answer to what was asked.
fn way(terms: Terms, asked: Option<&Asked>, now: UnixTime) -> Pipeline {
    let mut way = Pipeline::new(terms);
    let Some(asked) = asked else { return way };
    if let Some(step) = asked.before(now.seconds()) {
        way.add_before(step);
    }
    if let Some(step) = asked.after(now.seconds()) {
        way.add_after(step);
    }
    way
}

/// Whether a stream that has ended was not over; counts it then.
fn breaks(cx: &mut Cx<'_>, way: &Pipeline) -> bool {
    let is_broken = way.is_broken();
    if is_broken {
        cx.count(BROKEN);
    }
    is_broken
}

/// Puts an error in the place of all that is held of a body.
fn fail(cx: &mut Cx<'_>, len: usize, told: Vec<u8>) {
    cx.remove_response_header("content-length");
    cx.set_response_header("content-type", "application/json");
    cx.replace_body(Side::Response, 0..len, told);
}

/// Gives the answer the status of its error: Envoy tries the next target, or tells the client.
fn refuse(cx: &mut Cx<'_>, error: &ConcealedError) {
    cx.set_response_header(":status", error.status.to_string());
    cx.count(CONCEALED);
}

/// How much of an error is read, in bytes.
const LONGEST_FAILURE: usize = 64 * 1024;
const UNREADABLE: &[u8] =
    br#"{"error":{"message":"The upstream's answer cannot be read.","type":"server_error","code":"upstream_error"}}"#;
const TOO_LONG: &[u8] =
    br#"{"error":{"message":"The upstream's answer is too long to be translated.","type":"server_error","code":"upstream_error"}}"#;
