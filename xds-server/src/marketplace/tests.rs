use std::collections::BTreeMap;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use weir_schema::Name;

use super::*;
use crate::{file::File, model::Model};

/// Servers for all, for one tenant, and for some of another's consumers.
const FILE: &str = r#"
gateway: {listen: {port: 10000}}
domains:
- {name: video, hosts: ["*.video.example", ai.video.example]}
- {name: finance, hosts: [ai.finance.example]}
consumers:
- {name: editor, domain: video, labels: {team: cut}}
- {name: viewer, domain: video}
- {name: clerk, domain: finance}
keys:
- {id: editor-1, consumer: editor, sha256: "0000000000000000000000000000000000000000000000000000000000000001"}
- {id: viewer-1, consumer: viewer, sha256: "0000000000000000000000000000000000000000000000000000000000000002"}
- {id: clerk-1, consumer: clerk, sha256: "0000000000000000000000000000000000000000000000000000000000000003"}
routes:
- path: /logs/*
  middlewares:
  - name: v1_mcp_server
    options:
      apiOrchestrator:
        server: {name: logs, title: Logs, version: 2.1.0, description: "Logs of all applications, by environment and level; also those of the night before, as far as they were kept."}
        upstream: {url: "http://api.example"}
        tools: [{name: find, request_template: {url: /find}}]
- path: /cut
  domain: video
  middlewares:
  - name: v1_mcp_server
    options:
      grants: [{tools: ["cut-*"], labels: {team: cut}}]
      apiOrchestrator:
        server: {name: team/cut}
        upstream: {url: "http://api.example"}
        tools: [{name: cut-film, request_template: {url: /cut}}, {name: purge, request_template: {url: /purge}}]
- path: /books/*
  domain: finance
  middlewares:
  - {name: v1_mcp_server, options: {proxy: {name: books, upstreams: [{url: "https://books.example/mcp"}]}}}
"#;

fn catalog(file: &str) -> Catalog {
    let file = File::parse(file).unwrap();
    let secrets = crate::secret::placeholders(&file.secrets);
    let model: Model = file.into_model(secrets).unwrap();
    Catalog::of(&model)
}

fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

fn names(catalog: &Catalog, viewer: &Viewer) -> Vec<String> {
    let documents = catalog.documents(viewer).into_iter();
    documents.map(|(_, document)| document["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn everyone_is_shown_what_is_for_them() {
    let catalog = catalog(FILE);
    let tenant = |of: &str| names(&catalog, &Viewer::Domain(name(of)));
    assert_eq!(tenant("video"), ["example.video.ai/logs", "example.video.ai/team_cut"]);
    assert_eq!(tenant("finance"), ["example.finance.ai/logs", "example.finance.ai/books"]);
    let caller = |domain: &str, key: &str| {
        catalog.caller(domain, key).map(|viewer| names(&catalog, &viewer)).unwrap_or_default()
    };
    assert_eq!(caller("video", "editor-1"), ["example.video.ai/logs", "example.video.ai/team_cut"]);
    assert_eq!(caller("video", "viewer-1"), ["example.video.ai/logs"]);
    assert_eq!(caller("finance", "clerk-1"), ["example.finance.ai/logs", "example.finance.ai/books"]);
    assert_eq!(caller("video", "nobody"), Vec::<String>::new());
    let all = ["example.video.ai/logs", "example.video.ai/team_cut", "example.finance.ai/books"];
    assert_eq!(names(&catalog, &Viewer::Everything), all);
    let has = ["example.finance.ai/logs", "example.finance.ai/team_cut", "example.video/logs"];
    assert_eq!(has.map(|name| catalog.has(name)), [true, true, false]);
}

#[test]
fn a_server_of_the_configuration_is_a_document_that_keeps_the_rules() {
    let catalog = catalog(FILE);
    let editor = catalog.caller("video", "editor-1").unwrap();
    let documents: BTreeMap<_, _> = catalog.documents(&editor).into_iter().collect();
    let header = json!({"name": "Authorization", "value": "Bearer {api_key}", "isRequired": true, "isSecret": true,
        "variables": {"api_key": {"description": "A key of the gateway", "isRequired": true, "isSecret": true}}});
    let base = "http://ai.video.example:10000";
    let remote =
        |kind: &str, path: &str| json!({"type": kind, "url": format!("{base}{path}"), "headers": [header]});
    let logs = json!({
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": "example.video.ai/logs",
        "description": "Logs of all applications, by environment and level; also those of the night before, as far as they…",
        "title": "Logs",
        "version": "2.1.0",
        "remotes": [remote("streamable-http", "/logs"), remote("sse", "/logs/sse")],
        "_meta": {"example.video.ai/gateway": {"tools": ["find"]}},
    });
    assert_eq!(Value::Object(documents["logs/*"].clone()), logs);
    let cut = json!({
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": "example.video.ai/team_cut",
        "description": "The MCP server team/cut",
        "version": "1.0.0",
        "remotes": [remote("streamable-http", "/cut")],
        "_meta": {"example.video.ai/gateway": {"tools": ["cut-film"]}},
    });
    assert_eq!(Value::Object(documents["cut@video"].clone()), cut);
    for document in [logs, cut] {
        Document::parse(document).unwrap();
    }
}

#[test]
fn a_route_of_the_marketplace_says_where_servers_are() {
    let market = |domain: &str, url: &str| {
        format!(
            "- {{path: /v0.1/*, {domain}middlewares: [{{name: v1_mcp_registry, options: {{url: \"{url}\"}}}}]}}\n"
        )
    };
    let all = market("", "https://mcp.example.com");
    let of_all = catalog(&format!("{FILE}{all}"));
    let tenant = |catalog: &Catalog, of: &str| names(catalog, &Viewer::Domain(name(of)));
    assert_eq!(tenant(&of_all, "finance"), ["com.example.mcp/logs", "com.example.mcp/books"]);
    assert!(of_all.has("com.example.mcp/logs"));
    let both = catalog(&format!("{FILE}{all}{}", market("domain: video, ", "https://video.example")));
    assert_eq!(tenant(&both, "video"), ["example.video/logs", "example.video/team_cut"]);
    assert_eq!(tenant(&both, "finance"), ["com.example.mcp/logs", "com.example.mcp/books"]);
}

#[test]
fn a_tenant_publishes_under_its_hosts_and_where_there_is_one_tenant_under_any_name() {
    let several = catalog(FILE);
    let owns = |domain: &str, space: &str| several.owns(&name(domain), space);
    assert!(owns("video", "example.video") && owns("video", "example.video.ai.cut"));
    assert!(
        !owns("video", "example.videos") && !owns("video", "example") && !owns("finance", "example.video")
    );
    assert!(catalog("gateway: {}").owns(&name("default"), "org.any"));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn published(name: &str, version: &str, second: i64, status: Lifecycle) -> Published {
    let document = json!({"name": name, "version": version, "description": "It."});
    Published {
        document: Document::parse(document).unwrap(),
        domain: None,
        status,
        status_message: None,
        status_changed_at: at(second),
        published_at: at(second),
        updated_at: at(second),
    }
}

fn offer(name: &str) -> (Map<String, Value>, (Timestamp, Timestamp)) {
    let document = json!({"name": name, "version": "1.0.0", "description": "Offered."});
    (document.as_object().unwrap().clone(), (at(1), at(2)))
}

fn market() -> Market {
    use Lifecycle::{Active, Deleted, Deprecated};
    let published = [
        published("a/one", "1.10.0", 10, Active),
        published("a/one", "1.9.0", 20, Deprecated),
        published("a/one", "2.0.0", 30, Deleted),
        published("a/two", "1.0.0", 40, Active),
        published("b/gone", "1.0.0", 50, Deleted),
        published("c/own", "9.0.0", 60, Active),
    ];
    Market::new([offer("c/own"), offer("c/own")], &published)
}

/// What a list has of each server: name, version, whether it is the latest.
fn listed(list: &Value) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |entry: &Value| {
        let about = &entry["_meta"]["io.modelcontextprotocol.registry/official"];
        let server = &entry["server"];
        (text(&server["name"]), text(&server["version"]), about["isLatest"].as_bool().unwrap())
    };
    list["servers"].as_array().unwrap().iter().map(of).collect()
}

fn asked(path: &str) -> Result<Asked, Problem> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let params = query.split('&').filter_map(|pair| pair.split_once('='));
    let params: Vec<_> = params.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Asked::of(&Method::GET, path, &params)
}

fn read(path: &str) -> Result<Value, Problem> {
    asked(path).and_then(|asked| asked.read(&market()).unwrap())
}

#[test]
fn a_list_has_each_version_once_and_what_is_gone_only_if_asked() {
    let row = |name: &str, version: &str, latest| (name.to_owned(), version.to_owned(), latest);
    let there = [
        row("a/one", "1.10.0", true),
        row("a/one", "1.9.0", false),
        row("a/two", "1.0.0", true),
        // What the configuration offers stands before what was published under its name.
        row("c/own", "1.0.0", true),
    ];
    let list = read("/v0.1/servers").unwrap();
    assert_eq!((listed(&list), &list["metadata"]), (there.to_vec(), &json!({"count": 4})));
    let latest = |query: &str| -> Vec<String> {
        let list = read(&format!("/v0.1/servers?{query}")).unwrap();
        listed(&list).into_iter().map(|(name, version, _)| format!("{name}@{version}")).collect()
    };
    assert_eq!(latest("version=latest"), ["a/one@1.10.0", "a/two@1.0.0", "c/own@1.0.0"]);
    assert_eq!(latest("version=1.9.0"), ["a/one@1.9.0"]);
    assert_eq!(latest("search=/ONE&version=latest"), ["a/one@1.10.0"]);
    assert_eq!(latest("include_deleted=true").len(), 6);
    assert_eq!(latest("updated_since=1970-01-01T00:00:30Z"), ["a/one@2.0.0", "a/two@1.0.0", "b/gone@1.0.0"]);
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let (mut cursor, mut all) = (String::new(), Vec::new());
    loop {
        let page = read(&format!("/v0.1/servers?limit=1&cursor={cursor}")).unwrap();
        assert_eq!(page["metadata"]["count"], 1);
        all.extend(listed(&page));
        let Some(next) = page["metadata"]["nextCursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(all, listed(&read("/v0.1/servers").unwrap()));
}

#[test]
fn versions_are_listed_newest_first_and_read_by_number_or_as_the_latest() {
    let versions = |path: &str| -> Vec<String> {
        listed(&read(path).unwrap()).into_iter().map(|(_, version, _)| version).collect()
    };
    assert_eq!(versions("/v0.1/servers/a%2Fone/versions"), ["1.9.0", "1.10.0"]);
    assert_eq!(versions("/v0.1/servers/a/one/versions?include_deleted=true"), ["2.0.0", "1.9.0", "1.10.0"]);
    let latest = read("/v0.1/servers/a%2Fone/versions/latest").unwrap();
    let about = json!({"status": "active", "statusChangedAt": "1970-01-01T00:00:10Z",
        "publishedAt": "1970-01-01T00:00:10Z", "updatedAt": "1970-01-01T00:00:10Z", "isLatest": true});
    let server = json!({"name": "a/one", "version": "1.10.0", "description": "It."});
    let official = json!({"io.modelcontextprotocol.registry/official": about});
    assert_eq!(latest, json!({"server": server, "_meta": official}));
    let missing = |path: &str| read(path).unwrap_err();
    assert_eq!(missing("/v0.1/servers/a%2Fone/versions/3.0.0"), Problem::NoVersion);
    assert_eq!(missing("/v0.1/servers/a%2Fone/versions/2.0.0"), Problem::NoVersion);
    assert_eq!(missing("/v0.1/servers/b%2Fgone/versions/latest"), Problem::NoServer);
    assert_eq!(missing("/v0.1/servers/z%2Fz/versions"), Problem::NoServer);
    assert!(read("/v0.1/servers/b%2Fgone/versions/latest?include_deleted=true").is_ok());
}

#[test]
fn a_request_that_is_wrong_is_told_where() {
    for (path, told) in [
        ("/v0.1/servers?limit=0", "limit: is a number from 1 to 100"),
        ("/v0.1/servers?limit=many", "limit: is a number from 1 to 100"),
        ("/v0.1/servers?cursor=~", "cursor: is not one that this registry gave"),
        ("/v0.1/servers?updated_since=then", "updated_since: is a time such as 2026-11-01T00:00:00Z"),
        ("/v0.1/servers?include_deleted=1", "include_deleted: is true or false"),
        ("/v0.1/servers/a/one/status", "Method not allowed"),
        ("/v0.1/publish", "Method not allowed"),
        ("/v0.1/servers/", "Not found"),
        ("/v0.1/servers/a/b/c/versions", "Not found"),
        ("/v0.1/servers/a/one/versions/1/2", "Not found"),
    ] {
        assert_eq!(asked(path).unwrap_err().to_string(), told, "{path}");
    }
    assert!(matches!(asked("/v0.1/servers?limit=1000&unknown=1"), Ok(Asked::List(Query { limit: 100, .. }))));
    let named = Place::at("/v0.1/servers/a%2Fone/versions/1.0.0%2Bb/status");
    assert_eq!(named, Some(Place::StatusOfVersion("a/one".into(), "1.0.0+b".into())));
    assert!(StatusChange::parse(&json!({"status": "asleep"})).is_err());
    let long = json!({"status": "deleted", "statusMessage": "é".repeat(501)});
    assert!(StatusChange::parse(&long).is_err());
}
