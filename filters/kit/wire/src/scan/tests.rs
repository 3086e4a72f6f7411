use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::*;

/// What a scan of `chunks` says in the end.
fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<RequestScan, ScanError> {
    let mut scan = RequestScan::new();
    chunks.into_iter().try_for_each(|chunk| scan.feed(chunk))?;
    scan.finish()?;
    Ok(scan)
}

fn model_of(body: &str) -> Result<Option<String>, ScanError> {
    scan([body.as_bytes()]).map(|scan| scan.model().map(|model| model.value.clone()))
}

/// Cuts `bytes` at `places`, each taken modulo what is left.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    for place in places {
        let (chunk, tail) = rest.split_at(place % (rest.len() + 1));
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    chunks
}

#[test]
fn the_model_is_the_top_level_member_only() {
    for (body, model) in [
        (r#"{}"#, None),
        (r#" { "model" : "a" } "#, Some("a")),
        (r#"{"model":""}"#, Some("")),
        (r#"{"mod\u0065l":"a"}"#, Some("a")),
        (r#"{"x":{"model":"b","Model":1},"model":"a"}"#, Some("a")),
        (r#"{"x":["model",{"model":7}],"y":"model"}"#, None),
        (r#"{"x":[[],{},"}"],"model":"a","z":null}"#, Some("a")),
        (r#"{"models":1,"mode":2,"mode\n":3,"model ":4,"ｍodel":5,"model":"a"}"#, Some("a")),
        (r#"{"model":"\"\\\/\b\f\n\r\t\u00e9\uD83E\udd80 é🦀"}"#, Some("\"\\/\u{8}\u{c}\n\r\té🦀 é🦀")),
    ] {
        assert_eq!(model_of(body), Ok(model.map(str::to_owned)), "{body}");
    }
}

#[test]
fn the_start_of_a_long_key_is_not_a_key() {
    let body = br#"{"model-of-a-key-that-is-longer-than-what-is-kept":1}"#;
    for end in 0..body.len() {
        assert_eq!(scan([&body[..end], &body[end..]]).map(|scan| scan.model), Ok(None), "{end}");
    }
}

#[test]
fn a_second_model_is_refused_wherever_and_however_it_is_written() {
    for (body, offset) in [
        (r#"{"model":"a","model":"a"}"#, 13),
        (r#"{"model":"a","x":{"y":[1]},"mod\u0065l":"b"}"#, 27),
        (r#"{"model":"a","\u004dODEL":1}"#, 13),
        (r#"{"Model":"a"}"#, 1),
        (r#"{"Model":"a","model":"b"}"#, 1),
        (r#"{"x":1, "mOdEl" :"a"}"#, 8),
    ] {
        assert_eq!(model_of(body), Err(ScanError::DuplicateModel { offset }), "{body}");
    }
}

#[test]
fn a_model_that_is_not_a_string_is_refused() {
    for value in ["null", "1", "true", "[\"a\"]", "{}", "a"] {
        assert_eq!(model_of(&format!(r#"{{"model": {value}}}"#)), Err(ScanError::ModelNotString), "{value}");
    }
}

#[test]
fn a_model_may_have_256_decoded_bytes() {
    let limit = Err(ScanError::ModelTooLong { limit: 256 });
    let escaped = "\\u00e9".repeat(128);
    assert_eq!(model_of(&format!(r#"{{"model":"{escaped}"}}"#)), Ok(Some("é".repeat(128))));
    assert_eq!(model_of(&format!(r#"{{"model":"{escaped}a"}}"#)), limit);
    // Too long comes first, the control character after it.
    assert_eq!(model_of(&format!("{{\"model\":\"{}\u{1}", "a".repeat(257))), limit);
    let fault = Err(ScanError::NotJson { offset: 266 });
    assert_eq!(model_of(&format!("{{\"model\":\"{}\u{1}", "a".repeat(256))), fault);
}

#[test]
fn what_is_not_json_is_refused_at_its_first_wrong_byte() {
    for (body, offset) in [
        ("\u{feff}{}", 0),
        ("x", 0),
        ("{} x", 3),
        ("{}{}", 2),
        ("{}\0", 2),
        ("{,}", 1),
        ("{]", 1),
        ("{1:2}", 1),
        ("{'a':2}", 1),
        (r#"{"a" 1}"#, 5),
        (r#"{"a":}"#, 5),
        (r#"{"a":1,}"#, 7),
        (r#"{"a":1;"b":2}"#, 6),
        (r#"{"a":[1,]}"#, 8),
        (r#"{"a":[,1]}"#, 6),
        (r#"{"a":[1}"#, 7),
        (r#"{"a":{]"#, 6),
        (r#"{"a":1]"#, 6),
        (r#"{"a":01}"#, 6),
        (r#"{"a":+1}"#, 5),
        (r#"{"a":.5}"#, 5),
        (r#"{"a":-}"#, 6),
        (r#"{"a":1.}"#, 7),
        (r#"{"a":1.e1}"#, 7),
        (r#"{"a":1e}"#, 7),
        (r#"{"a":1e+}"#, 8),
        (r#"{"a":1.5.5}"#, 8),
        (r#"{"a":0x1}"#, 6),
        (r#"{"a":NaN}"#, 5),
        (r#"{"a":trUe}"#, 7),
        (r#"{"a":nulll}"#, 9),
        (r#"{"a":"\x"}"#, 7),
        (r#"{"a":"\u12g4"}"#, 10),
        ("{\"a\":\"\n\"}", 6),
        ("{\"a\":\"0123456789\u{1f}\"}", 16),
        ("{\"a\":\"0123456789\u{1f}0123456789\"}", 16),
        ("{\"\t\":1}", 2),
        ("{\"a\":\u{b}1}", 5),
        ("{\"a\":\u{a0}1}", 5),
    ] {
        assert_eq!(model_of(body), Err(ScanError::NotJson { offset }), "{body:?}");
    }
}

#[test]
fn half_a_surrogate_pair_is_refused_where_the_text_matters() {
    for (body, offset) in [
        (r#"{"model":"\ud800"}"#, 16),
        (r#"{"model":"\ud800x"}"#, 16),
        (r#"{"model":"\ud800\n"}"#, 17),
        (r#"{"model":"\ud800\ud801"}"#, 21),
        (r#"{"model":"\udc00"}"#, 15),
        (r#"{"\udc00":1}"#, 7),
    ] {
        assert_eq!(model_of(body), Err(ScanError::NotJson { offset }), "{body}");
    }
    assert_eq!(model_of(r#"{"x":{"\ud800":"\ud800"},"model":"a"}"#), Ok(Some("a".to_owned())));
}

#[test]
fn a_string_that_is_not_utf8_is_refused_at_its_first_wrong_character_however_it_is_cut() {
    for (text, offset) in [
        (&b"ab\xffcdefghijk"[..], 8),
        (b"\xc3\"", 6),
        (b"\xe2\x82\"", 6),
        (b"\xf0\x9f\xa6x", 6),
        (b"\xc0\x80", 6),
        (b"\xed\xa0\x80", 6),
        (b"\xf4\x90\x80\x80", 6),
        (b"a\x80", 7),
        (b"\xe2\x82\x01", 6),
    ] {
        let body = [br#"{"a":""#, text, br#""}"#].concat();
        let fault = Some(ScanError::NotJson { offset });
        assert_eq!(scan([&body[..]]).err(), fault, "{text:?}");
        assert_eq!(scan(body.chunks(1)).err(), fault, "{text:?}");
    }
}

#[test]
fn a_body_must_be_an_object_that_ends() {
    for body in ["[]", "\"model\"", "1", "-1", "true", "false", "null", " [{\"model\":\"a\"}]"] {
        assert_eq!(model_of(body), Err(ScanError::NotObject), "{body}");
    }
    let body = r#" {"model":"aé\ud83e\udd80","b":[1.5e+3,true,{}]}"#.as_bytes();
    for end in 0..body.len() {
        assert_eq!(scan([&body[..end]]).err(), Some(ScanError::Incomplete), "{end}");
    }
    assert!(scan([body]).is_ok());
}

#[test]
fn a_body_may_nest_128_levels() {
    let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(model_of(&nested(128)), Ok(None));
    assert_eq!(model_of(&nested(129)), Err(ScanError::TooDeep { limit: 128 }));
    assert_eq!(model_of(&"{\"a\":".repeat(129)), Err(ScanError::TooDeep { limit: 128 }));
}

#[test]
fn stream_is_the_last_one_and_max_tokens_the_largest() {
    for (members, stream, max_tokens) in [
        (r#""x":{"stream":true,"max_tokens":3}"#, None, None),
        (r#""stream":true,"max_tokens":3"#, Some(true), Some(3)),
        (r#""stream":true,"stream":false"#, Some(false), None),
        (r#""stream":true,"stream":null"#, None, None),
        (r#""stream":"true","max_tokens":"3""#, None, None),
        (r#""max_tokens":7,"max_completion_tokens":9,"max_output_tokens":8"#, None, Some(9)),
        (r#""max_tokens":[4],"max_completion_tokens":{"a":5},"stream":{"a":true}"#, None, None),
        (r#""max_tokens":0"#, None, Some(0)),
        (r#""max_tokens":-1"#, None, None),
        (r#""max_tokens":1.5"#, None, Some(2)),
        (r#""max_tokens":1e3"#, None, Some(1000)),
        (r#""max_tokens":18446744073709551615"#, None, Some(u64::MAX)),
        (r#""max_tokens":18446744073709551616"#, None, Some(u64::MAX)),
        (r#""max_tokens":1e999"#, None, Some(u64::MAX)),
        (r#""max_tokens":1.00000000000000000000000000000000000001"#, None, Some(u64::MAX)),
    ] {
        let body = format!("{{{members}}}");
        for chunks in [vec![body.as_bytes()], body.as_bytes().chunks(1).collect()] {
            let scan = scan(chunks).unwrap();
            assert_eq!((scan.stream(), scan.max_tokens()), (stream, max_tokens), "{body}");
        }
    }
}

#[test]
fn the_model_is_known_with_its_closing_quote_and_a_failed_scan_stays_failed() {
    let mut scan = RequestScan::new();
    scan.feed(br#"{"model":"a"#).unwrap();
    assert_eq!(scan.model(), None);
    scan.feed(b"\"").unwrap();
    assert_eq!(scan.model(), Some(&Member { value: "a".to_owned(), span: 9..12 }));
    assert_eq!(scan.bytes(), 12);
    let fault = Err(ScanError::NotJson { offset: 12 });
    assert_eq!(scan.feed(b"!"), fault);
    assert_eq!(scan.feed(b"}"), fault);
    assert_eq!(scan.finish(), fault);
}

/// Keys and texts that an escape, a chunk's end or a word's end could break.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z\"\\\\é🦀\n]{0,24}",
        Just("model".to_owned()),
        Just("Model".to_owned()),
        Just("stream".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Members that may stand beside the model.
fn others() -> impl Strategy<Value = Vec<(String, Value)>> {
    let free = |(key, _): &(String, Value)| {
        !key.eq_ignore_ascii_case("model") && key != "stream" && !key.starts_with("max_")
    };
    prop::collection::vec((text(), value()).prop_filter("not one that is reported", free), 0..6)
}

/// A string literal in which each character may be escaped.
fn literal(text: &str, escape: &[bool]) -> String {
    let mut literal = "\"".to_owned();
    for (character, escape) in text.chars().zip(escape.iter().chain(core::iter::repeat(&false))) {
        if *escape {
            let units = &mut [0; 2];
            character.encode_utf16(units).iter().for_each(|unit| literal += &format!("\\u{unit:04X}"));
        } else {
            literal += serde_json::to_string(&character).unwrap().trim_matches('"');
            if character == '"' {
                literal.push('"');
            }
        }
    }
    literal + "\""
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_model_and_its_span_are_found_however_the_body_is_written_and_cut(
        before in others(),
        after in others(),
        model in "\\PC{0,60}",
        escapes in prop::collection::vec(any::<bool>(), 0..60),
        stream in any::<Option<bool>>(),
        max_tokens in any::<u64>(),
        blanks in "[ \t\r\n]{0,3}",
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let member = |(key, value): &(String, Value)| format!("{}:{value}", json!(key));
        let mut members: Vec<String> = before.iter().map(member).collect();
        let written = literal(&model, &escapes);
        let key = literal("model", &escapes);
        members.push(format!("\"stream\":{}{blanks}", json!(stream)));
        members.push(format!("{key}{blanks}:{blanks}{written}{blanks}"));
        members.push(format!("\"max_tokens\"{blanks}:{max_tokens}"));
        members.extend(after.iter().map(member));
        let body = format!("{blanks}{{{blanks}{}}}{blanks}", members.join(","));
        prop_assume!(model.len() <= 256);

        let scan = scan(cut(body.as_bytes(), &cuts)).unwrap();
        let found = scan.model().unwrap();
        prop_assert_eq!(&found.value, &model);
        prop_assert_eq!(&body[found.span.start as usize..found.span.end as usize], &written);
        prop_assert_eq!(scan.stream(), stream);
        prop_assert_eq!(scan.max_tokens(), Some(max_tokens));
        prop_assert_eq!(scan.bytes(), body.len() as u64);
    }

    #[test]
    fn a_second_model_anywhere_is_refused(
        members in others(),
        first in any::<usize>(),
        second in any::<usize>(),
        upper in prop::collection::vec(any::<bool>(), 5),
        escapes in prop::collection::vec(any::<bool>(), 5),
        value in value(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mixed: String = "model".chars().zip(upper)
            .map(|(letter, upper)| if upper { letter.to_ascii_uppercase() } else { letter }).collect();
        let mut members: Vec<String> =
            members.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
        members.insert(first % (members.len() + 1), "\"model\":\"a\"".to_owned());
        let model = first % members.len();
        // Behind the model.
        let second = model + 1 + second % (members.len() - model);
        let offset = 1 + members[..second].iter().map(|member| member.len() as u64 + 1).sum::<u64>();
        members.insert(second, format!("{}:{value}", literal(&mixed, &escapes)));
        let body = format!("{{{}}}", members.join(","));
        prop_assert_eq!(
            scan(cut(body.as_bytes(), &cuts)).err(),
            Some(ScanError::DuplicateModel { offset }),
            "{}", body
        );
    }

    #[test]
    fn what_is_accepted_is_json_and_what_is_refused_is_not(
        members in others(),
        faults in prop::collection::vec((any::<usize>(), fault()), 0..4),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut body = serde_json::to_vec(&members.into_iter().collect::<Map<_, _>>()).unwrap();
        for (place, (remove, insert)) in faults {
            let start = place % (body.len() + 1);
            let end = body.len().min(start + remove);
            body.splice(start..end, insert);
        }
        let whole = scan([&body[..]]).err();
        prop_assert_eq!(scan(cut(&body, &cuts)).err(), whole);
        match whole {
            None => prop_assert!(serde_json::from_slice::<IgnoredAny>(&body).is_ok()),
            Some(ScanError::NotJson { .. } | ScanError::Incomplete) => {
                prop_assert!(serde_json::from_slice::<Value>(&body).is_err());
            }
            Some(ScanError::NotObject) => prop_assert!(serde_json::from_slice::<Map<_, _>>(&body).is_err()),
            Some(
                ScanError::DuplicateModel { .. } | ScanError::ModelNotString | ScanError::ModelTooLong { .. },
            ) => prop_assert!(body.windows(7).any(|key| key.eq_ignore_ascii_case(b"\"model\""))),
            Some(ScanError::TooDeep { .. }) => prop_assert!(false, "nothing here is deep"),
        }
    }
}

/// How many bytes go, and which come instead.
fn fault() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let bytes = prop_oneof![
        prop::collection::vec(prop::sample::select(&br#"{}[]",:\u0123eE+-. tnf"#[..]), 0..3),
        prop::collection::vec(any::<u8>(), 0..3),
        Just(br#""model":"#.to_vec()),
        Just("é".into()),
    ];
    (0..3usize, bytes)
}
