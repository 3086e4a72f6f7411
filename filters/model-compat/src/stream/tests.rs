mod foreign;

use std::mem;

use weir_core::testing::Bench;
use weir_core::{Effect, Filter, Side, StreamId, UnixTime};

use super::*;
use crate::filter::{BROKEN, CONCEALED, REFUSED};

const CONFIG: &str = r#"{"cluster": "cloud@two", "authority": "api.example.com", "base_path": "/llm/v1"}"#;

const BODY: &str = r#"{"model":"index","n":1}"#;

const CHAT: &str = "/v1/chat/completions\n9 16 23\n\"index\"\ncloud gpt\ncloud@two index-1.9b-chat";

fn filter(config: &str) -> Result<Rc<ModelCompat>, String> {
    let config = serde_json::from_str(config).unwrap();
    ModelCompat::new(config).map(Rc::new).map_err(|error| error.to_string())
}

/// A bench on which the router has published this.
fn bench(forward: &str) -> Bench {
    let bench = Bench::default();
    bench.state.borrow_mut().insert(state::FORWARD.into(), forward.into());
    bench
}

fn head(bench: &Bench, stream: &mut CompatStream) -> (Flow, Vec<Effect>) {
    let fields = [
        (":path", "/of/the/last/attempt"),
        (":authority", "api.example.com"),
        ("content-length", "999"),
        ("accept-encoding", "gzip"),
    ];
    bench.run(|cx| stream.on_request_head(cx, &Head::new(&fields, false)))
}

fn set(name: &'static str, value: &str) -> Effect {
    Effect::SetHeader(Side::Request, name.into(), value.into())
}

/// What becomes of a request whose body comes in these chunks: its body, and the content-length it says.
fn sent(config: &str, forward: &str, chunks: &[&str]) -> (String, Option<String>) {
    let (bench, mut stream) = (bench(forward), filter(config).unwrap().stream(StreamId(1)));
    assert_eq!(head(&bench, &mut stream).0, Flow::Wait);
    let (mut held, mut flowed, mut length) = (String::new(), String::new(), None);
    for (at, chunk) in chunks.iter().enumerate() {
        let end = chunks.len() == at.saturating_add(1);
        held.push_str(chunk);
        let (flow, effects) = bench.run(|cx| match matches!(stream.outgoing, Outgoing::Done) {
            true => Flow::Continue,
            false => stream.on_request_body(cx, chunk.as_bytes(), end),
        });
        let mut parts = Vec::new();
        for effect in effects {
            match effect {
                Effect::ReplaceBody(Side::Request, range, with) => parts.push((range, with)),
                Effect::SetHeader(_, name, value) if name == "content-length" => length = Some(value),
                _ => {}
            }
        }
        for (range, with) in parts.into_iter().rev() {
            held.replace_range(range, str::from_utf8(&with).unwrap());
        }
        if flow == Flow::Continue {
            flowed.push_str(&mem::take(&mut held));
        }
    }
    assert_eq!(held, "");
    (flowed, length)
}

