use proptest::prelude::*;
use serde_json::json;

use super::*;

fn lenient(schema: &Value, value: Value) -> Result<Value, String> {
    let schema = schema.as_object().unwrap();
    check(schema, value, Strictness::Lenient).map_err(|problems| problems.to_string())
}

#[test]
fn a_value_is_taken_for_what_is_meant_if_nothing_is_lost() {
    for (kind, value, expected) in [
        ("integer", json!("5"), Ok(json!(5))),
        ("integer", json!(5.0), Ok(json!(5))),
        ("integer", json!("-9223372036854775808"), Ok(json!(i64::MIN))),
        ("integer", json!(u64::MAX), Ok(json!(u64::MAX))),
        ("integer", json!("5.5"), Err(r#""a" must be an integer (got "5.5")"#)),
        ("integer", json!(5.5), Err(r#""a" must be an integer (got 5.5)"#)),
        ("integer", json!(true), Err(r#""a" must be an integer (got true)"#)),
        ("integer", json!("5 "), Err(r#""a" must be an integer (got "5 ")"#)),
        ("number", json!("1.5"), Ok(json!(1.5))),
        ("number", json!("NaN"), Err(r#""a" must be a number (got "NaN")"#)),
        ("boolean", json!("true"), Ok(json!(true))),
        ("boolean", json!("yes"), Err(r#""a" must be a boolean (got "yes")"#)),
        ("boolean", json!(1), Err(r#""a" must be a boolean (got 1)"#)),
        ("string", json!(123), Ok(json!("123"))),
        ("string", json!(["x"]), Err(r#""a" must be a string (got ["x"])"#)),
        ("array", json!("x"), Err(r#""a" must be an array (got "x")"#)),
        ("object", json!({}), Ok(json!({}))),
    ] {
        let schema = json!({"type": "object", "properties": {"a": {"type": kind}}});
        let expected = expected.map(|a| json!({"a": a})).map_err(str::to_owned);
        assert_eq!(lenient(&schema, json!({"a": value})), expected, "{kind} {value}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let schema = json!({
        "type": "object",
        "properties": {
            "level": {"type": "string", "enum": ["DEBUG", "ERROR"]},
            "size": {"type": "integer", "minimum": 1, "maximum": 10},
            "word": {"type": "string", "minLength": 2, "maxLength": 3},
            "ids": {"type": "array", "maxItems": 2, "items": {"type": "integer"}},
            "page": {"type": "object", "properties": {"at": {"type": "integer"}}, "required": ["at"]}
        },
        "required": ["level", "appid"],
        "additionalProperties": false
    });
    let value = json!({
        "level": "TRACE", "size": 11, "word": "你好你好", "ids": [1, "x", 3], "page": {}, "other": 1
    });
    assert_eq!(
        lenient(&schema, value).unwrap_err(),
        r#""level" must be one of DEBUG, ERROR (got "TRACE"); "size" must be at most 10 (got 11); "word" must have at most 3 characters (got 4); "ids" must have at most 2 items (got 3); "ids[1]" must be an integer (got "x"); "page.at" is required; "other" is unknown; "appid" is required"#
    );
}

#[test]
fn many_problems_are_cut() {
    let schema = json!({"type": "object", "additionalProperties": false});
    let value = Value::Object((0..20).map(|n| (format!("{n}-{}", "x".repeat(100)), json!(1))).collect());
    let text = lenient(&schema, value).unwrap_err();
    assert_eq!((text.matches("is unknown").count(), text.ends_with("; and more")), (MAX_PROBLEMS, true));
    assert!(text.len() < 1000, "{text}");
}

#[test]
fn null_is_absent_where_nothing_has_to_be_there() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}, "c": {"type": "string"}},
        "required": ["c"]
    });
    let value = json!({"a": null, "b": null, "c": "x"});
    assert_eq!(lenient(&schema, value), Ok(json!({"b": null, "c": "x"})));
    assert_eq!(lenient(&schema, json!({"c": null})).unwrap_err(), r#""c" must be a string (got null)"#);
}

#[test]
fn an_answer_is_taken_as_it_is() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let strict =
        |value| check(schema.as_object().unwrap(), value, Strictness::Strict).map_err(|e| e.to_string());
    assert_eq!(strict(json!({"n": 5, "more": [null]})), Ok(json!({"n": 5, "more": [null]})));
    assert_eq!(strict(json!({"n": "5"})), Err(r#""n" must be an integer (got "5")"#.into()));
}

#[test]
fn numbers_are_compared_by_their_value() {
    let schema = json!({"enum": [1, "a"]});
    assert_eq!(lenient(&schema, json!(1.0)), Ok(json!(1.0)));
    assert_eq!(lenient(&schema, json!("b")).unwrap_err(), r#""arguments" must be one of 1, a (got "b")"#);
}

#[test]
fn what_nests_too_deep_or_is_too_long_is_refused() {
    let mut schema = json!({"type": "array"});
    let mut value = json!([]);
    for _ in 0..40 {
        schema = json!({"type": "array", "items": schema});
        value = json!([value]);
    }
    assert!(lenient(&schema, value).unwrap_err().ends_with("is nested deeper than 32"));
    let long = json!({"type": "array"});
    assert!(lenient(&long, Value::Array(vec![Value::Null; 1001])).is_err());
}

proptest! {
    #[test]
    fn a_value_that_fits_stays_as_it_is(text in "\\PC{0,20}", number in any::<i64>(), truth in any::<bool>()) {
        let schema = json!({"type": "object", "properties": {
            "text": {"type": "string"}, "number": {"type": "integer"}, "truth": {"type": "boolean"}
        }});
        let value = json!({"text": text, "number": number, "truth": truth});
        prop_assert_eq!(lenient(&schema, value.clone()), Ok(value));
    }
}
