use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The plan of a call over the given arguments.
fn plan(request: &Value, args: &Value) -> Result<RequestPlan, String> {
    let mut whole = json!({"cluster": "c", "authority": "api"});
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let request: Request = serde_json::from_value(whole).unwrap();
    let args: Vec<Arg> = serde_json::from_value(args.clone()).unwrap();
    let scope = Scope { args: args.iter().map(|arg| arg.name.as_str()).collect(), steps: None, item: false };
    RequestPlan::of(&request, &scope, &args).map_err(|error| error.to_string())
}

fn sent(request: Value, args: Value, data: Value) -> Result<Outgoing, String> {
    let plan = plan(&request, &args).unwrap();
    plan.write(&Data::from(data)).map_err(|unfit| unfit.to_string())
}

fn path(path: &str, args: Value, data: Value) -> Result<String, String> {
    sent(json!({"path": path}), args, data).map(|sent| sent.path)
}

#[test]
fn the_query_of_the_article_is_written() {
    let args = json!([{"name": "env", "position": "query"}, {"name": "appid", "position": "query"}]);
    let data = json!({"env": "uat", "appid": "a&b=c/../{{ .env }} 你好\r\nX: y"});
    assert_eq!(
        path("/logging/query?env={{ .env }}&appid={{ .appid }}", args, data),
        Ok("/logging/query?env=uat&appid=a%26b%3Dc%2F..%2F%7B%7B%20.env%20%7D%7D%20%E4%BD%A0%E5%A5%BD%0D%0AX%3A%20y".into())
    );
}

#[test]
fn an_absent_argument_takes_its_pair_with_it() {
    let args = json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]);
    assert_eq!(path("/q?a={{ .a }}&x=1&b={{.b}}", args.clone(), json!({"b": 1})), Ok("/q?x=1&b=1".into()));
    assert_eq!(path("/q?a={{ .a }}", args.clone(), json!({})), Ok("/q".into()));
    let refused = path("/q?a=v{{ .a }}", args.clone(), json!({})).unwrap_err();
    assert!(refused.contains("\".a\" is not set"), "{refused}");
    assert!(path("/q/{{ .a }}", args, json!({})).is_err());
}

#[test]
fn a_block_may_span_pairs() {
    let args = json!([{"name": "a"}, {"name": "b"}]);
    let query = "/q?x=1{{ if .a }}&a={{ .a }}&b={{ .b }}{{ end }}";
    assert_eq!(path(query, args.clone(), json!({"a": "1&2", "b": "3"})), Ok("/q?x=1&a=1%262&b=3".into()));
    assert_eq!(path(query, args, json!({})), Ok("/q?x=1".into()));
}

#[test]
fn a_list_is_repeated_or_joined() {
    let args = json!([{"name": "a", "type": "array"}, {"name": "b", "type": "array", "style": "csv"}]);
    let data = json!({"a": [1, "x,y"], "b": ["p,q", 2]});
    let expected = Ok("/q?a=1&a=x%2Cy&b=p%2Cq,2".into());
    assert_eq!(path("/q?a={{ .a }}&b={{ .b }}", args.clone(), data.clone()), expected);
    assert_eq!(path("/q", args.clone(), data), expected);
    assert_eq!(path("/q", args, json!({"a": []})), Ok("/q".into()));
}

#[test]
fn what_no_template_names_goes_where_it_should() {
    let args = json!([
        {"name": "in_query", "position": "query"},
        {"name": "X_Tenant", "position": "header"},
        {"name": "sid", "position": "cookie"},
        {"name": "size", "type": "integer"}
    ]);
    let data = json!({"in_query": "a b", "X_Tenant": "t", "sid": "1; x=2", "size": 3});
    let outgoing = sent(json!({"path": "/p", "method": "post"}), args, data).unwrap();
    let headers = [("x-tenant", "t"), ("cookie", "sid=1%3B%20x%3D2"), ("content-type", "application/json")];
    assert_eq!(
        outgoing,
        Outgoing {
            method: "POST".into(),
            path: "/p?in_query=a%20b".into(),
            headers: headers.map(|(name, value)| (name.into(), value.into())).to_vec(),
            body: br#"{"size":3}"#.to_vec(),
        }
    );
}

#[test]
fn a_path_takes_only_whole_parts() {
    let args = json!([{"name": "id", "position": "path"}]);
    assert_eq!(path("/u/{id}/x", args.clone(), json!({"id": "a/b"})), Ok("/u/a%2Fb/x".into()));
    for id in ["", ".", ".."] {
        assert!(path("/u/{{ .id }}/x", args.clone(), json!({"id": id})).is_err(), "{id}");
    }
    assert_eq!(path("/u/v{id}", args, json!({"id": ".."})), Ok("/u/v..".into()));
}

