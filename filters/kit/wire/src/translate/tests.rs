//! Pairs of requests and answers, in files: `UPDATE_GOLDEN=1` writes what comes out of each anew.

#![cfg(not(target_arch = "wasm32"))]

use std::{env, fs, path::PathBuf, sync::LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::answer::{Pipeline, Terms};

const NOW: u64 = 1_700_000_000;

static CASES: LazyLock<Vec<(PathBuf, Value)>> = LazyLock::new(cases);

fn cases() -> Vec<(PathBuf, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/translate");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let case = serde_json::from_str(&fs::read_to_string(&path).unwrap());
        (path.clone(), case.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    paths.into_iter().map(read).collect()
}

fn protocol(name: &Value) -> Protocol {
    match name.as_str() {
        Some("chat") => Protocol::Chat,
        Some("responses") => Protocol::Responses,
        Some("messages") => Protocol::Messages,
        Some("gemini") => Protocol::Gemini,
        _ => panic!("no protocol is called {name}"),
    }
}

fn sent(case: &Value) -> Result<Translated, ApiError> {
    let body = case["request"].to_string();
    request(protocol(&case["client"]), protocol(&case["upstream"]), "upstream-model", body.as_bytes())
}

fn way(asked: &Asked) -> Pipeline {
    let mut way = Pipeline::new(Terms { model: Some("\"index\"".into()), ..Terms::default() });
    if let Some(before) = asked.before(NOW) {
        way.add_before(before);
    }
    if let Some(after) = asked.after(NOW) {
        way.add_after(after);
    }
    way
}

/// The events of the upstream as it sends them.
fn stream(case: &Value) -> String {
    let frame = |event: &Value| match event {
        Value::String(text) => format!("data: {text}\n\n"),
        event => match event["type"].as_str() {
            Some(name) => format!("event: {name}\ndata: {event}\n\n"),
            None => format!("data: {event}\n\n"),
        },
    };
    case["stream"].as_array().unwrap().iter().map(frame).collect()
}

fn streamed(asked: &Asked, chunks: &[&[u8]]) -> String {
    let mut way = way(asked);
    let mut told = Vec::new();
    for chunk in chunks {
        told.extend(way.feed(chunk, false).unwrap_or_else(|| chunk.to_vec()));
    }
    told.extend(way.feed(b"", true).unwrap_or_default());
    String::from_utf8(told).unwrap()
}

/// Each event's data, after its name where that is not the type in it.
fn events(told: &str) -> Vec<Value> {
    let event = |frame: &str| {
        let (name, data) = match frame.strip_prefix("event: ") {
            Some(rest) => rest.split_once('\n').map(|(name, data)| (Some(name), data)).unwrap(),
            None => (None, frame),
        };
        let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("{frame}"));
        let data = serde_json::from_str(data).unwrap_or_else(|_| Value::from(data));
        assert_eq!(data.get("type").and_then(Value::as_str), name, "{frame}");
        data
    };
    told.split("\n\n").filter(|frame| !frame.is_empty()).map(event).collect()
}

/// What comes out of a case.
fn outcome(case: &Value) -> Value {
    let mut case = case.clone();
    let asked = match sent(&case) {
        Ok(Translated { body, path, asked }) => {
            case["sent"] = serde_json::from_slice(&body).unwrap();
            case["path"] = path.into();
            asked
        }
        Err(error) => {
            case["refused"] = serde_json::from_slice::<Value>(&error.to_body()).unwrap()["error"].take();
            return case;
        }
    };
    if let Some(answer) = case.get("answer").map(Value::to_string) {
        let told = way(&asked).body(answer.as_bytes()).unwrap();
        case["told"] = serde_json::from_slice(&told).unwrap();
    }
    if case.get("stream").is_some() {
        case["events"] = events(&streamed(&asked, &[stream(&case).as_bytes()])).into();
    }
    case
}

#[test]
fn requests_and_answers_are_translated_as_is_written() {
    for (path, case) in CASES.iter() {
        let outcome = outcome(case);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(path, format!("{}\n", serde_json::to_string_pretty(&outcome).unwrap())).unwrap();
            continue;
        }
        assert_eq!(*case, outcome, "{}", path.display());
    }
}

proptest! {
    #[test]
    fn chunking_never_changes_the_events(seed in 0_usize..1000, cuts in prop::collection::vec(0_usize..9000, 0..5)) {
        let streams: Vec<_> = CASES.iter().filter(|(_, case)| case.get("stream").is_some()).collect();
        let (path, case) = streams[seed.checked_rem(streams.len()).unwrap()];
        let stream = stream(case);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<_> = cuts.windows(2).map(|cut| &stream.as_bytes()[cut[0]..cut[1]]).collect();
        let told = streamed(&sent(case).unwrap().asked, &chunks);
        prop_assert_eq!(&Value::from(events(&told)), &case["events"], "{}", path.display());
    }

    #[test]
    fn a_stream_that_breaks_off_ends_with_an_error(seed in 0_usize..1000, cut in 0_usize..9000) {
        let is_whole = |case: &Value| case["events"].to_string().contains("stop_reason\":\"") || case["events"].to_string().contains("response.completed");
        let streams: Vec<_> = CASES.iter().filter(|(_, case)| is_whole(case)).collect();
        let (path, case) = streams[seed.checked_rem(streams.len()).unwrap()];
        let whole = stream(case);
        // Where the last three events are missing, the reason is too.
        let frames: Vec<_> = whole.split_inclusive("\n\n").collect();
        let kept: usize = frames.iter().rev().skip(4).map(|frame| frame.len()).sum();
        let broken = &whole.as_bytes()[..cut.min(kept)];
        let told = events(&streamed(&sent(case).unwrap().asked, &[broken]));
        let last = told.last().map(|event| event["type"].clone());
        prop_assert!(last == Some("error".into()) || last == Some("response.failed".into()), "{}: {last:?}", path.display());
    }
}

#[test]
fn what_a_client_is_told_of_an_error_is_in_its_own_words() {
    let asked =
        sent(&json!({"client": "messages", "upstream": "chat", "request": {"model": "m"}})).unwrap().asked;
    let told = asked.failure(
        404,
        br#"{"error":{"message":"None.","type":"invalid_request_error","code":"model_not_found"}}"#,
    );
    let expected = r#"{"type":"error","error":{"type":"not_found_error","message":"None."}}"#;
    assert_eq!(String::from_utf8(told).unwrap(), expected);
}

#[test]
fn a_prompt_is_counted_about() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"How long is this?"}]}"#;
    assert_eq!(String::from_utf8(count(body)).unwrap(), r#"{"input_tokens":18}"#);
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    let refused = request(Protocol::Messages, Protocol::Chat, "m", b"[]").unwrap_err();
    assert_eq!((refused.status, refused.code), (400, Some("unsupported_by_upstream")));
}

#[test]
fn a_response_repeats_all_that_a_tool_may_say() {
    let body = json!({"tools": [{"type": "function", "name": "f"}]});
    let echo = responses::echo(body.as_object().unwrap());
    let whole =
        json!([{"type": "function", "name": "f", "description": null, "parameters": null, "strict": null}]);
    assert_eq!(echo["tools"], whole);
}
