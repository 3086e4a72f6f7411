use super::*;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn parameters_lose_or_get_what_each_request_of_2026_07_28_repeats() {
    let modern = r#"{"name":"a","arguments":{"n": 1.50},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":7}}"#;
    let legacy = r#"{"name":"a","arguments":{"n": 1.50},"_meta":{"progressToken":7}}"#;
    assert_eq!(params_to_legacy(modern), legacy);
    assert_eq!(
        params_to_legacy(r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#),
        "{}"
    );

    let converted = params_to_modern(legacy);
    assert!(
        converted.starts_with(r#"{"name":"a","arguments":{"n": 1.50},"_meta":{"progressToken":7,"#),
        "{converted}"
    );
    let meta = &json(&converted)["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "weir");
}

#[test]
fn results_get_what_2026_07_28_requires_of_them() {
    for (method, result, expected) in [
        ("tools/call", r#"{"content":[ ]}"#, r#"{"content":[ ],"resultType":"complete"}"#),
        (
            "prompts/list",
            r#"{"prompts":[],"nextCursor":""}"#,
            r#"{"prompts":[],"nextCursor":"","resultType":"complete","ttlMs":0,"cacheScope":"private"}"#,
        ),
        // Nobody would compare the header field with the argument.
        (
            "tools/list",
            r#"{"tools":[{"name":"a","inputSchema":{"properties":{"r":{"x-mcp-header":"R","type":"string"}}}},{"name" : "b"}]}"#,
            r#"{"tools":[{"name":"a","inputSchema":{"properties":{"r":{"type":"string"}}}},{"name":"b"}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#,
        ),
    ] {
        assert_eq!(result_to_modern(method, result).as_deref(), Ok(expected), "{method}");
    }
    assert_eq!(result_to_modern("tools/call", "[]").unwrap_err().code, RpcError::INTERNAL);
}

#[test]
fn results_lose_what_older_revisions_do_not_know() {
    for (method, result, expected) in [
        (
            "resources/read",
            r#"{"resultType":"complete","contents":[{"n": 1.0}],"ttlMs":5,"cacheScope":"public"}"#,
            r#"{"contents":[{"n": 1.0}]}"#,
        ),
        ("tools/call", r#"{"content":[],"structuredContent":[1]}"#, r#"{"content":[]}"#),
        (
            "tools/call",
            r#"{"content":[],"structuredContent":{"a":1}}"#,
            r#"{"content":[],"structuredContent":{"a":1}}"#,
        ),
        (
            "tools/list",
            r#"{"tools":[{"name":"a","outputSchema":{"type":"array"}},{"name":"b","outputSchema":{"type":"object"}}]}"#,
            r#"{"tools":[{"name":"a"},{"name":"b","outputSchema":{"type":"object"}}]}"#,
        ),
    ] {
        assert_eq!(result_to_legacy(method, result).as_deref(), Ok(expected), "{method}");
    }
    for (kind, message) in [
        ("input_required", NEEDS_INPUT),
        ("task", "the server's answer is of a kind that this revision does not know"),
    ] {
        let result = format!(r#"{{"resultType":"{kind}","inputRequests":{{}}}}"#);
        assert_eq!(result_to_legacy("tools/call", &result), Err(RpcError::new(RpcError::INTERNAL, message)));
    }
}

#[test]
fn errors_have_the_codes_of_the_clients_era() {
    let error = |code, data: Option<Value>| RpcError { code, message: "m".into(), data };
    let uri = || Some(json!({"uri": "a://b"}));
    assert_eq!(error_to_modern(error(-32002, uri())), error(-32602, uri()));
    assert_eq!(error_to_modern(error(-32601, None)), error(-32601, None));
    assert_eq!(error_to_legacy("resources/read", error(-32602, uri())), error(-32002, uri()));
    assert_eq!(error_to_legacy("resources/read", error(-32602, None)), error(-32602, None));
    assert_eq!(error_to_legacy("tools/call", error(-32602, uri())), error(-32602, uri()));
    assert_eq!(error_to_legacy("tools/call", error(-32021, None)), RpcError::new(-32603, NEEDS_INPUT));
    for own in [-32020, -32022] {
        assert_eq!(error_to_legacy("tools/call", error(own, None)).code, -32603);
    }
}

#[test]
fn the_beginning_of_a_session_and_a_discovery_say_the_same() {
    let capabilities =
        r#"{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"extensions":{"x":{}}}"#;
    let both =
        json!({"tools": {"listChanged": false}, "resources": {"subscribe": false, "listChanged": false}});
    let modern = format!(
        r#"{{"supportedVersions":["2026-07-28"],"capabilities":{capabilities},"instructions":"I.","resultType":"complete","ttlMs":1,"cacheScope":"public","_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"n","version":"2"}}}}}}"#
    );
    let legacy = json!({
        "protocolVersion": "2025-06-18", "capabilities": both,
        "serverInfo": {"name": "n", "version": "2"}, "instructions": "I."
    });
    assert_eq!(json(&begun(&modern, Version::V2025_06_18, "x").unwrap()), legacy);
    let unnamed = json(&begun(r#"{"capabilities":{}}"#, Version::V2025_06_18, "x").unwrap());
    assert_eq!(unnamed["serverInfo"], json!({"name": "x", "version": "1.0.0"}));

    let said = format!(
        r#"{{"protocolVersion":"2025-06-18","capabilities":{capabilities},"serverInfo":{{"name":"n","version":"2"}},"instructions":"I."}}"#
    );
    let expected = json!({
        "supportedVersions": ["2026-07-28", "2025-06-18"], "capabilities": both, "instructions": "I.",
        "resultType": "complete", "ttlMs": 60_000, "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "n", "version": "2"}}
    });
    assert_eq!(json(&discovered(&said, Version::V2025_06_18).unwrap()), expected);
}

#[test]
fn a_tools_header_fields_are_read_from_its_schema() {
    let list = r#"{"tools":[{"name":"a","inputSchema":{"properties":{
        "region":{"x-mcp-header":"Region"},"bad":{"x-mcp-header":"a b"},"empty":{"x-mcp-header":""},"n":{}}}},{"name":"b"}]}"#;
    assert_eq!(mirrored(list, "a"), Some(vec![("region".into(), "region".into())]));
    assert_eq!(mirrored(list, "b"), Some(Vec::new()));
    assert_eq!(mirrored(list, "c"), None);
}

#[test]
fn a_list_has_only_the_tools_that_may_be_used() {
    let list = r#"{"tools":[{"name":"a"},{"name":"b"},{}],"nextCursor":"c"}"#;
    let expected = r#"{"tools":[{"name":"a"}],"nextCursor":"c"}"#;
    assert_eq!(only_tools(list, |tool| tool == "a").as_deref(), Ok(expected));
}
