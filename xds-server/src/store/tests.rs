use serde_json::json;

use super::{sqlite::Sqlite, *};
use crate::{folder::Folder, object::ObjectKind};

/// What every store must do; `open` opens one and the same store again and again.
fn is_a_store(open: impl Fn() -> Box<dyn Store>) {
    let mut store = open();
    assert_eq!(store.read().unwrap(), Contents::default());
    let mut expected = Contents::default();
    let steps: [&[Change]; 5] = [
        &[put("b", "1"), put("a/b", "2")],
        &[put("a/b", "3"), Change::Retire("laptop".into(), hash(1), at(9))],
        &[Change::Retire("laptop".into(), hash(2), at(9)), Change::Retire("phone".into(), hash(2), at(9))],
        &[Change::Retired("laptop".into(), hash(1)), Change::Delete(ObjectKind::Consumers.id("b"))],
        &[Change::Delete(ObjectKind::Keys.id("laptop"))],
    ];
    for (step, changes) in (1..).zip(steps) {
        store.commit(expected.revision, changes, at(step)).unwrap();
        expected.apply(changes, at(step));
        assert_eq!(store.read().unwrap(), expected, "after step {step}");
        drop(store);
        store = open();
        assert_eq!(store.read().unwrap(), expected, "after step {step}, opened again");
    }
    assert_eq!((expected.objects.len(), expected.retiring.len(), expected.revision), (1, 1, Revision(5)));
    let stored = &expected.objects[&ObjectKind::Consumers.id("a/b")];
    assert_eq!((stored.revision, stored.created_at, stored.updated_at), (Revision(2), at(1), at(2)));

    let stale = store.commit(Revision(4), &[put("c", "1")], at(6));
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    assert_eq!(store.read().unwrap(), expected);

    assert_eq!(store.tokens().unwrap(), BTreeMap::new());
    store.add_token(hash(7), Role::Admin, at(6)).unwrap();
    drop(store);
    assert_eq!(open().tokens().unwrap(), BTreeMap::from([(hash(7), Role::Admin)]));
}

fn put(name: &str, value: &str) -> Change {
    let spec = json!({"name": name, "labels": {"value": value}});
    Change::Put(Object::parse(ObjectKind::Consumers, spec).unwrap())
}

fn hash(byte: u8) -> KeyHash {
    KeyHash::from_bytes([byte; 32])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn sqlite_is_a_store() {
    let folder = Folder::new();
    let path = folder.join("weir.db");
    is_a_store(|| Box::new(Sqlite::open(&path).unwrap()));
}

#[test]
fn a_database_is_open_once_at_a_time() {
    let folder = Folder::new();
    let path = folder.join("weir.db");
    let first = Sqlite::open(&path).unwrap();
    let second = Sqlite::open(&path);
    assert!(matches!(second, Err(StoreError::Busy)), "{second:?}");
    drop(first);
    Sqlite::open(&path).unwrap();
}

#[test]
fn a_database_of_a_later_release_is_left_alone() {
    let folder = Folder::new();
    let path = folder.join("weir.db");
    drop(Sqlite::open(&path).unwrap());
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 1000).unwrap();
    drop(database);
    let opened = Sqlite::open(&path);
    assert!(matches!(opened, Err(StoreError::Newer(1000))), "{opened:?}");
}
