use serde_json::from_value;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn listing(name: &str, version: &str, published: i64) -> Listing {
    let server = json!({"name": name, "description": "Logs", "version": version});
    Listing {
        server: from_value(server).unwrap(),
        domain: None,
        standing: Standing { status: Status::Active, message: None, since: None },
        published_at: at(published),
        updated_at: at(published),
    }
}

fn names(page: &Value) -> Vec<String> {
    let named = |server: &Value| {
        format!(
            "{} {}",
            server["server"]["name"].as_str().unwrap(),
            server["server"]["version"].as_str().unwrap()
        )
    };
    page["servers"].as_array().unwrap().iter().map(named).collect()
}

fn some() -> Vec<Listing> {
    let mut gone = listing("com.example/gone", "1.0.0", 5);
    gone.standing.status = Status::Deleted;
    let mut private = listing("com.example/private", "1.0.0", 5);
    private.domain = Some(Name::try_from("video".to_owned()).unwrap());
    vec![
        listing("com.example/logs", "1.9.0", 10),
        listing("com.example/logs", "1.10.0", 20),
        listing("com.example/Maps", "2024-01", 30),
        gone,
        private,
    ]
}

#[test]
fn a_tenant_sees_what_is_shared_and_its_own() {
    let all = some();
    let seen = |domain: Option<&str>| {
        let domain = domain.map(|name| Name::try_from(name.to_owned()).unwrap());
        let market = Market::seen_by(domain.as_ref(), &all);
        (
            names(&market.page(&Query::default()).unwrap()).len(),
            market.version("com.example/private", "latest").is_some(),
        )
    };
    assert_eq!((seen(Some("video")), seen(Some("finance")), seen(None)), ((4, true), (3, false), (4, true)));
}

#[test]
fn the_latest_version_is_the_one_that_was_published_last_and_is_not_gone() {
    let mut all = some();
    let latest = |all: &[Listing]| {
        let answer = Market::seen_by(None, all).version("com.example/logs", "latest").unwrap();
        (
            answer["server"]["version"].clone(),
            answer.pointer("/_meta/io.modelcontextprotocol.registry~1official/isLatest").cloned(),
        )
    };
    assert_eq!(latest(&all), ("1.10.0".into(), Some(true.into())));
    all[1].standing.status = Status::Deleted;
    assert_eq!(latest(&all), ("1.9.0".into(), Some(true.into())));
    let market = Market::seen_by(None, &all);
    assert_eq!(names(&market.versions("com.example/logs", false).unwrap()), ["com.example/logs 1.9.0"]);
    assert_eq!(names(&market.versions("com.example/logs", true).unwrap()).len(), 2);
    assert_eq!(
        (market.versions("com.example/gone", false), market.version("com.example/none", "latest")),
        (None, None)
    );
}

#[test]
fn pages_have_every_server_once() {
    let all = some();
    let market = Market::seen_by(None, &all);
    let mut query = Query { limit: Some(1), ..Query::default() };
    let mut found = Vec::new();
    loop {
        let page = market.page(&query).unwrap();
        assert_eq!(page["metadata"]["count"], 1);
        found.extend(names(&page));
        match page["metadata"].get("nextCursor") {
            Some(cursor) => query.cursor = cursor.as_str().map(str::to_owned),
            None => break,
        }
    }
    let expected = [
        "com.example/Maps 2024-01",
        "com.example/logs 1.10.0",
        "com.example/logs 1.9.0",
        "com.example/private 1.0.0",
    ];
    assert_eq!(found, expected);
    let vanished = Query { cursor: Some("com.example/logs:0.1".into()), ..Query::default() };
    assert_eq!(names(&market.page(&vanished).unwrap()), ["com.example/private 1.0.0"]);
    assert_eq!(market.page(&Query { cursor: Some("x".into()), ..Query::default() }), Err(InvalidCursor));
}

#[test]
fn a_query_chooses_by_name_version_and_time() {
    let all = some();
    let market = Market::seen_by(None, &all);
    let found = |query: Query| names(&market.page(&query).unwrap());
    assert_eq!(
        found(Query { search: Some("LOG".into()), version: Some("latest".into()), ..Query::default() }),
        ["com.example/logs 1.10.0"]
    );
    assert_eq!(
        found(Query { version: Some("1.9.0".into()), ..Query::default() }),
        ["com.example/logs 1.9.0"]
    );
    assert_eq!(found(Query { updated_since: Some(at(20)), ..Query::default() }).len(), 2);
    assert_eq!(found(Query { include_deleted: true, ..Query::default() }).len(), 5);
}

#[test]
fn what_is_published_is_checked() {
    let problem = |detail: Value| from_value::<Detail>(detail).unwrap_err().to_string();
    let good = json!({"name": "com.example/logs", "description": "Logs", "version": "1.0.0", "websiteUrl": "https://x"});
    assert_eq!(serde_json::to_value(from_value::<Detail>(good.clone()).unwrap()).unwrap(), good);
    let with = |field: &str, value: Value| {
        let mut detail = good.clone();
        detail[field] = value;
        problem(detail)
    };
    assert!(with("name", "logs".into()).contains("reversed domain name"));
    assert!(with("description", "".into()).contains("1 to 100 characters"));
    assert!(with("title", "x".repeat(101).into()).contains("title"));
    for version in ["latest", "^1.0", "1.x", ">=1", ""] {
        assert!(with("version", version.into()).contains("not a range"), "{version}");
    }
    assert!(with("remotes", json!([{"type": "sse", "url": "javascript:1"}])).contains("http://"));
    assert!(with("remotes", json!([{"type": "stdio", "url": "https://x"}])).contains("stdio"));
    assert!(with("status", "active".into()).contains("PATCH"));
}
