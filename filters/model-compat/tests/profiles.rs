//! What each profile makes of a request, and of the answer to it, compared with what is written in `profiles/`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::Value;
use weir_core::testing::Bench;
use weir_core::{Effect, Filter, Flow, Head, Side, Stream, StreamId};
use weir_model_compat::{CompatStream, ModelCompat};
use weir_schema::compat::{Config, Profile};
use weir_schema::state;

/// A request and its answer, as the client has them and as the upstream has them. The client calls the model `index`, and
/// the upstream, whose API is below `/v1`, calls it `up`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    request: Value,
    sent: Sent,
    answer: Option<Value>,
    received: Option<Value>,
    #[serde(default)]
    events: Vec<Value>,
    #[serde(default)]
    heard: Vec<Value>,
    usage: String,
    finish_reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    path: String,
    body: Value,
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn filter(profile: Profile) -> Rc<ModelCompat> {
    let Profile { extends: _, path, query, protocols, credential_header: _, compat } = profile;
    let config: Config =
        serde_json::from_str(r#"{"cluster": "idc", "authority": "x", "base_path": "/v1"}"#).unwrap();
    Rc::new(
        ModelCompat::new(Config {
            path,
            query,
            protocols: protocols.unwrap_or_default(),
            rules: compat,
            ..config
        })
        .unwrap(),
    )
}

/// What becomes of a body that is whole.
fn edited(body: String, effects: &[Effect]) -> String {
    let parts = effects.iter().filter_map(|effect| match effect {
        Effect::ReplaceBody(_, range, with) => {
            Some((range.clone(), String::from_utf8(with.clone()).unwrap()))
        }
        _ => None,
    });
    parts.fold(body, |mut body, (range, with)| {
        body.replace_range(range, &with);
        body
    })
}

/// Sends a request: the path and the body that the upstream has.
fn send(bench: &Bench, stream: &mut CompatStream, body: String) -> (String, String) {
    let fields = [(":path", "/v1/chat/completions"), (":authority", "x")];
    let (flow, mut effects) = bench.run(|cx| stream.on_request_head(cx, &Head::new(&fields, false)));
    assert_eq!(flow, Flow::Wait);
    let (flow, more) = bench.run(|cx| stream.on_request_body(cx, body.as_bytes(), true));
    assert_eq!(flow, Flow::Continue);
    effects.extend(more);
    let path = effects.iter().find_map(|effect| match effect {
        Effect::SetHeader(Side::Request, name, value) if name == ":path" => Some(value.clone()),
        _ => None,
    });
    (path.unwrap_or_else(|| fields[0].1.to_owned()), edited(body, &effects))
}

/// What a client receives of a body that comes in these chunks.
fn receive(bench: &Bench, stream: &mut CompatStream, media: &str, chunks: &[String]) -> String {
    let fields = [(":status", "200"), ("content-type", media)];
    bench.run(|cx| stream.on_response_head(cx, &Head::new(&fields, false)));
    let last = chunks.len().saturating_sub(1);
    let received = chunks.iter().enumerate().map(|(at, chunk)| {
        let (_, effects) = bench.run(|cx| stream.on_response_body(cx, chunk.as_bytes(), at == last));
        edited(chunk.clone(), &effects)
    });
    received.collect()
}

fn frame(event: &Value) -> String {
    event.as_str().map_or_else(|| format!("data: {event}\n\n"), |text| format!("data: {text}\n\n"))
}

fn check(name: &str, filter: &Rc<ModelCompat>, case: Case) {
    let bench = Bench::default();
    let request = case.request.to_string();
    let start = request.find("\"index\"").unwrap();
    let end = start.saturating_add(7);
    let forward = format!("/v1/chat/completions\n{start} {end} {}\n\"index\"\nidc up", request.len());
    bench.state.borrow_mut().insert(state::FORWARD.into(), forward.into());
    let mut stream = filter.stream(StreamId(1));
    let sent = send(&bench, &mut stream, request);
    assert_eq!(sent, (case.sent.path, case.sent.body.to_string()), "{name}");
    if let (Some(answer), Some(expected)) = (case.answer, case.received) {
        let received = receive(&bench, &mut stream, "application/json", &[answer.to_string()]);
        assert_eq!(received, expected.to_string(), "{name}");
    } else {
        let events: Vec<_> = case.events.iter().map(frame).collect();
        let heard = receive(&bench, &mut stream, "text/event-stream", &events);
        assert_eq!(heard, case.heard.iter().map(frame).collect::<String>(), "{name}");
    }
    let told =
        |key: &str| String::from_utf8(bench.state.borrow().get(key).cloned().unwrap_or_default()).unwrap();
    assert_eq!((told(state::USAGE), told(state::FINISH_REASON)), (case.usage, case.finish_reason), "{name}");
}

#[test]
fn every_profile_makes_of_requests_and_answers_what_is_written_beside_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = read(&root.join("../../xds-server/profiles.yaml"));
    let profiles: BTreeMap<String, Profile> = serde_saphyr::from_str(&text).unwrap();
    for (name, profile) in profiles {
        let cases = read(&root.join(format!("tests/profiles/{name}.json")));
        let filter = filter(profile);
        for case in serde_json::from_str::<Vec<Case>>(&cases).unwrap() {
            check(&name, &filter, case);
        }
    }
}
