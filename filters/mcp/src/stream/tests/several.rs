//! Several servers behind one endpoint.

use super::*;

/// Two servers, of which `poor` may use one tool.
fn config() -> Value {
    let upstream = |name: &str, path: &str| json!({"name": name, "cluster": format!("mcp:all/{name}"), "route": format!("mcp:all/{name}"), "path": path});
    json!({"servers": [{
        "name": "all", "path": "/logging-mcp/*",
        "grants": [{"tools": ["*"], "consumers": ["team"]}, {"tools": ["wiki__a"]}],
        "backend": {"proxy": {
            "upstreams": [upstream("logs", "/mcp"), upstream("wiki", "/w")],
            "deny_tools": ["*__drop"], "timeout_ms": 10_000
        }}
    }]})
}

fn asked(method: &str, params: Value) -> Request {
    let mut request = Request::with("team", config());
    let held = request.post_modern(method, params);
    assert_eq!(held.flow, Flow::Wait, "{held:?}");
    request
}

impl Request {
    fn post_modern(&mut self, method: &str, params: Value) -> Seen {
        let name = params.get("name").or(params.get("uri")).and_then(Value::as_str).unwrap_or("").to_owned();
        let body = modern(method, params);
        let length = body.len().to_string();
        let mut more =
            vec![LATEST, ("mcp-method", method), ("content-length", &length), ("traceparent", "00-1")];
        if !name.is_empty() {
            more.push(("mcp-name", &name));
        }
        self.post(&body, &more)
    }

    fn tools(&mut self, call: u32, names: &[&str], cursor: Option<&str>) -> Seen {
        let tools: Vec<_> = names.iter().map(|name| json!({"name": name, "inputSchema": {}})).collect();
        let mut result = json!({"tools": tools, "resultType": "complete", "ttlMs": 30_000});
        if let Some(cursor) = cursor {
            result["nextCursor"] = cursor.into();
        }
        self.answers(call, 200, &json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string())
    }
}

fn names(seen: &Seen) -> Vec<String> {
    let tools = seen.result()["tools"].as_array().cloned().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_servers_are_asked_at_once_and_their_pages_become_one_list() {
    let mut request = Request::with("team", config());
    let seen = request.post_modern("tools/list", json!({}));
    assert_eq!(seen.paths(), ["/mcp", "/w"]);
    let [logs, _] = seen.calls.as_slice() else { panic!("{seen:?}") };
    assert_eq!((logs.cluster.as_str(), logs.timeout_ms), ("mcp:all/logs", 10_000));
    let header =
        |name: &str| logs.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(
        ["mcp-protocol-version", "mcp-method", "traceparent", "mcp-session-id", "authorization"].map(header),
        [Some("2026-07-28"), Some("tools/list"), Some("00-1"), None, None]
    );
    // The second answers first; the first has two pages.
    assert_eq!(request.tools(2, &["a", "drop"], None).flow, Flow::Wait);
    let next = request.tools(1, &["b"], Some("more"));
    let asked: Value = serde_json::from_slice(&next.calls[0].body).unwrap();
    assert_eq!((next.calls[0].id, &asked["params"]["cursor"]), (CallId(3), &json!("more")));
    let seen = request.tools(3, &["c"], None);
    assert_eq!(names(&seen), ["logs__b", "logs__c", "wiki__a"]);
    let result = seen.result();
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(30_000), &json!("private")));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "all");
}

#[test]
fn a_server_that_does_not_answer_is_named_and_its_last_list_stays() {
    let mut request = asked("tools/list", json!({}));
    request.tools(1, &["b"], None);
    let seen = request.fails(2, CallError::Failed);
    assert_eq!(names(&seen), ["logs__b"]);
    assert_eq!(seen.result()["_meta"]["weir/unavailable"], json!(["wiki"]));

    let again = |request: &mut Request| request.stream = request.stream.filter.stream(StreamId(2));
    again(&mut request);
    request.post_modern("tools/list", json!({}));
    request.tools(1, &["b"], None);
    assert_eq!(names(&request.tools(2, &["a"], None)), ["logs__b", "wiki__a"]);

    again(&mut request);
    let seen = request.post_modern("tools/list", json!({}));
    // What is remembered need not be waited for.
    assert_eq!(seen.calls.iter().map(|call| call.timeout_ms).collect::<Vec<_>>(), [2000, 2000]);
    request.answers(1, 503, "upstream connect error");
    let seen = request.answers(2, 504, "upstream request timeout");
    assert_eq!(names(&seen), ["logs__b", "wiki__a"]);
    assert_eq!(seen.result()["ttlMs"], 5000);
    assert_eq!(seen.result()["_meta"]["weir/unavailable"], json!(["logs", "wiki"]));
}

