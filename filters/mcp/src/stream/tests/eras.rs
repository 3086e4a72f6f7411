use super::*;

#[test]
fn a_request_elsewhere_is_not_looked_at() {
    for path in ["/v1/chat/completions", "/logging", "/logging-mcp2", "/finance-mcp"] {
        assert_eq!(Request::new().head("POST", path, &[]).flow, Flow::Continue, "{path}");
    }
}

#[test]
fn what_an_endpoint_does_not_serve_is_refused_at_the_head() {
    let json = ("content-type", "application/json");
    for (method, path, more, status) in [
        ("GET", "/logging-mcp", vec![], 405),
        ("DELETE", "/logging-mcp/mcp", vec![], 405),
        ("GET", "/logging-mcp/sse", vec![], 404),
        ("POST", "/logging-mcp/message", vec![], 404),
        ("POST", "/logging-mcp/x?y", vec![], 404),
        ("POST", "/logging-mcp/?y", vec![("content-type", "text/plain")], 415),
        ("POST", "/logging-mcp", vec![json, ("content-encoding", "gzip")], 415),
        ("POST", "/logging-mcp", vec![json, ("content-length", "4097")], 413),
        ("POST", "/logging-mcp", vec![json, ("origin", "https://evil.example")], 403),
        ("POST", "/logging-mcp", vec![json, ("origin", "null")], 403),
    ] {
        assert_eq!(Request::new().head(method, path, &more).text().0, status, "{method} {path} {more:?}");
    }
    let Flow::Reply(reply) = Request::new().head("GET", "/logging-mcp", &[]).flow else { panic!() };
    assert!(reply.headers.contains(&("allow", "POST".into())));
    let own = Request::new().post(&request("ping", &json!({})), &[("origin", "https://chat.example.com")]);
    assert_eq!(own.json(), (200, json!({"jsonrpc": "2.0", "id": 1, "result": {}})));
}

#[test]
fn nobody_is_served_whom_auth_has_not_identified() {
    let mut request = Request::new();
    request.bench.state.borrow_mut().clear();
    assert_eq!(request.head("POST", "/logging-mcp", &[]).text().0, 503);
}

#[test]
fn a_body_is_read_in_any_chunks_up_to_its_limit() {
    let mut one = Request::new();
    one.head("POST", "/logging-mcp", &[("content-type", "application/json")]);
    let body = request("ping", &json!({}));
    let (start, end) = body.split_at(10);
    assert_eq!(one.body(start, false).flow, Flow::Wait);
    assert_eq!(one.body(end, true).text().0, 200);
    let mut long = Request::new();
    long.head("POST", "/logging-mcp", &[("content-type", "application/json")]);
    assert_eq!(long.body(&" ".repeat(4097), false).text().0, 413);
}

#[test]
fn what_is_no_message_is_400() {
    for (body, code) in [
        ("{", -32700),
        ("5", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
    ] {
        assert_eq!(Request::new().post(body, &[]).error(), (400, code), "{body}");
    }
}

#[test]
fn what_wants_no_answer_is_202() {
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#,
    ] {
        assert_eq!(Request::new().post(body, &[]).text(), (202, String::new()), "{body}");
    }
}

#[test]
fn batches_are_of_2025_03_26_alone() {
    let (ping, note) = (request("ping", &json!({})), r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    let batch = format!("[{ping},{note},7,{ping}]");
    for version in [vec![], vec![("mcp-protocol-version", "2025-03-26")]] {
        let (status, answer) = Request::new().post(&batch, &version).json();
        assert_eq!((status, answer.as_array().unwrap().len()), (200, 3));
        assert_eq!(answer[1]["error"]["code"], -32600);
    }
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let refused = Request::new().post(&batch, &[("mcp-protocol-version", version)]);
        assert_eq!(refused.error(), (400, -32600), "{version}");
    }
    assert_eq!(Request::new().post(&format!("[{note}]"), &[]).text().0, 202);
    let begins = format!("[{}]", request("initialize", &json!({"protocolVersion": "2025-03-26"})));
    assert_eq!(Request::new().post(&begins, &[]).json().1[0]["error"]["code"], -32600);
    let long = format!("[{}]", vec![note; 21].join(","));
    assert_eq!(Request::new().post(&long, &[]).error(), (400, -32600));
}

#[test]
fn initialize_agrees_on_a_revision() {
    for (wanted, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let body = request("initialize", &json!({"protocolVersion": wanted, "capabilities": {}}));
        let result = Request::new().post(&body, &[]).result();
        assert_eq!(result["protocolVersion"], agreed);
        assert_eq!(result["serverInfo"], json!({"name": "logging-mcp", "title": "Logs", "version": "1.0.0"}));
        assert_eq!(result["instructions"], "Be kind.");
        assert_eq!(
            result["capabilities"],
            json!({
                "tools": {"listChanged": false}, "resources": {"subscribe": false, "listChanged": false},
                "prompts": {"listChanged": false}, "completions": {}
            })
        );
    }
    assert_eq!(Request::new().post(&request("initialize", &json!({})), &[]).error(), (200, -32602));
}

