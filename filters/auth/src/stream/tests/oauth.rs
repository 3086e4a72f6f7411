//! Tokens of OAuth.

use super::*;

const RESOURCES: &str = r#", "resources": [{
    "path": "/logs/*",
    "resource": "https://mcp.example.com/logs",
    "title": "Logs",
    "authorization_servers": ["https://id.example.com"],
    "scopes": ["use"],
    "scopes_supported": ["use", "write"],
    "payload": "p1"
}]"#;
const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/logs";
const TOKEN: &str = "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln";

/// A bench on which `jwt_authn` has left these claims.
fn bench(claims: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::default();
    for (claim, value) in claims {
        let path = format!("metadata.filter_metadata.envoy.filters.http.jwt_authn.{claim}");
        bench.attributes.insert(path, value.as_bytes().to_vec());
    }
    bench
}

fn ask(filter: &Rc<Auth>, bench: &Bench, fields: &[(&str, &str)]) -> (Flow, Vec<Effect>) {
    bench.run(|cx| filter.stream(StreamId(1)).on_request_head(cx, &Head::new(fields, true)))
}

fn challenge(flow: &Flow) -> &str {
    let Flow::Reply(reply) = flow else { panic!("{flow:?} is no reply") };
    let mut challenges = reply.headers.iter().filter(|(name, _)| *name == "www-authenticate");
    let (_, value) = challenges.next().unwrap();
    assert_eq!(challenges.next(), None);
    value
}

