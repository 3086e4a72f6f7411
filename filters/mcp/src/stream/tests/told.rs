//! What metrics and the access log are told of calls.

use super::*;

/// Calls a tool, with what `router` has said of it, lets it end, and gives what metrics read.
fn told(config: Value, tool: &str, answer: Option<u16>) -> [Option<String>; 4] {
    let mut request = Request::with("team", config);
    request.bench.state.borrow_mut().insert(state::MCP_TOOL.into(), tool.into());
    request.bench.now = UnixTime::from_seconds(100);
    request.post(&super::request("tools/call", &json!({"name": tool, "arguments": {}})), &[]);
    request.bench.now = UnixTime::from_seconds(102);
    if let Some(status) = answer {
        request.answers(1, status, "{\"items\": []}");
    }
    request.bench.run(|cx| request.stream.on_end(cx));
    let said = request.bench.state.borrow();
    [state::MCP_KNOWN_TOOL, state::MCP_OUTCOME, state::MCP_UPSTREAM_CODE, state::MCP_MILLIS]
        .map(|name| said.get(name).map(|value| String::from_utf8(value.clone()).unwrap()))
}

#[test]
fn a_call_is_told_by_the_name_that_the_configuration_has() {
    let some = |texts: [&str; 4]| texts.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
    assert_eq!(told(config(), "count", Some(200)), some(["count", "ok", "200", "2000"]));
    assert_eq!(told(config(), "count", Some(503)), some(["count", "upstream_5xx", "503", "2000"]));
    assert_eq!(told(config(), "count", None), some(["count", "unfinished", "", "2000"]));
    assert_eq!(told(config(), "made-up", None), some(["_unknown", "unknown_tool", "", "2000"]));
    let mut proxied = config();
    proxied["servers"][0]["backend"] = json!({"proxy": {
        "upstreams": [{"name": "up", "cluster": "up", "route": "up", "path": "/mcp"}], "allow_tools": ["add", "get_*"]
    }});
    assert_eq!(told(proxied.clone(), "add", None), some(["add", "unfinished", "", "2000"]));
    assert_eq!(told(proxied, "get_x", None), some(["_unknown", "unfinished", "", "2000"]));
}

#[test]
fn what_calls_nothing_is_not_told() {
    let mut request = Request::new();
    request.post(&super::request("tools/list", &json!({})), &[]);
    let (_, effects) = request.bench.run(|cx| request.stream.on_end(cx));
    assert_eq!(effects, []);
}
