//! Sessions at servers behind this one: sealed, lost and begun anew.

use super::*;
use crate::proxy::KEYS_CALL;

fn config(servers: &[&str]) -> Value {
    let upstream = |name: &&str| json!({"name": name, "cluster": format!("mcp:all/{name}"), "route": format!("mcp:all/{name}"), "path": format!("/{name}")});
    let upstreams: Vec<_> = servers.iter().map(upstream).collect();
    json!({
        "servers": [{"name": "all", "path": "/logging-mcp/*", "backend": {"proxy": {"upstreams": upstreams}}}],
        "sessions": {"cluster": "weir", "path": "/v1/keys"}
    })
}

const TWO: &[&str] = &["logs", "wiki"];
const OLD: (&str, &str) = ("mcp-protocol-version", "2025-06-18");

/// A filter whose keys are there.
fn client(servers: &[&str]) -> Request {
    let mut request = Request::with("team", config(servers));
    request.post(&super::request("ping", &json!({})), &[]);
    let keys = json!({"keys": [{"id": "00000001", "key": "AAAA".repeat(21) + "AA=="}]});
    request.answers(KEYS_CALL.0, 200, &keys.to_string());
    request.anew("team");
    request
}

impl Request {
    /// The next request to the same filter.
    fn anew(&mut self, consumer: &str) {
        self.bench.state.borrow_mut().insert(state::CONSUMER.into(), consumer.as_bytes().to_vec());
        self.stream = self.stream.filter.stream(StreamId(2));
    }

    fn legacy(&mut self, method: &str, params: Value, session: Option<&str>) -> Seen {
        let mut more = vec![OLD];
        more.extend(session.map(|session| ("mcp-session-id", session)));
        self.post(&request(method, &params), &more)
    }

    /// A server begins a session.
    fn opens(&mut self, call: u32, session: &str, version: &str) -> Seen {
        let result = json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {}});
        let body = json!({"jsonrpc": "2.0", "id": "x", "result": result}).to_string();
        let head = [("content-type", "application/json"), ("mcp-session-id", session)];
        let head = Head::new(&head, false);
        let answer = Answer { status: 200, head: &head, body: body.as_bytes() };
        Seen::of(self.bench.run(|cx| self.stream.on_call_done(cx, CallId(call), Ok(answer))))
    }

    /// A client begins one at both servers.
    fn token(&mut self) -> String {
        let seen = self.legacy("initialize", json!({"protocolVersion": "2025-11-25"}), None);
        assert_eq!(seen.paths(), ["/logs", "/wiki"]);
        self.opens(1, "l-1", "2025-11-25");
        self.opens(2, "w-1", "2025-06-18");
        self.answers(3, 202, "");
        let seen = self.answers(4, 202, "");
        assert_eq!(seen.result()["protocolVersion"], "2025-06-18");
        self.anew("team");
        token_of(&seen)
    }

    fn answered(&mut self, status: u16, more: &[(&str, &str)]) -> (Flow, Vec<Effect>) {
        let status = status.to_string();
        let fields = [&[(":status", status.as_str())], more].concat();
        self.bench.run(|cx| self.stream.on_response_head(cx, &Head::new(&fields, false)))
    }
}

fn token_of(seen: &Seen) -> String {
    let Flow::Reply(reply) = &seen.flow else { panic!("{seen:?}") };
    let (_, token) = reply.headers.iter().find(|(name, _)| *name == "mcp-session-id").unwrap();
    token.to_string()
}

/// What each call says of its session and revision, and its method.
fn said(seen: &Seen) -> Vec<(String, String, String)> {
    let said = |call: &Call| {
        let header =
            |name: &str| call.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let method = serde_json::from_slice::<Value>(&call.body).unwrap_or_default()["method"].take();
        let method = method.as_str().map(str::to_owned).or(header(":method"));
        [header("mcp-session-id"), header("mcp-protocol-version"), method]
            .map(Option::unwrap_or_default)
            .into()
    };
    seen.calls.iter().map(said).collect()
}

fn one(session: &str, version: &str, method: &str) -> (String, String, String) {
    (session.into(), version.into(), method.into())
}

#[test]
fn keys_are_asked_for_once_and_nothing_is_told_apart_without_them() {
    let mut request = Request::with("team", config(TWO));
    let held = request.head("POST", "/logging-mcp", &[("content-type", "application/json")]);
    assert_eq!(
        (held.flow.clone(), held.calls[0].cluster.as_str(), held.paths()),
        (Flow::Wait, "weir", vec!["/v1/keys"])
    );
    // The body may come before the keys.
    assert_eq!(request.body(&super::request("ping", &json!({})), true).flow, Flow::Wait);
    assert_eq!(request.fails(KEYS_CALL.0, CallError::Failed).text().0, 503);
    let mut request = client(TWO);
    let seen = request.legacy("ping", json!({}), None);
    assert_eq!((seen.result(), seen.calls), (json!({}), vec![]));
    request.anew("team");
    let seen = request.legacy("tools/list", json!({}), Some("k1.AAAAAg"));
    assert_eq!(
        (seen.flow, seen.calls),
        (Flow::Reply(seen_session(404)), vec![]),
        "keys that were asked for just now"
    );
}

