//! What every role may ask for, operation by operation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{super::openapi, Bench};

/// One request, and the status that it is answered with for an administrator, the provider `acme` and the tenant
/// `video`. 403 is for what a role must not do, 404 for what it is not shown.
struct Row {
    /// The operation of the document.
    operation: &'static str,
    path: &'static str,
    body: Value,
    statuses: [u16; 3],
}

fn row(operation: &'static str, path: &'static str, body: Value, statuses: [u16; 3]) -> Row {
    Row { operation, path, body, statuses }
}

fn table() -> Vec<Row> {
    let none = || Value::Null;
    let model = |name: &str, provider: &str| json!({"name": name, "targets": [{"provider": provider}]});
    let of_video = |name: &str| json!({"name": name, "domain": "video"});
    let key = |id: &str, consumer: &str| json!({"id": id, "consumer": consumer, "models": []});
    let hashed =
        |id: &str, consumer: &str| json!({"id": id, "consumer": consumer, "sha256": "ab".repeat(32)});
    let provider = |name: &str| json!({"name": name, "upstream": "http://127.0.0.1:9090/v1"});
    let domain = |name: &str| json!({"name": name, "hosts": [format!("{name}.example")]});
    let quota = |name: &str| json!({"name": name, "limits": {"rpm": 1}});
    let template = |version: &str| {
        let options = json!({"model_name": "ledger-chat", "prompt_template": "Title: {{ .text }}"});
        json!({"name": "title", "version": version, "labels": ["v"], "template": options})
    };
    let route = |path: &str| {
        let options = json!({"template": "title", "versions": [{"version": "1"}]});
        json!({"path": path, "middlewares": [{"name": "v1_stored_chat_template", "options": options}]})
    };
    let trial = json!({"template": template("1")["template"], "variables": {"text": "x"}});
    vec![
        row("GET /v1/templates", "/v1/templates", none(), [200, 403, 403]),
        row("POST /v1/templates", "/v1/templates", template("2"), [201, 403, 403]),
        row("GET /v1/templates/{name}", "/v1/templates/title@1", none(), [200, 403, 403]),
        row("PUT /v1/templates/{name}", "/v1/templates/title@1", template("1"), [200, 403, 403]),
        row("DELETE /v1/templates/{name}", "/v1/templates/title@1", none(), [409, 403, 403]),
        row("POST /v1/templates/render", "/v1/templates/render", trial, [200, 403, 403]),
        row("GET /v1/routes", "/v1/routes", none(), [200, 403, 403]),
        row("POST /v1/routes", "/v1/routes", route("/v1/more/*"), [201, 403, 403]),
        row("GET /v1/routes/{name}", "/v1/routes/v1/title", none(), [200, 403, 403]),
        row("PUT /v1/routes/{name}", "/v1/routes/v1/title", route("/v1/title"), [200, 403, 403]),
        row("DELETE /v1/routes/{name}", "/v1/routes/v1/title", none(), [204, 403, 403]),
        row("GET /v1/domains", "/v1/domains", none(), [200, 403, 403]),
        row("POST /v1/domains", "/v1/domains", domain("music"), [201, 403, 403]),
        row("GET /v1/domains/{name}", "/v1/domains/video", none(), [200, 403, 403]),
        row("PUT /v1/domains/{name}", "/v1/domains/video", domain("video"), [200, 403, 403]),
        row("DELETE /v1/domains/{name}", "/v1/domains/video", none(), [409, 403, 403]),
        row("GET /v1/quotas", "/v1/quotas", none(), [200, 403, 403]),
        row("POST /v1/quotas", "/v1/quotas", quota("more"), [201, 403, 403]),
        row("GET /v1/quotas/{name}", "/v1/quotas/all", none(), [200, 403, 403]),
        row("PUT /v1/quotas/{name}", "/v1/quotas/all", quota("all"), [200, 403, 403]),
        row("DELETE /v1/quotas/{name}", "/v1/quotas/all", none(), [204, 403, 403]),
        row("GET /v1/providers", "/v1/providers", none(), [200, 200, 403]),
        row("POST /v1/providers", "/v1/providers", provider("third"), [201, 403, 403]),
        row("GET /v1/providers/{name}", "/v1/providers/acme", none(), [200, 200, 403]),
        row("GET /v1/providers/{name}", "/v1/providers/rival", none(), [200, 404, 403]),
        row("PUT /v1/providers/{name}", "/v1/providers/acme", provider("acme"), [200, 403, 403]),
        row("DELETE /v1/providers/{name}", "/v1/providers/acme", none(), [409, 403, 403]),
        row("GET /v1/models", "/v1/models", none(), [200, 200, 200]),
        row("POST /v1/models", "/v1/models", model("acme-new", "acme"), [201, 201, 403]),
        row("POST /v1/models", "/v1/models", model("acme-new", "rival"), [201, 403, 403]),
        row("POST /v1/models", "/v1/models", model("rival-chat", "acme"), [409, 409, 403]),
        row("GET /v1/models/{name}", "/v1/models/acme-chat", none(), [200, 200, 200]),
        row("GET /v1/models/{name}", "/v1/models/rival-chat", none(), [200, 404, 404]),
        row("GET /v1/models/{name}", "/v1/models/ledger-chat@finance", none(), [200, 404, 404]),
        row("GET /v1/models/{name}", "/v1/models/shared", none(), [200, 404, 200]),
        row("PUT /v1/models/{name}", "/v1/models/acme-chat", model("acme-chat", "acme"), [200, 200, 403]),
        row("PUT /v1/models/{name}", "/v1/models/rival-chat", model("rival-chat", "acme"), [200, 409, 403]),
        row("PUT /v1/models/{name}", "/v1/models/ledger-chat", model("ledger-chat", "acme"), [201, 409, 403]),
        row("DELETE /v1/models/{name}", "/v1/models/acme-chat", none(), [204, 204, 403]),
        row("DELETE /v1/models/{name}", "/v1/models/rival-chat", none(), [204, 404, 403]),
        row("GET /v1/models/{name}/keys", "/v1/models/acme-chat/keys", none(), [200, 200, 403]),
        row("GET /v1/models/{name}/keys", "/v1/models/rival-chat/keys", none(), [200, 404, 403]),
        row(
            "PUT /v1/models/{name}/keys/{key}",
            "/v1/models/acme-chat/keys/video/team-1",
            none(),
            [204, 204, 403],
        ),
        row("PUT /v1/models/{name}/keys/{key}", "/v1/models/acme-chat/keys/nobody", none(), [404, 404, 403]),
        row(
            "PUT /v1/models/{name}/keys/{key}",
            "/v1/models/rival-chat/keys/ledger-1",
            none(),
            [204, 404, 403],
        ),
        row(
            "PUT /v1/models/{name}/keys/{key}",
            "/v1/models/rival-chat/keys/video%2Fteam-1",
            none(),
            [422, 404, 403],
        ),
        row(
            "DELETE /v1/models/{name}/keys/{key}",
            "/v1/models/acme-chat/keys/video%2Fteam-1",
            none(),
            [204, 204, 403],
        ),
        row(
            "DELETE /v1/models/{name}/keys/{key}",
            "/v1/models/shared/keys/video%2Fteam-1",
            none(),
            [204, 404, 403],
        ),
        row("GET /v1/consumers", "/v1/consumers", none(), [200, 403, 200]),
        row("POST /v1/consumers", "/v1/consumers", of_video("video/new"), [201, 403, 201]),
        row("POST /v1/consumers", "/v1/consumers", of_video("new"), [201, 403, 403]),
        row(
            "POST /v1/consumers",
            "/v1/consumers",
            json!({"name": "video/x", "domain": "finance"}),
            [201, 403, 403],
        ),
        row("GET /v1/consumers/{name}", "/v1/consumers/video/team", none(), [200, 403, 200]),
        row("GET /v1/consumers/{name}", "/v1/consumers/ledger", none(), [200, 403, 404]),
        row("PUT /v1/consumers/{name}", "/v1/consumers/video/team", of_video("video/team"), [200, 403, 200]),
        row("PUT /v1/consumers/{name}", "/v1/consumers/ledger", of_video("ledger"), [200, 403, 403]),
        row("DELETE /v1/consumers/{name}", "/v1/consumers/video/team", none(), [409, 403, 409]),
        row("DELETE /v1/consumers/{name}", "/v1/consumers/of-file", none(), [409, 403, 409]),
        row("DELETE /v1/consumers/{name}", "/v1/consumers/ledger", none(), [409, 403, 404]),
        row("DELETE /v1/consumers/{name}", "/v1/consumers/nobody", none(), [404, 403, 404]),
        row("GET /v1/keys", "/v1/keys", none(), [200, 403, 200]),
        row("POST /v1/keys", "/v1/keys", key("video/new", "video/team"), [201, 403, 201]),
        row("POST /v1/keys", "/v1/keys", key("video/new", "ledger"), [201, 403, 422]),
        row("POST /v1/keys", "/v1/keys", key("new", "video/team"), [201, 403, 403]),
        row("GET /v1/keys/{name}", "/v1/keys/video/team-1", none(), [200, 403, 200]),
        row("GET /v1/keys/{name}", "/v1/keys/ledger-1", none(), [200, 403, 404]),
        row(
            "PUT /v1/keys/{name}",
            "/v1/keys/video/team-1",
            hashed("video/team-1", "video/team"),
            [200, 403, 200],
        ),
        row("PUT /v1/keys/{name}", "/v1/keys/ledger-1", hashed("ledger-1", "video/team"), [200, 403, 403]),
        row("DELETE /v1/keys/{name}", "/v1/keys/video/team-1", none(), [204, 403, 204]),
        row("DELETE /v1/keys/{name}", "/v1/keys/ledger-1", none(), [204, 403, 404]),
        row("POST /v1/keys/{name}/rotate", "/v1/keys/video/team-1/rotate", json!({}), [200, 403, 200]),
        row("POST /v1/keys/{name}/rotate", "/v1/keys/ledger-1/rotate", json!({}), [200, 403, 404]),
        row("POST /v1/apply", "/v1/apply", json!({}), [200, 403, 403]),
        row("GET /v1/tokens", "/v1/tokens", none(), [200, 403, 403]),
        row("POST /v1/tokens", "/v1/tokens", json!({"name": "two", "role": "admin"}), [201, 403, 403]),
        row("DELETE /v1/tokens/{name}", "/v1/tokens/acme", none(), [204, 403, 403]),
        row("DELETE /v1/tokens/{name}", "/v1/tokens/root", none(), [409, 403, 403]),
        row("GET /v1/snapshots", "/v1/snapshots", none(), [200, 200, 200]),
        row("POST /v1/snapshots/{version}/restore", "/v1/snapshots/none/restore", none(), [404, 403, 403]),
        row("GET /v1/schema", "/v1/schema", none(), [200, 200, 200]),
        row("GET /v1/usage", "/v1/usage", none(), [501, 501, 403]),
        row("GET /v1/audit", "/v1/audit", none(), [501, 403, 403]),
        row("GET /v1/quotas/{name}/state", "/v1/quotas/none/state", none(), [501, 403, 403]),
        row(
            "POST /v1/quotas/{name}/adjust",
            "/v1/quotas/none/adjust",
            json!({"limit": "tokens_per_day", "by": 1}),
            [404, 403, 403],
        ),
        row("POST /v1/quotas/{name}/reset", "/v1/quotas/none/reset", json!({}), [404, 403, 403]),
        row("GET /v1/status", "/v1/status", none(), [200, 200, 200]),
    ]
    .into_iter()
    .chain(marketplace())
    .collect()
}

