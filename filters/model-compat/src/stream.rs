//! One attempt.

use std::rc::Rc;

use weir_core::{Cx, Flow, Head, Part, Reply, Stream};
use weir_schema::{compat, state};
use weir_wire::answer::{Terms, Think};
use weir_wire::translate::Asked;

use crate::attempt::Attempt;
use crate::filter::{ATTEMPTS, MISROUTED, ModelCompat};
use crate::health::Health;
use crate::incoming::Incoming;
use crate::outgoing::{Known, Outgoing};

/// One attempt at this cluster's upstream.
#[derive(Debug)]
pub struct CompatStream {
    filter: Rc<ModelCompat>,
    outgoing: Outgoing,
    /// What the answer has to be, as far as the request has shown it.
    terms: Terms,
    /// What the request was translated from, if it was.
    asked: Option<Asked>,
    incoming: Option<Incoming>,
    /// What is told of the cluster, where the request has others.
    health: Option<Health>,
}

impl CompatStream {
    pub(crate) fn begin(filter: Rc<ModelCompat>) -> Self {
        Self {
            filter,
            outgoing: Outgoing::Done,
            terms: Terms::default(),
            asked: None,
            incoming: None,
            health: None,
        }
    }
}

impl Stream for CompatStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        // Nothing is published for what goes to an upstream as it is.
        let Some(published) = cx.state(state::FORWARD) else { return Flow::Continue };
        let Some(attempt) = Attempt::of(&self.filter, cx, head, &published).filter(|_| !head.is_end()) else {
            cx.count(MISROUTED);
            return Flow::Reply(Reply::fault());
        };
        attempt.write_head(cx, head, &self.filter);
        cx.publish(state::UPSTREAM_MODEL, attempt.model.as_str());
        let config = &self.filter.config;
        self.health = Health::begin(cx, &attempt.leads, &config.cluster, config.cooling);
        cx.count(ATTEMPTS);
        for part in [Part::RequestBody, Part::ResponseHead, Part::ResponseBody] {
            cx.read(part);
        }
        let think = match attempt.rules.think.unwrap_or_default() {
            compat::Think::Keep => Think::Keep,
            compat::Think::ReasoningContent => Think::Apart,
            compat::Think::Strip => Think::Strip,
            compat::Think::Tags => Think::Tags,
        };
        self.terms =
            Terms { model: attempt.name.clone(), hide_usage: false, think, ending: attempt.ending() };
        self.incoming = Some(Incoming::begin(cx.now()));
        let form = head.get("content-type").is_some_and(|media| media.starts_with(b"multipart/"));
        let (outgoing, flow) = Outgoing::held(cx, attempt, !form, self.filter.config.held_body_bytes.get());
        self.outgoing = outgoing;
        flow
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let (flow, known) = self.outgoing.feed(cx, &self.filter, chunk, end);
        if let Some(Known { hide_usage, asked }) = known {
            self.terms.hide_usage |= hide_usage;
            self.asked = asked;
        }
        flow
    }

    fn on_request_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        // What trailers end cannot be edited any more.
        if matches!(self.outgoing, Outgoing::Held { .. }) {
            return Flow::Reply(Reply::fault());
        }
        cx.skip(Part::RequestBody);
        Flow::Continue
    }

    fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        let Some(incoming) = &mut self.incoming else { return Flow::Continue };
        if let Some(health) = &mut self.health {
            health.on_head(cx, head);
        }
        incoming.on_head(cx, head, self.terms.clone(), self.asked.take())
    }

    fn on_response_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        self.incoming.as_mut().map_or(Flow::Continue, |incoming| incoming.on_body(cx, chunk, end))
    }

    fn on_response_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        if let Some(incoming) = &mut self.incoming {
            incoming.on_trailers(cx);
        }
        Flow::Continue
    }

    fn on_end(&mut self, cx: &mut Cx<'_>) {
        if let Some(incoming) = &mut self.incoming {
            incoming.on_end(cx);
            if let Some(health) = &self.health {
                health.on_end(cx, incoming.has_failed());
            }
        }
    }
}

#[cfg(test)]
mod tests;