#[test]
fn a_verified_token_says_who_is_calling_and_goes_no_further() {
    let filter = filter(RESOURCES);
    let bench = bench(&[("p1.sub", "alice"), ("p1.scope", "use read")]);
    let (flow, effects) = ask(
        &filter,
        &bench,
        &[
            (":path", "/logs/mcp"),
            ("authorization", TOKEN),
            ("x-weir-key-id", "forged"),
            ("x-api-key", "wk-all"),
        ],
    );
    assert_eq!(flow, Flow::Continue);
    let remove = |name: &'static str| Effect::RemoveHeader(Side::Request, name.into());
    let key_id = format!("token/{}", crate::claims::hash(&["https://id.example.com", "alice"]));
    let expected = [
        remove("authorization"),
        remove("x-api-key"),
        remove("x-weir-key-id"),
        Effect::Publish(state::CONSUMER, "oauth/alice".into()),
        Effect::Publish(state::KEY_ID, key_id),
        Effect::Publish(state::DOMAIN, "default".into()),
        Effect::Publish(state::GRANT, "default".into()),
        Effect::Publish(state::TOKEN, format!("{METADATA}\nuse\nuse read")),
        Effect::Count(ALLOWED, 1),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn without_a_verified_token_nobody_passes() {
    let filter = filter(RESOURCES);
    let open = format!(r#"Bearer resource_metadata="{METADATA}", scope="use""#);
    let key = ("authorization", "Bearer wk-all");
    // What is verified for another resource, or elsewhere in Envoy's metadata, is nothing here.
    let elsewhere = bench(&[("p2.sub", "alice"), ("p2.scope", "use")]);
    for (bench, fields) in [
        (Bench::default(), vec![]),
        (Bench::default(), vec![key]),
        (Bench::default(), vec![("x-api-key", "wk-all")]),
        (elsewhere, vec![("x-weir-consumer", "alice"), ("sub", "alice")]),
    ] {
        let fields: Vec<_> = [(":path", "/logs")].into_iter().chain(fields).collect();
        let (flow, effects) = ask(&filter, &bench, &fields);
        assert_eq!((status(&flow), challenge(&flow)), (Some(401), open.as_str()), "{fields:?}");
        assert_eq!(effects, [Effect::Count(MISSING_TOKEN, 1)]);
    }
    for (why, status_is, said) in [
        ("Jwt is expired", 401, r#"error="invalid_token", error_description="Jwt is expired", "#),
        (
            "bad \" \\ \n",
            401,
            r#"error="invalid_token", error_description="the token says not whom it stands for", "#,
        ),
    ] {
        let (flow, effects) = ask(
            &filter,
            &bench(&[("p1.failed.message", why)]),
            &[(":path", "/logs/x"), ("authorization", TOKEN)],
        );
        assert_eq!(status(&flow), Some(status_is));
        assert_eq!(challenge(&flow), format!(r#"Bearer {said}resource_metadata="{METADATA}", scope="use""#));
        assert_eq!(effects, [Effect::Count(INVALID_TOKEN, 1)]);
    }
    let away = bench(&[("p1.failed.message", "Jwks remote fetch is failed")]);
    let (flow, _) = ask(&filter, &away, &[(":path", "/logs"), ("authorization", TOKEN)]);
    assert_eq!(status(&flow), Some(503));
    // Elsewhere a token is a key like another, and unknown.
    let known = bench(&[("p1.sub", "alice"), ("p1.scope", "use")]);
    let (flow, _) = ask(&filter, &known, &[(":path", "/v1/models"), ("authorization", TOKEN)]);
    assert_eq!(
        (status(&flow), challenge(&flow)),
        (Some(401), "Bearer realm=\"weir\", error=\"invalid_token\"")
    );
}

#[test]
fn a_token_without_a_scope_that_all_need_is_told_which() {
    let filter = filter(RESOURCES);
    for scopes in [vec![("p1.scope", "read")], vec![]] {
        let claims: Vec<_> = scopes.into_iter().chain([("p1.sub", "alice")]).collect();
        let (flow, _) = ask(&filter, &bench(&claims), &[(":path", "/logs"), ("authorization", TOKEN)]);
        assert_eq!(status(&flow), Some(403));
        let expected =
            format!(r#"Bearer error="insufficient_scope", scope="use", resource_metadata="{METADATA}""#);
        assert_eq!(challenge(&flow), expected);
    }
    let listed = bench(&[("p1.sub", "alice"), ("p1.scp", "\x01\0\0\0\x03\0\0\0\0\0\0\0use\0\0")]);
    assert_eq!(ask(&filter, &listed, &[(":path", "/logs")]).0, Flow::Continue);
}

#[test]
fn a_token_in_the_query_is_refused() {
    let known = bench(&[("p1.sub", "alice"), ("p1.scope", "use")]);
    let (flow, _) =
        ask(&filter(RESOURCES), &known, &[(":path", "/logs?a=b&access_token=x"), ("authorization", TOKEN)]);
    assert_eq!(status(&flow), Some(400));
}

#[test]
fn keys_work_too_where_they_are_allowed() {
    let filter = filter(&RESOURCES.replace(r#""payload": "p1""#, r#""payload": "p1", "allow_keys": true"#));
    let (flow, effects) =
        ask(&filter, &Bench::default(), &[(":path", "/logs"), ("authorization", "Bearer wk-all")]);
    assert_eq!(flow, Flow::Continue);
    assert!(effects.contains(&Effect::Publish(state::KEY_ID, "all".into())));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Publish(state::TOKEN, _))));
    let told = format!(r#"resource_metadata="{METADATA}", scope="use""#);
    for (key, error) in [("Bearer wk-unknown", r#"error="invalid_token", "#), ("", "")] {
        let (flow, _) = ask(&filter, &Bench::default(), &[(":path", "/logs"), ("authorization", key)]);
        assert_eq!((status(&flow), challenge(&flow)), (Some(401), format!("Bearer {error}{told}").as_str()));
    }
    // A token that was refused is never tried as a key.
    let (_, effects) = ask(&filter, &Bench::default(), &[(":path", "/logs"), ("authorization", TOKEN)]);
    assert_eq!(effects, [Effect::Count(INVALID_TOKEN, 1)]);
}

#[test]
fn a_resource_is_described_to_everyone() {
    let filter = filter(RESOURCES);
    let at =
        |method: &str, path: &str| ask(&filter, &Bench::default(), &[(":method", method), (":path", path)]).0;
    let expected = concat!(
        r#"{"resource":"https://mcp.example.com/logs","authorization_servers":["https://id.example.com"],"#,
        r#""scopes_supported":["use","write"],"bearer_methods_supported":["header"],"resource_name":"Logs"}"#
    );
    for path in ["", "/", "/logs", "/logs/mcp", "/logs/sse", "/logs?a=b"] {
        let flow = at("GET", &format!("/.well-known/oauth-protected-resource{path}"));
        assert_eq!((status(&flow), text(&flow).as_str()), (Some(200), expected), "{path}");
    }
    let logs = "/.well-known/oauth-protected-resource/logs";
    assert_eq!(status(&at("OPTIONS", logs)), Some(204));
    assert_eq!(status(&at("POST", logs)), Some(405));
    assert_eq!(status(&at("GET", "/.well-known/oauth-protected-resource/other")), Some(404));
    assert_eq!(status(&at("GET", "/.well-known/oauth-protected-resources")), Some(401));
}

#[test]
fn a_resource_is_its_tenants_own() {
    let domains = r#", "domains": [
        {"name": "a", "hosts": ["a.example"]}, {"name": "b", "hosts": ["b.example"]}
    ]"#;
    let filter =
        filter(&format!("{}{domains}", RESOURCES.replace(r#""payload""#, r#""domain": "a", "payload""#)));
    let known = bench(&[("p1.sub", "alice"), ("p1.scope", "use")]);
    let at =
        |host| ask(&filter, &known, &[(":authority", host), (":path", "/logs"), ("authorization", TOKEN)]);
    let (flow, effects) = at("a.example");
    assert_eq!(flow, Flow::Continue);
    assert!(effects.contains(&Effect::Publish(state::GRANT, "a".into())));
    assert_eq!(status(&at("b.example").0), Some(401));
}

#[test]
fn a_resource_that_could_not_work_is_refused() {
    for (change, field) in [
        ((r#""p1""#, r#""""#), "resources[0].payload"),
        ((r#"["https://id.example.com"]"#, "[]"), "resources[0].authorization_servers"),
        ((r#""p1""#, r#""p1", "claim": """#), "resources[0].claim"),
        ((r#""p1""#, r#""p1", "prefix": "A""#), "resources[0].prefix"),
    ] {
        let config = format!("{{{}}}", RESOURCES.replace(change.0, change.1).trim_start_matches(", "));
        assert_eq!(Auth::new(serde_json::from_str(&config).unwrap()).unwrap_err().field, field);
    }
}