/// The registry API; of the published servers one is everyone's and one the other tenant's.
fn marketplace() -> Vec<Row> {
    let none = || Value::Null;
    let document = |name: &str| json!({"name": name, "version": "2.0.0", "description": "It."});
    let (all, own) = ("/v0.1/servers/org.all%2Ftools", "/v0.1/servers/example.video%2Ftools");
    let others = "/v0.1/servers/example.finance/tools";
    let versions = "/v0.1/servers/{name}/versions";
    let [get, put, delete] =
        ["GET", "PUT", "DELETE"].map(|method| format!("{method} {versions}/{{version}}"));
    let (get, put, delete): (&str, &str, &str) = (get.leak(), put.leak(), delete.leak());
    let at = |place: &str, rest: &str| -> &'static str { format!("{place}/{rest}").leak() };
    let first = |name: &str| json!({"name": name, "version": "1.0.0", "description": "It."});
    let change = || json!({"status": "deprecated"});
    let patch = "PATCH /v0.1/servers/{name}/versions/{version}/status";
    let patch_all = "PATCH /v0.1/servers/{name}/status";
    vec![
        row("GET /v0.1/servers", "/v0.1/servers", none(), [200, 403, 200]),
        row("POST /v0.1/publish", "/v0.1/publish", document("example.video/tools"), [200, 403, 200]),
        row("POST /v0.1/publish", "/v0.1/publish", document("example.video.eu/new"), [200, 403, 200]),
        row("POST /v0.1/publish", "/v0.1/publish", document("example.finance/tools"), [200, 403, 403]),
        row("POST /v0.1/publish", "/v0.1/publish", document("org.all/tools"), [200, 403, 403]),
        row("POST /v0.1/publish", "/v0.1/publish", document("example.videos/tools"), [200, 403, 403]),
        row("GET /v0.1/servers/{name}/versions", at(all, "versions"), none(), [200, 403, 200]),
        row("GET /v0.1/servers/{name}/versions", at(others, "versions"), none(), [200, 403, 404]),
        row(get, at(own, "versions/latest"), none(), [200, 403, 200]),
        row(get, at(others, "versions/1.0.0"), none(), [200, 403, 404]),
        row(put, at(own, "versions/1.0.0"), first("example.video/tools"), [200, 403, 200]),
        row(put, at(own, "versions/2.0.0"), document("example.video/tools"), [404, 403, 404]),
        row(put, at(all, "versions/1.0.0"), first("org.all/tools"), [200, 403, 403]),
        row(put, at(others, "versions/1.0.0"), first("example.finance/tools"), [200, 403, 404]),
        row(delete, at(own, "versions/1.0.0"), none(), [200, 403, 200]),
        row(delete, at(all, "versions/1.0.0"), none(), [200, 403, 403]),
        row(delete, at(others, "versions/1.0.0"), none(), [200, 403, 404]),
        row(patch, at(own, "versions/1.0.0/status"), change(), [200, 403, 200]),
        row(patch, at(all, "versions/1.0.0/status"), change(), [200, 403, 403]),
        row(patch_all, at(own, "status"), change(), [200, 403, 200]),
        row(patch_all, at(others, "status"), change(), [200, 403, 404]),
    ]
}

