//! Where a client finds what a model has thought.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::answer::{Pipeline, Terms, Think};

/// A delta that an upstream sends.
#[derive(Clone, Debug)]
enum Piece {
    Content(String),
    Reasoning(&'static str, String),
}

/// How an upstream writes an event: `<` may be an escape.
fn event(index: usize, delta: &Value, reason: Value, escaped: bool) -> String {
    let choice = json!({"index": index, "delta": delta, "finish_reason": reason});
    let text = json!({"id": "1", "choices": [choice]}).to_string();
    let text = if escaped { text.replace('<', "\\u003c") } else { text };
    format!("data: {text}\n\n")
}

fn delta(piece: &Piece) -> Value {
    match piece {
        Piece::Content(text) => json!({"content": text}),
        Piece::Reasoning(name, text) => json!({"content": null, *name: text}),
    }
}

/// The reasoning and the content that a client puts together of a stream, by the index of the answer.
fn read(stream: &str, index: usize) -> (String, String) {
    let (mut thought, mut said) = (String::new(), String::new());
    for event in stream.split("\n\n").filter_map(|frame| frame.strip_prefix("data: {")) {
        let event: Value = serde_json::from_str(&format!("{{{event}")).unwrap();
        for choice in event["choices"].as_array().unwrap().iter().filter(|choice| choice["index"] == index) {
            assert!(choice["delta"]["reasoning"].is_null());
            thought.push_str(choice["delta"]["reasoning_content"].as_str().unwrap_or_default());
            said.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        }
    }
    (thought, said)
}

fn run(think: Think, stream: &str, cut: usize) -> String {
    let mut way = Pipeline::new(Terms { think, ..Terms::default() });
    let mut written = Vec::new();
    for chunk in stream.as_bytes().chunks(cut.max(1)) {
        written.extend(way.feed(chunk, false).unwrap_or_else(|| chunk.to_vec()));
    }
    written.extend(way.feed(b"", true).unwrap_or_default());
    String::from_utf8(written).unwrap()
}

/// A whole answer, and what becomes of its message.
fn whole(think: Think, message: &Value) -> Value {
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string();
    let written = Pipeline::new(Terms { think, ..Terms::default() }).body(body.as_bytes());
    let written: Value = serde_json::from_slice(&written.unwrap_or(body.into_bytes())).unwrap();
    written["choices"][0]["message"].clone()
}

#[test]
fn a_whole_message_has_its_thoughts_where_the_client_wants_them() {
    let tagged = json!({"role": "assistant", "content": "<think>\nhm</think>\n\nFour"});
    let apart = json!({"reasoning": "hm", "content": "Four"});
    let none = json!({"content": "Four <think>"});
    for (think, message, expected) in [
        (Think::Keep, &tagged, tagged.clone()),
        (Think::Apart, &tagged, json!({"role": "assistant", "reasoning_content": "hm", "content": "Four"})),
        (Think::Strip, &tagged, json!({"role": "assistant", "content": "Four"})),
        (Think::Tags, &tagged, tagged.clone()),
        (Think::Keep, &apart, apart.clone()),
        (Think::Apart, &apart, json!({"reasoning_content": "hm", "content": "Four"})),
        (Think::Strip, &apart, json!({"reasoning": null, "content": "Four"})),
        (Think::Tags, &apart, json!({"reasoning": null, "content": "<think>hm</think>Four"})),
        (Think::Apart, &none, none.clone()),
        (Think::Strip, &none, none.clone()),
        (Think::Apart, &json!({"content": "<think>hm"}), json!({"reasoning_content": "hm", "content": ""})),
        (Think::Tags, &json!({"reasoning_content": "hm"}), json!({"content": "<think>hm</think>"})),
        (
            Think::Tags,
            &json!({"content": null, "reasoning_content": "hm", "reasoning": "hm", "tool_calls": [1]}),
            json!({"content": "<think>hm</think>", "reasoning_content": null, "reasoning": null, "tool_calls": [1]}),
        ),
        (
            Think::Strip,
            &json!({"reasoning_details": [{"text": "hm"}], "reasoning": "", "content": "4"}),
            json!({"reasoning_details": null, "reasoning": "", "content": "4"}),
        ),
    ] {
        assert_eq!(whole(think, message), expected, "{think:?} {message}");
    }
}

#[test]
fn an_event_that_says_nothing_any_more_is_not_sent() {
    let stream = [
        event(0, &json!({"role": "assistant", "content": ""}), Value::Null, false),
        event(0, &json!({"content": "<think>"}), Value::Null, false),
        event(0, &json!({"content": "hm"}), Value::Null, false),
        event(0, &json!({"content": "</think>"}), Value::Null, false),
        event(0, &json!({"content": "Four"}), Value::Null, false),
        event(0, &json!({}), "stop".into(), false),
        "data: [DONE]\n\n".to_owned(),
    ];
    let stripped: String = [0, 4, 5, 6].map(|at: usize| stream[at].as_str()).concat();
    assert_eq!(run(Think::Strip, &stream.concat(), 1000), stripped);
    let apart = run(Think::Apart, &stream.concat(), 1000);
    let thought = stream[2].replace("content", "reasoning_content");
    assert_eq!(
        apart,
        [&stream[0], &thought, &stream[4], &stream[5], &stream[6]].map(String::as_str).concat()
    );
    assert_eq!(run(Think::Keep, &stream.concat(), 1000), stream.concat());
    assert_eq!(run(Think::Tags, &stream.concat(), 1000), stream.concat());
}

#[test]
fn what_is_held_back_comes_with_the_end_whatever_the_end_is() {
    let held = event(0, &json!({"content": "<think>a</thi"}), Value::Null, false);
    for end in [event(0, &json!({}), "length".into(), false), "data: [DONE]\n\n".into(), String::new()] {
        let stream = format!("{held}{end}");
        assert_eq!(read(&run(Think::Apart, &stream, 1000), 0), ("a</thi".into(), String::new()), "{end}");
        let open = event(0, &json!({"reasoning": "a"}), Value::Null, false);
        assert_eq!(read(&run(Think::Tags, &format!("{open}{end}"), 1000), 0).1, "<think>a</think>", "{end}");
    }
}

/// A text, most often with a thought, in any pieces.
fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let text = "[ \n]?(<think>)?(</think>|<|/|[ \n\"\\\\]|水|[a-z<>]){0,12}(</think>)?[ \n]?[a-z]{0,3}";
    let cuts = proptest::collection::vec(any::<proptest::sample::Index>(), 0..12);
    (text, cuts).prop_map(|(text, cuts)| {
        let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let at = |cut: &proptest::sample::Index| boundary(cut.index(text.len().max(1)));
        let mut cuts: Vec<_> = cuts.iter().map(at).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        cuts.windows(2).map(|cut| Piece::Content(text[cut[0]..cut[1]].to_owned())).collect()
    })
}