fn seen_session(status: u16) -> Reply {
    reply::refused(status, "weir_mcp_session", "the session is unknown")
}

#[test]
fn a_session_at_several_servers_is_one_token_of_its_caller() {
    let mut request = client(TWO);
    let token = request.token();
    let seen = request.legacy("tools/list", json!({}), Some(&token));
    assert_eq!(said(&seen), [one("l-1", "2025-11-25", "tools/list"), one("w-1", "2025-06-18", "tools/list")]);
    for (consumer, session, status) in [
        ("other", Some(token.as_str()), 404),
        ("team", None, 400),
        ("team", Some("l-1"), 404),
        ("team", Some(&token[..token.len() - 1]), 404),
    ] {
        request.anew(consumer);
        assert_eq!(
            request.legacy("tools/list", json!({}), session).text().0,
            status,
            "{consumer} {session:?}"
        );
        request.anew(consumer);
        let call = json!({"name": "logs__a"});
        assert_eq!(request.legacy("tools/call", call, session).text().0, status, "{consumer} {session:?}");
    }
}

#[test]
fn what_the_client_tells_goes_to_every_server_and_its_end_too() {
    let mut request = client(TWO);
    let token = request.token();
    let session = [("mcp-session-id", token.as_str()), OLD];
    let seen = request.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, &session);
    assert_eq!((seen.text().0, seen.calls), (202, vec![]));
    request.anew("team");
    let seen = request.post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#, &session);
    let method = "notifications/cancelled";
    assert_eq!(said(&seen), [one("l-1", "2025-11-25", method), one("w-1", "2025-06-18", method)]);
    request.anew("team");
    let seen = request.head("DELETE", "/logging-mcp", &session);
    assert_eq!(said(&seen), [one("l-1", "2025-11-25", "DELETE"), one("w-1", "2025-06-18", "DELETE")]);
    request.anew("other");
    let seen = request.head("DELETE", "/logging-mcp", &session);
    assert_eq!((seen.text().0, seen.calls), (404, vec![]));
}

