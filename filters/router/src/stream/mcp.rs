//! Requests to MCP servers: which server, and which tools.

use std::mem;

use weir_core::{Cx, Flow, Head, Part, Reply};
use weir_schema::mcp::HUB_ROUTE;
use weir_schema::router::{McpEndpoint, Relayed};
use weir_schema::state::{self, Grant};
use weir_schema::{HEADER_PREFIX, ROUTE_HEADER};
use weir_wire::jsonrpc::{Asked, asked};

use super::{Phase, RouterStream};
use crate::filter::{BAD_REQUEST, TO_MCP, UNIDENTIFIED};
use crate::reply;

/// The messages of a request, as far as they have come.
#[derive(Debug)]
pub(super) struct Messages {
    body: Vec<u8>,
    limit: u64,
}

impl RouterStream {
    /// Takes a request at none of the paths of the models' API: to an MCP server, or to nobody.
    pub(super) fn elsewhere(&mut self, cx: &mut Cx<'_>, head: &Head<'_>, method: &str, path: &str) -> Flow {
        let bare = path.split_once('?').map_or(path, |(path, _)| path);
        let filter = std::rc::Rc::clone(&self.filter);
        let place = |server: &McpEndpoint| server.path.find(bare);
        let mut at = filter.mcp.iter().filter(|server| place(server).is_some()).peekable();
        if at.peek().is_none() {
            cx.count(BAD_REQUEST);
            return Flow::Reply(reply::unserved(method, path));
        }
        let Some(grant) = self.grant(cx) else {
            cx.count(UNIDENTIFIED);
            return Flow::Reply(Reply::fault());
        };
        let is_for = |grant: &Grant, domain: &Option<weir_schema::Name>| {
            domain.as_ref().is_none_or(|own| own.as_str() == grant.domain())
        };
        let Some(server) = at.find(|server| is_for(&grant, &server.domain)) else {
            cx.count(BAD_REQUEST);
            return Flow::Reply(reply::unserved(method, path));
        };
        let forged = head.fields().filter_map(|(name, _)| str::from_utf8(name).ok());
        for name in forged.filter(|name| name.starts_with(HEADER_PREFIX)) {
            cx.remove_request_header(name.to_owned());
        }
        if place(server).is_some_and(|place| server.relayed.has(method, place)) {
            // What it carries comes back as a request of its own, and is a call of the server then.
            cx.set_request_header(ROUTE_HEADER, HUB_ROUTE);
            return Flow::Continue;
        }
        cx.publish(state::MCP_SERVER, server.server.as_str());
        cx.count(TO_MCP);
        if method != "POST" || head.is_end() {
            return Flow::Continue;
        }
        cx.read(Part::RequestBody);
        let limit = server.request_bytes.get().into();
        self.phase = Phase::Calling(Messages { body: Vec::new(), limit });
        Flow::Wait
    }

    /// Whether a path is one of the marketplace, in whose paths the names of servers stand.
    pub(super) fn is_market(&self, path: &str) -> bool {
        let bare = path.split_once('?').map_or(path, |(path, _)| path);
        let mut markets = self.filter.mcp.iter().filter(|one| one.relayed == Relayed::All);
        markets.any(|market| market.path.find(bare).is_some())
    }

    /// Takes a part of the messages.
    pub(super) fn on_messages(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let Phase::Calling(messages) = &mut self.phase else { return Flow::Continue };
        messages.body.extend_from_slice(chunk);
        let is_too_large = messages.body.len() as u64 > messages.limit;
        if !end && !is_too_large {
            return Flow::Wait;
        }
        let Phase::Calling(messages) = mem::replace(&mut self.phase, Phase::Over) else {
            return Flow::Continue;
        };
        // What is too large is refused by the server's own filter, and calls nothing.
        cx.skip(Part::RequestBody);
        let calls = if is_too_large { Vec::new() } else { asked(&messages.body) };
        if !calls.is_empty() {
            let tools: Vec<_> = calls.into_iter().map(tool).collect();
            cx.publish(state::MCP_TOOL, tools.join("\n"));
        }
        Flow::Continue
    }
}

/// The name of a tool, or nothing for a resource. What could be none is told as `_unknown`.
fn tool(asked: Asked) -> String {
    match asked {
        Asked::Resource => String::new(),
        Asked::Tool(name) => {
            weir_schema::mcp::ToolName::try_from(name).map_or_else(|_| "_unknown".into(), String::from)
        }
    }
}