fn thoughts() -> impl Strategy<Value = Vec<Piece>> {
    let name = prop_oneof![Just("reasoning"), Just("reasoning_content")];
    let thought = (name, "[a-z\n\"水<]{1,3}").prop_map(|(name, text)| Piece::Reasoning(name, text));
    let said = "[a-z\n\"水<]{1,3}".prop_map(Piece::Content);
    (proptest::collection::vec(thought, 0..4), proptest::collection::vec(said, 0..4))
        .prop_map(|(thoughts, said)| [thoughts, said].concat())
}

/// What a text means, by another way than the one that is tested.
fn expected(text: &str) -> (String, String) {
    let blank = [' ', '\t', '\r', '\n'];
    let Some(inside) = text.trim_start_matches(blank).strip_prefix("<think>") else {
        return (String::new(), text.to_owned());
    };
    let (thought, said) = inside.split_once("</think>").unwrap_or((inside, ""));
    (thought.trim_start_matches(blank).to_owned(), said.trim_start_matches(blank).to_owned())
}

fn stream_of(pieces: &[Piece], escaped: bool, ends: bool) -> String {
    let mut stream = event(1, &json!({"role": "assistant"}), Value::Null, false);
    for piece in pieces {
        stream.push_str(&event(0, &delta(piece), Value::Null, escaped));
        stream.push_str(&event(1, &json!({"content": "<thin"}), Value::Null, escaped));
    }
    if ends {
        stream.push_str(&event(0, &json!({}), "stop".into(), false));
    }
    stream.push_str("data: [DONE]\n\n");
    stream
}

proptest! {
    #[test]
    fn tags_in_any_pieces_and_chunks_mean_what_the_whole_text_means(
        pieces in pieces(), escaped: bool, ends: bool, cut in 1..200_usize,
    ) {
        let text: String = pieces.iter().map(|piece| match piece { Piece::Content(text) | Piece::Reasoning(_, text) => text.as_str() }).collect();
        let stream = stream_of(&pieces, escaped, ends);
        let (thought, said) = expected(&text);
        let apart = run(Think::Apart, &stream, cut);
        prop_assert_eq!(read(&apart, 0), (thought, said.clone()));
        prop_assert_eq!(read(&apart, 1), (String::new(), "<thin".repeat(pieces.len())));
        prop_assert_eq!(read(&run(Think::Strip, &stream, cut), 0), (String::new(), said));
        prop_assert_eq!(run(Think::Keep, &stream, cut), stream);
    }

    #[test]
    fn thoughts_of_their_own_go_where_the_client_wants_them(
        pieces in thoughts(), escaped: bool, ends: bool, cut in 1..200_usize,
    ) {
        let (mut thought, mut said) = (String::new(), String::new());
        for piece in &pieces {
            match piece {
                Piece::Content(text) => said.push_str(text),
                Piece::Reasoning(_, text) => thought.push_str(text),
            }
        }
        let stream = stream_of(&pieces, escaped, ends);
        prop_assert_eq!(read(&run(Think::Apart, &stream, cut), 0), (thought.clone(), said.clone()));
        prop_assert_eq!(read(&run(Think::Strip, &stream, cut), 0), (String::new(), said.clone()));
        let tagged = if thought.is_empty() { said } else { format!("<think>{thought}</think>{said}") };
        prop_assert_eq!(read(&run(Think::Tags, &stream, cut), 0), (String::new(), tagged));
    }
}
