//! A server that stands behind this gateway.
//!
//! Messages pass as they are, and so do streams. What a caller may not use it neither calls nor sees: lists of tools are
//! written anew on their way, also where a stream is resumed.

mod begun;
mod convert;
mod converted;
mod heard;
mod keys;
mod list;
mod mux;
mod object;
mod seal;
mod session;

use std::borrow::Cow;
use std::rc::Rc;

use weir_core::{Cx, Head, Part, Reply};
use weir_schema::mcp::{McpUpstream, Proxy};
use weir_schema::{ROUTE_HEADER, state};
use weir_wire::jsonrpc::{Body, Message, RpcError};

use crate::catalog::Served;
use crate::era::{Asked, Refused, VERSION_HEADER};
use crate::filter::PASSED;
use crate::mirror::Mirror;
use crate::outcome::Kind;
use crate::reply;
use crate::stream::{ONE_CALL, is_costly};
use crate::version::Version;

pub(crate) use converted::{Asker, Converted, Reading};
pub(crate) use keys::{KEYS_CALL, Keys};
pub(crate) use list::Lists;
pub(crate) use mux::{Arrived, Mux};
use seal::Holder;
pub(crate) use seal::Sealer;
use session::Binding;

/// A request on its way to its server, and the answer on its way back.
#[derive(Debug)]
pub(crate) struct Passing {
    served: Rc<Served>,
    consumer: Option<String>,
    /// Whether tools are called, so that how it ends is told.
    is_call: bool,
    begins_session: bool,
    binding: Binding,
    /// The lists of tools in the answer, if there may be any that must not be seen whole.
    lists: Option<Lists>,
}

impl Passing {
    /// Sends a request without messages on: the stream of what the server says unasked, or the end of a session.
    pub(crate) fn bare(
        cx: &mut Cx<'_>,
        served: Rc<Served>,
        proxy: &Proxy,
        consumer: Option<String>,
        head: &Kept,
        sealer: Option<Rc<Sealer>>,
    ) -> Result<Self, Reply> {
        let binding = Binding::of(sealer, head.is_modern);
        let mut passing =
            Self { served, consumer, is_call: false, begins_session: false, binding, lists: None };
        passing.send(cx, proxy, head)?;
        passing.lists = is_choosy(&passing.served, proxy).then(|| Lists::new(proxy.response_bytes.get()));
        if passing.lists.is_some() || passing.binding.hides() {
            cx.read(Part::ResponseHead);
        }
        Ok(passing)
    }

