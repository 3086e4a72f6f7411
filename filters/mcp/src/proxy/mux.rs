//! Several servers behind one endpoint.
//!
//! A tool or prompt is `<server>__<name>`, a resource `<server>+<uri>`. What all servers are asked, this filter asks them
//! by calls, and makes one answer of theirs; what is for one of them flows on to it, and its answer back as it comes.

mod answer;
mod exchange;
mod gather;
mod memory;
mod merge;
mod name;
mod routed;

use std::rc::Rc;

use weir_core::{Answer, CallError, CallId, Cx, Flow, Head, Part, Reply, Side};
use weir_schema::mcp::{McpUpstream, Proxy};
use weir_schema::{ROUTE_HEADER, state};
use weir_wire::jsonrpc::{Body, Id, Message, RpcError};

use super::{Kept, passes, session, tell};
use crate::catalog::Served;
use crate::era::{self, Asked, Refused};
use crate::filter::{MESSAGES, PASSED};
use crate::mirror::Mirror;
use crate::reply;

use gather::{Asking, Gather, Job};
use merge::List;
use routed::{Lost, Routed};

/// A request to several servers.
#[derive(Debug)]
pub(crate) enum Mux {
    /// All of them are asked.
    Gathering(Box<Gather>),
    /// It flows on to one of them, and the answer back.
    Passing {
        /// Whether a tool is called, so that how it ends is told.
        is_call: bool,
    },
}

/// Who asks, and with what.
pub(crate) struct Arrived<'a> {
    pub(crate) served: Rc<Served>,
    pub(crate) consumer: Option<String>,
    pub(crate) mirror: &'a Mirror,
    pub(crate) kept: &'a Kept,
    pub(crate) body: &'a [u8],
}

impl Mux {
    /// Reads a request. `Err` is the answer to it.
    pub(crate) fn begin(cx: &mut Cx<'_>, arrived: Arrived<'_>) -> Result<Self, Reply> {
        let Arrived { served, consumer, mirror, kept, body } = arrived;
        let malformed = |refused: weir_wire::jsonrpc::Malformed<'_>| {
            reply::messages(400, "weir_mcp_malformed", refused.answer())
        };
        let (id, call) = match Body::parse(body).map_err(malformed)? {
            Body::Single(Message::Request(id, call)) => (id, call),
            Body::Single(Message::Notification(_) | Message::Response) => return Err(reply::accepted()),
            Body::Batch(_) => {
                let message = "a batch cannot be shared out to several servers";
                return Err(reply::refused(400, "weir_mcp_batch", message));
            }
        };
        let refused =
            |Refused { status, error }| reply::messages(status, "weir_mcp_error", error.answer(Some(id)));
        let asked = Asked::of(&call, mirror).map_err(refused)?;
        if !asked.version.is_modern() {
            return Err(refused(era::only_modern(asked.version)));
        }
        let job = match asked.method {
            "server/discover" => Some(Job::Discover),
            method => List::of(method).map(Job::List),
        };
        if let Some(job) = job {
            return Self::gather(cx, served, consumer, kept, &asked, (id, job)).map_err(refused);
        }
        let Some(proxy) = served.proxy() else { return Err(Reply::fault()) };
        let may_call = |tool: &str| passes(&served, proxy, consumer.as_deref(), tool);
        match routed::route(&proxy.upstreams, &asked, body, may_call) {
            Some(Ok(routed)) => {
                let is_call = asked.method == "tools/call";
                pass(cx, proxy, kept, &routed, body.len());
                cx.read(Part::ResponseHead);
                Ok(Self::Passing { is_call })
            }
            Some(Err(Lost { error, kind })) => {
                if let Some(kind) = kind {
                    cx.count(kind.metric());
                    cx.publish(state::MCP_OUTCOME, kind.as_str());
                }
                Err(refused(Refused::of(error, asked.version)))
            }
            None => {
                let error = RpcError::new(RpcError::METHOD_NOT_FOUND, "this method is not served");
                Err(refused(Refused::of(error, asked.version)))
            }
        }
    }

    fn gather(
        cx: &mut Cx<'_>,
        served: Rc<Served>,
        consumer: Option<String>,
        kept: &Kept,
        asked: &Asked<'_>,
        (id, job): (Id<'_>, Job),
    ) -> Result<Self, Refused> {
        if asked.has("cursor") {
            // A list has one page.
            let error = RpcError::new(RpcError::INVALID_PARAMS, "the cursor is not one of this list");
            return Err(Refused::of(error, asked.version));
        }
        let asking = Asking {
            job,
            id: id.as_json().to_owned(),
            version: asked.version,
            params: asked.all(),
            fields: kept.fields.clone(),
        };
        Ok(Self::Gathering(Box::new(Gather::begin(cx, served, consumer, asking, |_| None))))
    }

    /// What a request that has been read does now.
    pub(crate) fn flow(&self, cx: &mut Cx<'_>) -> Flow {
        match self {
            Self::Gathering(gather) => match gather.reply(cx) {
                Some(reply) => {
                    cx.count(MESSAGES);
                    Flow::Reply(reply)
                }
                None => Flow::Wait,
            },
            Self::Passing { .. } => Flow::Continue,
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
            Self::Gathering(gather) => match gather.take(cx, call, answer) {
                Some(reply) => {
                    cx.count(MESSAGES);
                    Flow::Reply(reply)
                }
                None => Flow::Wait,
            },
            Self::Passing { .. } => Flow::Wait,
        }
    }

    /// The answer's head has come.
    pub(crate) fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        if let Self::Passing { is_call } = self {
            if *is_call {
                tell(cx, head);
            }
            // Sessions of servers are no business of clients'.
            if head.get(session::HEADER).is_some() {
                cx.remove_response_header(session::HEADER);
            }
        }
        Flow::Continue
    }
}

/// Sends a request, whose head is held, to its server.
fn pass(cx: &mut Cx<'_>, proxy: &Proxy, kept: &Kept, routed: &Routed, held: usize) {
    let Some(McpUpstream { path, route, .. }) = proxy.upstreams.get(routed.at) else { return };
    for name in &kept.private {
        cx.remove_request_header(name.clone());
    }
    cx.remove_request_header(session::HEADER);
    cx.set_request_header(":path", path.as_str());
    cx.set_request_header(ROUTE_HEADER, route.as_str());
    if routed.is_mirrored {
        cx.set_request_header(era::NAME_HEADER, era::written(&routed.name));
    }
    if kept.has_length {
        cx.set_request_header("content-length", routed.body.len().to_string());
    }
    cx.replace_body(Side::Request, 0..held, routed.body.clone());
    cx.count(PASSED);
}
