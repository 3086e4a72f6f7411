//! Publishing, from the first version to its end.

use serde_json::{Value, json};

use super::Bench;

const TOOLS: &str = "/v0.1/servers/example.video%2Ftools";

fn document(version: &str) -> Value {
    json!({"name": "example.video/tools", "version": version, "description": "Tools for film."})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_published_changed_deprecated_deleted_and_forgotten() {
    let bench = Bench::new();
    let ask = async |what: &str, body: Value| bench.ask(Some("video"), what, Some(&body)).await;
    let about = |answer: &super::Answer| {
        answer.body["_meta"]["io.modelcontextprotocol.registry/official"].as_object().unwrap().clone()
    };
    let made = ask("POST /v0.1/publish", document("1.1.0")).await;
    assert_eq!((made.status, &made.body["server"]), (200, &document("1.1.0")));
    assert_eq!((&about(&made)["status"], &about(&made)["isLatest"]), (&json!("active"), &json!(true)));
    let again = ask("POST /v0.1/publish", document("1.1.0")).await;
    let told = json!({"error": "version: 1.1.0 of example.video/tools is published already"});
    assert_eq!((again.status, again.body), (400, told));

    let mut other = document("1.1.0");
    other["title"] = "Tools".into();
    let put = ask(&format!("PUT {TOOLS}/versions/1.1.0"), other).await;
    assert_eq!((put.status, &put.body["server"]["title"]), (200, &json!("Tools")));
    let elsewhere = ask(&format!("PUT {TOOLS}/versions/1.1.0"), document("1.2.0")).await;
    assert_eq!(
        (elsewhere.status, elsewhere.body),
        (400, json!({"error": "name, version: are not those of the path"}))
    );

    let change = json!({"status": "deprecated", "statusMessage": "Use 2.0.0"});
    let changed = ask(&format!("PATCH {TOOLS}/versions/1.1.0/status"), change.clone()).await;
    assert_eq!(about(&changed)["statusMessage"], "Use 2.0.0");
    let same = ask(&format!("PATCH {TOOLS}/versions/1.1.0/status"), change.clone()).await;
    assert_eq!(same.body, json!({"error": "No changes to apply: status is already deprecated"}));
    let all = ask(&format!("PATCH {TOOLS}/status"), change).await;
    assert_eq!((&all.body["updatedCount"], all.body["servers"].as_array().unwrap().len()), (&json!(2), 2));

    let deleted = ask(&format!("DELETE {TOOLS}/versions/1.1.0"), json!({})).await;
    assert_eq!(
        (about(&deleted)["status"].clone(), about(&deleted)["isLatest"].clone()),
        (json!("deleted"), json!(false))
    );
    assert_eq!(
        ask(&format!("GET {TOOLS}/versions/latest"), json!({})).await.body["server"]["version"],
        "1.0.0"
    );
    assert_eq!(ask(&format!("GET {TOOLS}/versions/1.1.0"), json!({})).await.status, 404);
    assert_eq!(ask(&format!("GET {TOOLS}/versions/1.1.0?include_deleted=true"), json!({})).await.status, 200);
    assert_eq!(ask(&format!("DELETE {TOOLS}/versions/1.1.0?purge=true"), json!({})).await.status, 200);
    assert_eq!(ask(&format!("GET {TOOLS}/versions/1.1.0?include_deleted=true"), json!({})).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_configuration_is_listed_and_not_published_over() {
    let bench = Bench::new();
    let options = json!({"proxy": {"name": "films", "upstreams": [{"url": "https://films.example/mcp"}]}});
    let route = json!({"path": "/films/*", "domain": "video", "middlewares": [{"name": "v1_mcp_server", "options": options}]});
    assert_eq!(bench.ask(Some("root"), "POST /v1/routes", Some(&route)).await.status, 201);
    let list = bench.ask(Some("video"), "GET /v0.1/servers?search=films", None).await;
    assert_eq!(list.body["servers"][0]["server"]["name"], "example.video/films");
    let mut same = document("1.0.0");
    same["name"] = "example.video/films".into();
    for token in ["root", "video"] {
        let refused = bench.ask(Some(token), "POST /v0.1/publish", Some(&same)).await;
        let told = "example.video/films is a server of the configuration, and is changed there";
        assert_eq!((refused.status, refused.body), (403, json!({"error": told})));
        let films = "DELETE /v0.1/servers/example.video%2Ffilms/versions/1.0.0";
        assert_eq!(bench.ask(Some(token), films, None).await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_one_text_and_what_a_tenant_has_published_ends_with_it() {
    let bench = Bench::new();
    let refused = bench.ask(Some("root"), "POST /v0.1/publish", Some(&json!({"name": "x"}))).await;
    let told = refused.body["error"].as_str().unwrap();
    assert!(refused.status == 400 && told.starts_with("name: is a namespace in reverse DNS"), "{told}");
    assert_eq!(bench.ask(None, "GET /v0.1/servers", None).await.status, 401);
    assert!(bench.ask(None, "GET /v0.1/servers", None).await.body["error"].is_string());
    assert_eq!(bench.ask(None, "OPTIONS /v0.1/servers", None).await.status, 204);
    let root = async |what: &str| bench.ask(Some("root"), what, None).await.status;
    for object in ["keys/ledger-1", "consumers/ledger", "models/ledger-chat@finance"] {
        let status = root(&format!("DELETE /v1/{object}")).await;
        assert!(status == 204 || object.starts_with("models"), "{object} {status}");
    }
    let routes = [root("DELETE /v1/routes/v1/title").await, root("DELETE /v1/templates/title@1").await];
    assert_eq!(routes, [204, 204]);
    assert_eq!(root("DELETE /v1/models/ledger-chat@finance").await, 204);
    assert_eq!(root("GET /v0.1/servers/example.finance%2Ftools/versions").await, 200);
    assert_eq!(root("DELETE /v1/domains/finance").await, 204);
    assert_eq!(root("GET /v0.1/servers/example.finance%2Ftools/versions").await, 404);
}
