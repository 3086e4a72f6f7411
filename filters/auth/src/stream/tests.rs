mod oauth;

use sha2::{Digest, Sha256};
use weir_core::testing::Bench;
use weir_core::{Answer, Call, CallError, CallId, Effect, Filter, Side, UnixTime};
use weir_schema::KeyHash;

use super::*;

const NEW_YEAR: UnixTime = UnixTime::from_seconds(1_798_761_600);

fn hash(secret: &str) -> String {
    KeyHash::from_bytes(Sha256::digest(secret).into()).to_string()
}

/// A filter with keys of each kind, and `more` of its configuration.
fn filter(more: &str) -> Rc<Auth> {
    let config = format!(
        r#"{{"keys": [
            {{"id": "all", "consumer": "team", "domain": "video", "sha256": ["{all}", "{rotated}"]}},
            {{"id": "some", "consumer": "team", "sha256": ["{some}"], "models": ["index", "gpt-*"]}},
            {{"id": "old", "consumer": "team", "sha256": ["{old}"], "expires_at": "2027-01-01T00:00:00Z"}},
            {{"id": "off", "consumer": "team", "sha256": ["{off}"], "disabled": true}}
        ]{more}}}"#,
        all = hash("wk-all"),
        rotated = hash("wk-rotated"),
        some = hash("wk-some"),
        old = hash("wk-old"),
        off = hash("wk-off"),
    );
    Rc::new(Auth::new(serde_json::from_str(&config).unwrap()).unwrap())
}

const LOOKUP: &str = r#", "lookup": {"cluster": "weir", "ttl_secs": 60, "negative_ttl_secs": 5}"#;

fn status(flow: &Flow) -> Option<u16> {
    match flow {
        Flow::Reply(reply) => Some(reply.status),
        Flow::Continue | Flow::Wait => None,
    }
}

fn text(flow: &Flow) -> String {
    let Flow::Reply(reply) = flow else { panic!("{flow:?} is no reply") };
    String::from_utf8(reply.body.to_vec()).unwrap()
}

fn head(bench: &Bench, stream: &mut AuthStream, key: &str, end: bool) -> (Flow, Vec<Effect>) {
    let bearer = format!("Bearer {key}");
    bench.run(|cx| stream.on_request_head(cx, &Head::new(&[("authorization", &bearer)], end)))
}

fn calls(effects: &[Effect]) -> Vec<&Call> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Call(call) = effect { Some(call) } else { None })
        .collect()
}

#[test]
fn a_known_key_says_who_is_calling_and_goes_no_further() {
    let filter = filter("");
    for key in ["wk-all", "wk-rotated"] {
        let mut stream = filter.stream(StreamId(1));
        let fields = [("authorization", format!("Bearer {key}")), ("x-weir-route", "forged".into())];
        let (flow, effects) =
            Bench::default().run(|cx| stream.on_request_head(cx, &Head::new(&fields, false)));
        assert_eq!(flow, Flow::Continue);
        let expected = [
            Effect::RemoveHeader(Side::Request, "authorization".into()),
            Effect::RemoveHeader(Side::Request, "x-weir-route".into()),
            Effect::Publish(state::CONSUMER, "team".into()),
            Effect::Publish(state::KEY_ID, "all".into()),
            Effect::Publish(state::DOMAIN, "video".into()),
            Effect::Publish(state::GRANT, "video\n*".into()),
            Effect::Count(ALLOWED, 1),
            Effect::Skip(Part::RequestBody),
        ];
        assert_eq!(effects, expected);
    }
}

#[test]
fn a_key_that_does_not_work_is_401() {
    let filter = filter("");
    for (key, now, code) in [
        ("wk-unknown", NEW_YEAR, "\"invalid_api_key\""),
        ("wk-off", NEW_YEAR, "\"invalid_api_key\""),
        ("wk-old", NEW_YEAR, "\"key_expired\""),
    ] {
        let (flow, effects) = head(&Bench::default().at(now), &mut filter.stream(StreamId(1)), key, true);
        assert_eq!(status(&flow), Some(401), "{key}");
        assert!(text(&flow).contains(code), "{key}: {}", text(&flow));
        assert!(!text(&flow).contains(key), "a secret must not be echoed");
        assert!(matches!(effects.as_slice(), [Effect::Count(..)]), "{effects:?}");
    }
    let before = UnixTime::from_seconds(NEW_YEAR.seconds().saturating_sub(1));
    let (flow, _) = head(&Bench::default().at(before), &mut filter.stream(StreamId(1)), "wk-old", true);
    assert_eq!(flow, Flow::Continue);
}

