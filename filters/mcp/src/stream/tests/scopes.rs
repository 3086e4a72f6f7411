//! Tools that a token needs a scope for.

use super::methods::names;
use super::*;

/// `echo` for everyone, `region` with the scope `read`, the rest for `oauth/admin` with `read` and `write`.
fn with_token(consumer: &str, scopes: Option<&str>) -> Request {
    let mut config = config();
    config["servers"][0]["grants"] = json!([
        {"tools": ["echo"]},
        {"tools": ["region"], "scopes": ["read"]},
        {"tools": ["*"], "consumers": ["oauth/admin"], "scopes": ["read", "write"]},
    ]);
    let request = Request::with(consumer, config);
    if let Some(scopes) = scopes {
        let token = state::Token::of("https://mcp.example.com/.well-known/x", "use", scopes);
        request.bench.state.borrow_mut().insert(state::TOKEN.into(), token.as_str().into());
    }
    request
}

fn call(name: &str) -> String {
    request("tools/call", &json!({"name": name, "arguments": {"region": "eu"}}))
}

#[test]
fn a_token_with_the_scope_calls_the_tool() {
    let called = with_token("oauth/alice", Some("use read")).post(&call("region"), &[]).result();
    assert_eq!(called["content"][0]["text"], "eu");
}

#[test]
fn a_token_without_it_is_told_all_that_are_needed() {
    for (consumer, tool, needed) in
        [("oauth/alice", "region", "use read"), ("oauth/admin", "details", "use read write")]
    {
        for body in [call(tool), format!("[{}]", call(tool))] {
            let seen = with_token(consumer, Some("use")).post(&body, &[]);
            let Flow::Reply(reply) = &seen.flow else { panic!("{seen:?} is no reply") };
            let expected = format!(
                r#"Bearer error="insufficient_scope", scope="{needed}", resource_metadata="https://mcp.example.com/.well-known/x""#
            );
            assert_eq!(reply.status, 403);
            assert!(reply.headers.contains(&("www-authenticate", expected.into())), "{reply:?}");
            assert_eq!(seen.outcome.as_deref(), Some("denied"));
        }
    }
}

#[test]
fn a_tool_that_no_scope_would_help_to_is_not_there() {
    for (consumer, scopes, tool, all) in [
        ("oauth/alice", Some("use read write"), "count", vec!["echo", "region"]),
        ("oauth/admin", Some("use"), "nope", vec!["query-logs", "echo", "region", "count"]),
        // A key has no scopes, and is asked for none.
        ("team", None, "region", vec!["echo"]),
        ("oauth/admin", None, "region", vec!["echo"]),
    ] {
        let listed = with_token(consumer, scopes).post(&request("tools/list", &json!({})), &[]).result();
        assert_eq!(names(&listed, "tools"), all, "{consumer} {scopes:?}");
        let refused = with_token(consumer, scopes).post(&call(tool), &[]);
        if tool == "nope" {
            assert_eq!(refused.text().0, 403);
        } else {
            assert_eq!(refused.error(), (200, -32602), "{consumer} {scopes:?}");
        }
    }
}