#[test]
fn a_structured_body_has_typed_values() {
    let body = json!({
        "q": "{{ .q }}", "page": {"size": "{{ .size }}", "at": 0}, "text": "about {{ .q }}",
        "list": ["{{ .q }}", "{{ .absent }}"], "left_out": "{{ .absent }}"
    });
    let args = json!([{"name": "q"}, {"name": "size"}, {"name": "absent"}]);
    let outgoing = sent(json!({"path": "/s", "body": body}), args, json!({"q": "a\"b", "size": 10})).unwrap();
    assert_eq!(outgoing.method, "POST");
    assert_eq!(
        String::from_utf8(outgoing.body).unwrap(),
        r#"{"q":"a\"b","page":{"size":10,"at":0},"text":"about a\"b","list":["a\"b"]}"#
    );
}

#[test]
fn a_form_has_pairs() {
    let form = "application/x-www-form-urlencoded";
    let args = json!([{"name": "a"}, {"name": "b", "position": "body"}]);
    let request = json!({"path": "/f", "content_type": form, "body": {"a": "{{ .a }}", "c": [1, 2]}});
    let outgoing = sent(request, args.clone(), json!({"a": "x&y=z", "b": "ü"})).unwrap();
    assert_eq!(outgoing.body, b"a=x%26y%3Dz&c=1&c=2&b=%C3%BC");
    let request = json!({"path": "/f", "content_type": form, "body": "a={{ .a }}&b={{ .b }}"});
    let outgoing = sent(request, args, json!({"a": "x&y", "b": "1"})).unwrap();
    assert_eq!(outgoing.body, b"a=x%26y&b=1");
}