#[test]
fn an_old_revision_is_told_by_the_header_alone() {
    let ping = request("ping", &json!({}));
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        assert_eq!(Request::new().post(&ping, &[("mcp-protocol-version", version)]).text().0, 200);
    }
    assert_eq!(Request::new().post(&ping, &[("mcp-protocol-version", "1999-01-01")]).text().0, 400);
    let unknown = request("nope", &json!({}));
    assert_eq!(Request::new().post(&unknown, &[]).error(), (200, -32601));
    let discover = request("server/discover", &json!({}));
    assert_eq!(Request::new().post(&discover, &[]).error(), (200, -32601));
}

#[test]
fn a_modern_request_says_all_of_itself_twice() {
    let (method, ping) = (("mcp-method", "tools/list"), modern("tools/list", json!({})));
    let call = modern("tools/call", json!({"name": "écho"}));
    let called = ("mcp-method", "tools/call");
    let other = ping.replace("2026-07-28", "2030-01-01");
    let bare =
        request("tools/list", &json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}));
    for (body, headers, expected) in [
        (&ping, vec![LATEST, method], (200, 0)),
        (&ping, vec![LATEST, method, ("mcp-session-id", "x"), ("last-event-id", "1")], (200, 0)),
        (&ping, vec![method], (400, -32020)),
        (&ping, vec![("mcp-protocol-version", "2025-11-25"), method], (400, -32020)),
        (&ping, vec![LATEST], (400, -32020)),
        (&ping, vec![LATEST, method, method], (400, -32020)),
        (&ping, vec![LATEST, LATEST, method], (400, -32020)),
        (&ping, vec![LATEST, ("mcp-method", "ping")], (400, -32020)),
        (&request("tools/list", &json!({})), vec![LATEST, method], (400, -32602)),
        (&bare, vec![LATEST, method], (400, -32602)),
        (&other, vec![LATEST, method], (400, -32020)),
        (&other, vec![("mcp-protocol-version", "2030-01-01"), method], (400, -32022)),
        (&call, vec![LATEST, called], (400, -32020)),
        (&call, vec![LATEST, called, ("mcp-name", "echo")], (400, -32020)),
        (&call, vec![LATEST, called, ("mcp-name", "=?base64?w6ljaG8=?=")], (400, -32602)),
        (&call, vec![LATEST, called, ("mcp-name", "=?base64?w6ljaG8?=")], (400, -32020)),
        (&modern("ping", json!({})), vec![LATEST, ("mcp-method", "ping")], (404, -32601)),
        (&modern("initialize", json!({})), vec![LATEST, ("mcp-method", "initialize")], (404, -32601)),
    ] {
        let (status, json) = Request::new().post(body, &headers).json();
        assert_eq!((status, json["error"]["code"].as_i64().unwrap_or(0)), expected, "{body} {headers:?}");
    }
    let (_, unknown) = Request::new().post(&other, &[("mcp-protocol-version", "2030-01-01"), method]).json();
    assert_eq!(
        unknown["error"]["data"],
        json!({
            "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
            "requested": "2030-01-01"
        })
    );
}

#[test]
fn a_modern_argument_is_repeated_in_its_header() {
    let called = |header: Option<&str>, region: Value| {
        let body = modern("tools/call", json!({"name": "region", "arguments": {"region": region}}));
        let mut headers = vec![LATEST, ("mcp-method", "tools/call"), ("mcp-name", "region")];
        headers.extend(header.map(|value| ("mcp-param-region", value)));
        Request::new().post(&body, &headers).json()
    };
    assert_eq!(called(Some("eu"), json!("eu")).1["result"]["content"][0]["text"], "eu");
    assert_eq!(called(Some("=?base64?5L2g5aW9?="), json!("你好")).0, 200);
    for (header, region) in [(None, json!("eu")), (Some("us"), json!("eu")), (Some("eu"), Value::Null)] {
        let (status, json) = called(header, region);
        assert_eq!((status, &json["error"]["code"]), (400, &json!(-32020)), "{header:?}");
    }
}

#[test]
fn a_modern_result_says_that_it_is_complete_and_how_long_it_holds() {
    let discovered = Request::new()
        .post(&modern("server/discover", json!({})), &[LATEST, ("mcp-method", "server/discover")]);
    let result = discovered.result();
    assert_eq!(result["supportedVersions"][0], "2026-07-28");
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "logging-mcp");
    for (method, params) in [
        ("tools/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
    ] {
        let result = Request::new().post(&modern(method, params), &[LATEST, ("mcp-method", method)]).result();
        assert_eq!(
            (&result["resultType"], &result["ttlMs"]),
            (&json!("complete"), &json!(60_000)),
            "{method}"
        );
    }
    let read = modern("resources/read", json!({"uri": "logs://levels"}));
    let headers = [LATEST, ("mcp-method", "resources/read"), ("mcp-name", "logs://levels")];
    assert_eq!(Request::new().post(&read, &headers).result()["ttlMs"], 0);
}

#[test]
fn a_subscription_is_acknowledged_and_ends() {
    let body = modern("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let seen = Request::new().post(&body, &[LATEST, ("mcp-method", "subscriptions/listen")]);
    let Flow::Reply(reply) = &seen.flow else { panic!() };
    assert!(reply.headers.contains(&("content-type", "text/event-stream".into())));
    let text = seen.text().1;
    let events: Vec<Value> =
        text.split_terminator("\n\n").map(|event| serde_json::from_str(&event[21..]).unwrap()).collect();
    assert_eq!(events[0]["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(events[0]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!(events[1]["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
}
