use weir_core::testing::Bench;
use weir_core::{Effect, Filter, StreamId};

use super::*;

const CONFIG: &str = r#"{
    "held_body_bytes": 250,
    "endpoints": [
        {"name": "reply-to-en", "path": "/v1/reply-to-en", "timeout_ms": 300000, "variants": [{"template": {
            "provider": "bilibili", "model_name": "index", "prompt_template": "Input: {{ jsonify .reply_list }}",
            "version": "3", "limits": {"body_bytes": 200}
        }}]},
        {"name": "sum", "path": "/v1/sum/*", "variants": [{"template": {
            "model_name": "index", "prompt_template": "{{ .a }}+{{ .b }}", "response": {"mode": "json"}
        }}]}
    ]
}"#;

struct Request {
    bench: Bench,
    stream: ChatTemplateStream,
}

impl Request {
    fn new() -> Self {
        let filter = Rc::new(ChatTemplates::new(serde_json::from_str(CONFIG).unwrap()).unwrap());
        Self { bench: Bench::default(), stream: filter.stream(StreamId(1)) }
    }

    fn head(&mut self, method: &str, path: &str, more: &[(&str, &str)]) -> (Flow, Vec<Effect>) {
        let fields = [&[(":method", method), (":path", path)], more].concat();
        self.bench.run(|cx| self.stream.on_request_head(cx, &Head::new(&fields, method == "GET")))
    }

    fn post(path: &str) -> Self {
        let mut request = Self::new();
        let read = vec![Effect::Read(Part::RequestBody)];
        assert_eq!(request.head("POST", path, &[]), (Flow::Wait, read));
        request
    }

    fn body(&mut self, chunk: &str, end: bool) -> (Flow, Vec<Effect>) {
        self.bench.run(|cx| self.stream.on_request_body(cx, chunk.as_bytes(), end))
    }

