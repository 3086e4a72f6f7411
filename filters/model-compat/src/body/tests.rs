use super::*;

/// What a body becomes by these rules; the model is `"up"`.
fn edited(rules: &str, body: &str) -> (String, bool) {
    let edited = edit_by(rules, body).unwrap();
    let text = edited.body.map_or(body.to_owned(), |body| String::from_utf8(body).unwrap());
    (text, edited.hide_usage)
}

fn edit_by(rules: &str, body: &str) -> Result<Edited, Refused> {
    let start = body.find("\"index\"").unwrap_or(body.len()) as u64;
    let rename = Rename::new(start..start.saturating_add(7), "up");
    edit(body.as_bytes(), &rename, &serde_json::from_str(rules).unwrap(), true)
}

fn body(rules: &str, body: &str) -> String {
    edited(rules, body).0
}

#[test]
fn the_model_has_its_name_at_the_upstream_and_nothing_else_changes() {
    let before = r#" { "model" : "index", "x": {"model":"index"} } "#;
    assert_eq!(body("{}", before), before.replacen("\"index\"", "\"up\"", 1));
    assert_eq!(edit_by("{}", r#"{"model":"up"}"#), Ok(Edited { body: None, hide_usage: false }));
}

#[test]
fn a_body_without_a_model_is_given_one() {
    let body = br#"{"n":1}"#;
    let edited = edit(body, &Rename::new(1..1, "up"), &serde_json::from_str("{}").unwrap(), true).unwrap();
    assert_eq!(edited.body.as_deref(), Some(&br#"{"n":1,"model":"up"}"#[..]));
}

#[test]
fn a_stream_is_asked_for_its_usage_once() {
    for (asked, sent, hidden) in [
        (
            r#"{"model":"index","stream":true}"#,
            r#"{"model":"up","stream":true,"stream_options":{"include_usage":true}}"#,
            true,
        ),
        (
            r#"{"stream_options":{},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            true,
        ),
        (
            r#"{"stream_options":null,"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            true,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            true,
        ),
        (
            r#"{"stream":true,"stream_options":{"x":1}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
            true,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            false,
        ),
        (r#"{"stream":false}"#, r#"{"stream":false}"#, false),
        ("{}", "{}", false),
    ] {
        assert_eq!(edited("{}", asked), (sent.to_owned(), hidden), "{asked}");
    }
    let unasked = r#"{"stream_usage":"unasked"}"#;
    assert_eq!(edited(unasked, r#"{"stream":true}"#), (r#"{"stream":true}"#.into(), true));
    let asked = r#"{"stream_options":{"include_usage":true},"stream":true}"#;
    assert_eq!(edited(unasked, asked), (r#"{"stream":true}"#.into(), false));
}

#[test]
fn members_become_what_the_rules_say() {
    for (rules, before, after) in [
        (r#"{"drop":["a"]}"#, r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        (r#"{"drop":["b"]}"#, r#"{"a":1, "b":2 }"#, r#"{"a":1 }"#),
        (r#"{"drop":["a","b"]}"#, r#"{"a":1,"b":2,"c":3}"#, r#"{"c":3}"#),
        (r#"{"drop":["b","c"]}"#, r#"{"a":1,"b":2,"c":3,"d":4}"#, r#"{"a":1,"d":4}"#),
        (r#"{"drop":["a","c"]}"#, r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2}"#),
        (r#"{"drop":["a","b"]}"#, r#"{"a":1,"b":2}"#, "{}"),
        (r#"{"drop":["a"]}"#, r#"{"\u0061":1,"b":{"a":1}}"#, r#"{"b":{"a":1}}"#),
        (
            r#"{"rename":{"max_tokens":"max_completion_tokens"}}"#,
            r#"{"max_tokens":5}"#,
            r#"{"max_completion_tokens":5}"#,
        ),
        (r#"{"rename":{"a":"b"}}"#, r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        (r#"{"rename":{"a":"b"},"clamp":{"b":4}}"#, r#"{"a":5}"#, r#"{"b":4}"#),
        (r#"{"clamp":{"a":4,"b":{"min":0.5,"max":1}}}"#, r#"{"a":4,"b":0.1}"#, r#"{"a":4,"b":0.5}"#),
        (r#"{"rename":{"a":"b"},"clamp":{"a":4}}"#, r#"{"a":5}"#, r#"{"b":4}"#),
        (r#"{"rename":{"a":"b"},"clamp":{"a":4}}"#, r#"{"b":5}"#, r#"{"b":4}"#),
        (r#"{"rename":{"a":"b"},"defaults":{"a":4,"b":5}}"#, "{}", r#"{"b":4}"#),
        (r#"{"clamp":{"a":4}}"#, r#"{"a":"5"}"#, r#"{"a":"5"}"#),
        (r#"{"clamp":{"a":4}}"#, r#"{"a":18446744073709551616}"#, r#"{"a":4}"#),
        (r#"{"defaults":{"a":0.7,"b":[1]}}"#, r#"{"a":1}"#, r#"{"a":1,"b":[1]}"#),
        (r#"{"defaults":{"a":0.7}}"#, r#"{"a":null}"#, r#"{"a":0.7}"#),
        (r#"{"defaults":{"a":0.7},"drop":["b"]}"#, r#"{"b":1}"#, r#"{"a":0.7}"#),
        (r#"{"defaults":{"a":0.7}}"#, "{ }", r#"{ "a":0.7}"#),
        (r#"{"defaults":{"b":1},"rename":{"a":"b"}}"#, r#"{"a":2}"#, r#"{"b":2}"#),
        (r#"{"set":{"a":true},"defaults":{"a":false}}"#, "{}", r#"{"a":true}"#),
        (r#"{"set":{"a":{"x":1}}}"#, r#"{"a":[2],"b":1}"#, r#"{"a":{"x":1},"b":1}"#),
        (r#"{"refuse":["a"]}"#, r#"{"a":null}"#, r#"{"a":null}"#),
    ] {
        assert_eq!(body(&format!(r#"{{"params":{rules}}}"#), before), after, "{rules} {before}");
    }
}

#[test]
fn a_member_that_is_refused_is_named() {
    let refused = |body| edit_by(r#"{"params":{"refuse":["logprobs"]}}"#, body);
    assert_eq!(refused(r#"{"log\u0070robs":true}"#), Err(Refused { param: "logprobs".into() }));
}

#[test]
fn messages_have_the_roles_and_the_content_that_the_upstream_knows() {
    let rules = r#"{"roles":{"developer":"system"},"content":"text","tool_choice":{"required":"any"}}"#;
    let before = concat!(
        r#"{"messages":[{"role":"developer","content":[{"type":"text","text":"a \"b\""},{"text":"c","type":"text"}]},"#,
        r#"{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{}}]},"#,
        r#"{"role":"assistant","content":"developer","tool_calls":[]}],"tool_choice":"required"}"#
    );
    let after = concat!(
        r#"{"messages":[{"role":"system","content":"a \"b\"\nc"},"#,
        r#"{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{}}]},"#,
        r#"{"role":"assistant","content":"developer","tool_calls":[]}],"tool_choice":"any"}"#
    );
    assert_eq!(body(rules, before), after);
    assert_eq!(body("{}", before), before);
}

#[test]
fn an_edited_body_is_no_further_edited() {
    let rules = r#"{"params":{"drop":["a"],"rename":{"b":"c"},"clamp":{"c":4},"defaults":{"d":1},"set":{"e":2}},"roles":{"x":"y"}}"#;
    let once = body(rules, r#"{"a":1,"b":9,"e":1,"stream":true,"messages":[{"role":"x"}]}"#);
    assert_eq!(body(rules, &once), once);
}