#[test]
fn a_server_that_has_lost_its_session_gets_another_that_stays() {
    let mut request = client(TWO);
    let token = request.token();
    request.legacy("tools/list", json!({}), Some(&token));
    let seen = request.answers(1, 404, "");
    assert_eq!(said(&seen), [one("", "", "initialize")]);
    request.answers(2, 200, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
    assert_eq!(
        said(&request.opens(3, "l-2", "2025-06-18")),
        [one("l-2", "2025-06-18", "notifications/initialized")]
    );
    assert_eq!(said(&request.answers(4, 202, "")), [one("l-2", "2025-06-18", "tools/list")]);
    let seen = request.answers(5, 200, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}"#);
    assert_eq!(seen.result()["tools"], json!([{"name": "logs__a"}]));
    request.anew("team");
    let seen = request.legacy("tools/list", json!({}), Some(&token));
    assert_eq!(said(&seen)[0], one("l-2", "2025-06-18", "tools/list"));
    // Twice is once too often.
    request.answers(1, 404, "");
    request.opens(3, "l-3", "2025-06-18");
    request.answers(4, 202, "");
    request.answers(5, 404, "");
    let seen = request.answers(2, 200, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
    assert_eq!(seen.result()["_meta"]["weir/unavailable"], json!(["logs"]));
}

#[test]
fn a_call_that_meets_a_lost_session_is_made_again_once() {
    let mut request = client(TWO);
    let token = request.token();
    let call = json!({"name": "wiki__a", "arguments": {"n": 1}});
    assert_eq!(request.legacy("tools/call", call.clone(), Some(&token)).flow, Flow::Continue);
    let (flow, effects) = request.answered(404, &[]);
    assert_eq!(
        (flow.clone(), said(&Seen::of((flow, effects)))),
        (Flow::Wait, vec![one("", "", "initialize")])
    );
    request.opens(1, "w-2", "2025-06-18");
    let seen = request.answers(2, 202, "");
    assert_eq!(said(&seen), [one("w-2", "2025-06-18", "tools/call")]);
    let asked: Value = serde_json::from_slice(&seen.calls[0].body).unwrap();
    assert_eq!(asked["params"], json!({"name": "a", "arguments": {"n": 1}}));
    let seen = request.called(3, 200, "text/event-stream", b"data: {}\n\n");
    let Flow::Reply(reply) = &seen.flow else { panic!("{seen:?}") };
    assert_eq!(
        (reply.status, reply.headers.as_slice(), reply.body.as_ref()),
        (200, [("content-type", "text/event-stream".into())].as_slice(), b"data: {}\n\n".as_slice())
    );
    assert_eq!(seen.outcome.as_deref(), Some("ok"));

    request.anew("team");
    request.legacy("tools/call", call, Some(&token));
    request.answered(404, &[]);
    let seen = request.fails(1, CallError::Failed);
    assert_eq!(
        (seen.flow, seen.outcome.as_deref()),
        (Flow::Continue, Some("upstream_4xx")),
        "its own answer"
    );
}

#[test]
fn a_server_that_was_missing_at_the_beginning_is_met_when_it_is_needed() {
    let mut request = client(TWO);
    request.legacy("initialize", json!({"protocolVersion": "2025-06-18"}), None);
    request.opens(1, "l-1", "2025-06-18");
    request.fails(2, CallError::Failed);
    let seen = request.answers(3, 202, "");
    assert_eq!(seen.result()["_meta"]["weir/unavailable"], json!(["wiki"]));
    let token = token_of(&seen);
    request.anew("team");
    let body = super::request("tools/call", &json!({"name": "wiki__a"}));
    let head = [("content-type", "application/json"), OLD, ("mcp-session-id", token.as_str())];
    request.head("POST", "/logging-mcp", &head);
    let seen = request.body(&body, true);
    assert_eq!((seen.flow.clone(), said(&seen)), (Flow::Wait, vec![one("", "", "initialize")]));
    request.opens(1, "w-9", "2025-03-26");
    let (head, answer) = (Head::new(&[("content-type", "x")], true), 202);
    let answer = Answer { status: answer, head: &head, body: b"" };
    let (flow, effects) = request.bench.run(|cx| request.stream.on_call_done(cx, CallId(2), Ok(answer)));
    let set = |name: &'static str, value: &str| Effect::SetHeader(Side::Request, name.into(), value.into());
    assert_eq!(flow, Flow::Continue);
    assert!(
        effects.contains(&set("mcp-session-id", "w-9"))
            && effects.contains(&set("mcp-protocol-version", "2025-03-26"))
    );
    // It has just begun: a 404 is the server's word.
    assert_eq!(request.answered(404, &[]).0, Flow::Continue);
    request.anew("team");
    request.legacy("tools/call", json!({"name": "wiki__a"}), Some(&token));
    let mut down = client(TWO);
    down.legacy("initialize", json!({"protocolVersion": "2025-06-18"}), None);
    down.fails(1, CallError::Failed);
    assert_eq!(down.fails(2, CallError::Failed).error(), (200, -32603));
}

#[test]
fn the_session_at_one_server_is_sealed_too() {
    let mut request = client(&["logs"]);
    let begun = request.legacy("initialize", json!({"protocolVersion": "2025-06-18"}), None);
    assert_eq!(begun.flow, Flow::Continue);
    let (_, effects) = request.answered(200, &[("mcp-session-id", "secret")]);
    let [Effect::SetHeader(Side::Response, name, token)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(name == "mcp-session-id" && token.starts_with("k1.") && !token.contains("secret"));

    request.anew("team");
    let head = [("content-type", "application/json"), ("mcp-session-id", token.as_str()), OLD];
    request.head("POST", "/logging-mcp", &head);
    let body = super::request("tools/list", &json!({}));
    let (flow, effects) = request.bench.run(|cx| request.stream.on_request_body(cx, body.as_bytes(), true));
    let sent = Effect::SetHeader(Side::Request, "mcp-session-id".into(), "secret".into());
    assert!(flow == Flow::Continue && effects.contains(&sent), "{effects:?}");
    let (_, effects) = request.answered(200, &[("mcp-session-id", "secret")]);
    assert_eq!(effects, [Effect::RemoveHeader(Side::Response, "mcp-session-id".into())]);

    for (consumer, session) in [("other", token.as_str()), ("team", "secret")] {
        for method in ["GET", "DELETE"] {
            request.anew(consumer);
            let seen = request.head(method, "/logging-mcp", &[("mcp-session-id", session), OLD]);
            assert_eq!(seen.flow, Flow::Reply(seen_session(404)), "{consumer} {session}");
        }
        request.anew(consumer);
        assert_eq!(
            request.legacy("tools/list", json!({}), Some(session)).flow,
            Flow::Reply(seen_session(404))
        );
    }
}