const TOKENS: [&str; 3] = ["root", "acme", "video"];
const ROLES: [&str; 3] = ["admin", "provider", "tenant"];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_the_table_says_and_nobody_may_without_a_token() {
    let document = openapi::document();
    let open = operations(&document).into_iter().filter(|(_, roles)| roles.is_none());
    let open: BTreeSet<String> = open.map(|(operation, _)| operation).collect();
    let mut bench = Bench::new();
    for Row { operation, path, body, statuses } in table() {
        let (method, _) = operation.split_once(' ').unwrap();
        let (what, body) = (format!("{method} {path}"), Some(body).filter(|body| !body.is_null()));
        for (token, status) in TOKENS.into_iter().zip(statuses) {
            let answer = bench.ask(Some(token), &what, body.as_ref()).await;
            assert_eq!(answer.status, status, "{what} by {token}: {}", answer.body);
            if answer.status < 300 && method != "GET" {
                bench = Bench::new();
            }
        }
        let answer = bench.ask(None, &what, body.as_ref()).await;
        assert_eq!(answer.status, if open.contains(operation) { 200 } else { 401 }, "{what} by nobody");
    }
}

#[test]
fn the_table_has_every_operation_and_the_document_says_who_may() {
    let mut allowed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for Row { operation, statuses, .. } in table() {
        let roles = allowed.entry(operation.to_owned()).or_default();
        roles.extend(
            ROLES.into_iter().zip(statuses).filter(|(_, status)| *status != 403).map(|(role, _)| role),
        );
    }
    let document = openapi::document();
    let documented = operations(&document).into_iter().map(|(operation, roles)| {
        let roles =
            roles.map_or(ROLES.to_vec(), |roles| roles.iter().map(|role| role.as_str().unwrap()).collect());
        (operation, BTreeSet::from_iter(roles))
    });
    assert_eq!(documented.collect::<BTreeMap<_, _>>(), allowed);
}

