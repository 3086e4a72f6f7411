use weir_core::testing::Bench;
use weir_core::{Cas, Effect, Entry, Filter, Proxy, SharedStore, StoreError, StreamId, UnixTime};

use super::*;

/// A request of `team` for `index`, by its key `team-1`.
struct Request<'a> {
    bench: &'a Bench,
    stream: QuotaStream,
}

fn quota(rules: &str) -> Rc<Quota> {
    let routes = r#"{"index": {"provider": "idc", "prices": {"input": 1, "output": 2}}}"#;
    let config = format!(r#"{{"rules": [{rules}], "routes": {routes}}}"#);
    Rc::new(Quota::new(serde_json::from_str(&config).unwrap()).unwrap())
}

fn bench() -> Bench {
    let bench = Bench::default().at(UnixTime::from_seconds(1_700_000_000));
    for (key, value) in [
        (state::DOMAIN, "default"),
        (state::CONSUMER, "team"),
        (state::KEY_ID, "team-1"),
        (state::MODEL, "index"),
        (state::ROUTE, "index"),
    ] {
        bench.state.borrow_mut().insert(key.into(), value.into());
    }
    bench
}

impl<'a> Request<'a> {
    fn new(bench: &'a Bench, filter: &Rc<Quota>) -> Self {
        bench.state.borrow_mut().remove(state::USAGE);
        Self { bench, stream: filter.stream(StreamId(1)) }
    }

    fn head(&mut self, length: Option<usize>) -> Flow {
        self.head_at("/v1/chat/completions", length)
    }

    fn head_at(&mut self, path: &str, length: Option<usize>) -> Flow {
        let length = length.map(|length| length.to_string());
        let mut fields = vec![(":method", "POST"), (":path", path)];
        fields.extend(length.as_deref().map(|length| ("content-length", length)));
        self.bench.run(|cx| self.stream.on_request_head(cx, &Head::new(&fields, false))).0
    }

    fn body(&mut self, chunk: &str, end: bool) -> Flow {
        self.bench.run(|cx| self.stream.on_request_body(cx, chunk.as_bytes(), end)).0
    }

    /// Sends a request with this body, whose head may have been enough.
    fn send(bench: &'a Bench, filter: &Rc<Quota>, body: &str) -> (Self, Flow) {
        let mut request = Self::new(bench, filter);
        let flow = match request.head(Some(body.len())) {
            Flow::Wait => request.body(body, true),
            flow @ (Flow::Continue | Flow::Reply(_)) => flow,
        };
        (request, flow)
    }

    fn answer(&mut self, status: &str, body: &str) -> Vec<(String, String)> {
        let media = if body.starts_with('{') { "application/json" } else { "text/event-stream" };
        let head = [(":status", status), ("content-type", media)];
        let (_, effects) = self.bench.run(|cx| self.stream.on_response_head(cx, &Head::new(&head, false)));
        self.bench.run(|cx| self.stream.on_response_body(cx, body.as_bytes(), false));
        let fields = effects.into_iter().filter_map(|effect| match effect {
            Effect::SetHeader(_, name, value) => Some((name.into_owned(), value)),
            _ => None,
        });
        fields.collect()
    }

    fn end(mut self) -> String {
        self.bench.run(|cx| self.stream.on_end(cx));
        let usage = self.bench.state.borrow().get(state::USAGE).cloned().unwrap_or_default();
        String::from_utf8(usage).unwrap()
    }
}

fn refusal(flow: Flow) -> (u16, String, Option<String>) {
    let Flow::Reply(reply) = flow else { panic!("{flow:?} is no reply") };
    let retry =
        reply.headers.iter().find(|(name, _)| *name == "retry-after").map(|(_, value)| value.to_string());
    (reply.status, String::from_utf8(reply.body.to_vec()).unwrap(), retry)
}

const ANSWER: &str = r#"{"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":20}}"#;

#[test]
fn a_request_too_many_is_refused_in_openais_form() {
    let (bench, filter) = (bench(), quota(r#"{"name":"team-rate","per":["consumer"],"limits":{"rpm":1}}"#));
    let (mut first, flow) = Request::send(&bench, &filter, "{}");
    assert_eq!(flow, Flow::Continue);
    let told = first.answer("200", ANSWER);
    let expected = [("limit", "1"), ("remaining", "0"), ("reset", "61s")]
        .map(|(what, value)| (format!("x-ratelimit-{what}-requests"), value.to_owned()));
    assert_eq!(told, expected);
    let (_, flow) = Request::send(&bench, &filter, "{}");
    let body = r#"{"error":{"message":"Limit rpm of `team-rate` reached: 1. Try again in 61s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    assert_eq!(refusal(flow), (429, body.into(), Some("61".into())));
    bench.state.borrow_mut().insert(state::CONSUMER.into(), b"others".to_vec());
    assert_eq!(Request::send(&bench, &filter, "{}").1, Flow::Continue);
}

#[test]
fn what_one_rule_refuses_takes_nothing_from_another() {
    let (bench, filter) = (
        bench(),
        quota(r#"{"name":"wide","limits":{"concurrency":2}}, {"name":"narrow","limits":{"concurrency":1}}"#),
    );
    let (first, flow) = Request::send(&bench, &filter, "{}");
    assert_eq!(flow, Flow::Continue);
    for _ in 0..3 {
        let (request, flow) = Request::send(&bench, &filter, "{}");
        assert!(refusal(flow).1.contains("of `narrow` reached"));
        request.end();
    }
    first.end();
    assert_eq!(Request::send(&bench, &filter, "{}").1, Flow::Continue);
}

#[test]
fn an_answer_is_charged_by_its_usage_once() {
    let (bench, filter) = (bench(), quota(r#"{"name":"t","per":["key"],"limits":{"tokens_per_day":300}}"#));
    let (mut request, flow) = Request::send(&bench, &filter, r#"{"max_tokens":200}"#);
    assert_eq!(flow, Flow::Continue);
    let (_, flow) = Request::send(&bench, &filter, r#"{"max_tokens":200}"#);
    let (status, body, retry) = refusal(flow);
    assert!(
        status == 429 && body.contains("insufficient_quota") && retry == Some("6400".into()),
        "{body} {retry:?}"
    );
    request.answer("200", ANSWER);
    bench.run(|cx| request.stream.on_end(cx));
    assert_eq!(request.end(), "30 20 0 0 upstream");
    let (_, flow) = Request::send(&bench, &filter, r#"{"max_tokens":240}"#);
    assert_eq!(flow, Flow::Continue);
}

#[test]
fn an_aborted_stream_is_charged_by_what_was_delivered() {
    let (bench, filter) = (bench(), quota(r#"{"name":"t","limits":{"tpm":1000}}"#));
    let body = r#"{"max_tokens":500,"x":"some words"}"#;
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let (mut streamed, _) = Request::send(&bench, &filter, body);
    streamed.answer("200", &event.repeat(7));
    assert_eq!(streamed.end(), "9 7 0 0 counted");
    let (unanswered, _) = Request::send(&bench, &filter, body);
    assert_eq!(unanswered.end(), "9 0 0 0 estimated");
    let (mut failed, _) = Request::send(&bench, &filter, body);
    failed.answer("503", ANSWER);
    assert_eq!(failed.end(), "0 0 0 0 estimated");
    let (mut elsewhere, _) = Request::send(&bench, &filter, body);
    bench.state.borrow_mut().insert(state::USAGE.into(), b"3 4 0 0 counted".to_vec());
    elsewhere.answer("200", ANSWER);
    assert_eq!(elsewhere.end(), "3 4 0 0 counted");
    let told = |name: &str| bench.state.borrow().get(name).cloned();
    // Who counts the answer has not seen the prompt.
    assert_eq!(state::TOKENS.map(|name| told(name).unwrap()), [&b"9"[..], b"4", b"0", b"0"]);
}

#[test]
fn the_tokens_are_told_one_by_one_whoever_counted_them() {
    let told = |bench: &Bench| {
        let state = bench.state.borrow();
        let names = state::TOKENS.iter().chain([&state::USAGE_SOURCE]);
        names
            .map(|name| String::from_utf8(state.get(*name).cloned().unwrap_or_default()).unwrap())
            .collect::<Vec<_>>()
    };
    let counting = bench();
    let (mut request, _) = Request::send(&counting, &quota(r#"{"name":"t","limits":{"tpm":1000}}"#), "{}");
    request.answer("200", ANSWER);
    request.end();
    assert_eq!(told(&counting), ["30", "20", "0", "0", "upstream"]);
    let idle = bench();
    let (request, _) = Request::send(&idle, &quota(""), "{}");
    idle.state.borrow_mut().insert(state::USAGE.into(), b"3 4 2 1 counted".to_vec());
    request.end();
    assert_eq!(told(&idle), ["3", "4", "2", "1", "counted"]);
}

#[test]
fn a_prompt_is_held_no_longer_than_it_takes_to_weigh_it() {
    let (bench, filter) = (bench(), quota(r#"{"name":"t","limits":{"tpm":1000000}}"#));
    let mut sized = Request::new(&bench, &filter);
    assert_eq!(sized.head(Some(400_000)), Flow::Wait);
    assert_eq!(sized.body(&"word ".repeat(10_000), false), Flow::Wait);
    assert_eq!(sized.body(&"word ".repeat(10_000), false), Flow::Continue);
    assert_eq!(sized.end(), "100000 0 0 0 estimated");
    let mut unsized_ = Request::new(&bench, &filter);
    assert_eq!(unsized_.head(None), Flow::Wait);
    assert_eq!(unsized_.body(&"word ".repeat(80_000), false), Flow::Wait);
    assert_eq!(unsized_.body("", true), Flow::Continue);
    let (_, flow) =
        Request::send(&bench, &quota(r#"{"name":"s","limits":{"tpm":10}}"#), &"word ".repeat(100));
    let body = refusal(flow).1;
    assert!(
        body.contains("10, requested about") && body.contains("The request alone is more than that."),
        "{body}"
    );
}

#[test]
fn a_rule_in_shadow_counts_and_refuses_nothing_and_one_that_warns_says_so() {
    let rules = r#"{"name":"try","shadow":true,"limits":{"rpm":1}},
        {"name":"own","per":["consumer"],"warn_at_percent":50,"limits":{"rpm":4}},
        {"name":"all","warn_at_percent":1,"limits":{"rpm":9}}"#;
    let (bench, filter) = (bench(), quota(rules));
    let warnings: Vec<_> = (0..3)
        .map(|_| {
            let (mut request, flow) = Request::send(&bench, &filter, "{}");
            assert_eq!(flow, Flow::Continue);
            request
                .answer("200", ANSWER)
                .into_iter()
                .find(|(name, _)| name == WARNING)
                .map(|(_, value)| value)
        })
        .collect();
    assert_eq!(warnings, [None, Some("own rpm 50%".into()), Some("own rpm 75%".into())]);
}

#[test]
fn nobody_unidentified_passes_a_rule_about_callers() {
    let (bench, filter) = (bench(), quota(r#"{"name":"t","per":["consumer"],"limits":{"rpm":9}}"#));
    bench.state.borrow_mut().remove(state::CONSUMER);
    assert_eq!(refusal(Request::send(&bench, &filter, "{}").1).0, 503);
    assert_eq!(Request::send(&bench, &quota(""), "{}").1, Flow::Continue);
}

/// A proxy whose store does not work.
struct Broken(Bench);

impl Proxy for Broken {
    fn now(&self) -> UnixTime {
        self.0.now()
    }

    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.0.state(key)
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.0.attribute(path)
    }

    fn store(&self) -> &dyn SharedStore {
        self
    }
}

impl SharedStore for Broken {
    fn get(&self, _: &str) -> Result<Option<Entry>, StoreError> {
        Err(StoreError::Unavailable)
    }

    fn set(&self, _: &str, _: &[u8], _: Option<Cas>) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }
}

#[test]
fn where_counters_cannot_be_used_nobody_passes() {
    let (broken, filter) = (Broken(bench()), quota(r#"{"name":"t","limits":{"rpm":9}}"#));
    let mut cx = Cx::new(&broken);
    let head = [(":method", "POST"), (":path", "/v1/chat/completions")];
    let flow = filter.stream(StreamId(1)).on_request_head(&mut cx, &Head::new(&head, false));
    let (status, body, _) = refusal(flow);
    assert!(status == 503 && body.contains("quota_unavailable"), "{body}");
}

/// Where an endpoint is, and whether tokens are counted there beside requests. A new endpoint is to be added to
/// [`ENDPOINTS`] too.
fn metered(endpoint: &Endpoint) -> (&'static str, bool) {
    match endpoint {
        Endpoint::ChatCompletions => ("/v1/chat/completions", true),
        Endpoint::Completions => ("/v1/completions", true),
        Endpoint::Responses => ("/v1/responses", true),
        Endpoint::Messages => ("/v1/messages", true),
        Endpoint::CountTokens => ("/v1/messages/count_tokens", false),
        Endpoint::Embeddings => ("/v1/embeddings", true),
        Endpoint::Rerank => ("/v1/rerank", true),
        Endpoint::Moderations => ("/v1/moderations", true),
        Endpoint::ImageGenerations => ("/v1/images/generations", true),
        Endpoint::ImageEdits => ("/v1/images/edits", true),
        Endpoint::ImageVariations => ("/v1/images/variations", true),
        Endpoint::Speech => ("/v1/audio/speech", true),
        Endpoint::Transcriptions => ("/v1/audio/transcriptions", true),
        Endpoint::Translations => ("/v1/audio/translations", true),
        Endpoint::Stored => ("/v1/files", true),
        Endpoint::Models => ("/v1/models", true),
        Endpoint::Model(_) => ("/v1/models/index", true),
    }
}

const ENDPOINTS: [Endpoint; 17] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Responses,
    Endpoint::Messages,
    Endpoint::CountTokens,
    Endpoint::Embeddings,
    Endpoint::Rerank,
    Endpoint::Moderations,
    Endpoint::ImageGenerations,
    Endpoint::ImageEdits,
    Endpoint::ImageVariations,
    Endpoint::Speech,
    Endpoint::Transcriptions,
    Endpoint::Translations,
    Endpoint::Stored,
    Endpoint::Models,
    Endpoint::Model(String::new()),
];

#[test]
fn every_endpoint_is_metered() {
    for endpoint in &ENDPOINTS {
        let (path, counts_tokens) = metered(endpoint);
        let (bench, filter) = (bench(), quota(r#"{"name":"t","limits":{"rpm":1,"tpm":100000}}"#));
        let body = r#"{"model":"index","input":"some words"}"#;
        let ask = |request: &mut Request<'_>| match request.head_at(path, Some(body.len())) {
            Flow::Wait => request.body(body, true),
            flow @ (Flow::Continue | Flow::Reply(_)) => flow,
        };
        let mut request = Request::new(&bench, &filter);
        assert_eq!(ask(&mut request), Flow::Continue, "{path}");
        request.answer("200", ANSWER);
        let used = request.end();
        assert_eq!(used.starts_with("30 20 "), counts_tokens, "{path}: {used}");
        let (status, ..) = refusal(ask(&mut Request::new(&bench, &filter)));
        assert_eq!(status, 429, "{path}: a second request in a minute");
    }
}

#[test]
fn a_stream_that_is_cut_is_charged_by_what_was_delivered_in_every_interface() {
    let words = |event: &str| ["one", "two", "three"].map(|word| event.replace("WORD", word)).concat();
    let chat = words("data: {\"choices\":[{\"delta\":{\"content\":\"WORD\"}}]}\n\n");
    let anthropic = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"usage\":{{\"input_tokens\":9,\"output_tokens\":1}}}}}}\n\n{}",
        words(
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"WORD\"}}\n\n"
        )
    );
    let responses = words("data: {\"type\":\"response.output_text.delta\",\"delta\":\"WORD\"}\n\n");
    for (path, events, expected) in [
        ("/v1/chat/completions", chat, "10 3 0 0 counted"),
        ("/v1/messages", anthropic, "9 3 0 0 counted"),
        ("/v1/responses", responses, "10 3 0 0 counted"),
    ] {
        let (bench, filter) = (bench(), quota(r#"{"name":"t","limits":{"tpm":100000}}"#));
        let body = r#"{"model":"index","input":"some words"}"#;
        let mut request = Request::new(&bench, &filter);
        assert_eq!(
            (request.head_at(path, Some(body.len())), request.body(body, true)),
            (Flow::Wait, Flow::Continue)
        );
        request.answer("200", &events);
        assert_eq!(request.end(), expected, "{path}");
    }
}

#[test]
fn what_the_hub_is_sent_is_counted_when_it_comes_back() {
    let (bench, filter) = (bench(), quota(r#"{"name": "one", "limits": {"rpm": 1}}"#));
    bench.state.borrow_mut().insert(state::GRANT.into(), "default\n*".into());
    let send = |route: &str| {
        let fields = [(":method", "POST"), (":path", "/logs/message"), (ROUTE_HEADER, route)];
        let mut stream = filter.stream(StreamId(1));
        bench.run(|cx| stream.on_request_head(cx, &Head::new(&fields, false))).0
    };
    assert_eq!(
        (send(HUB_ROUTE), send(HUB_ROUTE), send("index")),
        (Flow::Continue, Flow::Continue, Flow::Continue)
    );
    assert!(matches!(send("index"), Flow::Reply(_)));
    bench.state.borrow_mut().remove(state::GRANT);
    assert!(matches!(send(HUB_ROUTE), Flow::Reply(_)), "a client says so that no filter has seen before");
}

#[cfg(not(feature = "exact"))]
#[test]
fn a_module_without_tables_refuses_to_count_exactly() {
    let config = r#"{"rules": [{"name": "r", "limits": {"tpm": 1}, "count": "exact"}]}"#;
    let refused = Quota::new(serde_json::from_str(config).unwrap()).unwrap_err();
    assert_eq!(refused.field, "rules[0].count");
}

#[cfg(feature = "exact")]
#[test]
fn a_prompt_that_is_counted_exactly_is_refused_one_token_above_the_limit() {
    let body = r#"{"model":"index","messages":[{"role":"user","content":"hello world"}]}"#;
    let admits = |limit: u64, count: &str| {
        let rule = format!(r#"{{"name":"r","limits":{{"tpm":{limit}}},"count":"{count}"}}"#);
        let (bench, filter) = (bench(), quota(&rule));
        let whole = Request::send(&bench, &filter, body).1 == Flow::Continue;
        let mut parts = Request::new(&bench, &quota(&rule.replace(r#""r""#, r#""parts""#)));
        assert_eq!((parts.head(None), parts.body(&body[..20], false)), (Flow::Wait, Flow::Wait));
        assert_eq!(parts.body(&body[20..], true) == Flow::Continue, whole);
        whole
    };
    assert_eq!([8, 9].map(|limit| admits(limit, "exact")), [false, true]);
    assert!(!admits(9, "estimate"));
}
