use proptest::prelude::*;
use serde_json::{Value, json};
use weir_schema::chat_template::ChatTemplate;

use crate::chat::{Chat, ChatProblem, InvalidChat, Refusal};

/// The article's options.
fn article() -> Value {
    json!({
        "@type": "type.googleapis.com/infra.gateway.middleware.llm.v1.contrib.ChatTemplateConfig",
        "provider": "bilibili",
        "model_name": "index",
        "prompt_template": "Input: {{ jsonify (slice_to_index_map .reply_list 1) }}\nOutput:\n",
    })
}

fn with(more: Value) -> Chat {
    let mut options = article();
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    Chat::new(serde_json::from_value(options).unwrap()).unwrap()
}

fn invalid(options: Value) -> InvalidChat {
    Chat::new(serde_json::from_value::<ChatTemplate>(options).unwrap()).unwrap_err()
}

fn body(chat: &Chat, variables: &str) -> String {
    String::from_utf8(chat.request(variables.as_bytes()).unwrap().body).unwrap()
}

fn refused(chat: &Chat, variables: &str) -> (u16, &'static str, String, Option<String>) {
    let Refusal { status, code, message, param } = chat.request(variables.as_bytes()).unwrap_err();
    (status, code, message, param)
}

#[test]
fn the_articles_template_becomes_one_message() {
    let chat = with(json!({}));
    let request = chat.request(r#"{"reply_list":["你好","a\"b"]}"#.as_bytes()).unwrap();
    let expected = r#"{"model":"index","messages":[{"role":"user","content":"Input: {\"1\":\"你好\",\"2\":\"a\\\"b\"}\nOutput:\n"}]}"#;
    assert_eq!((String::from_utf8(request.body).unwrap().as_str(), request.prompt_bytes), (expected, 41));
    assert!(body(&chat, r#"{"reply_list":[],"stream":true}"#).ends_with(r#"}],"stream":true}"#));
}

#[test]
fn a_conversation_and_parameters_stand_in_their_order() {
    let chat = Chat::new(
        serde_json::from_value(json!({
            "model_name": "index",
            "messages": [
                {"role": "system", "content": "Answer in {{ .lang }}."},
                {"role": "user", "content": "2+2"},
                {"role": "assistant", "content": "4"},
                {"role": "user", "content": "{{ .q }}"},
            ],
            "params": {"temperature": 0, "max_tokens": 16, "stop": ["\n"]},
            "allow_params": ["temperature", "seed"],
        }))
        .unwrap(),
    )
    .unwrap();
    let sent = r#"{"lang":"en","q":"3+3","params":{"temperature":1,"seed":7},"user":"u1","stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(
        body(&chat, sent),
        r#"{"model":"index","messages":[{"role":"system","content":"Answer in en."},{"role":"user","content":"2+2"},"#
            .to_owned()
            + r#"{"role":"assistant","content":"4"},{"role":"user","content":"3+3"}],"temperature":1,"max_tokens":16,"#
            + r#""stop":["\n"],"seed":7,"stream":true,"stream_options":{"include_usage":true},"user":"u1"}"#
    );
    let refusal = refused(&chat, r#"{"lang":"en","q":"x","params":{"model":"gpt"}}"#);
    assert_eq!(refusal.2, "This template does not let callers set \"model\".");
    assert_eq!(refusal.3.as_deref(), Some("params.model"));
}

#[test]
fn a_system_template_stands_before_the_prompt() {
    let chat = with(json!({"system_template": "You translate."}));
    assert!(body(&chat, r#"{"reply_list":[]}"#).starts_with(
        r#"{"model":"index","messages":[{"role":"system","content":"You translate."},{"role":"user","#
    ));
}

#[test]
fn who_streams_is_the_templates_to_say() {
    let asks = |chat: &Chat, stream: &str| chat.request(format!(r#"{{"reply_list":[]{stream}}}"#).as_bytes());
    let streams = |chat: &Chat, stream| asks(chat, stream).unwrap().body.ends_with(br#""stream":true}"#);
    let client = with(json!({}));
    assert!(streams(&client, r#","stream":true"#) && !streams(&client, r#","stream":false"#));
    assert!(!streams(&client, "") && asks(&client, r#","stream":1"#).is_err());
    let never = with(json!({"stream": "never"}));
    assert!(!streams(&never, "") && asks(&never, r#","stream":true"#).is_err());
    let always = with(json!({"stream": "always"}));
    assert!(streams(&always, "") && asks(&always, r#","stream":false"#).is_err());
    let json = with(json!({"response": {"mode": "json"}}));
    let refusal = asks(&json, r#","stream":true"#).unwrap_err();
    assert_eq!((refusal.status, refusal.param.as_deref()), (400, Some("stream")));
}

#[test]
fn a_schema_can_make_a_reserved_name_a_variable() {
    let chat = with(json!({
        "prompt_template": "{{ .user }} {{ .params }}",
        "variables_schema": {"properties": {"user": {"type": "string"}, "params": {"type": "array"}}},
    }));
    assert!(body(&chat, r#"{"user":"Ada","params":[1]}"#).contains(r#""content":"Ada [1]"}]}"#));
}

#[test]
fn what_is_wrong_with_a_body_is_said_in_a_stable_word() {
    let chat = with(json!({
        "variables_schema": {"required": ["reply_list"], "properties": {"reply_list": {"type": "array"}, "n": {"type": "integer"}}},
        "limits": {"body_bytes": 200, "prompt_bytes": 40},
    }));
    for (sent, status, code, param) in [
        ("{", 400, "invalid_json", None),
        ("[]", 400, "invalid_json", None),
        ("", 400, "invalid_json", None),
        (r#"{"reply_list":"x"}"#, 400, "invalid_variables", Some("reply_list")),
        (r#"{"stream":"yes"}"#, 400, "invalid_variables", Some("stream")),
        (&format!(r#"{{"reply_list":["{}"]}}"#, "x".repeat(40)), 413, "payload_too_large", None),
        (&" ".repeat(201), 413, "payload_too_large", None),
    ] {
        let (found, word, _, about) = refused(&chat, sent);
        assert_eq!((found, word, about.as_deref()), (status, code, param), "{sent}");
    }
    let (_, _, message, _) = refused(&chat, r#"{"n":1.5}"#);
    assert_eq!(
        message,
        "The variables do not fit the template: reply_list is missing; n must be a whole number, not a number."
    );
    let unchecked = with(json!({}));
    let (status, code, message, param) = refused(&unchecked, r#"{"other":1}"#);
    assert_eq!((status, code, param.as_deref()), (400, "template_render_failed", Some("reply_list")));
    assert_eq!(message, "The template cannot be filled: 1:20: variable \".reply_list\" is not set.");
    let (_, code, ..) = refused(&unchecked, r#"{"reply_list":7}"#);
    assert_eq!(code, "template_render_failed");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let mut options = article();
    options["messages"] = json!([{"role": "user", "content": "x"}]);
    assert_eq!(invalid(options), InvalidChat { field: "messages".into(), problem: ChatProblem::TwoPrompts });
    assert_eq!(
        invalid(json!({"model_name": "index", "system_template": "x"})).problem,
        ChatProblem::NoMessage
    );
    for (more, field) in [
        (json!({"params": {"stream": true}}), "params.stream"),
        (json!({"allow_params": ["messages"]}), "allow_params.messages"),
        (json!({"stream": "always", "response": {"mode": "content"}}), "stream"),
        (json!({"response": {"schema": {}}}), "response.schema"),
        (json!({"response": {"mode": "json", "schema": {"pattern": "x"}}}), "response.schema"),
        (json!({"variables_schema": {"$ref": "x"}}), "variables_schema"),
        (json!({"prompt_template": "{{ printf 1 }}"}), "prompt_template"),
        (json!({"engine": "handlebars"}), "prompt_template"),
    ] {
        let mut options = article();
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(invalid(options).field, field, "{more}");
    }
}

fn completion(content: &str, reason: &str) -> Vec<u8> {
    let choice =
        json!({"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason});
    json!({"object": "chat.completion", "choices": [choice]}).to_string().into_bytes()
}

#[test]
fn the_text_of_an_answer_is_given_alone() {
    let chat = with(json!({"response": {"mode": "content"}}));
    assert_eq!(chat.answer(&completion("It is 你好\n", "length")), Ok("It is 你好\n".as_bytes().to_vec()));
    for none in ["", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"message":{"content":null}}]}"#] {
        assert_eq!(chat.answer(none.as_bytes()).unwrap_err().code, "invalid_model_output", "{none}");
    }
}

#[test]
fn the_json_of_an_answer_is_given_without_its_fence_and_as_it_was_written() {
    let chat = with(json!({"response": {"mode": "json", "schema": {"type": "object"}}}));
    let given = |content: &str| {
        chat.answer(&completion(content, "stop")).map(|json| String::from_utf8(json).unwrap())
    };
    for content in [
        "{ \"1\": 1.0 }",
        " \n{ \"1\": 1.0 }\n",
        "```json\n{ \"1\": 1.0 }\n```",
        "```\n{ \"1\": 1.0 }```",
        "```{ \"1\": 1.0 }```",
    ] {
        assert_eq!(given(content), Ok("{ \"1\": 1.0 }".to_owned()), "{content}");
    }
    for (content, message) in [
        ("Sure! {}", "The model's answer is not JSON: "),
        ("[1]", "The model's answer does not fit its schema: must be an object, not an array."),
        ("```json\n{}", "The model's answer is not JSON: "),
    ] {
        let refusal = given(content).unwrap_err();
        assert_eq!((refusal.status, refusal.code), (502, "invalid_model_output"));
        assert!(refusal.message.starts_with(message), "{}", refusal.message);
    }
    let cut = chat.answer(&completion("{}", "length")).unwrap_err();
    assert!(cut.message.contains("finish_reason is \"length\""), "{}", cut.message);
}

#[test]
fn a_hundred_thousand_items_and_a_megabyte_are_no_matter() {
    let chat = with(json!({"limits": {"prompt_bytes": 4_000_000}}));
    let many = json!({"reply_list": vec!["x"; 100_000]}).to_string();
    assert!(chat.request(many.as_bytes()).unwrap().prompt_bytes > 1_000_000);
    let long = json!({"reply_list": ["\u{2028}\"".repeat(200_000)]}).to_string();
    let request = chat.request(long.as_bytes()).unwrap();
    let read: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(read["messages"][0]["content"].as_str().unwrap().len(), request.prompt_bytes);
    let deep = format!("{{\"reply_list\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(refused(&chat, &deep).1, "invalid_json");
}

proptest! {
    #[test]
    fn whatever_the_variables_say_the_request_is_the_templates(
        texts in prop::collection::vec("(\\PC|[\"\\\\{}\r\n\u{2028}\u{0}<>]|\\{\\{ \\.q \\}\\}|\"\\}\\],){0,12}", 0..6),
        question in "(\\PC|[\"\\\\{}\r\n]){0,20}",
    ) {
        let chat = with(json!({"prompt_template": "Q: {{ .q }} {{ jsonify .reply_list }}", "params": {"seed": 1}}));
        let sent = json!({"reply_list": texts, "q": question}).to_string();
        let request = chat.request(sent.as_bytes()).unwrap();
        let list = serde_json::to_string(&texts).unwrap();
        let content = format!("Q: {question} {list}");
        let expected = json!({"model": "index", "messages": [{"role": "user", "content": content}], "seed": 1});
        prop_assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
    }
}
