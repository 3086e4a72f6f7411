use std::fs;

use jiff::Timestamp;
use serde_json::json;
use weir_schema::KeyHash;

use super::*;
use crate::{
    file::Key,
    folder::Folder,
    keys,
    object::ObjectKind,
    store::{Revision, sqlite::Sqlite},
    xds::nodes::Nodes,
};

/// A registry over a folder of its own: one provider in the file, everything else in the store.
struct Bench {
    folder: Folder,
    status: Arc<Status>,
    registry: Registry,
}

impl Bench {
    fn new() -> Self {
        Self::over(Self::files())
    }

    fn files() -> Folder {
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
        folder
    }

    fn over(folder: Folder) -> Self {
        let store = Sqlite::open(&folder.join("weir.db")).unwrap();
        Self::with(folder, Box::new(store))
    }

    /// One of several processes that have a store together.
    fn sharing(store: &Shared) -> Self {
        Self::with(Self::files(), Box::new(store.clone()))
    }

    fn with(folder: Folder, store: Box<dyn Store>) -> Self {
        let status = Arc::new(Status::new(Arc::new(Nodes::default())));
        let loader = Loader::new(folder.join("weir.yaml"), folder.path().into());
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
        self.registry.put(&Role::Admin, Object::parse(kind, spec).unwrap(), &Condition::None)
    }

    fn edit(&self, text: &str) -> Value {
        fs::write(self.folder.join("weir.yaml"), text).unwrap();
        self.registry.reload();
        serde_json::to_value(self.status.report()).unwrap()["config"].clone()
    }

    fn hashes(&self, id: &ObjectId) -> Vec<KeyHash> {
        let key: Key = serde_json::from_value(self.registry.get(&Role::Admin, id).unwrap().spec).unwrap();
        key.sha256.into()
    }
}

/// A store in memory that several registries have, and that can be away.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<(Contents, bool)>>);

impl Shared {
    fn contents(&self) -> Result<MutexGuard<'_, (Contents, bool)>, StoreError> {
        let shared = self.0.lock().unwrap();
        if shared.1 { Err(StoreError::Away("it sleeps".into())) } else { Ok(shared) }
    }

    fn set_away(&self, away: bool) {
        self.0.lock().unwrap().1 = away;
    }
}

impl Store for Shared {
    fn revision(&mut self) -> Result<Revision, StoreError> {
        Ok(self.contents()?.0.revision)
    }

    fn read(&mut self) -> Result<Contents, StoreError> {
        Ok(self.contents()?.0.clone())
    }

    fn commit(&mut self, after: Revision, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
        let mut shared = self.contents()?;
        if shared.0.revision != after {
            return Err(StoreError::Stale);
        }
        shared.0.apply(changes, now);
        Ok(())
    }

    fn follow(&mut self, _: Arc<Notify>) {}
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
    assert_eq!(bench.registry.get(&Role::Admin, &view.id).unwrap(), view);
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
    let missing = bench.registry.get(&Role::Admin, &ObjectKind::Models.id("org/index-1.9"));
    assert!(matches!(missing, Err(Refusal::Missing(_))), "{missing:?}");
}

#[test]
fn what_the_file_has_is_shown_and_not_changed() {
    let bench = Bench::new();
    let id = ObjectKind::Providers.id("local");
    assert_eq!(bench.registry.get(&Role::Admin, &id).unwrap().owner, Owner::File);
    let spec = json!({"name": "local", "upstream": "http://127.0.0.1:9090/v1"});
    let refusal = bench.put(ObjectKind::Providers, spec).unwrap_err();
    assert!(matches!(refusal, Refusal::OwnedByFile(_)), "{refusal}");
    let refusal = bench.registry.delete(&Role::Admin, &id, &Condition::None).unwrap_err();
    assert!(matches!(refusal, Refusal::OwnedByFile(_)), "{refusal}");
}

#[test]
fn what_is_in_use_stays() {
    let bench = Bench::new();
    let other = json!({"name": "other", "upstream": "http://127.0.0.1:9090/v1"});
    bench.put(ObjectKind::Providers, other).unwrap();
    bench.put(ObjectKind::Models, index("other")).unwrap();
    let id = ObjectKind::Providers.id("other");
    let refusal = bench.registry.delete(&Role::Admin, &id, &Condition::None).unwrap_err();
    assert_eq!(refusal.to_string(), "providers/other is in use by models/org/index-1.9");
    bench.registry.delete(&Role::Admin, &ObjectKind::Models.id("org/index-1.9"), &Condition::None).unwrap();
    bench.registry.delete(&Role::Admin, &id, &Condition::None).unwrap();
}

