pub(crate) mod server;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{runtime, time::timeout};

use super::{location::Location, sqlite::Sqlite, *};
use crate::{folder::Folder, keys, object::ObjectKind};
use server::Server;

/// What every store must do; `open` opens one and the same store again and again.
fn is_a_store(open: impl Fn() -> Box<dyn Store>) {
    let mut store = open();
    assert_eq!(store.read().unwrap(), Contents::default());
    let mut expected = Contents::default();
    let steps: [&[Change]; 10] = [
        &[put("b", "1"), put("a/b", "2")],
        &[put("a/b", "3"), Change::Retire("laptop".into(), hash(1), at(9))],
        &[Change::Retire("laptop".into(), hash(2), at(9)), Change::Retire("phone".into(), hash(2), at(9))],
        &[Change::Retired("laptop".into(), hash(1)), Change::Delete(ObjectKind::Consumers.id("b"))],
        &[Change::Delete(ObjectKind::Keys.id("laptop"))],
        &[
            Change::Admit(token("first", 7, Role::Admin, None)),
            Change::Admit(token("ci", 8, Role::Provider(named("a")), Some(at(100)))),
            Change::Admit(token("desk", 9, Role::Tenant(named("finance")), None)),
            Change::Register(ObjectKind::Consumers.id("a/b"), named("a")),
        ],
        &[Change::Revoke(named("desk")), Change::Admit(token("ci", 10, Role::Admin, None)), put("a/b", "4")],
        &[Change::Register(ObjectKind::Consumers.id("nobody"), named("a")), Change::Revoke(named("nobody"))],
        &[published("1.0.0", Some("desk"), 9), published("1.0.1", None, 9)],
        &[published("1.0.1", Some("a"), 10), Change::Unpublish("com.example/é".into(), "1.0.0".into())],
    ];
    for (step, changes) in (1..).zip(steps) {
        store.commit(expected.revision, changes, at(step)).unwrap();
        expected.apply(changes, at(step));
        assert_eq!(store.revision().unwrap(), expected.revision);
        assert_eq!(store.read().unwrap(), expected, "after step {step}");
        drop(store);
        store = open();
        assert_eq!(store.read().unwrap(), expected, "after step {step}, opened again");
    }
    assert_eq!((expected.objects.len(), expected.retiring.len(), expected.revision), (1, 1, Revision(10)));
    let stored = &expected.objects[&ObjectKind::Consumers.id("a/b")];
    assert_eq!((stored.revision, stored.created_at, stored.updated_at), (Revision(7), at(1), at(7)));
    assert_eq!((&stored.registrar, expected.tokens.len()), (&Some(named("a")), 2));
    assert_eq!(expected.published.len(), 1);

    let stale = store.commit(Revision(7), &[put("c", "1")], at(7));
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    assert_eq!(store.read().unwrap(), expected);

    let many: Vec<_> = (0..500).map(|number| put(&format!("many/{number}"), "1")).collect();
    store.commit(expected.revision, &many, at(11)).unwrap();
    expected.apply(&many, at(11));
    assert_eq!(store.read().unwrap(), expected);
}

fn put(name: &str, value: &str) -> Change {
    let spec = json!({"name": name, "labels": {"value": value}});
    Change::Put(Object::parse(ObjectKind::Consumers, spec).unwrap())
}

fn published(version: &str, domain: Option<&str>, second: i64) -> Change {
    let document = json!({"name": "com.example/é", "version": version, "description": "It is \"one\"."});
    Change::Publish(Box::new(Published {
        document: Document::stored(document).unwrap(),
        domain: domain.map(named),
        status: Lifecycle::Deprecated,
        status_message: domain.map(str::to_owned),
        status_changed_at: at(second),
        published_at: at(1),
        updated_at: at(second.saturating_add(1)),
    }))
}

fn token(name: &str, byte: u8, role: Role, expires_at: Option<Timestamp>) -> Token {
    let prefix = format!("wt-{byte}");
    Token { name: named(name), sha256: hash(byte), prefix, role, created_at: at(5), expires_at }
}

