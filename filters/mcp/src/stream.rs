//! One request: read its message, and answer or pass it on.

mod batch;

#[cfg(test)]
mod tests;

use std::mem;
use std::rc::Rc;

use weir_core::{Answer, CallError, CallId, Cx, Flow, Head, Part, Reply, Side, Stream, UnixTime};
use weir_schema::ROUTE_HEADER;
use weir_schema::mcp::{HUB_ROUTE, Place};
use weir_schema::router::Identity;
use weir_schema::state::{self, Grant};
use weir_wire::openai::ApiError;

use crate::catalog::Served;
use crate::era::VERSION_HEADER;
use crate::filter::{CALLS_REFUSED, MESSAGES, Mcp, REFUSED, RELAYED, UNIDENTIFIED};
use crate::mirror::Mirror;
use crate::outcome::Kind;
use crate::proxy::{self, Arrived, Asker, Converted, KEYS_CALL, Kept, Mux, Passing, Reading, Sealer};
use crate::reply;
use crate::version::Version;

use batch::Batch;
pub(crate) use batch::{ONE_CALL, is_costly};

/// One request.
#[derive(Debug)]
pub struct McpStream {
    filter: Rc<Mcp>,
    phase: Phase,
    /// When a call began, if there is one.
    called: Option<UnixTime>,
}

/// ```text
/// Head ──► Reading ──► Calling, Converting ──► Over
///   │         ├───────────────────────────────►
///   │         ├──────► Muxing
///   └─────────┴──────► Passing
/// ```
#[derive(Debug)]
enum Phase {
    /// Nothing has come yet.
    Head,
    /// All is held until the body is there.
    Reading(Box<Arrival>),
    /// The messages are read; calls of APIs are under way.
    Calling(Box<Batch>),
    /// The server behind this one is asked in other words.
    Converting(Box<Converted>),
    /// The request flows on to its server, or its answer back.
    Passing(Box<Passing>),
    /// It is for several servers, or one of them.
    Muxing(Box<Mux>),
    /// Nothing is left to do.
    Over,
}

/// A request whose body is being read.
#[derive(Debug)]
struct Arrival {
    served: Rc<Served>,
    consumer: Option<String>,
    mirror: Mirror,
    /// What a server behind this one needs of the head.
    kept: Option<Kept>,
    body: Vec<u8>,
    method: Method,
    is_whole: bool,
    /// What seals sessions, where there are any.
    sealer: Option<Rc<Sealer>>,
    /// Whether that is being asked for.
    waits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Post,
    /// The stream of what the server says unasked.
    Get,
    /// The end of a session.
    Delete,
}

impl McpStream {
    pub(crate) fn begin(filter: Rc<Mcp>) -> Self {
        Self { filter, phase: Phase::Head, called: None }
    }

    /// The server that a path leads to, for the tenant who asks. `Err` is the answer to the request.
    fn find(&self, cx: &mut Cx<'_>, path: &str) -> Result<Option<(Rc<Served>, Place)>, Reply> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let mut at = self.filter.catalog.at(path).peekable();
        if at.peek().is_none() {
            return Ok(None);
        }
        let domain = match self.filter.identity {
            Identity::None => Grant::any(),
            Identity::Required => cx.state(state::GRANT).and_then(Grant::parse).ok_or_else(|| {
                cx.count(UNIDENTIFIED);
                Reply::fault()
            })?,
        };
        let own = at.find(|(served, _)| served.is_for(domain.domain()));
        Ok(own.map(|(served, place)| (served.seen_by(cx), place)))
    }