#[test]
fn every_route_is_in_the_document() {
    let document = openapi::document();
    let documented: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in super::super::routes().iter().map(|(path, _)| *path) {
        let named = path.replace("{*name}", "{name}");
        let general = path.starts_with("/v1/{kind}") || !path.starts_with("/v1/");
        assert!(general || documented.contains(named.as_str()), "{path}");
    }
}

/// The operations of the document, `GET /v1/models`, and who may ask for them; nothing where nobody needs a token.
fn operations(document: &Value) -> Vec<(String, Option<&Vec<Value>>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let roles = operation.get("x-weir-roles").and_then(Value::as_array);
            assert_eq!(roles.is_none(), operation["security"] == json!([]), "{method} {path}");
            found.push((format!("{} {path}", method.to_uppercase()), roles));
        }
    }
    found
}

#[tokio::test]
async fn each_role_lists_what_it_is_shown() {
    let bench = Bench::new();
    assert_eq!(bench.names("acme", "providers").await, ["acme"]);
    assert_eq!(bench.names("acme", "models").await, ["acme-chat"]);
    assert_eq!(bench.names("video", "models").await, ["acme-chat", "shared"]);
    assert_eq!(bench.names("video", "consumers").await, ["of-file", "video/team"]);
    assert_eq!(bench.names("video", "keys").await, ["video/team-1"]);
    assert_eq!(bench.names("root", "keys").await, ["ledger-1", "video/team-1"]);
}