fn named(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
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

fn postgres(url: &str) -> Box<dyn Store> {
    Location::parse(url).unwrap().open().unwrap()
}

#[test]
fn postgres_is_a_store() {
    let server = Server::shared();
    let url = server.database("contract");
    is_a_store(|| postgres(&url));
}

#[test]
fn of_several_writers_at_once_one_is_first_and_no_write_is_lost() {
    let server = Server::shared();
    let url = server.database("writers");
    let write = |writer: usize| {
        let mut store = postgres(&url);
        let mut written = 0;
        while written < 20 {
            let contents = store.read().unwrap();
            // Each writer counts in its own object and in the one that all of them share.
            let shared = contents.objects.get(&ObjectKind::Consumers.id("shared")).map_or(0, value);
            let mine = put(&format!("of-{writer}"), &(written + 1).to_string());
            let shared = put("shared", &(shared + 1).to_string());
            match store.commit(contents.revision, &[mine, shared], at(1)) {
                Ok(()) => written += 1,
                Err(StoreError::Stale) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    thread::scope(|scope| (0..4).for_each(|writer| drop(scope.spawn(move || write(writer)))));
    let contents = postgres(&url).read().unwrap();
    let values: BTreeMap<_, _> =
        contents.objects.iter().map(|(id, stored)| (id.name.as_str(), value(stored))).collect();
    let expected = [("of-0", 20), ("of-1", 20), ("of-2", 20), ("of-3", 20), ("shared", 80)];
    assert_eq!((values, contents.revision), (expected.into(), Revision(80)));
}

#[test]
fn a_slow_writer_that_has_reserved_its_turn_is_next() {
    let server = Server::shared();
    let url = server.database("turns");
    let over = AtomicBool::new(false);
    let write_on = || {
        let mut store = postgres(&url);
        while !over.load(Ordering::Relaxed) {
            let revision = store.revision().unwrap();
            drop(store.commit(revision, &[put("busy", "1")], at(1)));
        }
    };
    thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(write_on)));
        let mut slow = postgres(&url);
        for _ in 0..10 {
            slow.reserve().unwrap();
            let revision = slow.revision().unwrap();
            // Time enough for many commits of the others.
            thread::sleep(Duration::from_millis(20));
            slow.commit(revision, &[put("slow", "1")], at(1)).unwrap();
        }
        slow.reserve().unwrap();
        slow.release();
        let (before, began) = (slow.revision().unwrap(), Instant::now());
        while slow.revision().unwrap() == before {
            assert!(began.elapsed() < Duration::from_secs(20), "others write on when it lets go");
        }
        over.store(true, Ordering::Relaxed);
    });
}

fn value(stored: &Stored) -> u64 {
    stored.object.spec()["labels"]["value"].as_str().unwrap().parse().unwrap()
}

#[test]
fn several_processes_make_the_tables_once() {
    let server = Server::shared();
    let url = server.database("tables");
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| drop(postgres(&url))))));
    assert_eq!(server.sql("tables", "SELECT count(*) FROM weir_state"), ["1"]);
}

#[test]
fn a_commit_rings_at_whoever_follows_also_after_the_connection_was_lost() {
    let server = Server::new();
    let url = server.database("told");
    let (mut one, mut other, bell) = (postgres(&url), postgres(&url), Arc::new(Notify::new()));
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let rings =
        || runtime.block_on(async { timeout(Duration::from_secs(20), bell.notified()).await }).is_ok();
    one.follow(Arc::clone(&bell));
    assert!(rings(), "once it listens");
    other.commit(Revision(0), &[put("a", "1")], at(1)).unwrap();
    assert!(rings(), "told of a commit");
    server.stop();
    let refused = other.commit(Revision(1), &[put("a", "2")], at(2));
    assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
    server.start();
    assert!(rings(), "once it listens again");
    assert_eq!(one.read().unwrap().revision, Revision(1));
    other.commit(Revision(1), &[put("a", "2")], at(2)).unwrap();
    assert!(rings(), "told of a commit");
    assert_eq!(one.revision().unwrap(), Revision(2));
}

#[test]
fn a_database_in_postgres_of_a_later_release_is_left_alone() {
    let server = Server::shared();
    let url = server.database("later");
    drop(postgres(&url));
    server.sql("later", "UPDATE weir_format SET version = 1000");
    let opened = Location::parse(&url).unwrap().open();
    assert!(matches!(opened, Err(StoreError::Newer(1000))), "{opened:?}");
}

#[test]
fn a_location_never_shows_its_password() {
    let location =
        Location::parse("postgres://weir:hunter2@db.example,db2.example:6432/weir?sslmode=disable");
    let location = location.unwrap();
    assert_eq!(location.to_string(), "PostgreSQL at db.example, db2.example");
    assert!(!format!("{location:?}").contains("hunter2"));
    for wrong in [
        "postgres://weir:hunter2@db.example:hunter2/weir",
        "postgres://weir:hunter2@db.example/weir?sslmod=hunter2",
        "mysql://weir:hunter2@db.example/weir",
        "postgres://",
    ] {
        let error = Location::parse(wrong).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn the_first_token_is_made_once_by_whoever_is_first() {
    let server = Server::shared();
    let (url, folder) = (server.database("token"), Folder::new());
    let first = |writer: usize| {
        crate::token::first(&mut *postgres(&url), &folder.join(format!("token-{writer}"))).unwrap()
    };
    let made: Vec<bool> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|writer| scope.spawn(move || first(writer))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let written: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [token] = &written[..] else { panic!("{written:?}") };
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    let token = keys::hash(std::fs::read_to_string(token).unwrap().trim());
    let tokens = postgres(&url).read().unwrap().tokens;
    let known: Vec<_> = tokens.values().map(|known| (known.sha256, &known.role)).collect();
    assert_eq!(known, [(token, &Role::Admin)]);
}
