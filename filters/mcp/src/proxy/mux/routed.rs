//! What is for one of several servers: it flows on, with the name that the server knows.

use serde_json::Value;
use serde_json::value::RawValue;
use weir_schema::mcp::McpUpstream;
use weir_wire::Splice;
use weir_wire::jsonrpc::{Members, RpcError};

use super::name;
use crate::era::Asked;
use crate::orchestrator::not_found;
use crate::outcome::Kind;

/// A request for one server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routed {
    /// Which server.
    pub(super) at: usize,
    /// What the server calls it.
    pub(super) name: String,
    /// Whether the header `Mcp-Name` repeats it.
    pub(super) is_mirrored: bool,
    /// The body, with that name.
    pub(super) body: Vec<u8>,
}

/// Why a request is for no server.
#[derive(Debug, PartialEq)]
pub(super) struct Lost {
    pub(super) error: RpcError,
    /// How the call of a tool has ended by it.
    pub(super) kind: Option<Kind>,
}

/// What a request names.
enum Named {
    Tool,
    Prompt,
    Resource,
}

/// The request as its server wants it; `None` if its method is for no single server.
pub(super) fn route(
    servers: &[McpUpstream],
    asked: &Asked<'_>,
    body: &[u8],
    may_call: impl Fn(&str) -> bool,
) -> Option<Result<Routed, Lost>> {
    let (member, named) = match asked.method {
        "tools/call" => (asked.raw("name"), Named::Tool),
        "prompts/get" => (asked.raw("name"), Named::Prompt),
        "resources/read" => (asked.raw("uri"), Named::Resource),
        "completion/complete" => {
            return Some(completed(servers, asked, body));
        }
        _ => return None,
    };
    Some(
        rewritten(servers, asked, body, member, named, may_call)
            .map(|routed| Routed { is_mirrored: true, ..routed }),
    )
}

/// `completion/complete`, whose `ref` has the name.
fn completed(servers: &[McpUpstream], asked: &Asked<'_>, body: &[u8]) -> Result<Routed, Lost> {
    let of = asked.raw("ref").and_then(|of| Members::parse(of, &["type", "name", "uri"]).ok());
    let Some(of) = of else { return Err(Lost::invalid("\"ref\" must be an object")) };
    let kind: Option<String> = of.get("type").and_then(text);
    let (member, named) = match kind.as_deref() {
        Some("ref/prompt") => (of.get("name"), Named::Prompt),
        Some("ref/resource") => (of.get("uri"), Named::Resource),
        _ => return Err(Lost::invalid("\"ref\" must be of a prompt or a resource")),
    };
    rewritten(servers, asked, body, member, named, |_| true)
}

fn rewritten(
    servers: &[McpUpstream],
    asked: &Asked<'_>,
    body: &[u8],
    member: Option<&RawValue>,
    named: Named,
    may_call: impl Fn(&str) -> bool,
) -> Result<Routed, Lost> {
    let outer = member.and_then(text);
    let (Some(member), Some(outer)) = (member, outer) else {
        return Err(Lost::invalid("the name of what is asked for is missing"));
    };
    let found = match named {
        Named::Tool | Named::Prompt => name::inner(servers, &outer),
        Named::Resource => name::inner_uri(servers, &outer),
    };
    let is_tool = matches!(named, Named::Tool);
    let denied = is_tool && !may_call(&outer);
    let Some((at, inner)) = found.filter(|_| !denied) else {
        let kind = is_tool.then_some(if denied { Kind::Denied } else { Kind::UnknownTool });
        let invalid = |what: &str| {
            let shown: String = outer.chars().take(128).collect();
            RpcError::new(RpcError::INVALID_PARAMS, format!("Unknown {what}: {shown}"))
        };
        let error = match named {
            Named::Tool => invalid("tool"),
            Named::Prompt => invalid("prompt"),
            Named::Resource => not_found(&outer, asked.version),
        };
        return Err(Lost { error, kind });
    };
    // The member lies in the body that it was read from.
    let range = (member.get().as_ptr() as usize)
        .checked_sub(body.as_ptr() as usize)
        .map(|start| start..start.saturating_add(member.get().len()))
        .filter(|range| body.get(range.clone()) == Some(member.get().as_bytes()));
    let Some(range) = range else { return Err(Lost::invalid("the name cannot be read")) };
    let mut splice = Splice::of(body);
    splice.replace(range, Value::from(inner).to_string().as_bytes());
    let body = splice.finish().unwrap_or_default();
    Ok(Routed { at, name: inner.to_owned(), is_mirrored: false, body })
}

