use std::fs;

use jiff::Timestamp;
use serde_json::json;
use weir_schema::KeyHash;

use super::*;
use crate::{file::Key, folder::Folder, keys, object::ObjectKind, store::sqlite::Sqlite, xds::nodes::Nodes};

/// A registry over a folder of its own: one provider in the file, everything else in the store.
struct Bench {
    folder: Folder,
    status: Arc<Status>,
    registry: Registry,
}

impl Bench {
    fn new() -> Self {
        let folder = Folder::new();
        let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
        write("weir.yaml", FILE);
        write(
            "modules.json",
            r#"{"auth": "auth.wasm", "model-compat": "model-compat.wasm", "quota": "quota.wasm", "router": "router.wasm"}"#,
        );
        for module in ["auth.wasm", "model-compat.wasm", "quota.wasm"] {
            write(module, "");
        }
        write("router.wasm", "");
        Self::over(folder)
    }

    fn over(folder: Folder) -> Self {
        let status = Arc::new(Status::new(Arc::new(Nodes::default())));
        let loader = Loader::new(folder.join("weir.yaml"), folder.path().into());
        let store = Box::new(Sqlite::open(&folder.join("weir.db")).unwrap());
        let registry = Registry::new(loader, Some(store), Arc::clone(&status)).unwrap();
        registry.reload();
        Self { folder, status, registry }
    }

    fn restarted(self) -> Self {
        let Self { folder, status, registry } = self;
        drop((registry, status));
        Self::over(folder)
    }

    fn put(&self, kind: ObjectKind, spec: Value) -> Result<(View, bool), Refusal> {
        self.registry.put(Object::parse(kind, spec).unwrap(), &Condition::None)
    }

    fn edit(&self, text: &str) -> Value {
        fs::write(self.folder.join("weir.yaml"), text).unwrap();
        self.registry.reload();
        serde_json::to_value(self.status.report()).unwrap()["config"].clone()
    }

    fn hashes(&self, id: &ObjectId) -> Vec<KeyHash> {
        let key: Key = serde_json::from_value(self.registry.get(id).unwrap().spec).unwrap();
        key.sha256.into()
    }
}

fn index(provider: &str) -> Value {
    json!({"name": "org/index-1.9", "targets": [{"provider": provider}]})
}

const FILE: &str = "providers: [{name: local, upstream: 'http://127.0.0.1:8080/v1'}]\n";

#[test]
fn what_is_written_is_served_and_is_there_after_a_restart() {
    let bench = Bench::new();
    let before = bench.status.report().version;
    let (view, is_new) = bench.put(ObjectKind::Models, index("local")).unwrap();
    assert!(is_new);
    let version = bench.status.report().version;
    assert_ne!(version, before);
    let bench = bench.restarted();
    assert_eq!(bench.status.report().version, version);
    assert_eq!(bench.registry.get(&view.id).unwrap(), view);
}

#[test]
fn a_wrong_write_names_its_field_and_changes_nothing() {
    let bench = Bench::new();
    let before = bench.status.report().version;
    let refusal = bench.put(ObjectKind::Models, index("lokal")).unwrap_err();
    let Refusal::Invalid { object, field, problem } = refusal else { panic!("{refusal}") };
    assert_eq!(object, Some(ObjectKind::Models.id("org/index-1.9")));
    assert_eq!(
        (field.as_str(), problem.as_str()),
        ("targets[0].provider", "no provider is named \"lokal\"; did you mean \"local\"?")
    );
    assert_eq!(bench.status.report().version, before);
    let bench = bench.restarted();
    let missing = bench.registry.get(&ObjectKind::Models.id("org/index-1.9"));
    assert!(matches!(missing, Err(Refusal::Missing(_))), "{missing:?}");
}

#[test]
fn what_the_file_has_is_shown_and_not_changed() {
    let bench = Bench::new();
    let id = ObjectKind::Providers.id("local");
    assert_eq!(bench.registry.get(&id).unwrap().owner, Owner::File);
    let spec = json!({"name": "local", "upstream": "http://127.0.0.1:9090/v1"});
    let refusal = bench.put(ObjectKind::Providers, spec).unwrap_err();
    assert!(matches!(refusal, Refusal::OwnedByFile(_)), "{refusal}");
    let refusal = bench.registry.delete(&id, &Condition::None).unwrap_err();
    assert!(matches!(refusal, Refusal::OwnedByFile(_)), "{refusal}");
}

#[test]
fn what_is_in_use_stays() {
    let bench = Bench::new();
    let other = json!({"name": "other", "upstream": "http://127.0.0.1:9090/v1"});
    bench.put(ObjectKind::Providers, other).unwrap();
    bench.put(ObjectKind::Models, index("other")).unwrap();
    let id = ObjectKind::Providers.id("other");
    let refusal = bench.registry.delete(&id, &Condition::None).unwrap_err();
    assert_eq!(refusal.to_string(), "providers/other is in use by models/org/index-1.9");
    bench.registry.delete(&ObjectKind::Models.id("org/index-1.9"), &Condition::None).unwrap();
    bench.registry.delete(&id, &Condition::None).unwrap();
}

