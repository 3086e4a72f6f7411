//! Servers that speak the other era.

use super::*;

/// A server that speaks `revision`, of which a caller may not use `drop`.
fn config(revision: &str) -> Value {
    json!({"servers": [{
        "name": "behind", "path": "/logging-mcp",
        "backend": {"proxy": {
            "upstreams": [{
                "name": "behind", "cluster": "mcp:behind", "route": "mcp:behind", "authority": "mcp.example.com",
                "path": "/mcp", "revision": revision
            }],
            "deny_tools": ["drop"], "forward_headers": ["x-tenant"], "timeout_ms": 10_000
        }}
    }]})
}

/// A request that comes to a server, of which something is checked.
fn header<'c>(call: &'c Call, name: &str) -> Option<&'c str> {
    call.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn sent(seen: &Seen) -> (&Call, Value) {
    let [call] = seen.calls.as_slice() else { panic!("{seen:?}") };
    (call, serde_json::from_slice(&call.body).unwrap())
}

impl Request {
    fn modern(&mut self, method: &str, params: Value) -> Seen {
        let name = params.get("name").or(params.get("uri")).and_then(Value::as_str).unwrap_or("-").to_owned();
        let fields = [
            LATEST,
            ("mcp-method", method),
            ("mcp-name", &name),
            ("x-request-id", "r"),
            ("x-tenant", "t"),
            ("cookie", "c"),
        ];
        self.post(&modern(method, params), &fields)
    }

    /// A server's answer, with the session it has begun.
    fn begins(&mut self, call: u32, session: &str) -> Seen {
        let result = json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "n", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
        let fields = [("content-type", "application/json"), ("mcp-session-id", session)];
        let head = Head::new(&fields, false);
        let answer = Answer { status: 200, head: &head, body: body.as_bytes() };
        Seen::of(self.bench.run(|cx| self.stream.on_call_done(cx, CallId(call), Ok(answer))))
    }

    fn results(&mut self, call: u32, result: &Value) -> Seen {
        self.answers(call, 200, &json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string())
    }

    fn again(&mut self) {
        self.stream = self.stream.filter.stream(StreamId(2));
    }
}

#[test]
fn a_client_without_sessions_calls_a_tool_of_a_server_that_wants_one() {
    let mut request = Request::with("team", config("2025-11-25"));
    let began = request.modern("tools/call", json!({"name": "a", "arguments": {"n": 1}}));
    let (call, body) = sent(&began);
    assert_eq!((call.cluster.as_str(), body["method"].as_str()), ("mcp:behind", Some("initialize")));
    assert_eq!(body["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(body["params"]["capabilities"], json!({}));
    let names = [
        "mcp-session-id",
        "mcp-method",
        "mcp-protocol-version",
        "x-request-id",
        "x-tenant",
        "cookie",
        ":authority",
    ];
    let fields = names.map(|name| header(call, name));
    assert_eq!(fields, [None, None, None, Some("r"), Some("t"), None, Some("mcp.example.com")]);

    let told = request.begins(1, "s1");
    let (call, body) = sent(&told);
    assert_eq!(body, json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    assert_eq!(header(call, "mcp-session-id"), Some("s1"));
    assert_eq!(header(call, "mcp-protocol-version"), Some("2025-06-18"));

    let asked = request.answers(2, 202, "");
    let (call, body) = sent(&asked);
    let expected = json!({"jsonrpc": "2.0", "id": "r/3", "method": "tools/call", "params": {"name": "a", "arguments": {"n": 1}}});
    assert_eq!((body, header(call, "mcp-session-id")), (expected, Some("s1")));

    let done = request.results(3, &json!({"content": [], "isError": true}));
    assert_eq!(done.outcome.as_deref(), Some("tool_error"));
    assert_eq!(
        done.json(),
        (
            200,
            json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [], "isError": true, "resultType": "complete"}})
        )
    );
}

