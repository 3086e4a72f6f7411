use proptest::prelude::*;

use super::*;

fn metered(media: &str, body: &[u8], cut: usize) -> Totals {
    let mut meter = Meter::of(Some(media.as_bytes()));
    let (head, tail) = body.split_at(cut.min(body.len()));
    meter.feed(head);
    meter.feed(tail);
    meter.totals()
}

fn json(body: &str) -> Totals {
    Totals { delivered: 0, ..metered("application/json", body.as_bytes(), 0) }
}

#[test]
fn usage_is_read_as_each_interface_has_it() {
    let said = |input, output, cached_input, reasoning| Totals {
        input: Some(input),
        output: Some(output),
        cached_input,
        reasoning,
        delivered: 0,
    };
    for (body, expected) in [
        (r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}"#, said(7, 5, 0, 0)),
        (
            r#"{"usage": {"prompt_tokens":7,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}},"x":1}"#,
            said(7, 5, 4, 3),
        ),
        (
            r#"{"usage":{"input_tokens":7,"output_tokens":5,"input_tokens_details":{"cached_tokens":4},"output_tokens_details":{"reasoning_tokens":3}}}"#,
            said(7, 5, 4, 3),
        ),
        (
            r#"{"usage":{"input_tokens":7,"output_tokens":5,"cache_read_input_tokens":4,"cache_creation_input_tokens":2}}"#,
            said(13, 5, 4, 0),
        ),
        (
            r#"{"data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
            Totals { output: None, ..said(7, 0, 0, 0) },
        ),
        (r#"{"results":[],"usage":{"total_tokens":9}}"#, Totals { output: None, ..said(9, 0, 0, 0) }),
        (
            r#"{"results":[],"meta":{"billed_units":{"search_units":1},"tokens":{"input_tokens":9,"output_tokens":0}}}"#,
            said(9, 0, 0, 0),
        ),
        (
            r#"{"data":[{"b64_json":"AA=="}],"usage":{"total_tokens":12,"input_tokens":9,"output_tokens":3,"input_tokens_details":{"image_tokens":0}}}"#,
            said(9, 3, 0, 0),
        ),
        (
            r#"{"candidates":[],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"thoughtsTokenCount":2,"cachedContentTokenCount":4}}"#,
            said(7, 5, 4, 2),
        ),
        (r#"{"text":"hi","usage":{"type":"duration","seconds":3}}"#, Totals::default()),
    ] {
        assert_eq!(json(body), expected, "{body}");
    }
}

#[test]
fn only_what_a_model_writes_is_counted_as_delivered() {
    let delivered = |endpoint: Endpoint, media: &str, body: &str| {
        let mut meter = Meter::at(Some(&endpoint), Some(media.as_bytes()));
        meter.feed(body.as_bytes());
        let Totals { input, output, delivered, .. } = meter.totals();
        (input, output, delivered)
    };
    for (endpoint, media, body, expected) in [
        (Endpoint::Transcriptions, "text/plain", "What was said.", (None, None, 4)),
        (Endpoint::Speech, "audio/mpeg", "ID3 and more", (None, None, 0)),
        (Endpoint::Embeddings, "application/json", r#"{"data":[0.1]}"#, (None, None, 0)),
        (Endpoint::ImageGenerations, "application/json", r#"{"data":[{"url":"x"}]}"#, (None, None, 0)),
        (Endpoint::Moderations, "application/json", r#"{"results":[]}"#, (None, None, 0)),
        (Endpoint::CountTokens, "application/json", r#"{"input_tokens":12}"#, (Some(0), Some(0), 0)),
    ] {
        assert_eq!(delivered(endpoint.clone(), media, body), expected, "{endpoint:?}");
    }
}

#[test]
fn a_text_about_usage_is_no_usage() {
    let body = r#"{"choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":1}}"}}]}"#;
    assert_eq!(json(body).input, None);
    for body in [r#"{"usage":null}"#, r#"{"usage":{"prompt_tokens":-1}}"#, r#"{"usage":{"prompt"#] {
        assert_eq!(json(body).input, None, "{body}");
    }
}

#[test]
fn what_was_delivered_is_counted_by_parts_and_by_text() {
    let parts = b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"c\"}}]}\n\ndata: {\"choi";
    assert_eq!(metered("text/event-stream; charset=utf-8", parts, 0).delivered, 3);
    let long = format!("data: {{\"choices\":[{{\"text\":\"{}\"}}]}}\n\n", "word ".repeat(80));
    assert_eq!(metered("text/event-stream", long.as_bytes(), 0).delivered, 100);
    let anthropic = b"data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n\
        data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n\
        data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n";
    let totals = metered("text/event-stream", anthropic, 0);
    assert_eq!((totals.input, totals.output, totals.delivered), (Some(9), Some(15), 1));
    let cut = anthropic.len() - 30;
    let totals = metered("text/event-stream", &anthropic[..cut], 0);
    assert_eq!((totals.input, totals.output, totals.delivered), (Some(9), None, 1));
    let responses = b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n";
    let gemini =
        b"data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Hi\"}]}}]}\n\n\
        data: {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2}}\n\n";
    let totals = metered("text/event-stream", gemini, 0);
    assert_eq!((totals.input, totals.output, totals.delivered), (Some(3), Some(2), 1));
    let totals = metered("text/event-stream", responses, 0);
    assert_eq!((totals.input, totals.output, totals.delivered), (Some(3), Some(2), 1));
}

#[test]
fn the_usage_of_a_large_body_is_found_where_it_stands() {
    let usage = r#""usage":{"prompt_tokens":7,"total_tokens":7}"#;
    let filler = "0.123,".repeat(40_000);
    for body in [format!("{{{usage},\"data\":[{filler}0]}}"), format!("{{\"data\":[{filler}0],{usage}}}")] {
        for size in [1000, 65_530, 1_000_000] {
            let mut meter = Meter::of(Some(b"application/json"));
            body.as_bytes().chunks(size).for_each(|chunk| meter.feed(chunk));
            assert_eq!(meter.totals().input, Some(7), "{size}");
        }
    }
}

proptest! {
    #[test]
    fn chunking_never_changes_the_totals(cut in 0..400_usize) {
        let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"\xe6\xb0\xb4 flows\"}}]}\r\n\r\n: ping\n\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":50}}\n\ndata: [DONE]\n\n";
        let expected = Totals { input: Some(70), output: Some(50), delivered: 3, ..Totals::default() };
        prop_assert_eq!(metered("text/event-stream", body, cut), expected);
    }
}