#[test]
fn a_domain_with_callers_stays() {
    let bench = Bench::new();
    bench.put(ObjectKind::Domains, json!({"name": "finance", "hosts": ["finance.example"]})).unwrap();
    bench.put(ObjectKind::Consumers, json!({"name": "ledger", "domain": "finance"})).unwrap();
    let id = ObjectKind::Domains.id("finance");
    let refusal = bench.registry.delete(&id, &Condition::None).unwrap_err();
    assert_eq!(refusal.to_string(), "domains/finance is in use by consumers/ledger");
    bench.registry.delete(&ObjectKind::Consumers.id("ledger"), &Condition::None).unwrap();
    bench.registry.delete(&id, &Condition::None).unwrap();
}

#[test]
fn a_file_that_names_a_stored_object_is_refused_until_one_of_the_two_is_gone() {
    let bench = Bench::new();
    let (view, _) = bench.put(ObjectKind::Models, index("local")).unwrap();
    let version = bench.status.report().version;
    let clash = format!("{FILE}models: [{{name: org/index-1.9, targets: [{{provider: local}}]}}]\n");
    let config = bench.edit(&clash);
    assert_eq!(config["state"], "refused");
    let error = config["error"].as_str().unwrap();
    assert!(
        error.contains("weir.yaml: models/org/index-1.9: the store has an object of this name"),
        "{error}"
    );
    assert_eq!(bench.status.report().version, version);
    bench.put(ObjectKind::Consumers, json!({"name": "team"})).unwrap();
    let config = serde_json::to_value(bench.status.report()).unwrap()["config"].clone();
    assert_eq!(config["state"], "refused", "a write says nothing about the file");
    bench.registry.delete(&view.id, &Condition::Matches(vec![view.etag])).unwrap();
    assert_eq!(bench.edit(&clash)["state"], "running");
    assert_eq!(bench.registry.get(&view.id).unwrap().owner, Owner::File);
}

#[test]
fn a_condition_that_does_not_hold_stops_the_write() {
    let bench = Bench::new();
    let put = |condition: Condition| {
        let team = Object::parse(ObjectKind::Consumers, json!({"name": "team"})).unwrap();
        bench.registry.put(team, &condition).map(|(view, _)| view.etag)
    };
    assert!(matches!(put(Condition::Present), Err(Refusal::Condition(_))));
    let first = put(Condition::Absent).unwrap();
    assert!(matches!(put(Condition::Absent), Err(Refusal::Condition(_))));
    let second = put(Condition::Matches(vec![first.clone()])).unwrap();
    assert_ne!(first, second);
    assert!(matches!(put(Condition::Matches(vec![first])), Err(Refusal::Condition(_))));
}

#[test]
fn a_rotated_key_has_both_secrets_until_the_overlap_is_over() {
    let bench = Bench::new();
    let [old, new, newest] = ["old", "new", "newest"].map(keys::hash);
    let id = ObjectKind::Keys.id("laptop");
    bench.put(ObjectKind::Keys, json!({"id": "laptop", "sha256": old})).unwrap();
    let at =
        |seconds: i64| Timestamp::now().saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    bench.registry.rotate(&id, new, 60, &Condition::None).unwrap();
    bench.registry.retire(at(30));
    assert_eq!(bench.hashes(&id), [new, old]);
    let bench = bench.restarted();
    bench.registry.retire(at(61));
    assert_eq!(bench.hashes(&id), [new]);
    bench.registry.rotate(&id, newest, 0, &Condition::None).unwrap();
    assert_eq!(bench.hashes(&id), [newest]);
}

#[test]
fn a_list_comes_in_pages_and_by_label() {
    let bench = Bench::new();
    let key = json!({"id": "k", "sha256": "ab".repeat(32), "labels": {"tier": "gold"}});
    bench.put(ObjectKind::Keys, key).unwrap();
    for (name, tier) in [("a", "gold"), ("b", "free"), ("c", "gold"), ("d", "gold")] {
        bench.put(ObjectKind::Consumers, json!({"name": name, "labels": {"tier": tier}})).unwrap();
    }
    let labels = vec![("tier".to_owned(), "gold".to_owned())];
    let query = |after| Query { kind: ObjectKind::Consumers, after, limit: 2, labels: labels.clone() };
    let names = |page: &Page| page.views.iter().map(|view| view.id.name.clone()).collect::<Vec<_>>();
    let first = bench.registry.list(&query(None)).unwrap();
    assert_eq!((names(&first), first.next.as_deref()), (vec!["a".to_owned(), "c".to_owned()], Some("c")));
    let last = bench.registry.list(&query(first.next)).unwrap();
    assert_eq!((names(&last), last.next), (vec!["d".to_owned()], None));
    let keys = bench.registry.list(&Query { kind: ObjectKind::Keys, ..query(None) }).unwrap();
    assert_eq!(names(&keys), ["k"]);
}