#[test]
fn a_restricted_key_has_its_body_held_until_the_model_is_allowed() {
    let filter = filter("");
    let bench = Bench::default();
    let mut stream = filter.stream(StreamId(1));
    assert_eq!(head(&bench, &mut stream, "wk-some", false).0, Flow::Wait);
    let mut feed = |chunk: &[u8], end| bench.run(|cx| stream.on_request_body(cx, chunk, end)).0;
    assert_eq!(feed(br#"{"stream":true,"mod"#, false), Flow::Wait);
    assert_eq!(feed(br#"el":"gpt-4o","messages":["#, false), Flow::Continue);
    assert_eq!(feed(br#""x""#, false), Flow::Continue);
    assert_eq!(status(&feed(br#"],"model":"secret"}"#, true)), Some(400));
}

#[test]
fn a_restricted_key_is_refused_what_it_may_not_use_or_does_not_show() {
    let filter = filter(r#", "held_body_bytes": 30"#);
    for (chunk, end, code) in [
        (r#"{"model":"secret"}"#, true, Some(404)),
        (r#"{"messages":[]}"#, true, Some(400)),
        (r#"{"model":"index""#, true, Some(400)),
        ("not json", false, Some(400)),
        (r#"{"messages":["a long prompt before"#, false, Some(413)),
        (r#"{"model":"index"}"#, true, None),
    ] {
        let bench = Bench::default();
        let mut stream = filter.stream(StreamId(1));
        head(&bench, &mut stream, "wk-some", false);
        let (flow, _) = bench.run(|cx| stream.on_request_body(cx, chunk.as_bytes(), end));
        assert_eq!(status(&flow), code, "{chunk}");
    }
    let mut stream = filter.stream(StreamId(1));
    let fields = [("x-api-key", "wk-some"), ("content-encoding", "gzip")];
    let (flow, _) = Bench::default().run(|cx| stream.on_request_head(cx, &Head::new(&fields, false)));
    assert_eq!(status(&flow), Some(415));
}

#[test]
fn the_router_may_check_the_model_instead() {
    let filter = filter(r#", "model_check": "router""#);
    let (flow, effects) = head(&Bench::default(), &mut filter.stream(StreamId(1)), "wk-some", false);
    assert_eq!(flow, Flow::Continue);
    assert!(effects.contains(&Effect::Publish(state::GRANT, "default\nindex\ngpt-*".into())));
}

#[test]
fn a_key_is_looked_up_once_for_all_who_wait_and_then_remembered() {
    let filter = filter(LOOKUP);
    let bench = Bench::default().at(UnixTime::from_seconds(100));
    let (mut first, mut second) = (filter.stream(StreamId(1)), filter.stream(StreamId(2)));
    let (flow, effects) = head(&bench, &mut first, "wk-new", false);
    assert_eq!((flow, calls(&effects).len()), (Flow::Wait, 1));
    let call = calls(&effects)[0].clone();
    assert!(call.headers.contains(&(":path".into(), format!("/v1/key-lookup/{}", hash("wk-new")))));
    let (flow, effects) = head(&bench, &mut second, "wk-new", true);
    assert_eq!((flow, calls(&effects).len()), (Flow::Wait, 0));
    // The body that comes meanwhile waits, and is read.
    let (flow, _) = bench.run(|cx| first.on_request_body(cx, br#"{"model":"index"}"#, true));
    assert_eq!(flow, Flow::Wait);

    let body = br#"{"id": "new", "consumer": "later", "models": ["index"]}"#;
    let answer = Answer { status: 200, head: &Head::from_fields(Vec::new(), false), body };
    let ((), effects) = bench.run(|cx| filter.on_call_done(cx, call.id, Ok(answer)));
    assert_eq!(effects, [Effect::Wake(StreamId(1)), Effect::Wake(StreamId(2))]);
    for stream in [&mut first, &mut second] {
        let (flow, effects) = bench.run(|cx| stream.on_wake(cx));
        assert_eq!(flow, Flow::Continue);
        assert!(effects.contains(&Effect::Publish(state::CONSUMER, "later".into())));
    }

    let (flow, effects) = head(&bench, &mut filter.stream(StreamId(3)), "wk-new", true);
    assert_eq!((flow, calls(&effects).len()), (Flow::Continue, 0));
    let later = bench.at(UnixTime::from_seconds(160));
    let (flow, effects) = head(&later, &mut filter.stream(StreamId(4)), "wk-new", true);
    assert_eq!((flow, calls(&effects).len()), (Flow::Wait, 1));
}

#[test]
fn what_was_found_under_other_keys_is_not_believed() {
    let bench = Bench::default().at(UnixTime::from_seconds(100));
    let in_epoch = |epoch: u64| filter(&format!(r#", "lookup": {{"cluster": "weir", "epoch": {epoch}}}"#));
    let before = in_epoch(u64::MAX);
    head(&bench, &mut before.stream(StreamId(1)), "wk-new", true);
    let body = br#"{"id": "new", "consumer": "team"}"#;
    let answer = Answer { status: 200, head: &Head::from_fields(Vec::new(), false), body };
    bench.run(|cx| before.on_call_done(cx, CallId(1), Ok(answer)));
    for (filter, lookups) in [(before, 0), (in_epoch(7), 1)] {
        let (_, effects) = head(&bench, &mut filter.stream(StreamId(2)), "wk-new", true);
        assert_eq!(calls(&effects).len(), lookups);
    }
}

#[test]
fn a_key_unknown_to_the_lookup_is_401_and_stays_unknown_for_a_while() {
    let filter = filter(LOOKUP);
    let bench = Bench::default().at(UnixTime::from_seconds(100));
    let mut stream = filter.stream(StreamId(1));
    head(&bench, &mut stream, "wk-none", true);
    let answer = Answer { status: 404, head: &Head::from_fields(Vec::new(), true), body: b"" };
    bench.run(|cx| filter.on_call_done(cx, CallId(1), Ok(answer)));
    assert_eq!(status(&bench.run(|cx| stream.on_wake(cx)).0), Some(401));
    let (flow, effects) = head(&bench, &mut filter.stream(StreamId(2)), "wk-none", true);
    assert_eq!((status(&flow), calls(&effects).len()), (Some(401), 0));
    let later = bench.at(UnixTime::from_seconds(105));
    assert_eq!(calls(&head(&later, &mut filter.stream(StreamId(3)), "wk-none", true).1).len(), 1);
}

#[test]
fn a_lookup_without_a_verdict_is_503_and_is_not_remembered() {
    let filter = filter(LOOKUP);
    let bench = Bench::default().at(UnixTime::from_seconds(100));
    let fields = Head::from_fields(Vec::new(), false);
    let answers = [
        Err(CallError::Failed),
        Ok(Answer { status: 504, head: &fields, body: b"upstream request timeout" }),
        Ok(Answer { status: 200, head: &fields, body: b"{}" }),
    ];
    for (call, answer) in (1..).zip(answers) {
        let mut stream = filter.stream(StreamId(call));
        assert_eq!(head(&bench, &mut stream, "wk-none", true).0, Flow::Wait);
        bench.run(|cx| filter.on_call_done(cx, CallId(call), answer));
        assert_eq!(status(&bench.run(|cx| stream.on_wake(cx)).0), Some(503));
    }
}

#[test]
fn a_stream_that_ends_is_not_woken() {
    let filter = filter(LOOKUP);
    let bench = Bench::default();
    let mut stream = filter.stream(StreamId(1));
    head(&bench, &mut stream, "wk-none", true);
    bench.run(|cx| stream.on_end(cx));
    let ((), effects) = bench.run(|cx| filter.on_call_done(cx, CallId(1), Err(CallError::Failed)));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Wake(_))), "{effects:?}");
}

#[test]
fn lookups_under_way_are_bounded() {
    let filter = filter(LOOKUP);
    let bench = Bench::default();
    let flows = (0..300)
        .map(|number| head(&bench, &mut filter.stream(StreamId(number)), &format!("wk-{number}"), true).0);
    let refused = flows.filter(|flow| status(flow) == Some(503)).count();
    assert_eq!(refused, 300 - 256);
}

const DOMAINS: &str = r#", "domains": [
    {"name": "video", "hosts": ["ai.video.example"]},
    {"name": "default", "hosts": ["*.example"]}
]"#;

/// A request to a host, with a key.
fn at_host(bench: &Bench, stream: &mut AuthStream, host: &str, key: &str) -> (Flow, Vec<Effect>) {
    let fields = [(":authority", host), ("x-forwarded-host", "ai.video.example"), ("x-api-key", key)];
    bench.run(|cx| stream.on_request_head(cx, &Head::new(&fields, true)))
}

#[test]
fn a_key_works_on_the_hosts_of_its_domain_only() {
    let filter = filter(DOMAINS);
    let ask = |host, key| {
        let bench = Bench::default().at(NEW_YEAR);
        at_host(&bench, &mut filter.stream(StreamId(1)), host, key)
    };
    for (host, key) in [("AI.video.example:443", "wk-all"), ("ai.other.example", "wk-some")] {
        assert_eq!(ask(host, key).0, Flow::Continue, "{host} {key}");
    }
    let unknown = ask("ai.video.example", "wk-unknown");
    assert_eq!(status(&unknown.0), Some(401));
    // Not even that such a key has expired is told elsewhere.
    for (host, key) in
        [("ai.other.example", "wk-all"), ("ai.video.example", "wk-some"), ("ai.video.example", "wk-old")]
    {
        assert_eq!(ask(host, key), unknown, "{host} {key}");
    }
    assert!(text(&ask("ai.other.example", "wk-old").0).contains("key_expired"));
}

#[test]
fn a_host_of_no_domain_is_refused_before_its_key_is_looked_at() {
    let filter = filter(&format!("{DOMAINS}{LOOKUP}"));
    for (host, key) in
        [("ai.video.test", "wk-all"), ("example", "wk-unknown"), ("", ""), ("a,b.example", "wk-some")]
    {
        let (flow, effects) = at_host(&Bench::default(), &mut filter.stream(StreamId(1)), host, key);
        assert_eq!((status(&flow), effects), (Some(421), vec![Effect::Count(UNKNOWN_HOST, 1)]), "{host}");
        assert!(text(&flow).contains("\"unknown_host\""));
    }
}

#[test]
fn a_looked_up_key_works_on_its_domain_only() {
    let filter = filter(&format!("{DOMAINS}{LOOKUP}"));
    let bench = Bench::default().at(UnixTime::from_seconds(100));
    let (mut home, mut abroad) = (filter.stream(StreamId(1)), filter.stream(StreamId(2)));
    assert_eq!(at_host(&bench, &mut abroad, "ai.other.example", "wk-new").0, Flow::Wait);
    assert_eq!(at_host(&bench, &mut home, "ai.video.example", "wk-new").0, Flow::Wait);
    let body = br#"{"id": "new", "consumer": "later", "domain": "video"}"#;
    let answer = Answer { status: 200, head: &Head::from_fields(Vec::new(), false), body };
    bench.run(|cx| filter.on_call_done(cx, CallId(1), Ok(answer)));
    assert_eq!(bench.run(|cx| home.on_wake(cx)).0, Flow::Continue);
    assert_eq!(status(&bench.run(|cx| abroad.on_wake(cx)).0), Some(401));
    // The verdict is kept for both.
    assert_eq!(
        at_host(&bench, &mut filter.stream(StreamId(3)), "ai.video.example", "wk-new").0,
        Flow::Continue
    );
    let (flow, _) = at_host(&bench, &mut filter.stream(StreamId(4)), "ai.other.example", "wk-new");
    assert_eq!(status(&flow), Some(401));
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let one = hash("wk-1");
    for (config, field) in [
        (r#"{"keys": [{"id": "a", "consumer": "c", "sha256": []}]}"#.into(), "keys[0].sha256"),
        (
            format!(
                r#"{{"keys": [{{"id": "a", "consumer": "c", "sha256": ["{one}"]}},
                               {{"id": "b", "consumer": "c", "sha256": ["{one}"]}}]}}"#
            ),
            "keys[1].sha256",
        ),
        (
            format!(
                r#"{{"keys": [{{"id": "a", "consumer": "c", "sha256": ["{one}"]}},
                               {{"id": "a", "consumer": "c", "sha256": ["{one}"]}}]}}"#
            ),
            "keys[1].id",
        ),
        (r#"{"lookup": {"cluster": ""}}"#.into(), "lookup.cluster"),
        (r#"{"lookup": {"cluster": "weir", "path": "x"}}"#.into(), "lookup.path"),
    ] {
        let error = Auth::new(serde_json::from_str(&config).unwrap()).unwrap_err();
        assert_eq!(error.field, field);
    }
}

#[test]
fn the_credential_of_a_message_that_comes_back_goes_on_and_nowhere_else() {
    let filter = filter(r#", "relayed": ["/logs/*"]"#);
    let bench = Bench::default();
    let goes_on = |path: &str| {
        let fields = [(":path", path), ("authorization", "Bearer wk-all"), ("x-weir-forged", "1")];
        let mut stream = filter.stream(StreamId(1));
        let (flow, effects) = bench.run(|cx| stream.on_request_head(cx, &Head::new(&fields, true)));
        assert_eq!(flow, Flow::Continue);
        let removed =
            |name: &str| effects.contains(&Effect::RemoveHeader(Side::Request, name.to_owned().into()));
        assert!(removed("x-weir-forged"));
        !removed("authorization")
    };
    assert!(goes_on("/logs/message?session_id=1"));
    for path in
        ["/logs", "/logs/sse", "/logs/mcp", "/logs/message/more", "/other/message", "/v1/chat/completions"]
    {
        assert!(!goes_on(path), "{path}");
    }
}