    fn on_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let Phase::Reading(arrival) = &mut self.phase else { return Flow::Continue };
        let limit = arrival.served.request_bytes;
        if (arrival.body.len() as u64).saturating_add(chunk.len() as u64) > limit {
            self.phase = Phase::Over;
            return refuse(cx, reply::too_large(limit));
        }
        arrival.body.extend_from_slice(chunk);
        arrival.is_whole |= end;
        self.go(cx)
    }

    /// Does what a request asks, once it is there, and with it what it needs.
    fn go(&mut self, cx: &mut Cx<'_>) -> Flow {
        let arrival = match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Reading(arrival) if arrival.is_whole && !arrival.waits => *arrival,
            phase => {
                self.phase = phase;
                return Flow::Wait;
            }
        };
        let Arrival { served, consumer, mirror, kept, body, method, sealer, .. } = arrival;
        self.called = served.note_call(cx);
        if let Some(challenge) = served.challenge(consumer.as_deref(), &body) {
            cx.count(CALLS_REFUSED);
            cx.publish(state::MCP_OUTCOME, Kind::Denied.as_str());
            return refuse(cx, reply::insufficient_scope(challenge));
        }
        if let (Some(proxy), Some(kept)) = (Rc::clone(&served).proxy(), kept) {
            if served.is_several() {
                let arrived = Arrived { served, consumer, mirror: &mirror, kept, body: &body, sealer };
                return self.share(cx, arrived, method);
            }
            if let (Method::Post, Some(revision)) = (method, proxy::revision(proxy)) {
                let asker =
                    Asker { served: &served, consumer: consumer.as_deref(), mirror: &mirror, head: &kept };
                match Converted::read(cx, &asker, revision, &body) {
                    Reading::Same => {}
                    Reading::Answered(reply) => return answered(cx, reply),
                    Reading::Asking(converted) => {
                        self.phase = Phase::Converting(converted);
                        return Flow::Wait;
                    }
                }
            }
            let passing = match method {
                Method::Post => {
                    Passing::messages(cx, served, proxy, consumer, &mirror, &kept, (&body, sealer))
                }
                Method::Get | Method::Delete => Passing::bare(cx, served, proxy, consumer, &kept, sealer),
            };
            return self.pass(cx, passing);
        }
        match Batch::read(cx, served, consumer, &mirror, &body) {
            Ok(batch) if batch.is_relayed() => {
                cx.set_request_header(ROUTE_HEADER, HUB_ROUTE);
                self.relay(cx)
            }
            Ok(batch) => self.answer(cx, batch),
            Err(refused) => refuse(cx, refused),
        }
    }

    /// Lets a request flow to the hub.
    fn relay(&mut self, cx: &mut Cx<'_>) -> Flow {
        cx.skip(Part::RequestBody);
        cx.count(RELAYED);
        self.phase = Phase::Over;
        Flow::Continue
    }

    /// Lets a request flow on, if it may.
    fn pass(&mut self, cx: &mut Cx<'_>, passing: Result<Passing, Reply>) -> Flow {
        match passing {
            Ok(passing) => {
                cx.skip(Part::RequestBody);
                self.phase = Phase::Passing(Box::new(passing));
                Flow::Continue
            }
            Err(refused) => refuse(cx, refused),
        }
    }

    /// Asks several servers, or lets a request flow on to one of them.
    fn share(&mut self, cx: &mut Cx<'_>, arrived: Arrived<'_>, method: Method) -> Flow {
        let begun = match method {
            Method::Post => Mux::begin(cx, arrived),
            Method::Get | Method::Delete => Err(Mux::end(cx, &arrived)),
        };
        match begun {
            Ok((mux, flow)) => {
                self.phase = Phase::Muxing(Box::new(mux));
                flow
            }
            Err(reply) => {
                cx.count(if reply.status < 400 { MESSAGES } else { REFUSED });
                Flow::Reply(reply)
            }
        }
    }

    /// Answers, if nothing is under way any more.
    fn answer(&mut self, cx: &mut Cx<'_>, batch: Batch) -> Flow {
        match batch.reply() {
            Some(reply) => {
                cx.count(MESSAGES);
                Flow::Reply(reply)
            }
            None => {
                self.phase = Phase::Calling(Box::new(batch));
                Flow::Wait
            }
        }
    }
}

