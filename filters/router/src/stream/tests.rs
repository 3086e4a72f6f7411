use weir_core::testing::Bench;
use weir_core::{Effect, Filter, SharedStore, StreamId};
use weir_schema::mcp::HUB_ROUTE;

use super::*;

const CONFIG: &str = r#"{
    "body_bytes": 1000,
    "held_body_bytes": 100,
    "replay_body_bytes": 50,
    "mcp": [
        {"server": "logs", "path": "/logs/*", "request_bytes": 200},
        {"server": "other", "domain": "finance", "path": "/other", "request_bytes": 200},
        {"server": "held", "path": "/held/*", "request_bytes": 200, "relayed": "streams"},
        {"server": "behind", "path": "/behind/*", "request_bytes": 200, "relayed": "sse"},
        {"server": "market", "path": "/v0.1/*", "request_bytes": 1, "relayed": "all"}
    ],
    "models": [
        {"name": "index", "route": "index", "upstream_model": "index-1.9b-chat"},
        {"name": "Qwen/Qwen3", "route": "qwen-qwen3", "owned_by": "idc", "created": 5},
        {"name": "split", "route": "split", "targets": [
            {"cluster": "lab@two", "upstream_model": "split", "priority": 1, "rules": {"think": "strip"}},
            {"cluster": "idc", "upstream_model": "s"}
        ]},
        {"name": "secret", "route": "secret"}
    ],
    "pins": [{"of": "split", "provider": "lab", "model": {"name": "split", "route": "split///lab", "upstream_model": "s2"}}]
}"#;

/// A request of a caller who may use `index` and `Qwen/*`.
struct Request {
    bench: Bench,
    stream: RouterStream,
}

impl Request {
    fn new() -> Self {
        let bench = Bench::default();
        bench
            .state
            .borrow_mut()
            .insert(state::GRANT.into(), b"default\nindex\nQwen/*\nabsent\nsplit".to_vec());
        let filter = Rc::new(Router::new(serde_json::from_str(CONFIG).unwrap()).unwrap());
        Self { bench, stream: filter.stream(StreamId(1)) }
    }

    fn head(&mut self, method: &str, path: &str, more: &[(&str, &str)]) -> (Flow, Vec<Effect>) {
        let fields = [&[(":method", method), (":path", path)], more].concat();
        self.bench.run(|cx| self.stream.on_request_head(cx, &Head::new(&fields, method == "GET")))
    }

    fn chat(more: &[(&str, &str)]) -> Self {
        let mut request = Self::new();
        let (flow, effects) = request.head("POST", "/v1/chat/completions", more);
        assert_eq!((flow, effects), (Flow::Wait, vec![Effect::Read(Part::RequestBody)]));
        request
    }

    fn body(&mut self, chunk: &str, end: bool) -> (Flow, Vec<Effect>) {
        self.bench.run(|cx| self.stream.on_request_body(cx, chunk.as_bytes(), end))
    }
}

