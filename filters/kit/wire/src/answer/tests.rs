use proptest::prelude::*;

mod ending;
mod think;

use super::*;
use crate::meter::Totals;

/// What a stream becomes that comes in these chunks, and what was counted.
fn stream(terms: &Terms, chunks: &[&[u8]]) -> (String, Totals) {
    let mut way = Pipeline::new(terms.clone());
    let mut written = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let end = chunks.len() == at.saturating_add(1);
        written.extend(way.feed(chunk, end).unwrap_or_else(|| chunk.to_vec()));
    }
    (String::from_utf8(written).unwrap(), way.tally().totals())
}

fn terms() -> Terms {
    Terms { model: Some("\"index\"".into()), hide_usage: true, think: Think::Keep, ending: None }
}

const STREAM: &str = concat!(
    ": hello\r\n\r\n",
    "data: {\"id\":\"1\",\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "id: 7\ndata: {\"id\":\"1\", \"model\": \"up\", \"choices\":[{\"delta\":{\"content\":\"a \\\"model\\\"水\"}}],\"usage\":null}\n\n",
    "data: {\"model\":\"up\",\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
    "data: {\"model\":\"up\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}}\n\n",
    "data: [DONE]\n\n",
);

/// What becomes of it when the client has not asked for the usage.
fn fitted() -> String {
    let (head, tail) = STREAM.split_once("data: {\"model\":\"up\",\"choices\":[],").unwrap();
    let (_, tail) = tail.split_once("\n\n").unwrap();
    format!("{head}{tail}").replace("\"up\"", "\"index\"")
}

const TOTALS: Totals =
    Totals { input: Some(7), output: Some(5), cached_input: 0, reasoning: 0, delivered: 5 };

#[test]
fn a_stream_has_the_clients_model_and_no_usage_that_it_has_not_asked_for() {
    assert_eq!(stream(&terms(), &[STREAM.as_bytes()]), (fitted(), TOTALS));
    let asked = Terms { hide_usage: false, ..terms() };
    assert_eq!(stream(&asked, &[STREAM.as_bytes()]).0, STREAM.replace("\"up\"", "\"index\""));
}

#[test]
fn what_needs_no_change_is_not_written_anew() {
    let mut way = Pipeline::new(Terms::default());
    for event in STREAM.split_inclusive("\n\n") {
        assert_eq!(way.feed(event.as_bytes(), false), None, "{event}");
    }
    assert_eq!((way.feed(b"", true), way.finish_reason()), (None, Some("length")));
    assert_eq!(way.body(br#"{"model":"up","choices":[]}"#), None);
}

#[test]
fn a_whole_answer_has_the_clients_model_and_is_counted() {
    let mut way = Pipeline::new(terms());
    let body = br#"{"id":"1","model":"up","choices":[{"message":{"content":"four","model":"up"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}"#;
    let written = way.body(body).unwrap();
    let expected = String::from_utf8(body.to_vec()).unwrap().replacen("\"up\"", "\"index\"", 1);
    assert_eq!(String::from_utf8(written).unwrap(), expected);
    let totals = way.tally().totals();
    assert_eq!((totals.input, totals.output, way.finish_reason()), (Some(7), Some(5), Some("stop")));
}

#[test]
fn an_answer_ends_and_is_counted_in_openais_words() {
    for (reason, normal) in
        [("eos_token", "\"stop\""), ("", "null"), ("tool_calls", "\"tool_calls\""), ("odd", "\"odd\"")]
    {
        let mut way = Pipeline::new(Terms::default());
        let event = format!("data: {{\"choices\":[{{\"finish_reason\":\"{reason}\",\"delta\":{{}}}}]}}\n\n");
        let written = way.feed(event.as_bytes(), true).unwrap_or_else(|| event.clone().into());
        assert_eq!(String::from_utf8(written).unwrap(), event.replace(&format!("\"{reason}\""), normal));
        let known = Some(normal.trim_matches('"')).filter(|_| !reason.is_empty());
        assert_eq!(way.finish_reason(), known, "{reason}");
    }
    let mut way = Pipeline::new(Terms::default());
    let body =
        br#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"prompt_cache_hit_tokens":4}}"#;
    let told = br#""total_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}}"#;
    assert!(way.body(body).unwrap().ends_with(told));
    assert_eq!(way.tally().totals().cached_input, 4);
}

#[test]
fn an_event_of_another_interface_has_the_clients_model_too() {
    let event = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"up\",\"usage\":{\"input_tokens\":3}}}\n\n";
    let (written, totals) = stream(&terms(), &[event]);
    assert_eq!(written, String::from_utf8(event.to_vec()).unwrap().replace("up", "index"));
    assert_eq!(totals.input, Some(3));
}

#[test]
fn a_stream_that_is_no_stream_flows_as_it_is() {
    for odd in
        ["data: {\"model\":\"up\"", "data: nonsense\n\n", "{\"model\":\"up\"}", "data: {\"model\":7}\n\n", ""]
    {
        assert_eq!(stream(&terms(), &[odd.as_bytes(), b""]).0, odd);
    }
    let long = format!("data: {}\n\n", "x".repeat(LONGEST_EVENT));
    let chunks: Vec<_> = long.as_bytes().chunks(400_000).chain([STREAM.as_bytes()]).collect();
    assert_eq!(stream(&terms(), &chunks).0, format!("{long}{STREAM}"));
}

/// Doubles every event, and ends with one of its own.
#[derive(Debug)]
struct Twice;

impl Step for Twice {
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>)) {
        next(event);
        next(event);
    }

    fn end(&mut self, next: &mut dyn FnMut(&SseEvent<'_>)) {
        next(&Frame::of(Some("bye"), b"{\"model\":\"up\"}").event());
    }

    fn body(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        Some([body, b" "].concat())
    }
}

#[test]
fn steps_stand_before_and_after_the_fit() {
    let run = |place: fn(&mut Pipeline)| {
        let mut way = Pipeline::new(terms());
        place(&mut way);
        let written = way.feed(b"data: {\"model\":\"up\"}\n\n", true);
        (String::from_utf8(written.unwrap()).unwrap(), way.body(b"{\"model\":\"up\"}").unwrap())
    };
    let event = "data: {\"model\":\"index\"}\n\n";
    let body = br#"{"model":"index"} "#.to_vec();
    let before = run(|way| way.add_before(Twice));
    assert_eq!(before, (format!("{event}{event}event: bye\n{event}"), body.clone()));
    let after = run(|way| way.add_after(Twice));
    assert_eq!(after, (format!("{event}{event}event: bye\ndata: {{\"model\":\"up\"}}\n\n"), body));
}

proptest! {
    #[test]
    fn chunking_never_changes_what_a_stream_becomes(cuts in proptest::collection::vec(0..STREAM.len(), 0..6)) {
        let mut cuts = cuts;
        cuts.extend([0, STREAM.len()]);
        cuts.sort_unstable();
        let chunks: Vec<_> = cuts.windows(2).map(|cut| &STREAM.as_bytes()[cut[0]..cut[1]]).collect();
        prop_assert_eq!(stream(&terms(), &chunks), (fitted(), TOTALS));
    }
}

#[test]
fn deltas_of_messages_and_responses_are_counted_as_the_meter_counts_them() {
    let events = [
        r#"{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a few words"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"[1, 2]"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#,
        r#"{"type":"response.output_text.delta","delta":"and more of them","logprobs":[]}"#,
        r#"{"type":"response.output_text.done","text":"and more of them"}"#,
        r#"{"type":"response.completed","response":{"usage":{"input_tokens":8,"output_tokens":6}}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"some"}]}}],"usageMetadata":{"promptTokenCount":9}}"#,
    ];
    let mut way = Pipeline::new(Terms::default());
    let mut meter = crate::Meter::of(Some(b"text/event-stream"));
    for event in events {
        let event = format!("data: {event}\n\n");
        assert_eq!(way.feed(event.as_bytes(), false), None);
        meter.feed(event.as_bytes());
        assert_eq!(way.tally().totals(), meter.totals(), "{event}");
    }
    assert_eq!((meter.totals().input, meter.totals().output), (Some(9), Some(6)));
}
