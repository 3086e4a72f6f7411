//! What is answered without a message to answer to.

use std::borrow::Cow;

use weir_core::Reply;
use weir_schema::mcp::Place;
use weir_wire::jsonrpc::RpcError;

/// Answers to messages.
pub(crate) fn messages(status: u16, details: &'static str, body: String) -> Reply {
    Reply::json(status, details, body.into_bytes())
}

/// Answers as a stream of events.
pub(crate) fn events(details: &'static str, events: &str) -> Reply {
    let mut reply = Reply::json(200, details, events.as_bytes().to_vec());
    reply.headers = vec![("content-type", "text/event-stream".into()), ("x-accel-buffering", "no".into())];
    reply.with_header("cache-control", "no-cache")
}

/// Nothing in the body wanted an answer.
pub(crate) fn accepted() -> Reply {
    Reply { status: 202, details: "weir_mcp_accepted".into(), headers: Vec::new(), body: Cow::Borrowed(b"") }
}

/// A request that is refused before its message is read.
pub(crate) fn refused(status: u16, details: &'static str, message: impl Into<Cow<'static, str>>) -> Reply {
    let error = RpcError::new(RpcError::INVALID_REQUEST, message);
    Reply::json(status, details, error.answer(None).into_bytes())
}

/// A method that what stands at a path does not serve.
pub(crate) fn method_not_allowed(place: Place) -> Reply {
    let allowed = if place == Place::Sse { "GET" } else { "POST" };
    refused(405, "weir_mcp_method", format!("this endpoint takes {allowed}")).with_header("allow", allowed)
}

/// The caller's token lacks a scope of the tool that it calls.
pub(crate) fn insufficient_scope(challenge: String) -> Reply {
    refused(403, "weir_mcp_scope", "the token lacks a scope; WWW-Authenticate names all that are needed")
        .with_header("www-authenticate", challenge)
}

/// The body is larger than any may be.
pub(crate) fn too_large(limit: u64) -> Reply {
    refused(413, "weir_mcp_too_large", format!("the body is larger than {limit} bytes"))
}
