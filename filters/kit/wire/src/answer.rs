//! An answer on its way from an upstream to a client.

mod ending;
mod fit;
mod reason;
mod step;
mod think;
mod thread;
mod usage;

#[cfg(test)]
mod tests;

use crate::meter::Tally;
use crate::openai::DONE;
use crate::sse::{SseEvent, SseFrame, SseFramer};
use crate::walk;

pub use self::ending::{Ending, broken};
pub use self::fit::{Fit, Terms};
pub use self::step::{Frame, Step};
pub use self::think::ThinkSplit;
pub use self::thread::Think;

/// The way of an answer: the steps that make it one of OpenAI's interface, [`Fit`], and the steps that make it one of
/// another interface for the client.
///
/// A stream may come in any chunks. Events that no step changes keep their bytes; where nothing of a chunk changes, nobody
/// has to write it anew. What belongs to an event that has not ended is held back until it has.
///
/// ```
/// # use weir_wire::answer::{Pipeline, Terms};
/// let mut way = Pipeline::new(Terms { model: Some("\"index\"".into()), ..Terms::default() });
/// assert_eq!(way.feed(b"data: {\"model\":\"index\",\"choices\":[]}\n\n", false), None);
/// assert_eq!(way.feed(b"data: {\"model\":\"in", false), Some(vec![]));
/// let rest = way.feed(b"dex-chat\",\"choices\":[]}\n\n", true).expect("the event has changed");
/// assert_eq!(rest, b"data: {\"model\":\"index\",\"choices\":[]}\n\n");
/// ```
#[derive(Debug)]
pub struct Pipeline {
    framer: SseFramer,
    way: Way,
    /// An event was too long to be read; what comes flows as it is.
    lost: bool,
}

#[derive(Debug)]
struct Way {
    before: Vec<Box<dyn Step>>,
    fit: Fit,
    after: Vec<Box<dyn Step>>,
}

impl Pipeline {
    /// A way on which an answer is fitted to these terms.
    pub fn new(terms: Terms) -> Self {
        let way = Way { before: Vec::new(), fit: Fit::new(terms), after: Vec::new() };
        Self { framer: SseFramer::new(LONGEST_EVENT), way, lost: false }
    }

    /// Adds a step between the upstream and the fit: one that makes OpenAI's events of another interface's.
    pub fn add_before(&mut self, step: impl Step + 'static) {
        self.way.before.push(Box::new(step));
    }

    /// Adds a step between the fit and the client: one that makes another interface's events of OpenAI's.
    pub fn add_after(&mut self, step: impl Step + 'static) {
        self.way.after.push(Box::new(step));
    }

    /// Reads the next bytes of a stream of events, and gives what flows in their place; `None` if they flow themselves.
    pub fn feed(&mut self, chunk: &[u8], end: bool) -> Option<Vec<u8>> {
        let translates = self.way.translates();
        if self.lost {
            return translates.then(Vec::new);
        }
        let mut written = Vec::with_capacity(chunk.len());
        let mut changed = !self.framer.pending().is_empty();
        let way = &mut self.way;
        let read = self.framer.feed(chunk, |frame| match frame {
            SseFrame::Event(event) => changed |= way.event(&event, &mut written),
            SseFrame::Silence(raw) => written.extend_from_slice(raw),
        });
        self.lost = read.is_err();
        if self.lost && !translates {
            written.extend_from_slice(self.framer.pending());
        } else if self.lost || end {
            changed |= self.end(&mut written);
        } else {
            changed |= !self.framer.pending().is_empty();
        }
        changed.then_some(written)
    }

    /// Ends a stream whose last event may lack its blank line, or be a part of one; whether what flows is other than what
    /// has come.
    fn end(&mut self, written: &mut Vec<u8>) -> bool {
        let way = &mut self.way;
        let mut changed = false;
        match self.framer.last() {
            Some(SseFrame::Event(event)) if event.data == DONE || walk::whole(event.data).is_some() => {
                changed |= way.event(&event, written);
            }
            Some(_) if way.translates() || way.fit.is_broken() => changed = true,
            Some(frame) => written.extend_from_slice(frame.raw()),
            None => {}
        }
        changed | way.end(written)
    }

    /// Reads a whole body of JSON, and gives what flows in its place; `None` if it flows itself.
    pub fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let Way { before, fit, after } = &mut self.way;
        let mut steps: Vec<&mut dyn Step> =
            before.iter_mut().map(|step| &mut **step as &mut dyn Step).collect();
        steps.push(fit);
        steps.extend(after.iter_mut().map(|step| &mut **step as &mut dyn Step));
        let mut written: Option<Vec<u8>> = None;
        for step in steps {
            let next = step.body(written.as_deref().unwrap_or(body));
            written = next.or(written);
        }
        written
    }

    /// What has been counted.
    pub fn tally(&self) -> &Tally {
        self.way.fit.tally()
    }

    /// Whether a stream that ends now has not said that it is over.
    pub fn is_broken(&self) -> bool {
        !self.lost && self.way.fit.is_broken()
    }

    /// Why the answer has ended, in OpenAI's words, if it has said so.
    pub fn finish_reason(&self) -> Option<&str> {
        self.way.fit.finish_reason()
    }
}

impl Way {
    /// Takes an event the whole way; whether anything of it has changed.
    fn event(&mut self, event: &SseEvent<'_>, written: &mut Vec<u8>) -> bool {
        let Self { before, fit, after } = self;
        let mut steps = Chain { before, fit: Some(fit), after };
        let start = written.len();
        steps.event(event, written);
        written.get(start..) != Some(event.raw)
    }

    /// Whether the client reads another interface than the upstream writes, so that nothing may flow as it is.
    fn translates(&self) -> bool {
        !self.before.is_empty() || !self.after.is_empty()
    }

    /// Ends the way; whether that has added anything.
    fn end(&mut self, written: &mut Vec<u8>) -> bool {
        let start = written.len();
        let Self { before, fit, after } = self;
        Chain { before, fit: Some(fit), after }.end(written);
        written.len() > start
    }
}

/// The steps that are left.
struct Chain<'a> {
    before: &'a mut [Box<dyn Step>],
    fit: Option<&'a mut Fit>,
    after: &'a mut [Box<dyn Step>],
}

impl<'a> Chain<'a> {
    /// The next step, and those after it.
    fn split(&mut self) -> Option<(&mut dyn Step, Chain<'_>)> {
        let Chain { before, fit, after } = self;
        if let [step, before @ ..] = &mut **before {
            let fit = fit.as_deref_mut();
            return Some((&mut **step, Chain { before, fit, after }));
        }
        if let Some(fit) = fit.as_deref_mut() {
            return Some((fit, Chain { before: &mut [], fit: None, after }));
        }
        let [step, after @ ..] = &mut **after else { return None };
        Some((&mut **step, Chain { before: &mut [], fit: None, after }))
    }

    fn event(&mut self, event: &SseEvent<'_>, written: &mut Vec<u8>) {
        match self.split() {
            Some((step, mut rest)) => step.event(event, &mut |event| rest.event(event, written)),
            None => written.extend_from_slice(event.raw),
        }
    }

    fn end(&mut self, written: &mut Vec<u8>) {
        if let Some((step, mut rest)) = self.split() {
            step.end(&mut |event| rest.event(event, written));
            rest.end(written);
        }
    }
}

/// The longest event that is read, in bytes.
const LONGEST_EVENT: usize = 1024 * 1024;
