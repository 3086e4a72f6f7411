use core::fmt::Debug;

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::*;
use crate::ScanError;

/// Reads `body` as a `T`, and checks that writing it changes nothing.
fn kept<T: Serialize + DeserializeOwned + Debug>(body: Value) -> T {
    let read: T = serde_json::from_slice(body.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), body, "{read:?}");
    read
}

#[test]
fn a_chat_request_keeps_what_it_does_not_know() {
    let request: ChatRequest = kept(json!({
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": "hi", "name": "ann"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
            {"role": "assistant", "x": -1},
        ],
        "stream": true,
        "stream_options": {"include_usage": null, "x": {}},
        "max_tokens": null,
        "max_completion_tokens": 10,
        "temperature": 0.5,
        "seed": -9_223_372_036_854_775_808_i64,
        "x_vendor": {"deep": [null]},
    }));
    assert_eq!(request.stream, Field::Present(true));
    assert_eq!(request.max_tokens, Field::Null);
    assert_eq!(request.messages[0].content, Field::Present(Content::Text("hi".to_owned())));
    assert_eq!(request.messages[3].content, Field::Absent);
}

#[test]
fn an_answer_keeps_what_it_does_not_know() {
    let answer: ChatCompletion = kept(json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1.5, "model": "gpt-4o-2024-08-06",
        "choices": [{
            "index": 1,
            "message": {"role": "assistant", "content": "hi", "refusal": null, "reasoning_content": "hm"},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
            "cost": 0.25,
        },
        "system_fingerprint": null,
    }));
    let usage = answer.usage.get().unwrap();
    let tokens = [usage.prompt(), usage.completion(), usage.total(), usage.cached(), usage.reasoning()];
    assert_eq!(tokens, [9, 12, 21, 4, 5]);
    assert_eq!(answer.choices[0].finish_reason.get().map(String::as_str), Some("stop"));
}

#[test]
fn a_chunk_keeps_its_nulls() {
    let chunk: ChatChunk = kept(json!({
        "id": "1", "model": "m", "usage": null, "obfuscation": "x",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": "", "tool_calls": []}, "finish_reason": null},
            {"index": 1, "delta": {"content": null}},
            {"index": 2, "delta": {}, "finish_reason": "length", "logprobs": {"content": []}},
        ],
    }));
    assert_eq!(chunk.choices[0].delta.content, Field::Present(String::new()));
    let last: ChatChunk =
        kept(json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": null}}));
    assert_eq!(last.usage.get().map(Usage::total), Some(1));
}

