use weir_core::testing::Bench;
use weir_core::{Effect, Filter, StreamId};

use super::*;

const CONFIG: &str = r#"{"cluster": "cloud@two", "authority": "api.example.com", "base_path": "/llm/v1"}"#;

const BODY: &str = r#"{"model":"index","n":1}"#;

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
    let fields = [(":path", "/of/the/last/attempt"), ("content-length", "999")];
    bench.run(|cx| stream.on_request_head(cx, &Head::new(&fields, false)))
}

fn set(name: &'static str, value: &str) -> Effect {
    Effect::SetHeader(Side::Request, name.into(), value.into())
}

#[test]
fn an_attempt_gets_the_upstreams_path_host_and_model() {
    let bench = bench("/v1/chat/completions?a=b\n9 16 23\ncloud gpt\ncloud@two index-1.9b-chat");
    let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
    let expected = vec![
        set(":path", "/llm/v1/chat/completions?a=b"),
        set(":authority", "api.example.com"),
        set("content-length", "33"),
        Effect::Publish(state::UPSTREAM_MODEL, "index-1.9b-chat".into()),
        Effect::Count(ATTEMPTS, 1),
        Effect::RemoveHeader(Side::Request, "accept-encoding".into()),
        Effect::Read(Part::ResponseHead),
        Effect::Read(Part::ResponseBody),
        Effect::Read(Part::RequestBody),
    ];
    assert_eq!(head(&bench, &mut stream), (Flow::Continue, expected));
    let (flow, effects) = bench.run(|cx| stream.on_request_body(cx, BODY.as_bytes(), true));
    assert_eq!(flow, Flow::Continue);
    let renamed = Effect::ReplaceBody(Side::Request, 9..16, b"\"index-1.9b-chat\"".into());
    assert_eq!(effects, [renamed, Effect::Skip(Part::RequestBody)]);
}

#[test]
fn however_a_body_is_cut_its_model_is_replaced_once() {
    for cut in 0..BODY.len() {
        let bench = bench("/v1/embeddings\n9 16\ncloud@two index-1.9b-chat");
        let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
        head(&bench, &mut stream);
        let (first, second) = BODY.split_at(cut);
        let (flow, mut effects) = bench.run(|cx| stream.on_request_body(cx, first.as_bytes(), false));
        assert_eq!(flow == Flow::Continue, cut >= 16, "{cut}");
        let (flow, more) = bench.run(|cx| stream.on_request_body(cx, second.as_bytes(), true));
        assert_eq!(flow, Flow::Continue);
        effects.extend(more);
        assert_eq!(effects.len(), 2, "{cut}: {effects:?}");
    }
}

#[test]
fn without_a_host_of_its_own_an_upstream_is_called_by_its_address() {
    let mut bench = bench("/v1/embeddings\n9 16\nidc index");
    bench.attributes.insert("upstream.address".into(), b"10.0.0.1:8000".to_vec());
    let (_, effects) = head(&bench, &mut filter(r#"{"cluster": "idc"}"#).unwrap().stream(StreamId(1)));
    assert_eq!(effects[..2], [set(":path", "/embeddings"), set(":authority", "10.0.0.1:8000")]);
}

#[test]
fn what_the_router_has_finished_passes_untouched() {
    let mut stream = filter(CONFIG).unwrap().stream(StreamId(1));
    assert_eq!(head(&Bench::default(), &mut stream), (Flow::Continue, vec![]));
}

#[test]
fn a_request_that_does_not_belong_here_goes_no_further() {
    let foreign = [
        "/v1/chat/completions\n9 16\ncloud gpt",
        "/v1/chat/completions\n9 16",
        "/v2/chat\n9 16\ncloud@two gpt",
        "/v10/x\n9 16\ncloud@two gpt",
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
    let short = bench("/v1/chat/completions\n90 96\ncloud@two gpt");
    head(&short, &mut stream);
    let (flow, _) = short.run(|cx| stream.on_request_body(cx, BODY.as_bytes(), true));
    assert_eq!(flow, Flow::Reply(Reply::fault()));
}

#[test]
fn a_wrong_configuration_is_refused() {
    for base_path in ["v1", "/v1/"] {
        let config = format!(r#"{{"cluster": "idc", "base_path": "{base_path}"}}"#);
        assert!(filter(&config).unwrap_err().starts_with("base_path: "), "{base_path}");
    }
}

/// A response: what becomes of its head, and of each chunk of its body, of which the last one ends it.
fn respond(head: &[(&str, &str)], chunks: &[&str]) -> Vec<(Flow, Vec<Effect>)> {
    let (bench, mut stream) = (Bench::default(), filter(CONFIG).unwrap().stream(StreamId(1)));
    let mut told = vec![bench.run(|cx| stream.on_response_head(cx, &Head::new(head, chunks.is_empty())))];
    for (at, chunk) in chunks.iter().enumerate() {
        let end = chunks.len() == at.saturating_add(1);
        told.push(bench.run(|cx| stream.on_response_body(cx, chunk.as_bytes(), end)));
    }
    told
}

const JSON: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/json")];
const EVENTS: [(&str, &str); 2] = [(":status", "200"), ("content-type", "text/event-stream")];

#[test]
fn an_answer_flows_untouched_once_it_has_begun() {
    let flows = (Flow::Continue, vec![Effect::Skip(Part::ResponseBody)]);
    let held = (Flow::Wait, vec![]);
    let told = respond(&EVENTS, &["data: {\"choi", "ces\":[]}\n\n", ""]);
    assert_eq!(told[..3], [held.clone(), held.clone(), flows.clone()]);
    assert_eq!(respond(&JSON, &[r#"{"choices":[]}"#]), [held.clone(), flows.clone()]);
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
fn an_error_that_trailers_end_gets_its_status() {
    let (bench, mut stream) = (Bench::default(), filter(CONFIG).unwrap().stream(StreamId(1)));
    bench.run(|cx| stream.on_response_head(cx, &Head::new(&JSON, false)));
    bench.run(|cx| stream.on_response_body(cx, br#"{"error":{"code":429}}"#, false));
    let trailers: [(&str, &str); 0] = [];
    let (flow, effects) = bench.run(|cx| stream.on_response_trailers(cx, &Head::new(&trailers, true)));
    let status = Effect::SetHeader(Side::Response, ":status".into(), "429".into());
    assert_eq!((flow, effects), (Flow::Continue, vec![status, Effect::Count(CONCEALED, 1)]));
}
