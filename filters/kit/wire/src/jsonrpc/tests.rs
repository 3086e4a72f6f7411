use proptest::prelude::*;

use super::*;

/// `id method params`, `- method` for a notification, `=` for a response, or the problem and the id.
fn read(body: &str) -> Vec<String> {
    let one = |message: Result<Message<'_>, Malformed<'_>>| match message {
        Ok(Message::Request(id, call)) => format!("{} {}", id.as_json(), shown(&call)),
        Ok(Message::Notification(call)) => format!("- {}", shown(&call)),
        Ok(Message::Response) => "=".into(),
        Err(malformed) => format!("{:?} {:?}", malformed.problem, malformed.id.map(Id::as_json)),
    };
    match Body::parse(body.as_bytes()) {
        Ok(Body::Single(message)) => vec![one(Ok(message))],
        Ok(Body::Batch(messages)) => messages.into_iter().map(one).collect(),
        Err(malformed) => vec![one(Err(malformed))],
    }
}

fn shown(call: &Call<'_>) -> String {
    format!("{} {}", call.method, call.params.map_or("", RawValue::get))
}

#[test]
fn messages_are_told_apart() {
    assert_eq!(
        read(r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{ "b" : 1.50 }}"#),
        [r#"1 a { "b" : 1.50 }"#]
    );
    assert_eq!(
        read(r#" {"method":"notifications/initialized","jsonrpc":"2.0"} "#),
        ["- notifications/initialized "]
    );
    assert_eq!(read(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), ["="]);
    assert_eq!(read(r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}"#), ["="]);
}

#[test]
fn an_id_is_kept_as_it_was_written() {
    for id in [r#""a\u00e9\n""#, "0", "-7", "123456789012345678901234567890", r#""""#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
        assert_eq!(read(&body), [format!("{id} m ")], "{id}");
    }
    for id in ["null", "1.5", "1e3", "1.0", "{}", "[]", "true", r#""\ud800""#, &format!("{:01025}", 1)] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
        let refused = read(&body);
        assert!(["Id None", "NotJson None"].contains(&refused[0].as_str()), "{id}: {refused:?}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for (body, expected) in [
        ("", "NotJson None"),
        ("{", "NotJson None"),
        ("{} {}", "NotJson None"),
        ("5", "NotMessage None"),
        ("\"a\"", "NotMessage None"),
        ("[]", "EmptyBatch None"),
        (r#"{"id":1,"method":"m"}"#, r#"Version Some("1")"#),
        (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, r#"Version Some("1")"#),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, r#"Method Some("\"x\"")"#),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, r#"Method Some("1")"#),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#, r#"Params Some("1")"#),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}"#, "Twice None"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","Method":"n"}"#, "Twice None"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{},"param\u017f":{}}"#, "Twice None"),
        (r#"{"jsonrpc":"2.0","id":1,"METHOD":"m"}"#, "Twice None"),
    ] {
        assert_eq!(read(body), [expected], "{body}");
    }
    assert_eq!(Body::parse(b"{\"\xff\":1}").unwrap_err().problem, Problem::NotJson);
}

#[test]
fn in_a_batch_each_message_stands_for_itself() {
    assert_eq!(
        read(r#"[{"jsonrpc":"2.0","id":1,"method":"a"},5,{"jsonrpc":"2.0","method":"n"}]"#),
        ["1 a ", "NotMessage None", "- n "]
    );
    let long = format!("[{}]", vec!["1"; 21].join(","));
    assert_eq!(read(&long), ["LongBatch None"]);
}

#[test]
fn calls_of_tools_and_readings_count() {
    let call = |name: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{name}}}"#);
    let body = format!(
        r#"[{},{},{},{{"jsonrpc":"2.0","id":2,"method":"resources/read"}},{{"jsonrpc":"2.0","id":3,"method":"ping"}}]"#,
        call(r#"{"name":"a"}"#),
        call(r#"{"name":"a","Name":"b"}"#),
        call(r#"{"arguments":{"name":"c"}}"#)
    );
    assert_eq!(asked(body.as_bytes()), [Asked::Tool("a".into()), Asked::Resource]);
    assert_eq!(asked(b"not json"), []);
}

#[test]
fn a_malformed_message_is_answered_under_its_id() {
    let malformed = Body::parse(br#"{"jsonrpc":"2.0","id":"x"}"#).unwrap_err();
    assert_eq!(
        malformed.answer(),
        r#"{"jsonrpc":"2.0","id":"x","error":{"code":-32600,"message":"\"method\" must be a string"}}"#
    );
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _read = Body::parse(&bytes);
    }

    #[test]
    fn the_method_and_the_parameters_are_those_that_serde_reads(
        method in "[a-z/]{0,12}", member in "[a-zA-Z]{0,8}", value in "\\PC{0,20}", id in any::<i64>(),
    ) {
        let params = serde_json::json!({ member: value });
        let body = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        prop_assert_eq!(read(&body), [format!("{id} {method} {params}")]);
    }
}
