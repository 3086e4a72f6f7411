//! Reading the configuration again after its files have changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use weir::{load::Loader, status::Status, xds::nodes::Nodes};

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
    write("modules.json", r#"{"auth": "auth.wasm", "router": "router.wasm", "quota": "quota.wasm"}"#);
    write("auth.wasm", "");
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
    fs::write(&config, "quotaz: []\n").unwrap();
    let error = loader.load(Vec::new()).unwrap_err().to_string();
    assert!(status.refuse(error.clone()));
    assert!(!status.refuse(error), "an error that is known is not told again");
    let report = serde_json::to_value(status.report()).unwrap();
    assert_eq!(report["config"]["state"], "refused");
    assert_eq!(report["config"]["error"], format!("{}:1:1: quotaz: unknown key", config.display()));
    assert_eq!((status.report().version, status.is_ready()), (version, true));
}
