//! Clients and upstreams that speak different interfaces.

use super::*;

const MESSAGE: &str = r#"{"model":"index","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-1","model":"index-1.9b-chat","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;

/// What Anthropic's client gets from a chat upstream that answers with this: the status that is set, and the body.
fn told(status: &str, answer: &str) -> (Option<String>, String) {
    let (bench, mut stream) = asked("/v1/messages", CONFIG);
    let length = answer.len();
    let head = [(":status", status), ("content-type", "application/json")];
    let (flow, _) = bench.run(|cx| stream.on_response_head(cx, &Head::new(&head, false)));
    assert_eq!(flow, Flow::Wait);
    let (flow, effects) = bench.run(|cx| stream.on_response_body(cx, answer.as_bytes(), true));
    assert_eq!(flow, Flow::Continue);
    let mut status = None;
    let mut body = None;
    for effect in effects {
        match effect {
            Effect::SetHeader(Side::Response, name, value) if name == ":status" => status = Some(value),
            Effect::ReplaceBody(Side::Response, range, with) if range == (0..length) => body = Some(with),
            _ => {}
        }
    }
    (status, String::from_utf8(body.unwrap()).unwrap())
}

/// A stream whose request has been sent to the upstream.
fn asked(path: &str, config: &str) -> (Bench, CompatStream) {
    let bench = bench(&format!("{path}\n9 16 {}\n\"index\"\ncloud@two index-1.9b-chat", MESSAGE.len()));
    let mut stream = filter(config).unwrap().stream(StreamId(1));
    assert_eq!(head(&bench, &mut stream).0, Flow::Wait);
    let (flow, _) = bench.run(|cx| stream.on_request_body(cx, MESSAGE.as_bytes(), true));
    assert_eq!(flow, Flow::Continue);
    (bench, stream)
}

#[test]
fn a_request_is_written_in_the_interface_of_its_upstream() {
    let forward =
        format!("/v1/messages?beta=true\n9 16 {}\n\"index\"\ncloud@two index-1.9b-chat", MESSAGE.len());
    let expected =
        r#"{"model":"index-1.9b-chat","messages":[{"role":"user","content":"Hi"}],"max_tokens":9}"#;
    for cut in 0..MESSAGE.len() {
        let (first, second) = MESSAGE.split_at(cut);
        let (body, length) = sent(CONFIG, &forward, &[first, second]);
        assert_eq!((body.as_str(), length), (expected, Some(expected.len().to_string())), "{cut}");
    }
    let bench = bench(&forward);
    let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
    head(&bench, &mut stream);
    let (_, effects) = bench.run(|cx| stream.on_request_body(cx, MESSAGE.as_bytes(), true));
    assert!(effects.contains(&set(":path", "/llm/v1/chat/completions")), "{effects:?}");
}

#[test]
fn a_request_that_says_that_it_is_too_long_to_be_held_is_refused_at_its_head() {
    let forward = |length: u32| format!("/v1/messages\n9 16 {length}\n\"index\"\ncloud@two index-1.9b-chat");
    let told = |length| head(&bench(&forward(length)), &mut filter(CONFIG).unwrap().stream(StreamId(1))).0;
    assert_eq!(told(1024 * 1024), Flow::Wait);
    let Flow::Reply(reply) = told(1024 * 1024 + 1) else { panic!("no reply") };
    let body = str::from_utf8(&reply.body).unwrap();
    assert!(reply.status == 413 && body.contains("request_too_large") && body.contains("1048576"), "{body}");
}

#[test]
fn an_upstream_that_speaks_as_its_client_gets_what_it_wrote() {
    let config = CONFIG.replace('}', r#", "protocols": ["messages"]}"#);
    let forward = "/v1/messages\n9 16\n\"index\"\ncloud@two index-1.9b-chat";
    let (body, _) = sent(&config, forward, &[MESSAGE]);
    assert_eq!(body, MESSAGE.replace("index", "index-1.9b-chat"));
    let mut stream = filter(&config).unwrap().stream(StreamId(1));
    let (_, effects) = head(&bench(forward), &mut stream);
    assert!(effects.contains(&set("anthropic-version", "2023-06-01")), "{effects:?}");
}

#[test]
fn an_answer_and_an_error_are_told_in_the_clients_words() {
    let (status, body) = told("200", ANSWER);
    assert_eq!(status, None);
    assert!(body.contains(r#""type":"message""#) && body.contains(r#""text":"Hello""#), "{body}");
    assert!(body.contains(r#""model":"index""#), "{body}");
    let limited = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow."}}"#.to_owned();
    assert_eq!(told("429", r#"{"error":{"message":"Slow."}}"#), (None, limited.clone()));
    let concealed = r#"{"error":{"message":"Slow.","code":429}}"#;
    assert_eq!(told("200", concealed), (Some("429".into()), limited));
    let (status, body) = told("200", r#"{"something":"else"}"#);
    assert_eq!(status, Some("502".into()));
    assert!(body.contains("api_error"), "{body}");
}

#[test]
fn what_cannot_be_translated_is_refused_and_what_cannot_be_counted_is_estimated() {
    let answer = |path: &str, body: &str| {
        let bench = bench(&format!("{path}\n9 16\n\"index\"\ncloud@two index-1.9b-chat"));
        let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
        head(&bench, &mut stream);
        match bench.run(|cx| stream.on_request_body(cx, body.as_bytes(), true)).0 {
            Flow::Reply(reply) => (reply.status, String::from_utf8(reply.body.to_vec()).unwrap()),
            flow => panic!("{flow:?} is no reply"),
        }
    };
    let (status, body) =
        answer("/v1/messages", r#"{"model":"index","messages":[],"tools":[{"type":"bash_20250124"}]}"#);
    assert!(status == 400 && body.starts_with(r#"{"type":"error","error":{"type":"invalid_request_error""#));
    let (status, body) = answer("/v1/responses", r#"{"model":"index","background":true}"#);
    assert!(status == 400 && body.contains(r#""code":"unsupported_by_upstream""#));
    let (status, body) = answer("/v1/messages/count_tokens", MESSAGE);
    assert!(status == 200 && body.starts_with(r#"{"input_tokens":"#), "{body}");
}

#[test]
fn what_another_attempt_has_left_is_removed() {
    let config = CONFIG.replace('}', r#", "foreign_credentials": ["authorization", "x-api-key"]}"#);
    let mut stream = filter(&config).unwrap().stream(StreamId(1));
    let fields = [
        (":path", "/x"),
        ("x-api-key", "of another"),
        ("api-key", "its own"),
        ("anthropic-version", "2023-06-01"),
    ];
    let (_, effects) = bench(CHAT).run(|cx| stream.on_request_head(cx, &Head::new(&fields, false)));
    let removed = |name: &'static str| effects.contains(&Effect::RemoveHeader(Side::Request, name.into()));
    assert!(
        removed("x-api-key")
            && removed("anthropic-version")
            && !removed("authorization")
            && !removed("api-key"),
        "{effects:?}"
    );
}