    /// A request for a sum that has been sent.
    fn sum() -> Self {
        let mut request = Self::post("/v1/sum");
        assert_eq!(request.body(r#"{"a":1,"b":2}"#, true).0, Flow::Continue);
        request
    }

    fn answer_head(&mut self, status: &str) -> (Flow, Vec<Effect>) {
        let fields = [(":status", status)];
        self.bench.run(|cx| self.stream.on_response_head(cx, &Head::new(&fields, false)))
    }

    fn answer(&mut self, chunk: &str, end: bool) -> (Flow, Vec<Effect>) {
        self.bench.run(|cx| self.stream.on_response_body(cx, chunk.as_bytes(), end))
    }
}

fn set(side: Side, name: &'static str, value: &str) -> Effect {
    Effect::SetHeader(side, name.into(), value.into())
}

fn reply(flow: &Flow) -> (u16, String, Vec<&'static str>) {
    let Flow::Reply(reply) = flow else { panic!("{flow:?} is no reply") };
    let names = reply.headers.iter().map(|(name, _)| *name).collect();
    (reply.status, String::from_utf8(reply.body.to_vec()).unwrap(), names)
}

fn completion(content: &str) -> String {
    let choice = serde_json::json!({"message": {"content": content}, "finish_reason": "stop"});
    serde_json::json!({"choices": [choice]}).to_string()
}

#[test]
fn other_requests_pass_at_their_head() {
    for (method, path) in
        [("POST", "/v1/chat/completions"), ("GET", "/v1/reply-to-enx"), ("POST", "/v1/summary")]
    {
        assert_eq!(Request::new().head(method, path, &[]), (Flow::Continue, vec![]), "{path}");
    }
}

#[test]
fn variables_in_any_chunks_become_a_chat_completions_request() {
    let sent = r#"{"reply_list":["a\"b"]}"#;
    let made = r#"{"model":"index","messages":[{"role":"user","content":"Input: [\"a\\\"b\"]"}]}"#;
    for cut in 0..sent.len() {
        let mut request = Request::post("/v1/reply-to-en?x=1");
        let (start, rest) = sent.split_at(cut);
        assert_eq!(request.body(start, false), (Flow::Wait, vec![]));
        let (flow, effects) = request.body(rest, true);
        let expected = [
            set(Side::Request, ":path", "/v1/chat/completions"),
            set(Side::Request, "content-type", "application/json"),
            set(Side::Request, "content-length", &made.len().to_string()),
            set(Side::Request, "x-envoy-upstream-rq-timeout-ms", "300000"),
            Effect::Publish(state::TEMPLATE, "reply-to-en".into()),
            Effect::Publish(state::TEMPLATE_VERSION, "3".into()),
            Effect::Publish(state::PROMPT_BYTES, "15".into()),
            Effect::Publish(state::PIN, "bilibili".into()),
            Effect::Count(RENDERED, 1),
            Effect::Skip(Part::RequestBody),
            Effect::Read(Part::ResponseHead),
            Effect::ReplaceBody(Side::Request, 0..sent.len(), made.into()),
        ];
        assert_eq!((flow, effects), (Flow::Continue, expected.to_vec()));
    }
}

#[test]
fn an_answer_in_openais_form_passes_untouched_and_says_whose_it_is() {
    let mut request = Request::post("/v1/reply-to-en");
    request.body(r#"{"reply_list":[]}"#, true);
    let told = vec![
        set(Side::Response, "x-weir-template", "reply-to-en"),
        set(Side::Response, "x-weir-template-version", "3"),
    ];
    assert_eq!(request.answer_head("200"), (Flow::Continue, told));
    assert_eq!(request.answer("data", true), (Flow::Continue, vec![]));
}

#[test]
fn the_json_of_an_answer_is_told_as_soon_as_it_is_whole() {
    let whole = completion("```json\n{\"sum\": 3}\n```");
    for (cut, end) in [(0, true), (5, false), (whole.len() - 1, false), (whole.len(), false)] {
        let mut request = Request::sum();
        let (flow, effects) = request.answer_head("200");
        let told = [set(Side::Response, "x-weir-template", "sum"), Effect::Read(Part::ResponseBody)];
        assert_eq!((flow, effects), (Flow::Wait, told.to_vec()));
        let (start, rest) = whole.split_at(cut);
        let expected = vec![
            set(Side::Response, "content-type", "application/json"),
            set(Side::Response, "content-length", "10"),
            Effect::ReplaceBody(Side::Response, 0..whole.len(), br#"{"sum": 3}"#.to_vec()),
        ];
        let first = request.answer(start, false);
        let last = if first.0 == Flow::Wait { request.answer(rest, end) } else { first };
        assert_eq!(last, (Flow::Continue, expected), "{cut}");
        let dropped = vec![Effect::ReplaceBody(Side::Response, 0..1, vec![])];
        assert_eq!(request.answer("\n", true), (Flow::Continue, dropped));
    }
}

#[test]
fn an_answer_that_is_not_what_was_promised_is_a_502() {
    let long = completion(&"x".repeat(LONGEST_ANSWER));
    let head = &long[..LONGEST_ANSWER + 10];
    for (body, end) in
        [(completion("Three."), true), ("{\"choices\":".to_owned(), true), (head.to_owned(), false)]
    {
        let mut request = Request::sum();
        request.answer_head("200");
        let (flow, effects) = request.answer(&body, end);
        assert_eq!(flow, Flow::Continue);
        assert_eq!(effects[..2], [Effect::Count(BAD_OUTPUT, 1), set(Side::Response, ":status", "502")]);
        let Some(Effect::ReplaceBody(Side::Response, range, with)) = effects.last() else { panic!() };
        assert_eq!(*range, 0..body.len());
        let text = String::from_utf8(with.clone()).unwrap();
        assert!(
            text.ends_with(r#""type":"server_error","param":null,"code":"invalid_model_output"}}"#),
            "{text}"
        );
    }
}

#[test]
fn an_upstreams_error_passes_as_it_is() {
    let mut request = Request::sum();
    let told = vec![set(Side::Response, "x-weir-template", "sum")];
    assert_eq!(request.answer_head("429"), (Flow::Continue, told));
    assert_eq!(request.answer("{}", true), (Flow::Continue, vec![]));
}

#[test]
fn what_cannot_be_filled_is_refused_with_the_templates_name() {
    let mut request = Request::new();
    let (flow, _) = request.head("GET", "/v1/reply-to-en", &[]);
    let (status, _, headers) = reply(&flow);
    assert_eq!(
        (status, headers),
        (405, vec!["content-type", "allow", "x-weir-template", "x-weir-template-version"])
    );
    for (more, status) in [
        (("content-type", "text/plain"), 415),
        (("content-type", "application/json; charset=utf-16"), 415),
        (("content-encoding", "gzip"), 415),
        (("content-length", "201"), 413),
    ] {
        let (flow, _) = Request::new().head("POST", "/v1/reply-to-en", &[more]);
        assert_eq!(reply(&flow).0, status, "{more:?}");
    }
    for (body, end, status, code) in [
        ("{}", true, 400, "template_render_failed"),
        ("[", true, 400, "invalid_json"),
        (&"x".repeat(201), false, 413, "payload_too_large"),
        (&format!(r#"{{"reply_list":"{}"}}"#, "\\u0001".repeat(30)), true, 413, "payload_too_large"),
    ] {
        let mut request = Request::post("/v1/reply-to-en");
        let (flow, effects) = request.body(body, end);
        let (found, text, _) = reply(&flow);
        assert_eq!(found, status, "{text}");
        assert!(text.contains(&format!(r#""code":"{code}""#)), "{text}");
        assert_eq!(effects.first(), Some(&Effect::Count(BAD_REQUEST, 1)));
    }
}

#[test]
fn a_request_with_trailers_is_refused() {
    let mut request = Request::post("/v1/sum");
    assert_eq!(request.body(r#"{"a":1,"b":2}"#, false), (Flow::Wait, vec![]));
    let trailers: [(&str, &str); 1] = [("x", "y")];
    let (flow, _) =
        request.bench.run(|cx| request.stream.on_request_trailers(cx, &Head::new(&trailers, true)));
    assert_eq!(reply(&flow).0, 400);
}