#[test]
fn when_nobody_answers_there_is_no_empty_list() {
    let mut request = asked("prompts/list", json!({}));
    request.fails(1, CallError::Refused);
    assert_eq!(request.answers(2, 500, "").error(), (200, -32603));

    let no_prompts = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#;
    let mut request = asked("prompts/list", json!({}));
    request.answers(1, 404, no_prompts);
    assert_eq!(request.answers(2, 404, no_prompts).error(), (404, -32601));
}

#[test]
fn what_is_served_is_what_any_has_in_revisions_that_all_speak() {
    let mut request = asked("server/discover", json!({}));
    let says = |versions: Value, capabilities: Value| {
        let result =
            json!({"supportedVersions": versions, "capabilities": capabilities, "instructions": "I."});
        json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string()
    };
    let all = json!(["2026-07-28", "2025-11-25", "2025-06-18"]);
    request.answers(1, 200, &says(all, json!({"tools": {"listChanged": true}})));
    let seen = request.answers(
        2,
        200,
        &says(json!(["2025-11-25", "2026-07-28"]), json!({"prompts": {}, "logging": {}})),
    );
    let result = seen.result();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28", "2025-11-25"]));
    let quiet = json!({"tools": {"listChanged": false}, "prompts": {"listChanged": false}});
    assert_eq!(result["capabilities"], quiet);
    assert_eq!(result["instructions"], "logs: I.\n\nwiki: I.");
}

#[test]
fn a_call_flows_on_to_its_server_with_the_name_that_the_server_knows() {
    let mut request = Request::with("team", config());
    let params = json!({"name": "wiki__a", "arguments": {"n": 1}});
    let body = modern("tools/call", params.clone());
    let head = [
        ("content-type", "application/json"),
        LATEST,
        ("mcp-method", "tools/call"),
        ("mcp-name", "wiki__a"),
        ("content-length", "1"),
        ("authorization", "Bearer k"),
        ("mcp-session-id", "forged"),
    ];
    assert_eq!(request.head("POST", "/logging-mcp", &head).flow, Flow::Wait);
    let (flow, effects) = request.bench.run(|cx| request.stream.on_request_body(cx, body.as_bytes(), true));
    assert_eq!(flow, Flow::Continue);
    let new = modern("tools/call", json!({"name": "a", "arguments": {"n": 1}}));
    let set = |name: &'static str, value: &str| Effect::SetHeader(Side::Request, name.into(), value.into());
    let removed = |name: &'static str| Effect::RemoveHeader(Side::Request, name.into());
    for effect in [
        removed("authorization"),
        removed("mcp-session-id"),
        set(":path", "/w"),
        set(ROUTE_HEADER, "mcp:all/wiki"),
        set("mcp-name", "a"),
        set("content-length", &new.len().to_string()),
        Effect::ReplaceBody(Side::Request, 0..body.len(), new.clone().into_bytes()),
    ] {
        assert!(effects.contains(&effect), "{effect:?} is not in {effects:?}");
    }
    let head = Head::new(&[(":status", "200"), ("mcp-session-id", "s")], false);
    let (flow, effects) = request.bench.run(|cx| request.stream.on_response_head(cx, &head));
    let gone = Effect::RemoveHeader(Side::Response, "mcp-session-id".into());
    assert!(flow == Flow::Continue && effects.contains(&gone), "{effects:?}");
}

#[test]
fn what_a_caller_may_not_use_of_several_servers_is_not_there() {
    for (consumer, tool, flows) in [
        ("poor", "wiki__a", true),
        ("poor", "logs__a", false),
        ("team", "logs__drop", false),
        ("team", "nope__a", false),
    ] {
        let seen = Request::with(consumer, config()).post_modern("tools/call", json!({"name": tool}));
        if flows {
            assert_eq!(seen.flow, Flow::Continue, "{consumer} {tool}");
        } else {
            assert_eq!(seen.error(), (400, -32602), "{consumer} {tool}");
        }
    }
    let mut request = Request::with("poor", config());
    request.post_modern("tools/list", json!({}));
    request.tools(1, &["a", "b"], None);
    assert_eq!(names(&request.tools(2, &["a", "b"], None)), ["wiki__a"]);
}

#[test]
fn what_cannot_be_shared_out_is_refused() {
    let post = |body: &str| Request::with("team", config()).post(body, &[]);
    assert_eq!(post(&format!("[{}]", request("tools/list", &json!({})))).text().0, 400);
    assert_eq!(post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).text().0, 202);
    assert_eq!(
        Request::with("team", config()).post_modern("tools/list", json!({"cursor": "x"})).error(),
        (400, -32602)
    );
    assert_eq!(Request::with("team", config()).post_modern("tasks/list", json!({})).error(), (404, -32601));
    let seen = Request::with("team", config()).head("GET", "/logging-mcp", &[]);
    assert_eq!(seen.text().0, 405);
}