impl Stream for McpStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        self.phase = Phase::Over;
        if self.filter.catalog.is_empty() {
            return Flow::Continue;
        }
        let (served, place) = match self.find(cx, head.text(":path").unwrap_or_default()) {
            Ok(Some(found)) => found,
            Ok(None) => return Flow::Continue,
            Err(fault) => return Flow::Reply(fault),
        };
        if head.get("origin").is_some_and(|origin| !served.allows_origin(origin)) {
            return refuse(cx, reply::refused(403, "weir_mcp_origin", "this Origin may not call the server"));
        }
        if head.text(ROUTE_HEADER) == Some(HUB_ROUTE) {
            // Since 2026-07-28 a stream is asked for by a message.
            if place == Place::Endpoint && names_modern(head) {
                return refuse(cx, reply::method_not_allowed(place));
            }
            return self.relay(cx);
        }
        match place {
            Place::Endpoint => {}
            Place::Sse | Place::Message if self.filter.hub => {
                return refuse(cx, reply::method_not_allowed(place));
            }
            Place::Sse | Place::Message | Place::Nowhere => {
                return refuse(cx, reply::refused(404, "weir_mcp_nowhere", "nothing is served at this path"));
            }
        }
        let consumer = cx.state(state::CONSUMER).and_then(|name| String::from_utf8(name).ok());
        let kept = served.proxy().map(|proxy| Kept::of(head, proxy));
        let method = match head.text(":method") {
            Some("POST") => Method::Post,
            // What several servers say unasked is not brought together.
            Some("GET") if kept.is_some() && head.is_end() && serves_streams(&served) => Method::Get,
            Some("DELETE")
                if kept.is_some() && head.is_end() && (served.is_several() || serves_streams(&served)) =>
            {
                Method::Delete
            }
            _ => return refuse(cx, reply::method_not_allowed(place)),
        };
        if let (Method::Post, Err(refused)) = (method, check_body(head, served.request_bytes)) {
            return refuse(cx, refused);
        }
        let keys = self.filter.keys.as_ref();
        let (sealer, waits) = match (keys, &kept) {
            (Some(keys), Some(kept)) if !kept.is_modern => {
                let sealer = keys.get(cx, kept.session.as_deref());
                let waits = sealer.is_none();
                (sealer, waits)
            }
            _ => (None, false),
        };
        let mirror = Mirror::of(head);
        let is_whole = method != Method::Post;
        if !is_whole {
            cx.read(Part::RequestBody);
        }
        let body = Vec::new();
        let arrival = Arrival { served, consumer, mirror, kept, body, method, is_whole, sealer, waits };
        self.phase = Phase::Reading(Box::new(arrival));
        self.go(cx)
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        self.on_body(cx, chunk, end)
    }

    fn on_request_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        self.on_body(cx, b"", true)
    }

    fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        match &mut self.phase {
            Phase::Passing(passing) => passing.on_response_head(cx, head),
            Phase::Muxing(mux) => return mux.on_response_head(cx, head),
            Phase::Head | Phase::Reading(_) | Phase::Calling(_) | Phase::Converting(_) | Phase::Over => {}
        }
        Flow::Continue
    }

    fn on_response_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        if let Phase::Passing(passing) = &mut self.phase
            && let Some(written) = passing.on_response_body(chunk, end)
            && written != chunk
        {
            cx.replace_body(Side::Response, 0..chunk.len(), written);
        }
        Flow::Continue
    }

    fn on_call_done(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        outcome: Result<Answer<'_>, CallError>,
    ) -> Flow {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Calling(mut batch) => {
                batch.take(cx, call, outcome);
                self.answer(cx, *batch)
            }
            Phase::Muxing(mut mux) => {
                let flow = mux.on_call_done(cx, call, outcome);
                self.phase = Phase::Muxing(mux);
                flow
            }
            Phase::Converting(mut converted) => match converted.take(cx, call, outcome) {
                Some(reply) => answered(cx, reply),
                None => {
                    self.phase = Phase::Converting(converted);
                    Flow::Wait
                }
            },
            Phase::Reading(mut arrival) if call == KEYS_CALL && arrival.waits => {
                let Some(keys) = &self.filter.keys else { return Flow::Wait };
                keys.learn(cx, outcome);
                (arrival.sealer, arrival.waits) = (keys.last(), false);
                if arrival.sealer.is_none() {
                    // Whose a session is could not be told.
                    return Flow::Reply(Reply::fault());
                }
                self.phase = Phase::Reading(arrival);
                self.go(cx)
            }
            phase @ (Phase::Head | Phase::Reading(_) | Phase::Passing(_) | Phase::Over) => {
                self.phase = phase;
                Flow::Wait
            }
        }
    }

    fn on_end(&mut self, cx: &mut Cx<'_>) {
        if let Some(began) = self.called.take() {
            cx.publish(state::MCP_MILLIS, cx.now().millis().saturating_sub(began.millis()).to_string());
        }
    }
}

/// Whether a head is followed by a body that is read.
fn check_body(head: &Head<'_>, limit: u64) -> Result<(), Reply> {
    if !is_json(head) {
        let message = "the body must be application/json, and not compressed";
        return Err(reply::refused(415, "weir_mcp_media_type", message));
    }
    let length = head.text("content-length").and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(reply::too_large(limit));
    }
    if head.is_end() {
        return Err(reply::refused(400, "weir_mcp_no_body", "the body is missing"));
    }
    Ok(())
}

/// Whether a body is JSON in UTF-8, by what its head says. A page of another origin can send a text without being asked
/// for it; so nothing else will do.
fn is_json(head: &Head<'_>) -> bool {
    let media = head.text("content-type").unwrap_or_default();
    let is_json = media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
    is_json && ApiError::unless_json(head.get("content-type"), head.get("content-encoding")).is_ok()
}

/// Whether the header names a revision without sessions.
fn names_modern(head: &Head<'_>) -> bool {
    head.text(VERSION_HEADER).and_then(Version::parse).is_some_and(Version::is_modern)
}

/// Whether a server behind this one has streams of its own and ends sessions.
fn serves_streams(served: &Served) -> bool {
    let is_modern = |proxy| proxy::revision(proxy).is_some_and(Version::is_modern);
    !served.is_several() && !served.proxy().is_some_and(is_modern)
}

/// Answers a message in the place of the server behind this one.
fn answered(cx: &mut Cx<'_>, reply: Reply) -> Flow {
    cx.count(if reply.status < 400 { MESSAGES } else { REFUSED });
    Flow::Reply(reply)
}

fn refuse(cx: &mut Cx<'_>, reply: Reply) -> Flow {
    cx.count(REFUSED);
    Flow::Reply(reply)
}
