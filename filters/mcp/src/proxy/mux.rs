//! Several servers behind one endpoint.
//!
//! A tool or prompt is `<server>__<name>`, a resource `<server>+<uri>`. What all servers are asked, this filter asks them
//! by calls, and makes one answer of theirs; what is for one of them flows on to it, and its answer back as it comes.
//! Clients that begin a session hold those of all servers in one sealed token.

mod answer;
mod errand;
mod exchange;
mod gather;
mod memory;
mod merge;
mod name;
mod routed;
mod visit;

use std::borrow::Cow;
use std::rc::Rc;

use weir_core::{Answer, Call, CallError, CallId, Cx, Flow, Head, Owner, Reply};
use weir_schema::mcp::Proxy;
use weir_schema::state;
use weir_wire::jsonrpc::{Body, Id, Message, RpcError};

use super::seal::{Holder, Sealer};
use super::{Kept, passes, session};
use crate::catalog::Served;
use crate::era::{self, Asked, Refused};
use crate::mirror::Mirror;
use crate::reply;
use crate::version::Version;

use errand::{Errand, Sent};
use gather::{Asking, Gather, Job};
use merge::List;
use routed::Lost;
use visit::Visit;

/// A request to several servers.
#[derive(Debug)]
pub(crate) enum Mux {
    /// All of them are asked.
    Gathering(Box<Gather>),
    /// It is for one of them.
    Sent(Box<Errand>),
}

/// Who asks, and with what.
pub(crate) struct Arrived<'a> {
    pub(crate) served: Rc<Served>,
    pub(crate) consumer: Option<String>,
    pub(crate) mirror: &'a Mirror,
    pub(crate) kept: Kept,
    pub(crate) body: &'a [u8],
    /// What seals sessions. Absent: there are none.
    pub(crate) sealer: Option<Rc<Sealer>>,
}

impl Mux {
    /// Reads a request, and does what it asks. `Err` is the answer to it.
    pub(crate) fn begin(cx: &mut Cx<'_>, arrived: Arrived<'_>) -> Result<(Self, Flow), Reply> {
        let malformed = |refused: weir_wire::jsonrpc::Malformed<'_>| {
            reply::messages(400, "weir_mcp_malformed", refused.answer())
        };
        match Body::parse(arrived.body).map_err(malformed)? {
            Body::Single(Message::Request(id, call)) => {
                let refused = |Refused { status, error }| {
                    reply::messages(status, "weir_mcp_error", error.answer(Some(id)))
                };
                let asked = Asked::of(&call, arrived.mirror).map_err(refused)?;
                match asked.method {
                    "ping" if !asked.version.is_modern() => {
                        Err(reply::messages(200, "weir_mcp_answer", id.answer("{}")))
                    }
                    _ => Self::request(cx, arrived, &asked, id),
                }
            }
            Body::Single(Message::Notification(call)) => Err(notify(cx, &arrived, &call.method)),
            Body::Single(Message::Response) => Err(reply::accepted()),
            Body::Batch(_) => {
                let message = "a batch cannot be shared out to several servers";
                Err(reply::refused(400, "weir_mcp_batch", message))
            }
        }
    }

    fn request(
        cx: &mut Cx<'_>,
        arrived: Arrived<'_>,
        asked: &Asked<'_>,
        id: Id<'_>,
    ) -> Result<(Self, Flow), Reply> {
        let refused =
            |Refused { status, error }| reply::messages(status, "weir_mcp_error", error.answer(Some(id)));
        let version = asked.version;
        let rpc = |code, message: &'static str| refused(Refused::of(RpcError::new(code, message), version));
        let visit = match (version.is_modern(), &arrived.sealer) {
            (true, _) => None,
            (false, None) => return Err(refused(era::only_modern(version))),
            (false, Some(_)) if asked.method == "initialize" => None,
            (false, Some(sealer)) => Some(arrived.visit(cx, sealer)?),
        };
        let job = match asked.method {
            "initialize" if !version.is_modern() => Some(Job::Begin),
            "server/discover" if version.is_modern() => Some(Job::Discover),
            method => List::of(method).map(Job::List),
        };
        if let Some(job) = job {
            if asked.has("cursor") {
                // A list has one page.
                return Err(rpc(RpcError::INVALID_PARAMS, "the cursor is not one of this list"));
            }
            let Some(version) = wanted(job, asked, visit.as_ref()) else {
                return Err(rpc(RpcError::INVALID_PARAMS, "\"protocolVersion\" is missing"));
            };
            let Arrived { served, consumer, kept, sealer, .. } = arrived;
            let (id, params, fields) = (id.as_json().to_owned(), asked.all(), kept.fields);
            let asking = Asking { job, id, version, params, fields, visit, sealer };
            let gather = Gather::begin(cx, served, consumer, asking);
            let flow = gather.reply(cx).map_or(Flow::Wait, Flow::Reply);
            return Ok((Self::Gathering(Box::new(gather)), flow));
        }
        let Some(proxy) = arrived.served.proxy() else { return Err(Reply::fault()) };
        let may_call = |tool: &str| passes(&arrived.served, proxy, arrived.consumer.as_deref(), tool);
        match routed::route(&proxy.upstreams, asked, arrived.body, may_call) {
            Some(Ok(routed)) => {
                let Arrived { served, kept, body, .. } = arrived;
                let (id, method) = (id.as_json().to_owned(), asked.method.to_owned());
                let sent = Sent { id, method, routed, kept, visit, held: body.len() };
                let (errand, flow) = Errand::begin(cx, served, sent);
                Ok((Self::Sent(Box::new(errand)), flow))
            }
            Some(Err(Lost { error, kind })) => {
                if let Some(kind) = kind {
                    cx.count(kind.metric());
                    cx.publish(state::MCP_OUTCOME, kind.as_str());
                }
                Err(refused(Refused::of(error, version)))
            }
            None => Err(rpc(RpcError::METHOD_NOT_FOUND, "this method is not served")),
        }
    }

    /// Ends a session at every server; nobody waits for it.
    pub(crate) fn end(cx: &mut Cx<'_>, arrived: &Arrived<'_>) -> Reply {
        let Some(sealer) = &arrived.sealer else { return no_session(404) };
        match arrived.visit(cx, sealer) {
            Ok(visit) => {
                broadcast(cx, arrived, &visit, "DELETE");
                let mut ended = reply::accepted();
                ended.status = 200;
                ended
            }
            Err(refused) => refused,
        }
    }

    /// A call has been answered.
    pub(crate) fn on_call_done(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        answer: Result<Answer<'_>, CallError>,
    ) -> Flow {
        match self {
            Self::Gathering(gather) => gather.take(cx, call, answer).map_or(Flow::Wait, Flow::Reply),
            Self::Sent(errand) => errand.on_call_done(cx, call, answer),
        }
    }

    /// The answer's head has come.
    pub(crate) fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        match self {
            Self::Gathering(_) => Flow::Continue,
            Self::Sent(errand) => errand.on_response_head(cx, head),
        }
    }
}

