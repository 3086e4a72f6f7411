use weir_core::UnixTime;

use super::*;

fn call(name: &str, arguments: &Value) -> String {
    request("tools/call", &json!({"name": name, "arguments": arguments}))
}

fn logs() -> (Request, Seen) {
    let mut asked = Request::new();
    let seen = asked.post(&call("query-logs", &json!({"appid": "a&b", "level": "INFO"})), &[]);
    (asked, seen)
}

fn failure(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": true})
}

#[test]
fn a_tool_calls_its_api_and_answers_with_its_bytes() {
    let (mut asked, seen) = logs();
    let fields = |call: &Call| -> Vec<(String, String)> {
        call.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
    };
    assert_eq!(seen.flow, Flow::Wait);
    let [called] = seen.calls.as_slice() else { panic!("{seen:?}") };
    assert_eq!((called.cluster.as_str(), called.timeout_ms, called.max_answer_bytes), ("logs", 30_000, 1000));
    let expected = [
        (":method", "GET"),
        (":path", "/logging/query?env=uat&appid=a%26b&level=INFO"),
        (":authority", "api.example.com"),
        ("accept", "application/json, */*;q=0.5"),
        ("accept-encoding", "identity"),
        ("user-agent", "weir-mcp"),
    ];
    assert_eq!(fields(called), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let answered = asked.answers(1, 200, "{ \"a\" : 1.50 }");
    assert_eq!(answered.result(), json!({"content": [{"type": "text", "text": "{ \"a\" : 1.50 }"}]}));
    assert_eq!(answered.outcome.as_deref(), Some("ok"));
}

#[test]
fn arguments_that_do_not_fit_are_told_to_the_model() {
    let seen = Request::new().post(&call("query-logs", &json!({"level": "TRACE"})), &[]);
    assert_eq!(
        seen.result(),
        failure(
            "Invalid arguments for tool \"query-logs\": \"level\" must be one of INFO, ERROR (got \"TRACE\"); \"appid\" is required"
        )
    );
    assert_eq!((seen.outcome.as_deref(), seen.calls.len()), (Some("invalid_args"), 0));
    for arguments in [json!(5), json!("x"), json!([])] {
        assert_eq!(Request::new().post(&call("query-logs", &arguments), &[]).error(), (200, -32602));
    }
    assert_eq!(Request::new().post(&request("tools/call", &json!({"name": 5})), &[]).error(), (200, -32602));
}

#[test]
fn an_api_that_fails_is_told_to_the_model() {
    type Act<'a> = &'a dyn Fn(&mut Request) -> Seen;
    let cases: [(Act<'_>, &str, &str); 8] = [
        (&|asked| asked.answers(1, 500, " oh no "), "HTTP 500: oh no", "upstream_5xx"),
        (&|asked| asked.answers(1, 404, ""), "HTTP 404", "upstream_4xx"),
        (&|asked| asked.answers(1, 302, ""), "HTTP 302", "upstream_4xx"),
        (&|asked| asked.answers(1, 504, "x"), "HTTP 504: x", "upstream_5xx"),
        (
            &|asked| {
                asked.answers(1, 503, "upstream connect error or disconnect/reset before headers. reset")
            },
            "the API could not be reached",
            "unreachable",
        ),
        (
            &|asked| asked.fails(1, CallError::Failed),
            "the API broke off, or its answer was too large",
            "unreachable",
        ),
        (&|asked| asked.fails(1, CallError::TooLarge), "the answer is larger than 1000 bytes", "tool_error"),
        (
            &|asked| asked.called(1, 200, "text/plain", b"\xff"),
            "the answer is not text in UTF-8",
            "tool_error",
        ),
    ];
    for (act, text, outcome) in cases {
        let (mut asked, _) = logs();
        let seen = act(&mut asked);
        assert_eq!((seen.result(), seen.outcome.as_deref()), (failure(text), Some(outcome)));
    }
}

#[test]
fn an_api_that_is_too_slow_is_told_to_the_model() {
    let (mut asked, _) = logs();
    asked.bench.now = UnixTime::from_seconds(30);
    let seen = asked.answers(1, 504, "upstream request timeout");
    assert_eq!((seen.result(), seen.outcome.as_deref()), (failure("timed out after 30 s"), Some("timeout")));
}

#[test]
fn a_long_error_is_cut() {
    let (mut asked, _) = logs();
    let seen = asked.answers(1, 500, &"é".repeat(2000));
    let text = seen.result()["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text.len(), "HTTP 500: ".len() + 2048);
}

#[test]
fn an_answer_is_written_anew_and_checked() {
    let mut asked = Request::new();
    asked.post(&request("tools/call", &json!({"name": "count"})), &[]);
    let seen = asked.answers(1, 200, r#"{"items":[1,2]}"#);
    assert_eq!(
        seen.result(),
        json!({
            "content": [{"type": "text", "text": "{\"n\": 2}"}], "structuredContent": {"n": 2}
        })
    );
    let mut asked = Request::new();
    asked.post(&request("tools/call", &json!({"name": "count"})), &[]);
    assert_eq!(asked.answers(1, 409, r#"{"why":"busy"}"#).result(), failure("said 409: busy"));
    let mut asked = Request::new();
    asked.post(&request("tools/call", &json!({"name": "count"})), &[]);
    let text = asked.answers(1, 200, "[]").result()["content"][0]["text"].to_string();
    assert!(text.contains("items"), "{text}");
}

#[test]
fn an_image_stays_one() {
    let (mut asked, _) = logs();
    let seen = asked.called(1, 200, "image/png; x=y", &[0x89, 0x50]);
    assert_eq!(
        seen.result(),
        json!({"content": [{"type": "image", "data": "iVA=", "mimeType": "image/png"}]})
    );
}

#[test]
fn steps_run_as_soon_as_they_can() {
    let mut asked = Request::new();
    let first = asked.post(&call("details", &json!({"app": "x", "deep": "true"})), &[]);
    assert_eq!(first.paths(), ["/apps/x/nodes", "/apps/x/owner"]);
    let second = asked.answers(1, 200, r#"{"ids":["a/1",2]}"#);
    assert_eq!((&second.flow, second.paths()), (&Flow::Wait, vec!["/nodes/a%2F1", "/nodes/2"]));
    assert_eq!(asked.answers(4, 200, r#"{"n":2}"#).flow, Flow::Wait);
    let third = asked.answers(2, 200, r#"{"id":"o"}"#);
    assert_eq!(third.paths(), ["/deep/o"]);
    assert_eq!(asked.answers(5, 200, "deep").flow, Flow::Wait);
    let last = asked.answers(3, 200, r#"{"n":1}"#).result();
    let text = r#"{"list":{"ids":["a/1",2]},"owner":{"id":"o"},"deep":"deep","each":[{"n":1},{"n":2}]}"#;
    assert_eq!(last, json!({"content": [{"type": "text", "text": text}]}));
}

#[test]
fn a_step_that_is_passed_over_or_may_fail_leaves_the_rest() {
    let mut asked = Request::new();
    asked.post(&call("details", &json!({"app": "x"})), &[]);
    assert_eq!(asked.answers(2, 500, "").flow, Flow::Wait);
    let last = asked.answers(1, 200, r#"{"ids":[]}"#).result();
    let text = r#"{"list":{"ids":[]},"each":[]}"#;
    assert_eq!(last, json!({"content": [{"type": "text", "text": text}]}));
}

#[test]
fn the_first_step_that_fails_ends_all() {
    let mut asked = Request::new();
    asked.post(&call("details", &json!({"app": "x"})), &[]);
    let seen = asked.answers(1, 500, "down");
    assert_eq!(seen.result(), failure("step \"list\": HTTP 500: down"));
    assert_eq!(seen.outcome.as_deref(), Some("upstream_5xx"));
    assert_eq!(asked.answers(2, 200, "{}").flow, Flow::Wait);
}

#[test]
fn all_steps_share_one_deadline() {
    let mut asked = Request::new();
    asked.post(&call("details", &json!({"app": "x"})), &[]);
    asked.bench.now = UnixTime::from_seconds(20);
    let second = asked.answers(1, 200, r#"{"ids":[1]}"#);
    assert_eq!(second.calls[0].timeout_ms, 10_000);
    asked.bench.now = UnixTime::from_seconds(30);
    let seen = asked.answers(3, 504, "");
    assert_eq!(seen.result(), failure("step \"each\": timed out after 10 s"));
}

#[test]
fn a_batch_is_answered_when_all_of_it_is() {
    let mut asked = Request::new();
    let ping = request("ping", &json!({}));
    let one = call("query-logs", &json!({"appid": "1", "level": "INFO"}));
    let held = asked.post(&format!("[{one},{ping}]"), &[]);
    assert_eq!((&held.flow, held.calls.len()), (&Flow::Wait, 1));
    let seen = asked.answers(1, 200, "one");
    let (status, all) = seen.json();
    let text = |at: usize| all[at]["result"]["content"][0]["text"].as_str();
    assert_eq!((status, text(0), &all[1]["result"]), (200, Some("one"), &json!({})));
    assert_eq!(seen.outcome.as_deref(), Some("ok"));
    // Quotas count requests, so each call has one of its own.
    assert_eq!(Request::new().post(&format!("[{one},{one}]"), &[]).error(), (400, -32600));
}

#[test]
fn an_answer_goes_by_the_id_as_it_was_written() {
    let body = r#"{"jsonrpc":"2.0","id":"a\u00e9","method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#;
    let text = Request::new().post(body, &[]).text().1;
    assert_eq!(
        text,
        r#"{"jsonrpc":"2.0","id":"a\u00e9","result":{"content":[{"type":"text","text":"you said x"}]}}"#
    );
}
