//! A request for one of several servers.
//!
//! ```text
//! Opening ──► Flowing ──► Again
//! ```
//! It flows on as soon as there is a session, and so does the answer; unless the server has lost the session: then one
//! begins, and the request is made once more by a call, while the head of the answer is held.

use std::rc::Rc;

use weir_core::{Answer, CallError, CallId, Cx, Flow, Head, Part, Reply, Side, UnixTime};
use weir_schema::mcp::{McpUpstream, Proxy};
use weir_schema::{ROUTE_HEADER, state};
use weir_wire::jsonrpc::{Id, RpcError};

use super::answer::{Failure, Received};
use super::exchange::{Exchange, Question, Terms};
use super::routed::Routed;
use super::visit::Visit;
use crate::catalog::Served;
use crate::era;
use crate::filter::PASSED;
use crate::outcome::Kind;
use crate::proxy::seal::Session;
use crate::proxy::{Kept, session, status, tell};
use crate::reply;
use crate::run::Numbers;

/// A request for one of several servers.
#[derive(Debug)]
pub(crate) struct Errand {
    served: Rc<Served>,
    /// The client's id, as it was written.
    id: String,
    method: String,
    routed: Routed,
    kept: Kept,
    visit: Option<Visit>,
    /// How much of the client's body is held.
    held: usize,
    numbers: Numbers,
    began: UnixTime,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// A session begins.
    Opening(Exchange, CallId),
    /// The request flows on, perhaps with a session that turns out to be lost.
    Flowing { may_be_lost: bool },
    /// The answer is held until the request has been made again.
    Again(Exchange, CallId),
}

/// A request that has been read.
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) routed: Routed,
    pub(super) kept: Kept,
    /// Absent in a revision without sessions.
    pub(super) visit: Option<Visit>,
    /// How long the client's body is.
    pub(super) held: usize,
}

impl Errand {
    /// Sends a request on, once there is a session for it.
    pub(super) fn begin(cx: &mut Cx<'_>, served: Rc<Served>, sent: Sent) -> (Self, Flow) {
        let Sent { id, method, routed, kept, visit, held } = sent;
        let (numbers, began) = (Numbers::default(), cx.now());
        let phase = Phase::Flowing { may_be_lost: false };
        let mut errand = Self { served, id, method, routed, kept, visit, held, numbers, began, phase };
        let served = Rc::clone(&errand.served);
        let Some((proxy, upstream)) = errand.server(&served) else {
            return (errand, Flow::Reply(Reply::fault()));
        };
        let flow = match &errand.visit {
            None => errand.flow_on(cx, upstream, None),
            Some(visit) => match visit.session(cx, upstream) {
                Some(session) => errand.flow_on(cx, upstream, Some(&session)),
                None => {
                    let exchange = Exchange::new(visit.version(), None, None);
                    match errand.call(cx, (proxy, upstream), &exchange) {
                        Some(call) => errand.phase = Phase::Opening(exchange, call),
                        None => return (errand, Flow::Reply(Reply::fault())),
                    }
                    Flow::Wait
                }
            },
        };
        (errand, flow)
    }

    /// A call has been answered.
    pub(super) fn on_call_done(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        answer: Result<Answer<'_>, CallError>,
    ) -> Flow {
        let served = Rc::clone(&self.served);
        let Some((proxy, upstream)) = self.server(&served) else { return Flow::Wait };
        let flowing = Phase::Flowing { may_be_lost: false };
        match std::mem::replace(&mut self.phase, flowing) {
            Phase::Opening(mut exchange, own) if own == call => match exchange.take(answer) {
                None => match self.call(cx, (proxy, upstream), &exchange) {
                    Some(call) => {
                        self.phase = Phase::Opening(exchange, call);
                        Flow::Wait
                    }
                    None => self.fail(cx, &Failure::Slow),
                },
                Some(Ok(_)) => {
                    let session = exchange.begun().cloned();
                    self.note(cx, upstream, session.as_ref());
                    self.flow_on(cx, upstream, session.as_ref())
                }
                Some(Err(failure)) => self.fail(cx, &failure),
            },
            Phase::Again(mut exchange, own) if own == call => match exchange.take(answer) {
                None => match self.call(cx, (proxy, upstream), &exchange) {
                    Some(call) => {
                        self.phase = Phase::Again(exchange, call);
                        Flow::Wait
                    }
                    None => self.give_up(cx),
                },
                Some(Ok(received)) => {
                    self.note(cx, upstream, exchange.begun());
                    self.answer(cx, received)
                }
                Some(Err(_)) => self.give_up(cx),
            },
            phase => {
                self.phase = phase;
                Flow::Wait
            }
        }
    }