#[test]
fn an_attempt_gets_the_upstreams_path_host_and_model() {
    let bench = bench(&CHAT.replace("completions", "completions?a=b"));
    let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
    let expected = vec![
        set(":path", "/llm/v1/chat/completions?a=b"),
        Effect::RemoveHeader(Side::Request, "accept-encoding".into()),
        Effect::Publish(state::UPSTREAM_MODEL, "index-1.9b-chat".into()),
        Effect::Count(ATTEMPTS, 1),
        Effect::Read(Part::RequestBody),
        Effect::Read(Part::ResponseHead),
        Effect::Read(Part::ResponseBody),
    ];
    assert_eq!(head(&bench, &mut stream), (Flow::Wait, expected));
    let (flow, effects) = bench.run(|cx| stream.on_request_body(cx, BODY.as_bytes(), true));
    assert_eq!(flow, Flow::Continue);
    let body = r#"{"model":"index-1.9b-chat","n":1}"#;
    let expected = [
        Effect::Skip(Part::RequestBody),
        set("content-length", "33"),
        Effect::ReplaceBody(Side::Request, 0..23, body.into()),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn however_a_body_is_cut_its_model_is_replaced_once() {
    for cut in 0..BODY.len() {
        let forward = "/v1/embeddings\n9 16\n\"index\"\ncloud@two index-1.9b-chat";
        let (first, second) = BODY.split_at(cut);
        let (body, length) = sent(CONFIG, forward, &[first, second]);
        assert_eq!((body.as_str(), length), (r#"{"model":"index-1.9b-chat","n":1}"#, None), "{cut}");
    }
}

#[test]
fn however_the_body_of_a_stream_is_cut_its_usage_is_asked_for() {
    let body = r#"{"model":"index","stream":true,"x":{}}  "#;
    let question = r#","stream_options":{"include_usage":true}}  "#;
    let forward = CHAT.replace("16 23", &format!("16 {}", body.len()));
    for cut in 0..body.len() {
        let (first, second) = body.split_at(cut);
        let (sent, length) = sent(CONFIG, &forward, &[first, second, ""]);
        assert_eq!(sent, format!(r#"{{"model":"index-1.9b-chat","stream":true,"x":{{}}{question}"#), "{cut}");
        assert_eq!(length, Some(sent.len().to_string()), "{cut}");
    }
    let whole = r#"{"model":"index","stream":false}"#;
    let forward = CHAT.replace("16 23", &format!("16 {}", whole.len()));
    let (sent, length) = sent(CONFIG, &forward, &[&whole[..20], &whole[20..]]);
    assert_eq!(sent, format!(r#"{{"model":"index-1.9b-chat","stream":false{}}}"#, " ".repeat(40)));
    assert_eq!(length, Some(sent.len().to_string()));
}

#[test]
fn a_body_that_rules_edit_is_held_whole() {
    let config = CONFIG.replace('}', r#", "held_body_bytes": 40, "rules": {"params": {"drop": ["n"]}}}"#);
    for cut in 0..BODY.len() {
        let (first, second) = BODY.split_at(cut);
        assert_eq!(sent(&config, CHAT, &[first, second]).0, r#"{"model":"index-1.9b-chat"}"#, "{cut}");
    }
    let mut stream = filter(&config).unwrap().stream(StreamId(1));
    let bench = bench(CHAT);
    head(&bench, &mut stream);
    let long = format!("{{\"model\":\"index\",\"x\":\"{}", "y".repeat(40));
    let (flow, effects) = bench.run(|cx| stream.on_request_body(cx, long.as_bytes(), false));
    let Flow::Reply(reply) = flow else { panic!("{flow:?} is no reply") };
    assert_eq!((reply.status, effects), (413, vec![Effect::Count(REFUSED, 1)]));
}

#[test]
fn rules_that_come_with_a_request_stand_before_those_of_the_cluster() {
    let config = CONFIG.replace('}', r#", "rules": {"params": {"set": {"x": 1}}}}"#);
    let own = format!(r#"{CHAT} {{"params":{{"drop":["n"]}}}}"#);
    assert_eq!(sent(&config, &own, &[BODY]).0, r#"{"model":"index-1.9b-chat"}"#);
    assert_eq!(sent(&config, CHAT, &[BODY]).0, r#"{"model":"index-1.9b-chat","n":1,"x":1}"#);
}

#[test]
fn a_member_that_a_model_does_not_take_is_refused() {
    let config = CONFIG.replace('}', r#", "rules": {"params": {"refuse": ["n"]}}}"#);
    let (bench, mut stream) = (bench(CHAT), filter(&config).unwrap().stream(StreamId(1)));
    head(&bench, &mut stream);
    let (flow, _) = bench.run(|cx| stream.on_request_body(cx, BODY.as_bytes(), true));
    let Flow::Reply(reply) = flow else { panic!("{flow:?} is no reply") };
    assert_eq!((reply.status, &*reply.details), (400, "weir_model_compat_unsupported_parameter"));
}

#[test]
fn without_a_host_of_its_own_an_upstream_is_called_by_its_address() {
    let mut bench = bench("/v1/embeddings\n9 16\n\"a\"\nidc index");
    bench.attributes.insert("upstream.address".into(), b"10.0.0.1:8000".to_vec());
    let (_, effects) = head(&bench, &mut filter(r#"{"cluster": "idc"}"#).unwrap().stream(StreamId(1)));
    assert_eq!(effects[..2], [set(":path", "/embeddings"), set(":authority", "10.0.0.1:8000")]);
}

#[test]
fn an_upstream_has_a_form_of_paths_of_its_own() {
    let config = CONFIG.replace(
        '}',
        r#", "path": "/deployments/{model}{endpoint}", "query": {"api-version": "2024-10-21"}}"#,
    );
    let filter = filter(&config).unwrap();
    let path = |asked: &str, model: &str| filter.path(asked, model);
    let base = "/llm/v1/deployments";
    assert_eq!(
        path("/v1/chat/completions", "gpt-4o"),
        Some(format!("{base}/gpt-4o/chat/completions?api-version=2024-10-21"))
    );
    assert_eq!(
        path("/v1/embeddings?x=1&api-version=2&y", "a/b"),
        Some(format!("{base}/a%2Fb/embeddings?x=1&y&api-version=2024-10-21"))
    );
    assert_eq!((path("/v1/embeddings", ".."), path("/v2/x", "a")), (None, None));
}

#[test]
fn what_is_published_nothing_of_passes_untouched() {
    let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
    assert_eq!(head(&Bench::default(), &mut stream), (Flow::Continue, vec![]));
}

#[test]
fn a_request_that_does_not_belong_here_goes_no_further() {
    let foreign = [
        "/v1/chat/completions\n9 16\n\"a\"\ncloud gpt",
        "/v1/chat/completions\n9 16\n\"a\"",
        "/v2/chat\n9 16\n\"a\"\ncloud@two gpt",
        "/v10/x\n9 16\n\"a\"\ncloud@two gpt",
        "/v1/chat/completions\n9 16\n\"a\"\ncloud@two gpt {\"unknown\":1}",
        "nonsense",
    ];
    for forward in foreign {
        let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
        let (flow, effects) = head(&bench(forward), &mut stream);
        assert_eq!(
            (flow, effects),
            (Flow::Reply(Reply::fault()), vec![Effect::Count(MISROUTED, 1)]),
            "{forward}"
        );
    }
    let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
    let short = bench("/v1/chat/completions\n90 96\n\"a\"\ncloud@two gpt");
    head(&short, &mut stream);
    let (flow, _) = short.run(|cx| stream.on_request_body(cx, BODY.as_bytes(), true));
    assert_eq!(flow, Flow::Reply(Reply::fault()));
}

#[test]
fn a_wrong_configuration_is_refused() {
    for (field, value) in [("base_path", "v1"), ("base_path", "/v1/"), ("path", "deployments")] {
        let config = format!(r#"{{"cluster": "idc", "{field}": "{value}"}}"#);
        assert!(filter(&config).unwrap_err().starts_with(field), "{field} {value}");
    }
}

/// A response: what becomes of its head, and of each chunk of its body, of which the last one ends it.
fn respond(head_of: &[(&str, &str)], chunks: &[&str]) -> Vec<(Flow, Vec<Effect>)> {
    let (bench, mut stream) = answered();
    let mut told = vec![bench.run(|cx| stream.on_response_head(cx, &Head::new(head_of, chunks.is_empty())))];
    for (at, chunk) in chunks.iter().enumerate() {
        let end = chunks.len() == at.saturating_add(1);
        told.push(bench.run(|cx| stream.on_response_body(cx, chunk.as_bytes(), end)));
    }
    told
}

/// A stream whose request has been sent, 250 ms ago.
fn answered() -> (Bench, CompatStream) {
    let (bench, mut stream) = (bench(CHAT), filter(CONFIG).unwrap().stream(StreamId(1)));
    head(&bench, &mut stream);
    bench.run(|cx| stream.on_request_body(cx, br#"{"model":"index","stream":true}"#, true));
    (bench.at(UnixTime::from_nanos(250_999_999)), stream)
}

const JSON: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/json")];
const EVENTS: [(&str, &str); 2] = [(":status", "200"), ("content-type", "text/event-stream")];

fn publish(key: &'static str, value: &str) -> Effect {
    Effect::Publish(key, value.into())
}

#[test]
fn a_stream_is_made_the_clients_and_what_it_has_used_is_told_as_it_grows() {
    let event = |text: &str| {
        format!("data: {{\"model\":\"up\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n";
    let last = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let (hello, flow) = (event("Hello"), event(" flow"));
    let told = respond(
        &EVENTS,
        &["data: {\"model\":\"up\"", &hello[19..], &flow, last, usage, "data: [DONE]\n\n", ""],
    );
    let expected = [
        (Flow::Wait, vec![]),
        (Flow::Wait, vec![]),
        (
            Flow::Continue,
            vec![
                Effect::RemoveHeader(Side::Response, "content-length".into()),
                Effect::ReplaceBody(Side::Response, 0..hello.len(), hello.replace("up", "index").into()),
                publish(state::FIRST_TOKEN, "250"),
                publish(state::USAGE, "0 2 0 0 counted"),
            ],
        ),
        (
            Flow::Continue,
            vec![
                Effect::ReplaceBody(Side::Response, 0..flow.len(), flow.replace("up", "index").into()),
                publish(state::USAGE, "0 3 0 0 counted"),
            ],
        ),
        (Flow::Continue, vec![publish(state::FINISH_REASON, "stop")]),
        (
            Flow::Continue,
            vec![
                Effect::ReplaceBody(Side::Response, 0..usage.len(), vec![]),
                publish(state::USAGE, "7 3 0 0 upstream"),
            ],
        ),
        (Flow::Continue, vec![]),
        (Flow::Continue, vec![]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_stream_that_ends_before_it_is_over_tells_the_client_and_is_charged_by_what_came() {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
    let told = respond(&EVENTS, &[event, ""]);
    let error = concat!(
        "data: {\"error\":{\"message\":\"The upstream's answer has ended before it was complete.\",",
        "\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_incomplete\"}}\n\n",
    );
    let effects = vec![
        Effect::ReplaceBody(Side::Response, 0..0, error.into()),
        publish(state::FINISH_REASON, "error"),
        Effect::Count(BROKEN, 1),
    ];
    assert_eq!(told[1].1.last(), Some(&publish(state::USAGE, "0 2 0 0 counted")));
    assert_eq!(told[2], (Flow::Continue, effects));
}

#[test]
fn a_stream_that_its_upstream_cuts_when_it_has_told_the_prompt_is_charged_by_what_came() {
    let event =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}],\"usage\":{\"prompt_tokens\":7}}\n\n";
    let (bench, mut stream) = answered();
    bench.run(|cx| stream.on_response_head(cx, &Head::new(&EVENTS, false)));
    bench.run(|cx| stream.on_response_body(cx, event.as_bytes(), false));
    bench.run(|cx| stream.on_end(cx));
    assert_eq!(bench.state.borrow().get(state::USAGE), Some(&b"7 2 0 0 upstream".to_vec()));
}

#[test]
fn a_thought_is_where_the_rules_of_the_model_want_it() {
    let body = r#"{"model":"up","choices":[{"message":{"content":"<think>hm</think>4"}}]}"#;
    for (think, message) in [
        ("keep", r#""content":"<think>hm</think>4""#),
        ("reasoning_content", r#""reasoning_content":"hm","content":"4""#),
        ("strip", r#""content":"4""#),
        ("tags", r#""content":"<think>hm</think>4""#),
    ] {
        let forward = bench(&format!(r#"{CHAT} {{"think":"{think}"}}"#));
        let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
        head(&forward, &mut stream);
        forward.run(|cx| stream.on_response_head(cx, &Head::new(&JSON, false)));
        let (_, effects) = forward.run(|cx| stream.on_response_body(cx, body.as_bytes(), true));
        let expected = format!(r#"{{"model":"index","choices":[{{"message":{{{message}}}}}]}}"#);
        assert!(
            effects.contains(&Effect::ReplaceBody(Side::Response, 0..body.len(), expected.into())),
            "{think}"
        );
    }
}

#[test]
fn a_whole_answer_is_made_the_clients() {
    let body =
        r#"{"model":"up","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
    let told = respond(&JSON, &[&body[..9], &body[9..]]);
    let expected = body.replace("up", "index");
    assert_eq!(told[..2], [(Flow::Wait, vec![]), (Flow::Wait, vec![])]);
    let effects = vec![
        Effect::SetHeader(Side::Response, "content-length".into(), expected.len().to_string()),
        Effect::ReplaceBody(Side::Response, 0..body.len(), expected.into()),
        publish(state::USAGE, "7 2 0 0 upstream"),
        Effect::Skip(Part::ResponseBody),
    ];
    assert_eq!(told[2], (Flow::Continue, effects));
}

#[test]
fn an_answer_that_is_too_long_to_be_held_is_metered_while_it_flows() {
    let vector = "0.123,".repeat(100_000);
    let body = format!(r#"{{"data":[{vector}0],"usage":{{"prompt_tokens":7,"total_tokens":7}}}}"#);
    let (bench, mut stream) = answered();
    bench.run(|cx| stream.on_response_head(cx, &Head::new(&JSON, false)));
    for chunk in body.as_bytes().chunks(64 * 1024) {
        let (_, effects) = bench.run(|cx| stream.on_response_body(cx, chunk, false));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::ReplaceBody(..))));
    }
    let (_, effects) = bench.run(|cx| stream.on_end(cx));
    assert_eq!(effects, [publish(state::USAGE, "7 0 0 0 upstream")]);
}

#[test]
fn an_answer_that_cannot_be_read_flows_untouched() {
    let flows = (Flow::Continue, vec![Effect::Skip(Part::ResponseBody)]);
    assert_eq!(respond(&[(":status", "429")], &["x"])[0], flows);
    assert_eq!(respond(&JSON, &[]), core::slice::from_ref(&flows));
    let compressed = [&JSON[..], &[("content-encoding", "gzip")]].concat();
    assert_eq!(respond(&compressed, &["x"])[0], flows);
}

#[test]
fn an_error_in_a_200_gets_its_status_and_ends_there() {
    let error = r#"{"error":{"message":"Busy","code":503}}"#;
    let replaced = |length| {
        vec![
            Effect::SetHeader(Side::Response, ":status".into(), "503".into()),
            Effect::Count(CONCEALED, 1),
            Effect::RemoveHeader(Side::Response, "content-length".into()),
            Effect::SetHeader(Side::Response, "content-type".into(), "application/json".into()),
            Effect::ReplaceBody(Side::Response, 0..length, error.into()),
        ]
    };
    let told = respond(&JSON, &[error]);
    assert_eq!(told[1], (Flow::Continue, replaced(error.len())));
    let event = format!("data: {error}\n\n");
    let told = respond(&EVENTS, &[": wait\n\n", &event, "data: [DONE]\n\n"]);
    assert_eq!(told[2], (Flow::Continue, replaced(event.len().saturating_add(8))));
    assert_eq!(told[3], (Flow::Continue, vec![Effect::ReplaceBody(Side::Response, 0..14, Vec::new())]));
}

#[test]
fn an_error_is_known_before_trailers_come_and_what_they_cut_flows() {
    for (body, status) in [(r#"{"error":{"code":429}}"#, Some("429")), (r#"{"error":{"code":429}"#, None)] {
        let (bench, mut stream) = answered();
        bench.run(|cx| stream.on_response_head(cx, &Head::new(&JSON, false)));
        let (_, effects) = bench.run(|cx| stream.on_response_body(cx, body.as_bytes(), false));
        let set = status.map(|status| Effect::SetHeader(Side::Response, ":status".into(), status.into()));
        assert_eq!(effects.first(), set.as_ref());
        let trailers: [(&str, &str); 0] = [];
        let (flow, effects) = bench.run(|cx| stream.on_response_trailers(cx, &Head::new(&trailers, true)));
        assert_eq!((flow, effects.len()), (Flow::Continue, usize::from(status.is_none())));
    }
}