fn answer(flow: &Flow) -> (u16, String) {
    let Flow::Reply(reply) = flow else { panic!("{flow:?} is no reply") };
    (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
}

#[test]
fn a_request_flows_as_soon_as_its_model_is_known() {
    let mut request = Request::chat(&[("content-length", "57")]);
    assert_eq!(request.body(r#"{"stream":true,"mod"#, false), (Flow::Wait, vec![]));
    let (flow, effects) = request.body(r#"el":"index","mess"#, false);
    assert_eq!(flow, Flow::Continue);
    let expected = [
        Effect::SetHeader(Side::Request, ROUTE_HEADER.into(), "index".into()),
        Effect::Publish(state::MODEL, "index".into()),
        Effect::Publish(state::ROUTE, "index".into()),
        Effect::Count(ROUTED, 1),
        Effect::Publish(state::UPSTREAM_MODEL, "index-1.9b-chat".into()),
        Effect::SetHeader(Side::Request, "content-length".into(), "67".into()),
        Effect::ReplaceBody(Side::Request, 23..30, b"\"index-1.9b-chat\"".into()),
    ];
    assert_eq!(effects, expected);
    assert_eq!(request.body(r#"ages":[]}"#, true), (Flow::Continue, vec![]));
}

#[test]
fn a_body_that_is_too_large_for_a_second_attempt_is_told_once() {
    let told = |name: &str, chunks: &[&str]| {
        let mut request = Request::chat(&[]);
        let first = format!(r#"{{"model":"{name}","a":""#);
        let mut effects = request.body(&first, false).1;
        effects.extend(chunks.iter().flat_map(|chunk| request.body(chunk, false).1));
        effects.extend(request.body("\"}", true).1);
        let told = effects.into_iter().filter(|effect| matches!(effect, Effect::Publish(state::REPLAY, _)));
        told.collect::<Vec<_>>()
    };
    let too_large = [Effect::Publish(state::REPLAY, "too_large".into())];
    // 24 bytes are around what is in the string.
    assert_eq!(told("split", &[&"x".repeat(26)]), []);
    assert_eq!(told("split", &[&"x".repeat(27)]), too_large);
    assert_eq!(told("split", &[&"x".repeat(27), "y"]), too_large);
    assert_eq!(told("index", &[&"x".repeat(27), "y"]), []);
}

#[test]
fn a_body_that_needs_no_other_model_name_passes_untouched() {
    let mut request = Request::chat(&[("content-length", "22")]);
    let (flow, effects) = request.body(r#"{"model":"Qwen\/Qwen3"}"#, true);
    assert_eq!(flow, Flow::Continue);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::ReplaceBody(..))), "{effects:?}");
}

#[test]
fn an_escaped_slash_is_for_names_of_models_and_servers_alone() {
    let status = |method: &str, path: &str| answer(&Request::new().head(method, path, &[]).0).0;
    assert_eq!(status("GET", "/v1/models/Qwen%2fQwen3"), 200);
    assert_eq!(status("GET", "/v1/models/..%2F..%2Fsecret"), 404);
    for (method, path) in [
        ("GET", "/v1/files/..%2F..%2Fadmin"),
        ("GET", "/v1/files/a%5Cb"),
        ("DELETE", "/v1/models/Qwen%2FQwen3"),
        ("POST", "/v1%2fchat/completions"),
        ("POST", "/logs%2fmcp"),
        ("POST", "/logs/..%2Fother"),
    ] {
        assert_eq!(status(method, path), 400, "{method} {path}");
    }
    assert_eq!(status("GET", "/v1/models/absent?a=%2F"), 404);
    assert_eq!(status("GET", "/v1/models?a=%2F"), 200);
    let (flow, effects) = Request::new().head("GET", "/v0.1/servers/com.example%2Flogs/versions?a=b", &[]);
    let hub = Effect::SetHeader(Side::Request, ROUTE_HEADER.into(), HUB_ROUTE.into());
    assert!(flow == Flow::Continue && effects.contains(&hub), "{flow:?} {effects:?}");
}

#[test]
fn a_request_that_names_no_model_is_for_the_default_one() {
    let config = CONFIG.replace(r#""body_bytes": 1000"#, r#""body_bytes": 1000, "default_model": "index""#);
    let filter = Rc::new(Router::new(serde_json::from_str(&config).unwrap()).unwrap());
    let ask = |body: &str| {
        let mut request = Request { stream: filter.stream(StreamId(1)), ..Request::new() };
        request.head("POST", "/v1/chat/completions", &[("content-length", "18")]);
        request.body(body, true)
    };
    let (flow, effects) = ask(r#"{ "messages": [] }"#);
    assert_eq!(flow, Flow::Continue);
    let expected = [
        Effect::SetHeader(Side::Request, "content-length".into(), "44".into()),
        Effect::ReplaceBody(Side::Request, 1..1, br#""model":"index-1.9b-chat","#.into()),
    ];
    assert_eq!(effects.get(5..), Some(&expected[..]), "{effects:?}");
    assert_eq!(answer(&ask("{}").0).0, 400);
    assert_eq!(answer(&ask(r#"{"model":""}"#).0).0, 404);
}

#[test]
fn a_wildcard_names_the_model_at_its_upstream_by_what_its_star_stands_for() {
    let config = r#"{"identity": "none", "models": [
        {"name": "openai/*", "route": "openai", "upstream_model": "*"},
        {"name": "two/*", "route": "two", "targets": [
            {"cluster": "a", "upstream_model": "*"}, {"cluster": "b", "upstream_model": "b-*-x", "priority": 1}
        ]}
    ]}"#;
    let filter = Rc::new(Router::new(serde_json::from_str(config).unwrap()).unwrap());
    let ask = |body: &str| {
        let mut request = Request { bench: Bench::default(), stream: filter.stream(StreamId(1)) };
        request.head("POST", "/v1/chat/completions", &[]);
        request.body(body, true).1
    };
    let effects = ask(r#"{"model":"openai/gpt-4o"}"#);
    for expected in [
        Effect::Publish(state::MODEL, "openai/gpt-4o".into()),
        Effect::Publish(state::ROUTE, "openai".into()),
        Effect::Publish(state::UPSTREAM_MODEL, "gpt-4o".into()),
        Effect::ReplaceBody(Side::Request, 9..24, b"\"gpt-4o\"".into()),
    ] {
        assert!(effects.contains(&expected), "{expected:?} in {effects:?}");
    }
    let forward = "/v1/chat/completions\n9 16\n\"two/m\"\na m\nb b-m-x";
    assert!(ask(r#"{"model":"two/m"}"#).contains(&Effect::Publish(state::FORWARD, forward.into())));
}

#[test]
fn a_model_that_is_unknown_or_not_allowed_does_not_exist() {
    for model in ["none", "secret", "absent"] {
        let (flow, _) = Request::chat(&[]).body(&format!(r#"{{"model":"{model}"}}"#), true);
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        let body = format!(
            r#"{{"error":{{"message":"{message}","type":"invalid_request_error","param":"model","code":"model_not_found"}}}}"#
        );
        assert_eq!(answer(&flow), (404, body));
    }
}

#[test]
fn a_second_model_is_refused_wherever_it_comes() {
    let mut request = Request::chat(&[]);
    assert_eq!(request.body(r#"{"model":"index","messages":["#, false).0, Flow::Continue);
    assert_eq!(request.body(r#""text"],"#, false).0, Flow::Continue);
    assert_eq!(answer(&request.body(r#""mod\u0065l":"secret"}"#, true).0).0, 400);
}

#[test]
fn a_body_that_cannot_be_routed_is_refused() {
    let long = format!(r#"{{"messages":["{}"#, "x".repeat(100));
    let large = format!(r#"{{"model":"index","messages":["{}"#, "x".repeat(1000));
    for (body, end, status, code) in [
        (r#"{"messages":[]}"#, true, 400, "missing_required_parameter"),
        ("", true, 400, "body ends"),
        (r#"{"model":"index""#, true, 400, "body ends"),
        ("[]", false, 400, "not a JSON object"),
        (r#"{"model":7}"#, false, 400, "not a string"),
        (&long, false, 413, "request_too_large"),
        (&large, false, 413, "request_too_large"),
    ] {
        let (flow, _) = Request::chat(&[]).body(body, end);
        let (got, text) = answer(&flow);
        assert!(got == status && text.contains(code), "{body}: {got} {text}");
    }
}

#[test]
fn a_body_that_ends_with_trailers_must_be_whole_too() {
    let mut request = Request::chat(&[]);
    assert_eq!(request.body(r#"{"model":"index","#, false).0, Flow::Continue);
    let trailers = Head::from_fields(Vec::new(), true);
    let (flow, _) = request.bench.run(|cx| request.stream.on_request_trailers(cx, &trailers));
    assert_eq!(answer(&flow).0, 400);
}

#[test]
fn a_head_that_cannot_be_served_is_refused() {
    for (method, path, more, status) in [
        ("POST", "/v1/nothing", None, 404),
        ("POST", "/v2/chat/completions", None, 404),
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/v1/chat/completions", Some(("content-encoding", "gzip")), 415),
        ("POST", "/v1/chat/completions", Some(("content-length", "1001")), 413),
    ] {
        let (flow, _) = Request::new().head(method, path, more.as_slice());
        assert_eq!(answer(&flow).0, status, "{method} {path} {more:?}");
    }
}

#[test]
fn a_caller_sees_the_models_it_may_use() {
    let (flow, _) = Request::new().head("GET", "/v1/models", &[]);
    let body = concat!(
        r#"{"object":"list","data":[{"id":"index","object":"model","created":0,"owned_by":"weir"},"#,
        r#"{"id":"Qwen/Qwen3","object":"model","created":5,"owned_by":"idc"},"#,
        r#"{"id":"split","object":"model","created":0,"owned_by":"weir"}]}"#
    );
    assert_eq!(answer(&flow), (200, body.into()));
    let one = |path| answer(&Request::new().head("GET", path, &[]).0).0;
    assert_eq!(
        (one("/v1/models/Qwen/Qwen3"), one("/v1/models/secret"), one("/v1/models/none")),
        (200, 404, 404)
    );
}

#[test]
fn a_request_nobody_identified_is_refused_unless_nobody_has_to() {
    let mut request = Request::new();
    request.bench.state.borrow_mut().clear();
    let (flow, effects) = request.head("POST", "/v1/chat/completions", &[]);
    assert_eq!((answer(&flow).0, effects), (503, vec![Effect::Count(UNIDENTIFIED, 1)]));

    let config = r#"{"identity": "none", "models": [{"name": "secret", "route": "secret"}]}"#;
    let filter = Rc::new(Router::new(serde_json::from_str(config).unwrap()).unwrap());
    let mut request = Request { bench: Bench::default(), stream: filter.stream(StreamId(1)) };
    assert_eq!(request.head("POST", "/v1/chat/completions", &[]).0, Flow::Wait);
    assert_eq!(request.body(r#"{"model":"secret"}"#, true).0, Flow::Continue);
}

#[test]
fn a_forged_route_is_removed() {
    let (_, effects) = Request::new().head("POST", "/v1/embeddings", &[(ROUTE_HEADER, "secret")]);
    assert!(effects.contains(&Effect::RemoveHeader(Side::Request, ROUTE_HEADER.into())), "{effects:?}");
}

const TENANTS: &str = r#"{
    "domains": [{"name": "video"}, {"name": "finance", "models": ["small", "open-*"]}],
    "models": [
        {"name": "index", "route": "index"},
        {"name": "index", "route": "video//index", "domain": "video", "owned_by": "video"},
        {"name": "small", "route": "small"},
        {"name": "open-1", "route": "open-1"},
        {"name": "ledger", "route": "finance//ledger", "domain": "finance"}
    ]
}"#;

/// A request of a caller of this domain.
fn of_tenant(domain: &str, patterns: &str) -> Request {
    let bench = Bench::default();
    bench.state.borrow_mut().insert(state::GRANT.into(), format!("{domain}\n{patterns}").into_bytes());
    let filter = Rc::new(Router::new(serde_json::from_str(TENANTS).unwrap()).unwrap());
    Request { bench, stream: filter.stream(StreamId(1)) }
}

#[test]
fn a_domains_own_model_stands_before_the_shared_one_and_no_other_domain_sees_it() {
    for (domain, model, route) in [
        ("video", "index", Some("video//index")),
        ("video", "small", Some("small")),
        ("video", "ledger", None),
        ("finance", "index", None),
        ("finance", "small", Some("small")),
        ("finance", "open-1", Some("open-1")),
        ("finance", "ledger", Some("finance//ledger")),
        ("finance", "finance//ledger", None),
        ("video", "finance//ledger", None),
    ] {
        let mut request = of_tenant(domain, "*");
        request.head("POST", "/v1/chat/completions", &[]);
        let (flow, effects) = request.body(&format!(r#"{{"model":"{model}"}}"#), true);
        let sent = effects.iter().find_map(|effect| match effect {
            Effect::SetHeader(Side::Request, name, value) if name == ROUTE_HEADER => Some(value.as_str()),
            _ => None,
        });
        assert_eq!(sent, route, "{domain} {model}");
        if route.is_none() {
            assert_eq!(answer(&flow).0, 404);
        }
    }
}

#[test]
fn a_listing_has_the_models_of_its_domain_once_each() {
    for (domain, patterns, models) in [
        ("video", "*", vec!["index", "small", "open-1"]),
        ("finance", "*", vec!["small", "open-1", "ledger"]),
        ("finance", "small\nindex\nledger", vec!["small", "ledger"]),
    ] {
        let (_, body) = answer(&of_tenant(domain, patterns).head("GET", "/v1/models", &[]).0);
        let ids: Vec<_> =
            body.split(r#"{"id":""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(ids, models, "{domain} {patterns}");
        assert_eq!(body.contains(r#""owned_by":"video""#), domain == "video");
    }
    let hidden = answer(&of_tenant("video", "*").head("GET", "/v1/models/ledger", &[]).0);
    let absent = answer(&of_tenant("video", "*").head("GET", "/v1/models/absent", &[]).0);
    assert_eq!(hidden, (404, absent.1.replace("absent", "ledger")));
}

#[test]
fn a_domain_that_is_unknown_here_is_a_fault() {
    for grant in ["elsewhere\n*", "default\n*", "*", ""] {
        let mut request = of_tenant("video", "*");
        request.bench.state.borrow_mut().insert(state::GRANT.into(), grant.into());
        let (flow, effects) = request.head("GET", "/v1/models", &[]);
        assert_eq!((answer(&flow).0, effects), (503, vec![Effect::Count(UNIDENTIFIED, 1)]), "{grant}");
    }
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    for (config, field) in [
        (r#"{"models": [{"name": "a", "route": "a"}, {"name": "a", "route": "b"}]}"#, "models[1].name"),
        (r#"{"models": [{"name": "a", "route": "a", "domain": "x"}]}"#, "models[0].domain"),
        (r#"{"models": [], "domains": [{"name": "x"}, {"name": "x"}]}"#, "domains[1].name"),
        (r#"{"models": [], "domains": [{"name": "x"}], "identity": "none"}"#, "domains"),
        (
            r#"{"domains": [{"name": "x"}],
                "models": [{"name": "a", "route": "a", "domain": "x"}, {"name": "a", "route": "b", "domain": "x"}]}"#,
            "models[1].name",
        ),
    ] {
        let error = Router::new(serde_json::from_str(config).unwrap()).unwrap_err();
        assert_eq!(error.field, field);
    }
}

#[test]
fn a_model_with_targets_is_left_to_each_attempt() {
    let mut request = Request::chat(&[("content-length", "17")]);
    let (flow, effects) = request.body(r#"{"model":"split"}"#, true);
    assert_eq!(flow, Flow::Continue);
    let forward =
        "/v1/chat/completions\n9 16 17\n\"split\"\nidc s\nlab@two split {\"think\":\"strip\"}".to_owned();
    assert_eq!(
        effects.get(1..),
        Some(
            &[
                Effect::Publish(state::MODEL, "split".into()),
                Effect::Publish(state::ROUTE, "split".into()),
                Effect::Count(ROUTED, 1),
                Effect::Publish(state::NEXT, "idc".into()),
                Effect::Publish(state::FORWARD, forward),
            ][..]
        )
    );
}

const FORM: &str = "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nindex\r\n--x--\r\n";

#[test]
fn the_model_of_a_form_is_its_field() {
    let mut request = Request::new();
    let media = ("content-type", "multipart/form-data; boundary=x");
    assert_eq!(request.head("POST", "/v1/audio/transcriptions", &[media]).0, Flow::Wait);
    assert_eq!(request.body(&FORM[..50], false).0, Flow::Wait);
    let (flow, effects) = request.body(&FORM[50..], true);
    assert_eq!(flow, Flow::Continue);
    let at = FORM.find("index").unwrap();
    let replaced = Effect::ReplaceBody(Side::Request, at..at.saturating_add(5), b"index-1.9b-chat".into());
    assert_eq!(effects.last(), Some(&replaced));
    let mut request = Request::new();
    request.head("POST", "/v1/images/edits", &[media]);
    assert_eq!(answer(&request.body(&FORM.replace("index", "secret"), true).0).0, 404);
    let (flow, _) = Request::new().head("POST", "/v1/chat/completions", &[media]);
    assert_eq!(answer(&flow).0, 415);
}

#[test]
fn a_provider_is_named_by_those_who_may_use_every_model_of_a_domain_it_keeps_things_for() {
    let sent = |grant: &str, method: &str, path: &str, more: &[(&str, &str)]| {
        let config =
            r#"{"models": [], "providers": [{"name": "lab", "route": "@lab", "domains": ["default"]}]}"#;
        let filter = Rc::new(Router::new(serde_json::from_str(config).unwrap()).unwrap());
        let mut request = Request { bench: Bench::default(), stream: filter.stream(StreamId(1)) };
        request.bench.state.borrow_mut().insert(state::GRANT.into(), grant.into());
        request.head(method, path, more)
    };
    let named = (PROVIDER_HEADER, "lab");
    let (flow, effects) = sent("default\n*", "GET", "/v1/files", &[named]);
    assert_eq!(flow, Flow::Continue);
    let expected = [
        Effect::RemoveHeader(Side::Request, PROVIDER_HEADER.into()),
        Effect::SetHeader(Side::Request, ROUTE_HEADER.into(), "@lab".into()),
        Effect::Count(PASSED, 1),
    ];
    assert_eq!(effects, expected);
    let upload = [named, ("content-length", "1000")];
    assert_eq!(sent("default\n*", "POST", "/v1/files", &upload).0, Flow::Continue);
    for (grant, method, path, more, status) in [
        ("default\n*", "GET", "/v1/files", vec![], 400),
        ("default\n*", "GET", "/v1/files", vec![(PROVIDER_HEADER, "other")], 404),
        ("default\n*", "GET", "/v1/files", vec![(PROVIDER_HEADER, "127.0.0.1:22")], 404),
        ("default\ngpt-*", "GET", "/v1/batches/b", vec![named], 404),
        ("video\n*", "GET", "/v1/responses/r", vec![named], 404),
        ("default\n*", "PUT", "/v1/files", vec![named], 405),
        ("default\n*", "POST", "/v1/files", vec![named], 411),
        ("default\n*", "POST", "/v1/files", vec![named, ("content-length", "40000000")], 413),
    ] {
        assert_eq!(answer(&sent(grant, method, path, &more).0).0, status, "{grant} {method} {path} {more:?}");
    }
}

#[test]
fn a_target_that_is_cooling_is_asked_last() {
    let mut request = Request::chat(&[]);
    request.bench.store.set(cooling::KEY, b"idc 0 0 1000", None).unwrap();
    let (_, effects) = request.body(r#"{"model":"split"}"#, true);
    assert!(effects.contains(&Effect::Publish(state::NEXT, "lab@two".into())), "{effects:?}");
}

#[test]
fn a_pinned_request_goes_to_its_provider_alone() {
    let sent = |pin: Option<&str>, model: &str| {
        let mut request = Request::chat(&[]);
        if let Some(pin) = pin {
            request.bench.state.borrow_mut().insert(state::PIN.into(), pin.into());
        }
        request.body(&format!(r#"{{"model":"{model}","messages":[]}}"#), true)
    };
    let route = |effects: &[Effect]| match effects.first() {
        Some(Effect::SetHeader(Side::Request, _, route)) => route.split('#').next().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(route(&sent(Some("lab"), "split").1), "split///lab");
    assert_eq!(route(&sent(None, "split").1), "split");
    for (pin, model) in [("idc", "split"), ("lab", "index"), ("lab", "secret")] {
        assert_eq!(answer(&sent(Some(pin), model).0).0, 404, "{pin} {model}");
    }
}

/// What a request to an MCP server has published, and how it goes on.
fn mcp(method: &str, path: &str, bodies: &[&str]) -> (Flow, Option<String>, Option<String>) {
    let mut request = Request::new();
    let mut flow = request.head(method, path, &[("x-weir-route", "forged")]).0;
    if let Some((last, first)) = bodies.split_last() {
        for body in first {
            assert_eq!(request.body(body, false).0, Flow::Wait);
        }
        flow = request.body(last, true).0;
    }
    let state = request.bench.state.borrow();
    let published = |key: &str| state.get(key).map(|value| String::from_utf8(value.clone()).unwrap());
    (flow, published(state::MCP_SERVER), published(state::MCP_TOOL))
}

#[test]
fn a_request_to_an_mcp_server_passes_with_its_tools() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query"}}"#;
    let odd = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\nb"}}"#;
    let batch = format!(r#"[{call},{{"jsonrpc":"2.0","id":2,"method":"resources/read"}}]"#);
    let (head, tail) = call.split_at(30);
    let long = " ".repeat(201);
    let cases: [(&str, &str, &[&str], Option<&str>); 7] = [
        ("POST", "/logs", &[call], Some("query")),
        ("POST", "/logs/mcp?x", &[head, tail], Some("query")),
        ("POST", "/logs", &[odd], Some("_unknown")),
        ("POST", "/logs", &[&batch], Some("query\n")),
        ("POST", "/logs", &["{"], None),
        ("POST", "/logs", &[&long], None),
        ("DELETE", "/logs", &[], None),
    ];
    for (method, path, bodies, tools) in cases {
        let (flow, server, published) = mcp(method, path, bodies);
        let expected = (Flow::Continue, Some("logs"), tools);
        assert_eq!((flow, server.as_deref(), published.as_deref()), expected, "{method} {path} {bodies:?}");
    }
    for path in ["/other", "/log", "/logsx"] {
        assert_eq!(answer(&mcp("POST", path, &[]).0).0, 404, "{path}");
    }
}

#[test]
fn streams_of_an_mcp_server_and_its_old_transport_go_to_the_hub() {
    let relayed = |method: &str, path: &str| {
        let mut request = Request::new();
        let (flow, effects) = request.head(method, path, &[("x-weir-route", "forged")]);
        let removed = Effect::RemoveHeader(Side::Request, ROUTE_HEADER.into());
        assert_eq!(effects.first(), Some(&removed), "{method} {path}");
        let to_hub =
            effects.contains(&Effect::SetHeader(Side::Request, ROUTE_HEADER.into(), HUB_ROUTE.into()));
        // What comes back is the call.
        assert_ne!(to_hub, request.bench.state.borrow().contains_key(state::MCP_SERVER), "{method} {path}");
        assert!(!to_hub || flow == Flow::Continue, "{method} {path}");
        to_hub
    };
    for (method, path) in [("GET", "/held/sse"), ("POST", "/held/message?session_id=1"), ("GET", "/held")] {
        assert!(relayed(method, path), "{method} {path}");
        assert!(!relayed(method, &path.replace("held", "logs")), "{method} {path}");
    }
    assert!(relayed("GET", "/behind/sse") && !relayed("GET", "/behind"));
    for (method, path) in
        [("POST", "/held"), ("POST", "/held/sse"), ("GET", "/held/message"), ("DELETE", "/held")]
    {
        assert!(!relayed(method, path), "{method} {path}");
    }
}