    /// The answer's head has come.
    pub(super) fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        let Phase::Flowing { may_be_lost } = self.phase else { return Flow::Continue };
        // Sessions of servers are no business of clients'.
        if head.get(session::HEADER).is_some() {
            cx.remove_response_header(session::HEADER);
        }
        let served = Rc::clone(&self.served);
        if may_be_lost
            && status(head) == 404
            && let (Some(server), Some(visit)) = (self.server(&served), &self.visit)
        {
            let question = Question {
                method: self.method.clone(),
                name: None,
                body: std::mem::take(&mut self.routed.body),
            };
            let exchange = Exchange::new(visit.version(), None, Some(question));
            if let Some(call) = self.call(cx, server, &exchange) {
                self.phase = Phase::Again(exchange, call);
                return Flow::Wait;
            }
        }
        if self.is_call() {
            tell(cx, status(head));
        }
        Flow::Continue
    }

    /// Lets the request, whose head is held, flow to its server.
    fn flow_on(&mut self, cx: &mut Cx<'_>, upstream: &McpUpstream, session: Option<&Session>) -> Flow {
        for name in &self.kept.private {
            cx.remove_request_header(name.clone());
        }
        let id = session.and_then(|session| session.id.as_deref());
        match id {
            Some(id) => cx.set_request_header(session::HEADER, id),
            None => cx.remove_request_header(session::HEADER),
        }
        if let Some(session) = session {
            cx.set_request_header(era::VERSION_HEADER, session.version.as_str());
        }
        cx.set_request_header(":path", upstream.path.as_str());
        cx.set_request_header(ROUTE_HEADER, upstream.route.as_str());
        if self.visit.is_none() && self.routed.is_mirrored {
            cx.set_request_header(era::NAME_HEADER, era::written(&self.routed.name));
        }
        if self.kept.has_length {
            cx.set_request_header("content-length", self.routed.body.len().to_string());
        }
        cx.skip(Part::RequestBody);
        cx.read(Part::ResponseHead);
        // A session that has just begun is not lost; and what has none has nothing to lose.
        let may_be_lost =
            id.is_some() && matches!(self.phase, Phase::Flowing { .. }) && self.numbers.count() == 0;
        let body = if may_be_lost { self.routed.body.clone() } else { std::mem::take(&mut self.routed.body) };
        cx.replace_body(Side::Request, 0..self.held, body);
        cx.count(PASSED);
        self.phase = Phase::Flowing { may_be_lost };
        Flow::Continue
    }

    fn call(
        &mut self,
        cx: &mut Cx<'_>,
        (proxy, upstream): (&Proxy, &McpUpstream),
        exchange: &Exchange,
    ) -> Option<CallId> {
        let spent = cx.now().millis().saturating_sub(self.began.millis());
        // The time that an answer has taken so far is not that of what is made in its place.
        let spent = if matches!(self.phase, Phase::Flowing { .. }) { 0 } else { spent };
        let left = u64::from(proxy.timeout_ms.get()).saturating_sub(spent);
        let timeout_ms = u32::try_from(left).ok().filter(|left| *left > 0)?;
        let id = self.numbers.next();
        let max_answer_bytes = proxy.response_bytes.get();
        exchange.call(cx, &Terms { upstream, fields: &self.kept.fields, timeout_ms, max_answer_bytes }, id);
        Some(id)
    }

    fn note(&self, cx: &Cx<'_>, upstream: &McpUpstream, session: Option<&Session>) {
        if let (Some(visit), Some(session)) = (&self.visit, session) {
            visit.note(cx, upstream, session);
        }
    }

    /// No session could be begun.
    fn fail(&self, cx: &mut Cx<'_>, failure: &Failure) -> Flow {
        if self.is_call() {
            let kind = if *failure == Failure::Slow { Kind::Timeout } else { Kind::Unreachable };
            cx.count(kind.metric());
            cx.publish(state::MCP_OUTCOME, kind.as_str());
        }
        let error =
            RpcError::new(RpcError::INTERNAL, format!("the server does not answer: {}", failure.told()));
        let answer = error.answer(Some(Id::written(&self.id)));
        Flow::Reply(reply::messages(503, "weir_mcp_unavailable", answer))
    }

    /// What was answered to the request that was made again.
    fn answer(&self, cx: &mut Cx<'_>, received: Received) -> Flow {
        if self.is_call() {
            tell(cx, received.status);
        }
        let mut reply = reply::messages(received.status, "weir_mcp_again", String::new());
        reply.headers = vec![("content-type", received.media.into())];
        reply.body = received.body.into();
        Flow::Reply(reply)
    }

    /// The answer that is held flows on after all.
    fn give_up(&self, cx: &mut Cx<'_>) -> Flow {
        if self.is_call() {
            tell(cx, 404);
        }
        Flow::Continue
    }

    fn is_call(&self) -> bool {
        self.method == "tools/call"
    }

    fn server<'s>(&self, served: &'s Served) -> Option<(&'s Proxy, &'s McpUpstream)> {
        let proxy = served.proxy()?;
        Some((proxy, proxy.upstreams.get(self.routed.at)?))
    }
}
