use serde_json::{Value, json};

use crate::{InvalidShape, Shape, ShapeProblem};

fn misfits(schema: &Value, value: &Value) -> Vec<String> {
    let shape = Shape::parse(schema.as_object().unwrap()).unwrap();
    shape.check(value).iter().map(ToString::to_string).collect()
}

#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let schema = json!({
        "type": "object", "required": ["reply_list", "lang"], "additionalProperties": false,
        "properties": {
            "reply_list": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 2}},
            "lang": {"enum": ["en", "ja"]},
            "top": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10},
            "who": {"type": "object", "properties": {"name": {"type": ["string", "null"]}}, "required": ["name"]},
        },
    });
    let fits = json!({"reply_list": ["你好", "b"], "lang": "en", "top": 9, "who": {"name": null, "more": 1}});
    assert_eq!(misfits(&schema, &fits), Vec::<String>::new());
    let wrong = json!({"reply_list": ["ok", "你好吗", 3, "x"], "top": 10, "who": {}, "mode": "x"});
    assert_eq!(
        misfits(&schema, &wrong),
        [
            "lang is missing",
            "reply_list may have 3 items, not 4",
            "reply_list[1] may have 2 characters, not 3",
            "reply_list[2] must be a string, not a number",
            "top must be less than 10",
            "who.name is missing",
            "mode is not known",
        ]
    );
    assert_eq!(misfits(&schema, &json!([])), ["must be an object, not an array"]);
}

#[test]
fn every_keyword_that_is_read_is_checked() {
    for (schema, fits, does_not) in [
        (json!({"type": "integer"}), json!(2.0), json!(2.5)),
        (json!({"type": "number"}), json!(2), json!("2")),
        (json!({"type": "boolean"}), json!(true), json!(null)),
        (json!({"type": "null"}), json!(null), json!(0)),
        (json!({"const": {"a": 1}}), json!({"a": 1}), json!({"a": 2})),
        (json!({"enum": [1, "a"]}), json!(1.0), json!("1")),
        (json!({"minLength": 2}), json!("你好"), json!("a")),
        (json!({"minItems": 1}), json!([1]), json!([])),
        (json!({"minProperties": 1, "maxProperties": 1}), json!({"a": 1}), json!({"a": 1, "b": 2})),
        (json!({"uniqueItems": true}), json!([1, "1"]), json!([1, 1])),
        (json!({"minimum": 9007199254740993_i64}), json!(9007199254740993_i64), json!(9007199254740992_i64)),
        (json!({"exclusiveMinimum": 0.5}), json!(1), json!(0.5)),
        (json!({"maximum": 3}), json!(3), json!(3.5)),
        (json!({"additionalProperties": {"type": "string"}}), json!({"x": "a"}), json!({"x": 1})),
        (json!({"items": false}), json!([]), json!([1])),
        (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), json!(null), json!(1)),
        (json!({"allOf": [{"minLength": 1}, {"maxLength": 2}]}), json!("ab"), json!("abc")),
        (json!({"title": "t", "format": "email", "default": 1}), json!("x"), Value::Null),
    ] {
        assert_eq!(misfits(&schema, &fits), Vec::<String>::new(), "{schema}");
        assert_eq!(
            misfits(&schema, &does_not).is_empty(),
            does_not.is_null() && schema.get("title").is_some(),
            "{schema}"
        );
    }
}

#[test]
fn many_misfits_are_not_all_told() {
    let schema = json!({"items": {"type": "string"}});
    assert_eq!(misfits(&schema, &json!(vec![1; 100_000])).len(), 20);
}

#[test]
fn what_is_not_checked_is_refused() {
    let invalid = |schema: Value| Shape::parse(schema.as_object().unwrap()).unwrap_err();
    let at = |at: &str, problem| InvalidShape { at: at.to_owned(), problem };
    let schema = json!({"properties": {"name": {"type": "string", "pattern": "^a"}}});
    assert_eq!(invalid(schema), at("properties.name.pattern", ShapeProblem::Unsupported));
    assert_eq!(invalid(json!({"$ref": "#/x"})), at("$ref", ShapeProblem::Unsupported));
    assert_eq!(invalid(json!({"type": "text"})), at("type", ShapeProblem::Invalid));
    assert_eq!(invalid(json!({"maxItems": -1})), at("maxItems", ShapeProblem::Invalid));
    assert_eq!(invalid(json!({"anyOf": []})), at("anyOf", ShapeProblem::Invalid));
    let mut deep = json!({});
    for _ in 0..70 {
        deep = json!({"items": deep});
    }
    assert_eq!(invalid(deep).problem, ShapeProblem::TooDeep);
}