#[test]
fn a_session_serves_the_next_request_of_its_consumer_and_is_begun_anew_when_it_is_lost() {
    let mut request = Request::with("team", config("2025-11-25"));
    request.modern("tools/list", json!({}));
    request.begins(1, "s1");
    request.answers(2, 202, "");
    let listed = request.results(3, &json!({"tools": [{"name": "a"}, {"name": "drop"}]})).result();
    assert_eq!(
        listed,
        json!({"tools": [{"name": "a"}], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})
    );

    request.again();
    let asked = request.modern("resources/read", json!({"uri": "a://b"}));
    assert_eq!(header(sent(&asked).0, "mcp-session-id"), Some("s1"));
    let anew = request.answers(1, 404, "gone");
    assert_eq!(sent(&anew).1["method"], "initialize");
    request.begins(2, "s2");
    let again = request.answers(3, 202, "");
    assert_eq!(header(sent(&again).0, "mcp-session-id"), Some("s2"));
    let unknown = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no"}}"#;
    assert_eq!(request.answers(4, 200, unknown).error(), (400, -32602));

    request.again();
    request.bench.state.borrow_mut().insert(state::CONSUMER.into(), b"other".to_vec());
    assert_eq!(sent(&request.modern("tools/list", json!({}))).1["method"], "initialize");
}

#[test]
fn what_is_told_on_the_way_comes_before_the_answer() {
    let mut request = Request::with("team", config("2025-11-25"));
    request.modern("tools/call", json!({"name": "a"}));
    request.begins(1, "s1");
    request.answers(2, 202, "");
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    let result = r#"{"jsonrpc":"2.0","id":"r/3","result":{"content":[]}}"#;
    let events = format!("data: {progress}\n\ndata: {log}\n\ndata: {result}\n\n");
    let seen = request.called(3, 200, "text/event-stream", events.as_bytes());
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"resultType":"complete"}}"#;
    assert_eq!(
        seen.text(),
        (200, format!("event: message\ndata: {progress}\n\nevent: message\ndata: {answer}\n\n"))
    );
}

#[test]
fn a_discovery_is_the_beginning_of_a_session() {
    let mut request = Request::with("team", config("2025-06-18"));
    request.modern("server/discover", json!({}));
    request.begins(1, "s1");
    let result = request.answers(2, 202, "").result();
    assert_eq!(
        (&result["supportedVersions"], &result["resultType"]),
        (&json!(["2026-07-28", "2025-06-18"]), &json!("complete"))
    );
    request.again();
    assert_eq!(sent(&request.modern("prompts/list", json!({}))).1["method"], "prompts/list");
}

#[test]
fn a_client_with_a_session_uses_a_server_without() {
    let mut request = Request::with("team", config("2026-07-28"));
    let wanted = json!({"protocolVersion": "2025-06-18", "capabilities": {"sampling": {}}, "clientInfo": {"name": "c", "version": "1"}});
    let began = request.post(&super::request("initialize", &wanted), &[]);
    let (call, body) = sent(&began);
    assert_eq!(header(call, "mcp-method"), Some("server/discover"));
    assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({}));
    let result = request.results(1, &json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"})).result();
    assert_eq!(
        (&result["protocolVersion"], &result["capabilities"]),
        (&json!("2025-06-18"), &json!({"tools": {"listChanged": false}}))
    );

    request.again();
    let note = request.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, &[]);
    assert_eq!(note.text(), (202, String::new()));
    request.again();
    assert_eq!(request.post(&super::request("ping", &json!({})), &[]).result(), json!({}));

    request.again();
    let asked = request.post(&super::request("resources/read", &json!({"uri": "a://ü"})), &[]);
    let (call, _) = sent(&asked);
    let fields = ["mcp-protocol-version", "mcp-method", "mcp-name"].map(|name| header(call, name));
    assert_eq!(fields, [Some("2026-07-28"), Some("resources/read"), Some("=?base64?YTovL8O8?=")]);
    let unknown = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no","data":{"uri":"a://ü"}}}"#;
    assert_eq!(request.answers(1, 400, unknown).error(), (200, -32002));
}