#[test]
fn embeddings_keep_what_they_do_not_know() {
    for input in [json!("a"), json!(["a", "b"]), json!([1, 2]), json!([[1], [2]])] {
        let request: EmbeddingsRequest = kept(json!({"model": "e", "input": input, "dimensions": 4}));
        assert_eq!(request.input, input);
    }
    let answer: EmbeddingsResponse = kept(json!({
        "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}], "model": "e",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }));
    assert_eq!(answer.usage.get().map(Usage::total), Some(8));
}

#[test]
fn a_list_of_models_is_written_as_openai_writes_it() {
    let list = ModelList::new(vec![Model::new("gpt-4o", 0, "weir")]);
    let expected =
        r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","created":0,"owned_by":"weir"}]}"#;
    assert_eq!(String::from_utf8(list.to_body()).unwrap(), expected);
    assert_eq!(kept::<ModelList>(serde_json::from_str(expected).unwrap()), list);
    let one = br#"{"id":"gpt-4o","object":"model","created":0,"owned_by":"weir"}"#;
    assert_eq!(Model::new("gpt-4o", 0, "weir").to_body(), one);
}

#[test]
fn an_endpoint_is_its_method_and_its_path() {
    let model = |id: &str| Some(Endpoint::Model(id.to_owned()));
    for (path, method, endpoint) in [
        ("/v1/chat/completions", "POST", Some(Endpoint::ChatCompletions)),
        ("/v1/completions?a=/v1/models", "POST", Some(Endpoint::Completions)),
        ("/v1/embeddings?", "POST", Some(Endpoint::Embeddings)),
        ("/v1/responses", "POST", Some(Endpoint::Responses)),
        ("/v1/messages?beta=true", "POST", Some(Endpoint::Messages)),
        ("/v1/messages/count_tokens", "POST", Some(Endpoint::CountTokens)),
        ("/v1/rerank", "POST", Some(Endpoint::Rerank)),
        ("/v1/moderations", "POST", Some(Endpoint::Moderations)),
        ("/v1/images/generations", "POST", Some(Endpoint::ImageGenerations)),
        ("/v1/images/edits", "POST", Some(Endpoint::ImageEdits)),
        ("/v1/images/variations", "POST", Some(Endpoint::ImageVariations)),
        ("/v1/audio/speech", "POST", Some(Endpoint::Speech)),
        ("/v1/audio/transcriptions", "POST", Some(Endpoint::Transcriptions)),
        ("/v1/audio/translations", "POST", Some(Endpoint::Translations)),
        ("/v1/responses/resp_1", "DELETE", Some(Endpoint::Stored)),
        ("/v1/responses/resp_1/cancel", "POST", Some(Endpoint::Stored)),
        ("/v1/files?purpose=batch", "GET", Some(Endpoint::Stored)),
        ("/v1/files/file-1/content", "GET", Some(Endpoint::Stored)),
        ("/v1/batches", "POST", Some(Endpoint::Stored)),
        ("/v1/messages/batches/b/results", "GET", Some(Endpoint::Stored)),
        ("/v1/filesx", "GET", None),
        ("/v1/messages/other", "POST", None),
        ("/v1/models", "GET", Some(Endpoint::Models)),
        ("/v1/models/gpt-4o", "GET", model("gpt-4o")),
        ("/v1/models/meta-llama/Llama-3.1?x", "GET", model("meta-llama/Llama-3.1")),
        ("/v1/models/a%2Fb%20%C3%A9+", "GET", model("a/b é+")),
        ("/v1/models/", "GET", None),
        ("/v1/models/%", "GET", None),
        ("/v1/models/%4", "GET", None),
        ("/v1/models/%+1", "GET", None),
        ("/v1/models/%ff", "GET", None),
        ("/v1/modelsx", "GET", None),
        ("/v1/chat/completions/", "POST", None),
        ("/v1/chat%2Fcompletions", "POST", None),
        ("/v1//completions", "POST", None),
        ("/V1/models", "GET", None),
        ("v1/models", "GET", None),
        ("/v1", "GET", None),
        ("", "GET", None),
    ] {
        assert_eq!(Endpoint::of(method, path), endpoint, "{method} {path}");
        assert_eq!(Endpoint::at(path), endpoint, "{path}");
        for other in ["HEAD", "PUT", "post", "get", ""] {
            assert_eq!(Endpoint::of(other, path), None, "{other} {path}");
        }
    }
}

#[test]
fn an_error_is_written_as_openai_writes_it_and_reads_back() {
    let error = ApiError {
        status: 401,
        kind: ErrorKind::InvalidRequest,
        code: Some("invalid_api_key"),
        message: "Incorrect \"key\".".into(),
        param: None,
    };
    let body = String::from_utf8(error.to_body()).unwrap();
    let expected = concat!(
        r#"{"error":{"message":"Incorrect \"key\".","type":"invalid_request_error","#,
        r#""param":null,"code":"invalid_api_key"}}"#
    );
    assert_eq!(body, expected);
    let read: ErrorBody = kept(serde_json::from_str(&body).unwrap());
    assert_eq!(read.error.message, "Incorrect \"key\".");
    let _: ErrorBody = kept(json!({"error": {"message": "", "code": 429, "metadata": {}}, "user_id": "u"}));
}

#[test]
fn a_body_that_the_scan_refuses_is_a_400_that_says_why() {
    let error = ApiError::from(ScanError::ModelTooLong { limit: 256 });
    assert_eq!((error.status, error.param), (400, Some("model")));
    assert_eq!(error.message, "The request is refused: 'model' is longer than 256 bytes.");
    assert_eq!(ApiError::from(ScanError::NotJson { offset: 7 }).param, None);
}

/// Members that no type names.
fn unknown() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::hash_map("x[a-z\\PC]{0,6}", value, 0..5)
        .prop_map(|members| members.into_iter().collect())
}

/// A value, null or nothing, under `key`.
fn perhaps(key: &'static str, value: impl Into<Value>) -> impl Strategy<Value = Map<String, Value>> {
    let member = move |value| Map::from_iter([(key.to_owned(), value)]);
    prop::sample::select(vec![Map::new(), member(Value::Null), member(value.into())])
}

fn join(parts: impl IntoIterator<Item = Map<String, Value>>) -> Value {
    Value::Object(parts.into_iter().flatten().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unknown_members_and_nulls_survive_at_every_level(
        rest in prop::array::uniform5(unknown()),
        content in perhaps("content", "hi"),
        role in perhaps("role", "assistant"),
        reason in perhaps("finish_reason", "stop"),
        prompt in perhaps("prompt_tokens", 3),
        cached in perhaps("cached_tokens", u64::MAX),
        model in perhaps("model", "m"),
    ) {
        let [outer, choice_rest, inner, usage_rest, details_rest] = rest;
        let details = join([cached, details_rest]);
        let usage = join([prompt, usage_rest, Map::from_iter([("prompt_tokens_details".to_owned(), details)])]);
        let delta = join([content.clone(), role, inner.clone()]);
        let choice = Map::from_iter([("index".to_owned(), json!(0)), ("delta".to_owned(), delta)]);
        let choice = join([choice, reason.clone(), choice_rest.clone()]);
        let members = Map::from_iter([("choices".to_owned(), json!([choice])), ("usage".to_owned(), usage)]);
        let chunk = join([members, model.clone(), outer.clone()]);
        kept::<ChatChunk>(chunk);

        let message = join([content, inner, Map::from_iter([("role".to_owned(), json!("user"))])]);
        let choice = Map::from_iter([("index".to_owned(), json!(0)), ("message".to_owned(), message.clone())]);
        let choices = json!([join([choice, reason, choice_rest])]);
        kept::<ChatCompletion>(join([Map::from_iter([("choices".to_owned(), choices)]), model, outer.clone()]));

        let request = Map::from_iter([("model".to_owned(), json!("m")), ("messages".to_owned(), json!([message]))]);
        kept::<ChatRequest>(join([request, outer]));
    }
}
