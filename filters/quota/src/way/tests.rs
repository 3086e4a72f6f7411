use std::rc::Rc;

use weir_core::testing::Bench;
use weir_core::{Effect, Filter, Flow, Head, Stream, StreamId, UnixTime};
use weir_schema::state;

use crate::{Quota, QuotaStream};

fn quota(rules: &str) -> Rc<Quota> {
    let config = format!(r#"{{"rules": [{rules}], "routes": {{"index": {{"provider": "a"}}}}}}"#);
    Rc::new(Quota::new(serde_json::from_str(&config).unwrap()).unwrap())
}

/// Limits of these providers.
fn of(providers: &str, limits: &str) -> String {
    format!(
        r#"{{"name":"of-provider","match":{{"providers":[{providers}]}},"per":["provider"],"limits":{limits}}}"#
    )
}

fn bench() -> Bench {
    Bench::default().at(UnixTime::from_seconds(1_700_000_000))
}

/// Sends a request that may go to these clusters, and returns where it may after that; or how it is refused.
fn send(
    bench: &Bench,
    filter: &Rc<Quota>,
    clusters: &[&str],
) -> (QuotaStream, Result<String, (u16, String)>) {
    let leads: Vec<_> = clusters.iter().map(|cluster| format!("\n{cluster} up")).collect();
    let forward = format!("/v1/chat/completions\n1 8\n\"index\"{}", leads.concat());
    for (key, value) in [(state::ROUTE, "index"), (state::FORWARD, &forward), (state::NEXT, clusters[0])] {
        bench.state.borrow_mut().insert(key.into(), value.into());
    }
    bench.state.borrow_mut().remove(state::USAGE);
    let mut stream = filter.stream(StreamId(1));
    let body = r#"{"max_tokens":80}"#;
    let head = [(":method", "POST"), (":path", "/v1/chat/completions"), ("content-length", "17")];
    let (flow, mut effects) = bench.run(|cx| stream.on_request_head(cx, &Head::new(&head, false)));
    let flow = if flow == Flow::Wait {
        let (flow, more) = bench.run(|cx| stream.on_request_body(cx, body.as_bytes(), true));
        effects.extend(more);
        flow
    } else {
        flow
    };
    if let Flow::Reply(reply) = flow {
        return (stream, Err((reply.status, String::from_utf8(reply.body.to_vec()).unwrap())));
    }
    let text = |key: &str| String::from_utf8(bench.state.borrow()[key].clone()).unwrap();
    let left = text(state::FORWARD).lines().skip(3).map(|lead| lead.replace(" up", "")).collect::<Vec<_>>();
    assert_eq!(text(state::NEXT), left[0]);
    let retries = effects.iter().find_map(|effect| match effect {
        Effect::SetHeader(_, name, value) if name == "x-envoy-max-retries" => Some(value.clone()),
        _ => None,
    });
    assert_eq!(retries, (left.len() < clusters.len()).then(|| left.len().saturating_sub(1).to_string()));
    (stream, Ok(left.join(",")))
}

/// The cluster that has been asked last answers.
fn answer(bench: &mut Bench, mut stream: QuotaStream, cluster: &str, status: &str) {
    bench.attributes.insert("xds.cluster_name".into(), cluster.into());
    let head = [(":status", status), ("content-type", "application/json")];
    let body = br#"{"usage":{"prompt_tokens":30,"completion_tokens":20}}"#;
    bench.run(|cx| stream.on_response_head(cx, &Head::new(&head, false)));
    bench.run(|cx| stream.on_response_body(cx, body, true));
    bench.run(|cx| stream.on_end(cx));
}

fn where_to(bench: &Bench, filter: &Rc<Quota>, clusters: &[&str]) -> Result<String, (u16, String)> {
    let (mut stream, outcome) = send(bench, filter, clusters);
    bench.run(|cx| stream.on_end(cx));
    outcome
}

#[test]
fn a_provider_without_room_is_left_out_and_the_next_is_asked() {
    let (bench, filter) = (bench(), quota(&of(r#""a""#, r#"{"rpm":1}"#)));
    assert_eq!(where_to(&bench, &filter, &["a", "b", "c"]), Ok("a,b,c".into()));
    assert_eq!(where_to(&bench, &filter, &["a", "b", "a#2", "c"]), Ok("b,c".into()));
    assert_eq!(where_to(&bench, &filter, &["b", "a@second"]), Ok("b".into()));
}

#[test]
fn where_no_provider_has_room_the_one_that_has_it_first_is_told() {
    let mut bench = bench();
    let filter = quota(&[of(r#""a""#, r#"{"rpm":1}"#), of(r#""b""#, r#"{"rpm":1}"#)].join(","));
    assert_eq!(where_to(&bench, &filter, &["b"]), Ok("b".into()));
    bench = bench.at(UnixTime::from_seconds(1_700_000_020));
    assert_eq!(where_to(&bench, &filter, &["a"]), Ok("a".into()));
    let (status, body) = where_to(&bench, &filter, &["a", "b"]).unwrap_err();
    assert_eq!(status, 429);
    let message = "Limit rpm of `of-provider` reached: 1. Try again in 41s.";
    assert!(body.contains(message) && body.contains("rate_limit_exceeded"), "{body}");
}

#[test]
fn who_answers_has_the_tokens_and_who_failed_before_it_a_request() {
    for ends in ["answered", "cut"] {
        let mut bench = bench();
        let filter = quota(&of(r#""a","b""#, r#"{"tokens_per_day":100,"rpm":2}"#));
        let (mut stream, outcome) = send(&bench, &filter, &["a", "b"]);
        assert_eq!(outcome, Ok("a,b".into()));
        match ends {
            "answered" => answer(&mut bench, stream, "b", "200"),
            _ => {
                bench.attributes.insert("xds.cluster_name".into(), "b".into());
                bench.state.borrow_mut().insert(state::USAGE.into(), b"30 20 0 0 upstream".into());
                bench.run(|cx| stream.on_response_head(cx, &Head::new(&[(":status", "200")], false)));
                bench.run(|cx| stream.on_end(cx));
            }
        }
        // A request takes more than 80 tokens: b has 50 left, and a all.
        let (stream, outcome) = send(&bench, &filter, &["b", "a"]);
        assert_eq!(outcome, Ok("a".into()), "{ends}");
        answer(&mut bench, stream, "a", "500");
        // Two requests were made at a.
        let (status, body) = where_to(&bench, &filter, &["a", "b"]).unwrap_err();
        assert!(status == 429 && body.contains("Limit rpm"), "{body}");
    }
}

#[test]
fn every_attempt_counts_at_its_provider() {
    let mut bench = bench();
    let filter = quota(&of(r#""a","b""#, r#"{"rpm":3}"#));
    let (stream, _) = send(&bench, &filter, &["a", "a@second", "b", "a#2"]);
    answer(&mut bench, stream, "a#2", "200");
    assert_eq!(where_to(&bench, &filter, &["a", "b"]), Ok("b".into()));
    assert_eq!(where_to(&bench, &filter, &["b"]), Ok("b".into()));
    assert!(where_to(&bench, &filter, &["a@second", "b"]).is_err());
}

#[test]
fn what_is_asked_is_free_again_when_the_next_is_asked() {
    let mut bench = bench();
    let filter = quota(&of(r#""a","b""#, r#"{"concurrency":1}"#));
    let (mut stream, _) = send(&bench, &filter, &["a", "b"]);
    let (_, meanwhile) = send(&bench, &filter, &["a"]);
    assert!(meanwhile.is_err());
    bench.attributes.insert("xds.cluster_name".into(), "b".into());
    bench.run(|cx| stream.on_response_head(cx, &Head::new(&[(":status", "200")], false)));
    assert_eq!(where_to(&bench, &filter, &["b", "a"]), Ok("a".into()));
    bench.run(|cx| stream.on_end(cx));
    assert_eq!(where_to(&bench, &filter, &["b", "a"]), Ok("b,a".into()));
}

#[test]
fn who_is_refused_takes_nothing_from_anybody() {
    let bench = bench();
    let rules = [
        r#"{"name":"all","limits":{"concurrency":1}}"#.to_owned(),
        of(r#""a""#, r#"{"concurrency":0}"#),
        of(r#""b""#, r#"{"concurrency":1}"#),
    ];
    let filter = quota(&rules.join(","));
    assert!(where_to(&bench, &filter, &["a"]).is_err());
    let (mut first, outcome) = send(&bench, &filter, &["a", "b"]);
    assert_eq!(outcome, Ok("b".into()));
    let (_, refused) = send(&bench, &filter, &["b"]);
    assert!(refused.unwrap_err().1.contains("of `all`"));
    bench.run(|cx| first.on_end(cx));
    assert_eq!(where_to(&bench, &filter, &["b", "a"]), Ok("b".into()));
}

#[test]
fn a_rule_in_shadow_leaves_nobody_out() {
    let rule = r#"{"name":"seen","per":["provider"],"shadow":true,"limits":{"rpm":0}}"#;
    let (bench, filter) = (bench(), quota(rule));
    assert_eq!(where_to(&bench, &filter, &["a", "b"]), Ok("a,b".into()));
}