#[test]
fn a_version_of_a_template_keeps_its_content_and_its_cases_hold() {
    let bench = Bench::new();
    bench.put(ObjectKind::Models, index("local")).unwrap();
    let version = |version: &str, text: &str, prompt: &str, labels: Value| {
        json!({
            "name": "title", "version": version, "labels": labels, "template": {"model_name": "org/index-1.9", "prompt_template": text},
            "cases": [{"variables": {"text": "x", "none": null}, "prompt": prompt}],
        })
    };
    let put = |spec| bench.put(ObjectKind::Templates, spec);
    let first = version("1", "Title: {{ .text }}", "Title: x", json!([]));
    assert_eq!(
        put(first.clone()).unwrap().0.spec,
        Object::parse(ObjectKind::Templates, first).unwrap().spec()
    );
    let refused = put(version("1", "A title: {{ .text }}", "A title: x", json!([]))).unwrap_err();
    assert!(matches!(&refused, Refusal::Immutable(id) if id.to_string() == "templates/title@1"), "{refused}");
    put(version("1", "Title: {{ .text }}", "Title: x", json!(["production"]))).unwrap();
    let refused = put(version("2", "Short title: {{ .text }}", "Title: x", json!([]))).unwrap_err();
    let Refusal::Invalid { field, problem, .. } = refused else { panic!("{refused}") };
    assert_eq!(
        (field.as_str(), problem.as_str()),
        ("cases[0]", "the template makes \"Short title: x\" of these variables")
    );
    put(version("2", "Short title: {{ .text }}", "Short title: x", json!([]))).unwrap();
}

#[test]
fn a_domain_with_callers_stays() {
    let bench = Bench::new();
    bench.put(ObjectKind::Domains, json!({"name": "finance", "hosts": ["finance.example"]})).unwrap();
    bench.put(ObjectKind::Consumers, json!({"name": "ledger", "domain": "finance"})).unwrap();
    let id = ObjectKind::Domains.id("finance");
    let refusal = bench.registry.delete(&Role::Admin, &id, &Condition::None).unwrap_err();
    assert_eq!(refusal.to_string(), "domains/finance is in use by consumers/ledger");
    bench.registry.delete(&Role::Admin, &ObjectKind::Consumers.id("ledger"), &Condition::None).unwrap();
    bench.registry.delete(&Role::Admin, &id, &Condition::None).unwrap();
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
    bench.registry.delete(&Role::Admin, &view.id, &Condition::Matches(vec![view.etag])).unwrap();
    assert_eq!(bench.edit(&clash)["state"], "running");
    assert_eq!(bench.registry.get(&Role::Admin, &view.id).unwrap().owner, Owner::File);
}

#[test]
fn a_condition_that_does_not_hold_stops_the_write() {
    let bench = Bench::new();
    let put = |condition: Condition| {
        let team = Object::parse(ObjectKind::Consumers, json!({"name": "team"})).unwrap();
        bench.registry.put(&Role::Admin, team, &condition).map(|(view, _)| view.etag)
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
    bench.registry.rotate(&Role::Admin, &id, (new, None), 60, &Condition::None).unwrap();
    bench.registry.retire(at(30));
    assert_eq!(bench.hashes(&id), [new, old]);
    let bench = bench.restarted();
    bench.registry.retire(at(61));
    assert_eq!(bench.hashes(&id), [new]);
    bench.registry.rotate(&Role::Admin, &id, (newest, None), 0, &Condition::None).unwrap();
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
    let first = bench.registry.list(&Role::Admin, &query(None)).unwrap();
    assert_eq!((names(&first), first.next.as_deref()), (vec!["a".to_owned(), "c".to_owned()], Some("c")));
    let last = bench.registry.list(&Role::Admin, &query(first.next)).unwrap();
    assert_eq!((names(&last), last.next), (vec!["d".to_owned()], None));
    let keys = bench.registry.list(&Role::Admin, &Query { kind: ObjectKind::Keys, ..query(None) }).unwrap();
    assert_eq!(names(&keys), ["k"]);
}

#[test]
fn what_one_process_writes_is_served_by_the_other_and_neither_overwrites_the_other() {
    let store = Shared::default();
    let (one, other) = (Bench::sharing(&store), Bench::sharing(&store));
    let before = other.status.report().version;
    let (view, _) = one.put(ObjectKind::Models, index("local")).unwrap();
    assert!(other.registry.refresh());
    assert_eq!(other.registry.get(&Role::Admin, &view.id).unwrap(), view);
    assert_ne!(other.status.report().version, before);
    // The other one does not know of this yet, and writes upon it all the same.
    one.put(ObjectKind::Consumers, json!({"name": "team"})).unwrap();
    other.put(ObjectKind::Consumers, json!({"name": "other"})).unwrap();
    assert!(one.registry.refresh());
    for bench in [&one, &other] {
        assert_eq!(bench.registry.state().contents.objects.len(), 3);
    }
}

#[test]
fn a_condition_is_checked_upon_what_another_process_has_written() {
    let store = Shared::default();
    let (one, other) = (Bench::sharing(&store), Bench::sharing(&store));
    let (seen, _) = one.put(ObjectKind::Consumers, json!({"name": "team"})).unwrap();
    other.registry.refresh();
    one.put(ObjectKind::Consumers, json!({"name": "team", "labels": {"tier": "gold"}})).unwrap();
    let team = Object::parse(ObjectKind::Consumers, json!({"name": "team"})).unwrap();
    let refusal = other.registry.put(&Role::Admin, team, &Condition::Matches(vec![seen.etag])).unwrap_err();
    assert!(matches!(refusal, Refusal::Condition(_)), "{refusal}");
    let refusal = other
        .registry
        .delete(&Role::Admin, &ObjectKind::Providers.id("nobody"), &Condition::None)
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Missing(_)), "{refusal}");
}

