use super::*;

pub(super) fn names(result: &Value, list: &str) -> Vec<String> {
    let all = result[list].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tools_are_listed_page_by_page() {
    let first = Request::new().post(&request("tools/list", &json!({})), &[]).result();
    assert_eq!(names(&first, "tools"), ["query-logs", "echo", "region", "count"]);
    assert_eq!(first["tools"][0]["inputSchema"]["properties"]["level"]["enum"], json!(["INFO", "ERROR"]));
    let cursor = json!({"cursor": first["nextCursor"]});
    let second = Request::new().post(&request("tools/list", &cursor), &[]).result();
    assert_eq!((names(&second, "tools"), second.get("nextCursor")), (vec!["details".to_owned()], None));
    for cursor in [json!("x"), json!(""), json!(5), json!("MDAwMDAwMDAwMDAwMDAwMDo0")] {
        let refused = Request::new().post(&request("tools/list", &json!({"cursor": cursor})), &[]);
        assert_eq!(refused.error(), (200, -32602), "{cursor}");
    }
}

#[test]
fn a_caller_sees_and_calls_what_it_may_use() {
    let listed = Request::of("poor").post(&request("tools/list", &json!({})), &[]).result();
    assert_eq!(names(&listed, "tools"), ["echo"]);
    let call = |name: &str| request("tools/call", &json!({"name": name, "arguments": {"text": "hi"}}));
    let own = Request::of("poor").post(&call("echo"), &[]).result();
    assert_eq!(own["content"][0]["text"], "you said hi");
    let denied = Request::of("poor").post(&call("region"), &[]);
    let unknown = Request::of("poor").post(&call("nope"), &[]);
    assert_eq!(denied.json().1["error"]["message"], "Unknown tool: region");
    assert_eq!((denied.error(), unknown.error()), ((200, -32602), (200, -32602)));
    assert_eq!(
        (denied.outcome.as_deref(), unknown.outcome.as_deref()),
        (Some("denied"), Some("unknown_tool"))
    );
}

#[test]
fn resources_are_listed_and_read() {
    let listed = Request::new().post(&request("resources/list", &json!({})), &[]).result();
    assert_eq!(
        listed,
        json!({"resources": [
            {"uri": "logs://levels", "name": "levels", "mimeType": "application/json"}
        ]})
    );
    let listed = Request::new().post(&request("resources/templates/list", &json!({})), &[]).result();
    assert_eq!(listed, json!({"resourceTemplates": [{"uriTemplate": "logs://app/{appid}", "name": "app"}]}));
    let read = |uri: &str| request("resources/read", &json!({"uri": uri}));
    let fixed = Request::new().post(&read("logs://levels"), &[]).result();
    assert_eq!(
        fixed["contents"],
        json!([{"uri": "logs://levels", "mimeType": "application/json", "text": "[1]"}])
    );
    let mut asked = Request::new();
    let held = asked.post(&read("logs://app/a%20b"), &[]);
    assert_eq!((&held.flow, held.paths()), (&Flow::Wait, vec!["/apps/a%20b"]));
    let content = asked.called(1, 200, "text/plain", b"x").result();
    assert_eq!(
        content["contents"],
        json!([{"uri": "logs://app/a%20b", "mimeType": "text/plain", "text": "x"}])
    );
}

#[test]
fn a_resource_that_is_not_there_is_told_as_each_revision_wants() {
    let read = json!({"uri": "logs://nope"});
    assert_eq!(Request::new().post(&request("resources/read", &read), &[]).error(), (200, -32002));
    let headers = [LATEST, ("mcp-method", "resources/read"), ("mcp-name", "logs://nope")];
    assert_eq!(Request::new().post(&modern("resources/read", read), &headers).error(), (400, -32602));
    let mut asked = Request::new();
    asked.post(&request("resources/read", &json!({"uri": "logs://app/x"})), &[]);
    assert_eq!(asked.answers(1, 404, "gone").error(), (200, -32002));
    let mut asked = Request::new();
    asked.post(&request("resources/read", &json!({"uri": "logs://app/x"})), &[]);
    assert_eq!(asked.answers(1, 500, "").error(), (200, -32603));
}

#[test]
fn prompts_are_listed_and_filled() {
    let listed = Request::new().post(&request("prompts/list", &json!({})), &[]).result();
    assert_eq!(
        listed,
        json!({"prompts": [{
            "name": "triage", "description": "d",
            "arguments": [{"name": "appid", "required": true}, {"name": "note", "required": false}]
        }]})
    );
    let get = |params: Value| Request::new().post(&request("prompts/get", &params), &[]);
    let filled = get(json!({"name": "triage", "arguments": {"appid": "{{ .note }}"}})).result();
    assert_eq!(
        filled,
        json!({
            "description": "d",
            "messages": [{"role": "user", "content": {"type": "text", "text": "Look at {{ .note }}"}}]
        })
    );
    for params in [
        json!({"name": "triage"}),
        json!({"name": "triage", "arguments": {"appid": 5}}),
        json!({"name": "nope"}),
        json!({}),
    ] {
        assert_eq!(get(params.clone()).error(), (200, -32602), "{params}");
    }
}

#[test]
fn values_are_completed() {
    let complete = |of: Value, argument: Value| {
        let body = request("completion/complete", &json!({"ref": of, "argument": argument}));
        Request::new().post(&body, &[])
    };
    let resource = json!({"type": "ref/resource", "uri": "logs://app/{appid}"});
    let completed = complete(resource, json!({"name": "appid", "value": "sea"})).result();
    assert_eq!(completed, json!({"completion": {"values": ["search", "sea"], "total": 2, "hasMore": false}}));
    let prompt = json!({"type": "ref/prompt", "name": "triage"});
    let completed = complete(prompt, json!({"name": "note", "value": ""})).result();
    assert_eq!(completed["completion"]["values"], json!([]));
    let unknown = json!({"type": "ref/prompt", "name": "nope"});
    assert_eq!(complete(unknown, json!({"name": "note", "value": ""})).error(), (200, -32602));
}

#[test]
fn since_2026_07_28_a_stream_is_asked_for_by_a_message() {
    let mut with_hub = config();
    with_hub["hub"] = true.into();
    let mut request = Request::with("team", with_hub);
    let seen = request.head("GET", "/logging-mcp", &[(ROUTE_HEADER, HUB_ROUTE), LATEST]);
    assert_eq!(seen.text().0, 405);
}

#[test]
fn a_hub_holds_the_streams_and_tells_of_changes() {
    let mut with_hub = config();
    with_hub["hub"] = true.into();
    let mut request = Request::with("team", with_hub.clone());
    let discovered = request.post(&modern("server/discover", json!({})), &[LATEST, METHOD]).result();
    assert_eq!(discovered["capabilities"]["tools"], json!({"listChanged": true}));

    let listen = modern("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut request = Request::with("team", with_hub.clone());
    assert_eq!(request.post(&listen, &[LATEST, ("mcp-method", "subscriptions/listen")]).flow, Flow::Continue);

    // The `router` filter has said that it is the hub's.
    for (method, path) in [("GET", "/logging-mcp/sse"), ("POST", "/logging-mcp/message?session_id=1")] {
        let mut request = Request::with("team", with_hub.clone());
        assert_eq!(request.head(method, path, &[(ROUTE_HEADER, HUB_ROUTE)]).flow, Flow::Continue);
        let mut request = Request::with("team", with_hub.clone());
        let evil = [(ROUTE_HEADER, HUB_ROUTE), ("origin", "https://evil.example.com")];
        assert_eq!(request.head(method, path, &evil).text().0, 403);
    }
    let mut request = Request::with("team", with_hub);
    assert_eq!(request.head("POST", "/logging-mcp/sse", &[]).text().0, 405);
    assert_eq!(Request::new().head("GET", "/logging-mcp/sse", &[]).text().0, 404);
}

const METHOD: (&str, &str) = ("mcp-method", "server/discover");