    /// Sends messages on, if the caller may. `Err` is the answer to them.
    pub(crate) fn messages(
        cx: &mut Cx<'_>,
        served: Rc<Served>,
        proxy: &Proxy,
        consumer: Option<String>,
        mirror: &Mirror,
        head: &Kept,
        (body, sealer): (&[u8], Option<Rc<Sealer>>),
    ) -> Result<Self, Reply> {
        let malformed = |refused: weir_wire::jsonrpc::Malformed<'_>| {
            reply::messages(400, "weir_mcp_malformed", refused.answer())
        };
        let parsed = Body::parse(body).map_err(malformed)?;
        let binding = Binding::of(sealer, head.is_modern);
        let mut passing =
            Self { served, consumer, is_call: false, begins_session: false, binding, lists: None };
        let may_list = is_choosy(&passing.served, proxy);
        match &parsed {
            Body::Single(message) => passing.admit(cx, proxy, mirror, message, may_list)?,
            Body::Batch(messages) if is_costly(messages) => {
                return Err(reply::refused(400, "weir_mcp_batch", ONE_CALL));
            }
            Body::Batch(messages) => {
                for message in messages {
                    let message = message.as_ref().map_err(|refused| malformed(*refused))?;
                    passing.admit(cx, proxy, mirror, message, may_list)?;
                }
            }
        }
        passing.send(cx, proxy, head)?;
        if passing.is_call || passing.begins_session || passing.lists.is_some() || passing.binding.hides() {
            cx.read(Part::ResponseHead);
        }
        Ok(passing)
    }

    /// Checks a message, and notes what its answer may have.
    fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        proxy: &Proxy,
        mirror: &Mirror,
        message: &Message<'_>,
        may_list: bool,
    ) -> Result<(), Reply> {
        let (id, call) = match message {
            Message::Request(id, call) => (Some(*id), call),
            Message::Notification(call) => (None, call),
            Message::Response => return Ok(()),
        };
        let refused = |Refused { status, error }| reply::messages(status, "weir_mcp_error", error.answer(id));
        let asked = match Asked::of(call, mirror) {
            // Which revisions it has, only the server can say.
            Err(unknown)
                if unknown.error.code == RpcError::UNSUPPORTED_VERSION && call.method == DISCOVER =>
            {
                return Ok(());
            }
            asked => asked.map_err(refused)?,
        };
        match asked.method {
            "initialize" => self.begins_session = true,
            "tools/list" if may_list => self.lists = Some(Lists::new(proxy.response_bytes.get())),
            "tools/call" => {
                self.is_call = true;
                if !self.may_call(proxy, &asked) {
                    cx.count(Kind::Denied.metric());
                    cx.publish(state::MCP_OUTCOME, Kind::Denied.as_str());
                    let error = RpcError::new(RpcError::INVALID_PARAMS, "Unknown tool");
                    return Err(refused(Refused::of(error, asked.version)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn may_call(&self, proxy: &Proxy, asked: &Asked<'_>) -> bool {
        asked.text("name").is_some_and(|name| passes(&self.served, proxy, self.consumer.as_deref(), &name))
    }

    /// The answer's head has come.
    pub(crate) fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) {
        let status = status(head);
        if self.is_call {
            tell(cx, status);
        }
        if let Some(session) = head.get(session::HEADER) {
            self.binding.answer(cx, self.holder(), session, self.begins_session);
        }
        if let Some(lists) = &mut self.lists
            && (200..300).contains(&status)
            && lists.begin(head)
        {
            cx.remove_response_header("content-length");
            cx.read(Part::ResponseBody);
        }
    }

    /// Sends the request, whose head is held, to the server, if its session is the caller's.
    fn send(&self, cx: &mut Cx<'_>, proxy: &Proxy, head: &Kept) -> Result<(), Reply> {
        for name in &head.private {
            cx.remove_request_header(name.clone());
        }
        if self.binding.send(cx, self.holder(), head.session.as_deref()).is_err() {
            return Err(reply::refused(404, "weir_mcp_session", "the session is unknown"));
        }
        if let Some(upstream) = proxy.upstreams.first() {
            cx.set_request_header(":path", upstream.path.as_str());
            cx.set_request_header(ROUTE_HEADER, upstream.route.as_str());
        }
        cx.count(PASSED);
        Ok(())
    }

    fn holder(&self) -> Holder<'_> {
        Holder { server: self.served.name.as_str(), consumer: self.consumer.as_deref() }
    }

    /// A part of the answer's body has come; gives what is sent in its place.
    pub(crate) fn on_response_body(&mut self, chunk: &[u8], end: bool) -> Option<Vec<u8>> {
        let proxy = self.served.proxy()?;
        let consumer = self.consumer.as_deref();
        let lists = self.lists.as_mut()?;
        Some(lists.write(chunk, end, |tool| shows(&self.served, proxy, consumer, tool)))
    }
}

/// Tells how the call of a tool has ended, by the status of its answer.
fn tell(cx: &mut Cx<'_>, status: u16) {
    let kind = match status {
        200..300 => Kind::Ok,
        500.. => Kind::Upstream5xx,
        _ => Kind::Upstream4xx,
    };
    cx.count(kind.metric());
    cx.publish(state::MCP_OUTCOME, kind.as_str());
}

fn status(head: &Head<'_>) -> u16 {
    head.text(":status").and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// What is kept of a request's head until it is sent on.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) session: Option<Vec<u8>>,
    /// The fields that do not pass.
    private: Vec<String>,
    /// What goes with calls that are made for the request.
    fields: Vec<(String, String)>,
    has_length: bool,
    /// What tells the request from all others.
    request_id: Option<String>,
    /// Whether the request says that it is of a revision without sessions.
    pub(crate) is_modern: bool,
}

impl Kept {
    pub(crate) fn of(head: &Head<'_>, proxy: &Proxy) -> Self {
        let passes = |name: &str| {
            name.starts_with(':')
                || name.starts_with("mcp-")
                || name.starts_with("x-weir-")
                || PASSING.contains(&name)
                || proxy.forward_headers.iter().any(|more| more.eq_ignore_ascii_case(name) && may_pass(name))
        };
        let names = head.fields().filter_map(|(name, _)| str::from_utf8(name).ok());
        let mut private: Vec<_> = names.filter(|name| !passes(name)).map(str::to_owned).collect();
        private.sort();
        private.dedup();
        let goes_along = |name: &str| {
            TRACE.contains(&name)
                || proxy.forward_headers.iter().any(|more| more.eq_ignore_ascii_case(name) && may_pass(name))
        };
        let text = |(name, value)| Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?));
        let fields = match (proxy.upstreams.len(), revision(proxy)) {
            (0 | 1, None) => Vec::new(),
            _ => head
                .fields()
                .filter_map(text)
                .filter(|(name, _)| goes_along(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        Self {
            session: head.get(session::HEADER).map(<[u8]>::to_vec),
            private,
            fields,
            has_length: head.get("content-length").is_some(),
            request_id: head.text(REQUEST_ID).map(str::to_owned),
            is_modern: head.text(VERSION_HEADER).and_then(Version::parse).is_some_and(Version::is_modern),
        }
    }
}

/// The revision of the server, where messages of the other era are converted for it.
pub(crate) fn revision(proxy: &Proxy) -> Option<Version> {
    proxy.upstreams.first()?.revision.map(Version::of)
}

/// Whether a field may pass where the configuration says so: credentials never do.
fn may_pass(name: &str) -> bool {
    !["authorization", "cookie", "x-api-key", "api-key", "proxy-authorization"].contains(&name)
}

/// Whether there is a tool that somebody may not use.
fn is_choosy(served: &Served, proxy: &Proxy) -> bool {
    served.has_grants() || proxy.allow_tools.is_some() || !proxy.deny_tools.is_empty()
}

/// Whether a caller may use a tool.
fn passes(served: &Served, proxy: &Proxy, consumer: Option<&str>, tool: &str) -> bool {
    is_offered(proxy, tool) && served.grants(consumer, tool)
}

/// Whether a caller is shown a tool: also one that it may use with a token of more scopes.
fn shows(served: &Served, proxy: &Proxy, consumer: Option<&str>, tool: &str) -> bool {
    is_offered(proxy, tool) && served.shows(consumer, tool)
}

/// Whether the configuration lets a tool pass.
fn is_offered(proxy: &Proxy, tool: &str) -> bool {
    proxy.allow_tools.as_ref().is_none_or(|allowed| allowed.iter().any(|tools| tools.matches(tool)))
        && !proxy.deny_tools.iter().any(|tools| tools.matches(tool))
}

/// The head of a call that this filter itself makes to a server.
fn head_of_call(upstream: &McpUpstream) -> Fields {
    vec![
        (":method".into(), "POST".into()),
        (":path".into(), upstream.path.clone()),
        (":authority".into(), upstream.authority.clone().unwrap_or_else(|| upstream.cluster.clone())),
        ("content-type".into(), "application/json".into()),
        ("accept".into(), "application/json, text/event-stream".into()),
        ("accept-encoding".into(), "identity".into()),
        ("user-agent".into(), "weir-mcp".into()),
    ]
}

/// Header fields of a call.
type Fields = Vec<(Cow<'static, str>, String)>;

const DISCOVER: &str = "server/discover";
/// What the protocol and HTTP need, and what traces a request. Without `x-forwarded-proto` Envoy finds no route; the route
/// removes it.
const PASSING: [&str; 12] = [
    "accept",
    "baggage",
    "content-length",
    "content-type",
    "last-event-id",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "x-forwarded-proto",
    REQUEST_ID,
];

/// What follows a request through systems.
const TRACE: [&str; 4] = ["baggage", "traceparent", "tracestate", REQUEST_ID];
const REQUEST_ID: &str = "x-request-id";