#[test]
fn a_value_in_a_json_text_stays_one_value() {
    let args = json!([{"name": "q"}, {"name": "n"}]);
    let request = |body: &str| json!({"path": "/s", "body": body});
    let hostile = json!({"q": "x\",\"admin\":true,\"y\":\"\\", "n": 1});
    let outgoing = sent(request(r#"{"q": "{{ .q }}", "n": {{ .n }}}"#), args.clone(), hostile).unwrap();
    let read: Value = serde_json::from_slice(&outgoing.body).unwrap();
    assert_eq!(read, json!({"q": "x\",\"admin\":true,\"y\":\"\\", "n": 1}));
    let args = json!([{"name": "q"}]);
    let outgoing = sent(request(r#"{"q": {{ jsonify .q }}}"#), args.clone(), json!({"q": "a"})).unwrap();
    assert_eq!(outgoing.body, br#"{"q": "a"}"#);
    for q in ["1,\"admin\":true", "}", "x", ""] {
        assert!(sent(request(r#"{"q": {{ .q }}}"#), args.clone(), json!({"q": q})).is_err(), "{q}");
    }
}

#[test]
fn a_header_takes_no_second_line() {
    let args = json!([{"name": "t"}]);
    let request = json!({"path": "/h", "headers": [{"name": "X-T", "value": "a {{ .t }}"}]});
    let outgoing = sent(request.clone(), args.clone(), json!({"t": "b é"})).unwrap();
    assert_eq!(outgoing.headers, [("x-t".to_owned(), "a b %C3%A9".to_owned())]);
    let refused = sent(request, args, json!({"t": "b\r\nX-Admin: 1"})).unwrap_err();
    assert_eq!(refused, "the header \"x-t\" cannot have control characters");
}

#[test]
fn a_call_that_cannot_work_is_refused() {
    let args = json!([{"name": "a", "position": "path"}]);
    for (request, expected) in [
        (json!({"path": "/p"}), "args[0].position: the path does not name it"),
        (json!({"path": "p?{{.a}}"}), "path: must begin with a slash"),
        (json!({"path": "/../{{.a}}"}), "path: must have no part \".\" or \"..\""),
        (json!({"path": "/{{.a}}#x"}), "path: '#' must be percent-encoded"),
        (json!({"path": "/{{.b}}"}), "path: no argument is named \"b\""),
        (
            json!({"path": "/{{.a}}", "method": "CONNECT"}),
            "method: is none of GET, HEAD, POST, PUT, PATCH, DELETE",
        ),
        (json!({"path": "/{{.a}}", "body": {"x": ["{{ .c }}"]}}), "body.x.[0]: no argument is named \"c\""),
        (
            json!({"path": "/{{.a}}", "headers": [{"name": "Host", "value": "x"}]}),
            "headers[0].name: is not for tools to set",
        ),
        (
            json!({"path": "/{{.a}}", "headers": [{"name": "Authorization", "value": "x"}]}),
            "headers[0].name: is for credentials; name a secret in \"auth\"",
        ),
        (
            json!({"path": "/{{.a}}", "content_type": "text/plain", "body": {}}),
            "body: must be a text for this content_type",
        ),
    ] {
        assert_eq!(plan(&request, &args).err(), Some(expected.into()), "{request}");
    }
}

proptest! {
    #[test]
    fn hostile_arguments_change_neither_path_nor_pairs_nor_head_nor_body(
        a in "\\PC{0,12}|[\\x00-\\x7f]{0,12}", b in "(\\.|/|%|\\\\|\"|&|=|\r\n|#|\\?|;|\\{\\{|\\}\\}){0,8}",
    ) {
        let args = json!([{"name": "a"}, {"name": "b"}, {"name": "c", "position": "cookie"}]);
        let request = json!({
            "path": "/base/{{ .a }}/end?a={{ .a }}&b=x{{ .b }}&c={{ .b }}",
            "headers": [{"name": "x-a", "value": "{{ .a }}"}, {"name": "x-b", "value": "v {{ .b }}"}],
            "body": "{\"a\":\"{{ .a }}\",\"b\":\"{{ .b }}\",\"both\":\"{{ .a }}{{ .b }}\"}"
        });
        let Ok(outgoing) = sent(request, args, json!({"a": a, "b": b, "c": a})) else { return Ok(()) };
        let (path, query) = outgoing.path.split_once('?').unwrap();
        prop_assert!(path.starts_with("/base/") && path.ends_with("/end"));
        prop_assert_eq!(path.split('/').count(), 4);
        prop_assert_eq!(query.split('&').count(), 3);
        prop_assert!(outgoing.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
        prop_assert_eq!(outgoing.headers.len(), 4);
        prop_assert!(outgoing.headers.iter().all(|(_, value)| value.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
        prop_assert_eq!(outgoing.headers[2].1.split(';').count(), 1);
        let body: Value = serde_json::from_slice(&outgoing.body).unwrap();
        prop_assert_eq!(body, json!({"a": a, "b": b, "both": format!("{a}{b}")}));
        let decoded = |text: &str| percent_decoded(text);
        prop_assert_eq!(decoded(path.strip_prefix("/base/").unwrap().strip_suffix("/end").unwrap()), a.clone());
        let pairs: Vec<_> = query.split('&').map(decoded).collect();
        prop_assert_eq!(pairs, [format!("a={a}"), format!("b=x{b}"), format!("c={b}")]);
    }
}

proptest! {
    #[test]
    fn hostile_arguments_stay_one_value_where_their_position_puts_them(
        a in "\\PC{0,12}|[\\x00-\\x7f]{0,12}", b in "(\\.|/|%|\\\\|\"|&|=|\r\n|#|\\?|;|\\+|\\{\\{|\\}\\}){0,8}", form: bool,
    ) {
        let args = json!([
            {"name": "p"}, {"name": "q", "position": "query"}, {"name": "h_1", "position": "header"},
            {"name": "r", "type": "array", "items": {"type": "string"}, "style": "repeat", "position": "query"},
            {"name": "k", "position": "cookie"}, {"name": "m", "position": "body"}
        ]);
        let media = if form { "application/x-www-form-urlencoded" } else { "application/json" };
        let request = json!({"method": "POST", "path": "/base/{p}", "content_type": media});
        let data = json!({"p": b, "q": a, "h_1": a, "r": [a, b], "k": b, "m": a});
        let Ok(outgoing) = sent(request, args, data) else { return Ok(()) };
        prop_assert_eq!(&outgoing.method, "POST");
        let (path, query) = outgoing.path.split_once('?').unwrap();
        prop_assert_eq!(path.split('/').count(), 3);
        prop_assert_eq!(percent_decoded(path), format!("/base/{b}"));
        prop_assert!(outgoing.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
        let pairs: Vec<_> = query.split('&').map(percent_decoded).collect();
        prop_assert_eq!(pairs, [format!("q={a}"), format!("r={a}"), format!("r={b}")]);
        let mut names: Vec<_> = outgoing.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        prop_assert_eq!(names, ["content-type", "cookie", "h-1"]);
        for (_, value) in &outgoing.headers {
            prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{value:?}");
        }
        let cookie = outgoing.headers.iter().find(|(name, _)| name == "cookie").unwrap();
        prop_assert_eq!(cookie.1.split(';').count(), 1);
        if form {
            let body = str::from_utf8(&outgoing.body).unwrap();
            prop_assert_eq!(body.split('&').count(), 1);
            prop_assert_eq!(percent_decoded(&body.replace('+', " ")), format!("m={a}"));
        } else {
            prop_assert_eq!(serde_json::from_slice::<Value>(&outgoing.body).unwrap(), json!({"m": a}));
        }
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [a, b, tail @ ..]) => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&[*a, *b]).unwrap(), 16).unwrap());
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