#[tokio::test]
async fn a_tenant_is_not_told_who_answers_a_model() {
    let bench = Bench::new();
    let answer = bench.ask(Some("video"), "GET /v1/models/acme-chat", None).await;
    assert_eq!(answer.body["spec"], json!({"name": "acme-chat", "owned_by": "weir"}));
}

#[tokio::test]
async fn what_a_tenant_leaves_out_is_its_own_domain() {
    let bench = Bench::new();
    let answer = bench.ask(Some("video"), "POST /v1/consumers", Some(&json!({"name": "video/new"}))).await;
    assert_eq!((answer.status, &answer.body["spec"]["domain"]), (201, &json!("video")));
}

#[tokio::test]
async fn a_tenants_refusal_tells_nothing_of_other_tenants() {
    let bench = Bench::new();
    let refused = async |what: &str, body: Value| {
        let answer = bench.ask(Some("video"), what, Some(&body)).await;
        let message = answer.body["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(!message.contains("ledger-1") && !message.contains("finance"), "{message}");
        (answer.status, message)
    };
    let of_others = refused("POST /v1/keys", json!({"id": "video/k", "consumer": "ledger"})).await;
    assert_eq!(of_others, (422, "no consumer is named \"ledger\"".into()));
    let of_nobody = refused("POST /v1/keys", json!({"id": "video/k", "consumer": "ledge"})).await;
    assert_eq!(of_nobody, (422, "no consumer is named \"ledge\"".into()));
    let hash = crate::keys::hash("wk-finance");
    let shared = json!({"id": "video/k", "consumer": "video/team", "sha256": hash});
    assert_eq!(refused("POST /v1/keys", shared).await, (422, "the secret is in use".into()));
    let unseen = json!({"id": "video/k", "consumer": "video/team", "models": ["rival-chat"]});
    let (status, message) = refused("POST /v1/keys", unseen).await;
    assert_eq!(status, 422);
    assert!(message.starts_with("the domain \"video\" sees no model named \"rival-chat\""), "{message}");
}

#[tokio::test]
async fn a_tenant_leaves_the_labels_alone_that_quotas_go_by() {
    let bench = Bench::new();
    let labelled = |label: &str| json!({"name": "video/new", "labels": {label: "gold"}});
    let refused = bench.ask(Some("video"), "POST /v1/consumers", Some(&labelled("tier"))).await;
    assert_eq!((refused.status, &refused.body["error"]["field"]), (403, &json!("labels")));
    let made = bench.ask(Some("video"), "POST /v1/consumers", Some(&labelled("colour"))).await;
    assert_eq!(made.status, 201);
}

#[tokio::test]
async fn a_provider_cannot_write_what_would_reach_beyond_its_own_model() {
    let bench = Bench::new();
    let put = async |name: &str, more: Value| {
        let mut model = json!({"name": name, "targets": [{"provider": "acme"}]});
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = bench.ask(Some("acme"), "POST /v1/models", Some(&model)).await;
        (answer.status, answer.body["error"]["field"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(put("one", json!({"domain": "finance"})).await, (403, "domain".into()));
    assert_eq!(put("*", json!({})).await, (403, "name".into()));
    let both = json!({"targets": [{"provider": "acme"}, {"provider": "rival", "priority": 1}]});
    assert_eq!(put("one", both).await, (403, "targets".into()));
    // It would stand before the shared model of that name wherever its tenant asks for it, or the other way round.
    assert_eq!(put("ledger-chat", json!({})).await, (409, String::new()));
    assert_eq!(
        put("one", json!({"limits": {"rpm": 5, "tpm": 100}, "prices": {"input": 1}})).await,
        (201, String::new())
    );
}

#[tokio::test]
async fn a_provider_whose_model_was_given_another_target_has_it_no_more() {
    let bench = Bench::new();
    let both =
        json!({"name": "acme-chat", "targets": [{"provider": "acme"}, {"provider": "rival", "priority": 1}]});
    assert_eq!(bench.ask(Some("root"), "PUT /v1/models/acme-chat", Some(&both)).await.status, 200);
    assert_eq!(bench.ask(Some("acme"), "GET /v1/models/acme-chat", None).await.status, 404);
    let own = json!({"name": "acme-chat", "targets": [{"provider": "acme"}]});
    assert_eq!(bench.ask(Some("acme"), "PUT /v1/models/acme-chat", Some(&own)).await.status, 409);
}

#[tokio::test]
async fn a_provider_says_which_keys_may_use_its_model_and_changes_nothing_else_of_them() {
    let bench = Bench::new();
    let key = async || bench.ask(Some("root"), "GET /v1/keys/video/team-1", None).await.body["spec"].clone();
    let acme = async |what: &str| bench.ask(Some("acme"), what, None).await;
    let before = key().await;
    let path = "/v1/models/acme-chat/keys";
    assert_eq!(acme(&format!("PUT {path}/video%2Fteam-1")).await.status, 204);
    assert_eq!(acme(&format!("PUT {path}/video%2Fteam-1")).await.status, 204);
    let mut after = before.clone();
    after["models"] = json!(["acme-chat"]);
    assert_eq!(key().await, after);
    assert_eq!(acme(&format!("GET {path}")).await.body, json!({"keys": ["video/team-1"]}));
    let held = acme("DELETE /v1/models/acme-chat").await;
    assert_eq!((held.status, &held.body["error"]["code"]), (409, &json!("in_use")));
    assert_eq!(acme(&format!("DELETE {path}/video%2Fteam-1")).await.status, 204);
    assert_eq!(key().await, before);
    assert_eq!(acme("DELETE /v1/models/acme-chat").await.status, 204);
}

#[tokio::test]
async fn a_provider_opens_no_model_of_the_same_name_that_is_a_tenants_own() {
    let bench = Bench::new();
    let own = json!({"name": "acme-chat", "domain": "video", "targets": [{"provider": "rival"}]});
    assert_eq!(bench.ask(Some("root"), "POST /v1/models", Some(&own)).await.status, 201);
    let refused = bench.ask(Some("acme"), "PUT /v1/models/acme-chat/keys/video%2Fteam-1", None).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
}

#[tokio::test]
async fn a_token_is_shown_once_and_ends_with_what_it_is_bound_to() {
    let bench = Bench::new();
    let root = async |what: &str, body: Value| bench.ask(Some("root"), what, Some(&body)).await;
    let provider = json!({"name": "third", "upstream": "http://127.0.0.1:1/v1"});
    assert_eq!(root("POST /v1/providers", provider).await.status, 201);
    let wrong = root("POST /v1/tokens", json!({"name": "ci", "role": "provider", "provider": "thrid"})).await;
    assert_eq!(wrong.body["error"]["message"], "no provider is named \"thrid\"; did you mean \"third\"?");
    let unbound = root("POST /v1/tokens", json!({"name": "ci", "role": "tenant"})).await;
    assert_eq!(unbound.status, 400, "{}", unbound.body);
    let made = root("POST /v1/tokens", json!({"name": "ci", "role": "provider", "provider": "third"})).await;
    let secret = made.body["secret"].as_str().unwrap();
    assert!(secret.starts_with("wt-") && secret.len() == 46);
    let listed = root("GET /v1/tokens", Value::Null).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
    assert!(!listed.to_string().contains("secret") && listed.to_string().contains(&secret[..7]));
    assert_eq!(bench.names(secret, "providers").await, ["third"]);
    assert_eq!(root("DELETE /v1/providers/third", Value::Null).await.status, 204);
    assert_eq!(bench.ask(Some(secret), "GET /v1/providers", None).await.status, 401);
}

#[tokio::test]
async fn a_token_that_has_expired_is_none() {
    let bench = Bench::new();
    let new = json!({"name": "old", "role": "admin", "expires_at": "2020-01-01T00:00:00Z"});
    let made = bench.ask(Some("root"), "POST /v1/tokens", Some(&new)).await;
    let secret = made.body["secret"].as_str().unwrap();
    assert_eq!(bench.ask(Some(secret), "GET /v1/tokens", None).await.status, 401);
}