#[test]
fn while_the_store_is_away_nothing_is_changed_or_shown_and_the_last_snapshot_is_served() {
    let store = Shared::default();
    let (one, other) = (Bench::sharing(&store), Bench::sharing(&store));
    let (view, _) = one.put(ObjectKind::Models, index("local")).unwrap();
    let version = one.status.report().version;
    store.set_away(true);
    for refusal in [
        one.put(ObjectKind::Consumers, json!({"name": "team"})).unwrap_err(),
        one.registry.get(&Role::Admin, &view.id).unwrap_err(),
    ] {
        assert_eq!(refusal.to_string(), "the database does not answer: it sleeps");
    }
    assert!(!one.registry.refresh());
    assert_eq!(one.status.report().version, version);
    store.set_away(false);
    other.put(ObjectKind::Consumers, json!({"name": "team"})).unwrap();
    assert!(one.registry.refresh());
    assert_eq!(one.registry.get(&Role::Admin, &view.id).unwrap(), view);
    assert_eq!(one.registry.get(&Role::Admin, &ObjectKind::Consumers.id("team")).unwrap().owner, Owner::Api);
}

#[test]
fn a_store_that_does_not_fit_the_files_of_a_process_is_reported_and_not_served() {
    let store = Shared::default();
    let (one, other) = (Bench::sharing(&store), Bench::sharing(&store));
    one.edit(&format!("{FILE}models: [{{name: org/index-1.9, targets: [{{provider: local}}]}}]\n"));
    let version = one.status.report().version;
    let (view, _) = other.put(ObjectKind::Models, index("local")).unwrap();
    assert!(one.registry.refresh());
    one.registry.reload();
    let report = serde_json::to_value(one.status.report()).unwrap();
    assert_eq!((&report["config"]["state"], &report["version"]), (&json!("refused"), &json!(version)));
    other.registry.delete(&Role::Admin, &view.id, &Condition::None).unwrap();
    assert!(one.registry.refresh());
    one.registry.reload();
    assert_eq!(serde_json::to_value(one.status.report()).unwrap()["config"]["state"], "running");
}

#[test]
fn a_secret_is_dropped_once_by_whichever_process_is_first() {
    let store = Shared::default();
    let (one, other) = (Bench::sharing(&store), Bench::sharing(&store));
    let (old, new) = (keys::hash("old"), keys::hash("new"));
    let id = ObjectKind::Keys.id("laptop");
    one.put(ObjectKind::Keys, json!({"id": "laptop", "sha256": old})).unwrap();
    one.registry.rotate(&Role::Admin, &id, (new, None), 1, &Condition::None).unwrap();
    other.registry.refresh();
    let later = Timestamp::now().saturating_add(jiff::SignedDuration::from_secs(60)).unwrap();
    one.registry.retire(later);
    other.registry.retire(later);
    assert_eq!((one.hashes(&id), other.hashes(&id)), (vec![new], vec![new]));
    assert_eq!(store.contents().unwrap().0.revision, Revision(3));
}
