//! Reading the configuration again after its files have changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use weir::{
    load::Loader,
    object::{Object, ObjectKind},
    status::{NotRemembered, Status},
    xds::nodes::Nodes,
};

/// A folder with a configuration, its secret and its modules.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
    write(
        "weir.yaml",
        "secrets: {openai: {file: key}}\nproviders:\n- {name: openai, upstream: https://api.openai.com/v1, credentials: [openai]}\n",
    );
    write("key", "sk-1\n");
    write(
        "modules.json",
        r#"{"auth": "auth.wasm", "model-compat": "model-compat.wasm", "quota": "quota.wasm", "router": "router.wasm", "later": "later.wasm"}"#,
    );
    write("auth.wasm", "");
    write("model-compat.wasm", "");
    write("quota.wasm", "");
    write("router.wasm", "");
    folder
}

#[test]
fn only_another_content_is_another_snapshot() {
    let folder = folder("content");
    let mut loader = Loader::new(folder.join("weir.yaml"), folder.clone());
    let first = loader.load(Vec::new()).unwrap().unwrap();
    assert_eq!(loader.load(Vec::new()).unwrap(), None);
    assert!(loader.watched().contains(&folder.join("key")));
    fs::write(folder.join("key"), "sk-2\n").unwrap();
    let second = loader.load(Vec::new()).unwrap().unwrap();
    assert_ne!(first.version(), second.version());
    fs::remove_file(folder.join("router.wasm")).unwrap();
    let error = loader.load(Vec::new()).unwrap_err().to_string();
    assert!(error.contains("router.wasm"), "{error}");
}

#[test]
fn a_refused_configuration_leaves_the_last_one_running() {
    let folder = folder("refused");
    let config = folder.join("weir.yaml");
    let mut loader = Loader::new(config.clone(), folder);
    let status = Status::new(Arc::new(Nodes::default()));
    assert!(!status.is_ready());
    let snapshot = loader.load(Vec::new()).unwrap().unwrap();
    let version = snapshot.version().cloned();
    assert!(status.publish(snapshot));
    fs::write(&config, "spare: []\n").unwrap();
    let error = loader.load(Vec::new()).unwrap_err().to_string();
    assert!(status.refuse(error.clone()));
    assert!(!status.refuse(error), "an error that is known is not told again");
    let report = serde_json::to_value(status.report()).unwrap();
    assert_eq!(report["config"]["state"], "refused");
    assert_eq!(report["config"]["error"], format!("{}:1:1: spare: unknown key", config.display()));
    assert_eq!((status.report().version, status.is_ready()), (version, true));
}

#[test]
fn an_earlier_snapshot_is_served_until_the_configuration_changes() {
    let folder = folder("restored");
    let mut loader = Loader::new(folder.join("weir.yaml"), folder.clone());
    let status = Status::new(Arc::new(Nodes::default()));
    let mut load = |secret: &str| {
        fs::write(folder.join("key"), secret).unwrap();
        let snapshot = loader.load(Vec::new()).unwrap().unwrap();
        let version = snapshot.version().unwrap().to_string();
        assert!(status.publish(snapshot));
        version
    };
    let versions = ["sk-1", "sk-2"].map(&mut load);
    status.restore(&versions[0]).unwrap();
    let report = serde_json::to_value(status.report()).unwrap();
    assert_eq!(report["version"], versions[0]);
    assert_eq!(report["config"]["state"], "restored");
    assert_eq!(report["config"]["version"], versions[0]);
    let history = serde_json::to_value(status.history()).unwrap();
    let origins: Vec<_> =
        history.as_array().unwrap().iter().map(|entry| (&entry["version"], &entry["origin"])).collect();
    let (restore, file) = (json!("restore"), json!("file"));
    let [first, second] = versions.map(|version| json!(version));
    assert_eq!(origins, [(&first, &restore), (&second, &file), (&first, &file)]);
    assert_eq!(history[0]["changes"], json!({"secrets": 1}));
    assert_eq!(status.restore("nonsense"), Err(NotRemembered));

    load("sk-3");
    assert_eq!(serde_json::to_value(status.report()).unwrap()["config"]["state"], "running");
    for number in 4..14 {
        load(&format!("sk-{number}"));
    }
    assert_eq!(status.history().len(), 10);
    assert_eq!(status.restore(first.as_str().unwrap()), Err(NotRemembered), "the oldest are forgotten");
}

#[test]
fn an_openapi_document_beside_the_file_is_read_with_it() {
    let folder = folder("document");
    let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
    let modules = fs::read_to_string(folder.join("modules.json")).unwrap();
    write("modules.json", &modules.replace("later", "mcp"));
    write("mcp.wasm", "");
    write(
        "weir.yaml",
        "routes: [{path: /shop, middlewares: [{name: v1_mcp_server, options: {apiOrchestrator: {server: {name: shop}, \
         openapi: {document: shop.yaml}}}}]}]\n",
    );
    let document = |id: &str| {
        let text = format!(
            "openapi: 3.0.3\nservers: [{{url: http://shop.example}}]\npaths: {{/pets: {{get: {{operationId: {id}}}}}}}\n"
        );
        write("shop.yaml", &text);
    };
    document("listPets");
    let mut loader = Loader::new(folder.join("weir.yaml"), folder.clone());
    let first = loader.load(Vec::new()).unwrap().unwrap();
    assert!(loader.watched().contains(&folder.join("shop.yaml")));
    assert_eq!(loader.load(Vec::new()).unwrap(), None);
    document("allPets");
    let second = loader.load(Vec::new()).unwrap().unwrap();
    assert_ne!(first.version(), second.version());
    write("shop.yaml", "openapi: 3.0.3\npaths: [\n");
    let error = loader.load(Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:", folder.join("shop.yaml").display())), "{error}");
    fs::remove_file(folder.join("shop.yaml")).unwrap();
    let error = loader.load(Vec::new()).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("shop.yaml"), "{error}");
    // Whoever writes over the API must not read files of this machine.
    let route = json!({"path": "/etc", "middlewares": [{"name": "v1_mcp_server", "options": {"apiOrchestrator": {
        "server": {"name": "etc"}, "openapi": {"document": "shop.yaml"},
    }}}]});
    document("listPets");
    loader.load(Vec::new()).unwrap();
    let stored = Object::parse(ObjectKind::Routes, route).unwrap();
    let error = loader.candidate(vec![stored]).unwrap_err().to_string();
    let at = "routes.etc.middlewares[0].options.apiOrchestrator.openapi.document";
    assert!(error.contains(&format!("{at}: is the path of a file")), "{error}");
}