impl Lost {
    fn invalid(message: &'static str) -> Self {
        Self { error: RpcError::new(RpcError::INVALID_PARAMS, message), kind: None }
    }
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_wire::jsonrpc::{Body, Message};

    use super::*;
    use crate::mirror::Mirror;

    fn routed(body: &str) -> Option<Result<Routed, Lost>> {
        let upstream = |name: &str| json!({"name": name, "cluster": "c", "route": "r", "path": "/mcp"});
        let servers: Vec<McpUpstream> =
            serde_json::from_value(json!([upstream("logs"), upstream("wiki")])).unwrap();
        let Ok(Body::Single(Message::Request(_, call))) = Body::parse(body.as_bytes()) else {
            panic!("{body}")
        };
        let asked = Asked::of(&call, &Mirror::default()).unwrap();
        route(&servers, &asked, body.as_bytes(), |tool| !tool.ends_with("drop"))
    }

    fn request(method: &str, params: &str) -> String {
        format!(r#"{{ "jsonrpc":"2.0", "id":7, "method":"{method}","params":{params}, "x":[1.0] }}"#)
    }

    #[test]
    fn only_the_name_is_written_anew() {
        for (method, params, at, name, left) in [
            (
                "tools/call",
                r#"{"arguments": {"name": "wiki__a", "n": 1.50}, "name" : "wiki__a__b"}"#,
                1,
                "a__b",
                r#"{"arguments": {"name": "wiki__a", "n": 1.50}, "name" : "a__b"}"#,
            ),
            ("prompts/get", r#"{"name":"logs__\u0061"}"#, 0, "a", r#"{"name":"a"}"#),
            (
                "resources/read",
                r#"{"uri":"logs+file:///a\"b"}"#,
                0,
                "file:///a\"b",
                r#"{"uri":"file:///a\"b"}"#,
            ),
            (
                "completion/complete",
                r#"{"ref":{"type":"ref/prompt","name":"wiki__p"},"argument":{"name":"x"}}"#,
                1,
                "p",
                r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"x"}}"#,
            ),
        ] {
            let routed = routed(&request(method, params)).unwrap().unwrap();
            let is_mirrored = method != "completion/complete";
            let body = request(method, left).into_bytes();
            assert_eq!(routed, Routed { at, name: name.into(), is_mirrored, body }, "{method}");
        }
        assert_eq!(routed(&request("tools/list", "{}")), None);
    }

    #[test]
    fn what_no_server_has_or_nobody_may_call_is_unknown() {
        for (method, params, kind, code) in [
            ("tools/call", r#"{"name":"logs__drop"}"#, Some(Kind::Denied), -32602),
            ("tools/call", r#"{"name":"query"}"#, Some(Kind::UnknownTool), -32602),
            ("tools/call", r#"{"name":"other__query"}"#, Some(Kind::UnknownTool), -32602),
            ("tools/call", r#"{"name":7}"#, None, -32602),
            ("prompts/get", r#"{}"#, None, -32602),
            ("resources/read", r#"{"uri":"file:///a"}"#, None, -32002),
            ("completion/complete", r#"{"ref":{"type":"ref/tool","name":"logs__a"}}"#, None, -32602),
            (
                "completion/complete",
                r#"{"ref":{"type":"ref/prompt","name":"logs__a","NAME":"wiki__b"}}"#,
                None,
                -32602,
            ),
        ] {
            let lost = routed(&request(method, params)).unwrap().unwrap_err();
            assert_eq!((lost.kind, lost.error.code), (kind, code), "{params}");
        }
    }
}