impl Arrived<'_> {
    /// The session that the client holds.
    fn visit(&self, cx: &Cx<'_>, sealer: &Rc<Sealer>) -> Result<Visit, Reply> {
        let Some(token) = &self.kept.session else { return Err(no_session(400)) };
        let holder = Holder { server: self.served.name.as_str(), consumer: self.consumer.as_deref() };
        Visit::open(Rc::clone(sealer), holder, token, cx.now()).ok_or_else(|| no_session(404))
    }
}

/// The revision that is spoken. `None`: the client does not say which it wants.
fn wanted(job: Job, asked: &Asked<'_>, visit: Option<&Visit>) -> Option<Version> {
    match (job, visit) {
        (Job::Begin, _) => {
            let wanted = asked.text("protocolVersion")?;
            let version = Version::parse(&wanted).filter(|version| !version.is_modern());
            Some(version.unwrap_or(Version::NEWEST_LEGACY))
        }
        (Job::Discover | Job::List(_), Some(visit)) => Some(visit.version()),
        (Job::Discover | Job::List(_), None) => Some(asked.version),
    }
}

/// A notification goes to every server where the client has a session. That a session has begun, each has been told.
fn notify(cx: &mut Cx<'_>, arrived: &Arrived<'_>, method: &str) -> Reply {
    let Some(sealer) = arrived.sealer.as_ref().filter(|_| arrived.kept.session.is_some()) else {
        return reply::accepted();
    };
    match arrived.visit(cx, sealer) {
        Ok(visit) => {
            if method != "notifications/initialized" {
                broadcast(cx, arrived, &visit, "POST");
            }
            reply::accepted()
        }
        Err(refused) => refused,
    }
}

/// Sends a request on to every server where the client has a session; nobody waits for the answers.
fn broadcast(cx: &mut Cx<'_>, arrived: &Arrived<'_>, visit: &Visit, method: &str) {
    let Some(Proxy { upstreams, timeout_ms, .. }) = arrived.served.proxy() else { return };
    for upstream in upstreams {
        let Some(session) = visit.session(cx, upstream) else { continue };
        let Some(id) = session.id.as_ref().or((method == "POST").then_some(&String::new())).cloned() else {
            continue;
        };
        let mut headers: Vec<(Cow<'static, str>, String)> = vec![
            (":method".into(), method.into()),
            (":path".into(), upstream.path.clone()),
            (":authority".into(), upstream.authority.clone().unwrap_or_else(|| upstream.cluster.clone())),
            ("accept".into(), "application/json, text/event-stream".into()),
            ("user-agent".into(), "weir-mcp".into()),
            (era::VERSION_HEADER.into(), session.version.as_str().into()),
        ];
        if !id.is_empty() {
            headers.push((session::HEADER.into(), id));
        }
        if method == "POST" {
            headers.push(("content-type".into(), "application/json".into()));
        }
        cx.call(Call {
            id: UNHEARD,
            owner: Owner::Filter,
            cluster: upstream.cluster.clone(),
            headers,
            body: arrived.body.to_vec(),
            timeout_ms: timeout_ms.get(),
            max_answer_bytes: 0,
        });
    }
}

/// What is answered to a client without a session, or with one that is not its own.
fn no_session(status: u16) -> Reply {
    let message = match status {
        400 => "the session is missing: begin with \"initialize\"",
        _ => "the session is unknown",
    };
    reply::refused(status, "weir_mcp_session", message)
}

/// The number of calls whose answers nobody hears.
const UNHEARD: CallId = CallId(u32::MAX);