#[test]
fn arguments_that_a_server_wants_in_header_fields_are_repeated_there() {
    let mut request = Request::with("team", config("2026-07-28"));
    let args = json!({"name": "a", "arguments": {"region": "eü", "n": 5, "deep": {}}});
    let asked = request.post(&super::request("tools/call", &args), &[]);
    assert_eq!(header(sent(&asked).0, "mcp-param-region"), None);
    let mismatch = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"no"}}"#;
    let listed = request.answers(1, 400, mismatch);
    assert_eq!(sent(&listed).1["method"], "tools/list");
    let next = request.results(2, &json!({"tools": [{"name": "b"}], "nextCursor": "c"}));
    assert_eq!(sent(&next).1["params"]["cursor"], "c");
    let schema = json!({"properties": {"region": {"x-mcp-header": "Region"}, "n": {"x-mcp-header": "N"}, "deep": {"x-mcp-header": "D"}}});
    let again = request.results(3, &json!({"tools": [{"name": "a", "inputSchema": schema}]}));
    let (call, body) = sent(&again);
    let fields =
        ["mcp-param-region", "mcp-param-n", "mcp-param-d", "mcp-name"].map(|name| header(call, name));
    assert_eq!(fields, [Some("=?base64?ZcO8?="), Some("5"), None, Some("a")]);
    assert_eq!(body["params"]["arguments"], args["arguments"]);
    // It is asked for once only.
    assert_eq!(request.answers(4, 400, mismatch).error(), (200, -32603));
}

#[test]
fn what_cannot_be_converted_says_so() {
    let mut request = Request::with("team", config("2026-07-28"));
    for (body, status, code) in [
        (super::request("resources/subscribe", &json!({"uri": "a://b"})), 200, -32601),
        (super::request("logging/setLevel", &json!({"level": "info"})), 200, -32601),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.into(), 400, -32600),
        (super::request("tools/call", &json!({"name": "drop"})), 200, -32602),
    ] {
        request.again();
        assert_eq!(request.post(&body, &[]).error(), (status, code), "{body}");
    }
    for method in ["GET", "DELETE"] {
        request.again();
        assert_eq!(request.head(method, "/logging-mcp", &[]).text().0, 405);
    }
    request.again();
    request.post(&super::request("tools/call", &json!({"name": "a"})), &[]);
    let needs = json!({"resultType": "input_required", "inputRequests": {}});
    assert_eq!(request.results(1, &needs).error(), (200, -32603));

    let mut request = Request::with("team", config("2025-11-25"));
    assert_eq!(request.modern("subscriptions/listen", json!({"notifications": {}})).error(), (404, -32601));
    request.again();
    request.modern("tools/call", json!({"name": "a"}));
    assert_eq!(request.answers(1, 503, "upstream connect error").error(), (200, -32603));
    request.again();
    request.modern("tools/call", json!({"name": "a"}));
    let failed = request.fails(1, CallError::Failed);
    assert_eq!((failed.error(), failed.outcome.as_deref()), ((200, -32603), Some("upstream_5xx")));
}

#[test]
fn a_client_of_the_servers_era_is_passed_on_as_it_is() {
    for (revision, body, fields) in [
        ("2025-11-25", request("tools/list", &json!({})), vec![]),
        ("2025-11-25", r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.into(), vec![]),
        ("2026-07-28", modern("tools/list", json!({})), vec![LATEST, ("mcp-method", "tools/list")]),
    ] {
        let seen = Request::with("team", config(revision)).post(&body, &fields);
        assert_eq!((seen.flow, seen.calls.len()), (Flow::Continue, 0), "{body}");
    }
}
