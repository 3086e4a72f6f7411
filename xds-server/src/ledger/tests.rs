mod server;

use std::{path::Path, sync::Arc};

use redis::cmd;
use weir_schema::{Name, Zone, quota::Limit};

use super::{
    account::{Account, Terms},
    book::{Book, BookError, Change, Place},
    *,
};
use crate::folder::Folder;
use server::Server;

const BUDGET: Limit = Limit::TokensPerMonth;

fn named(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

fn counter(rule: &str, key: &str) -> CounterName {
    CounterName { rule: named(rule), per: [(Dimension::Key, key.to_owned())].into() }
}

fn rules() -> Vec<Rule> {
    serde_json::from_str(
        r#"[{"name":"a","per":["key"],"limits":{"tokens_per_month":1000}},
            {"name":"b/c","per":["key"],"limits":{"tokens_per_month":1000}}]"#,
    )
    .unwrap()
}

/// Spends of a budget; what is used then comes of it.
fn spend(by: i64) -> Change<i64> {
    Arc::new(move |at, account: &mut Account, now| {
        account.adjust(BUDGET, by.saturating_add_unsigned(at as u64), &Zone::default(), now);
        used(account, now)
    })
}

fn used(account: &Account, now: u64) -> i64 {
    let limits = rules()[0].limits;
    let standings = account.standing(Terms { limits: &limits, zone: &Zone::default() }, now);
    standings.iter().map(|standing| standing.used).sum()
}

async fn all(book: &Book, rule: &str) -> Vec<(String, i64)> {
    let accounts = book.list(&named(rule), None, 10_000).await.unwrap();
    let now = service::seconds();
    accounts.iter().map(|(name, account)| (name.per[&Dimension::Key].clone(), used(account, now))).collect()
}

/// A report of one counter that uses what it has been granted.
fn report(sequence: u64, name: &CounterName, used: u64) -> Report {
    serde_json::from_value(serde_json::json!({
        "node": "envoy", "epoch": 1, "sequence": sequence,
        "counters": [{"counter": name, "since": 5, "limits": {"tokens_per_month":
            {"used": used, "cap": used, "until": Zone::default().end_of_month(service::seconds()), "need": 10}}}],
    }))
    .unwrap()
}

async fn tell(book: &Book, report: Report) -> Result<Vec<Granting>, BookError> {
    let names = report.counters.iter().map(|counted| counted.counter.clone()).collect();
    let change: Change<_> =
        Arc::new(move |at, account, now| renew(account, &rules(), (&report, at), now).map(|said| said.0));
    Ok(book.update(names, change).await?.into_iter().flatten().collect())
}

/// What every book must do; `open` opens one and the same book again and again.
async fn is_a_book(open: impl Fn() -> Book) {
    let book = open();
    assert_eq!(all(&book, "a").await, []);
    let names = vec![counter("a", "two"), counter("b/c", "one"), counter("a", "one"), counter("a", "two")];
    assert_eq!(book.update(names.clone(), spend(10)).await.unwrap(), [10, 11, 12, 23]);
    drop(book);
    let book = open();
    let expected = [("one".to_owned(), 12), ("two".to_owned(), 23)];
    assert_eq!(
        (all(&book, "a").await, all(&book, "b/c").await),
        (expected.into(), [("one".into(), 11)].into())
    );

    // A page, and the one after it.
    let many: Vec<_> = (0..1200).map(|number| counter("b/c", &format!("x{number:04}"))).collect();
    assert_eq!(book.update(many.clone(), spend(0)).await.unwrap(), (0..1200).collect::<Vec<_>>());
    let page = book.list(&named("b/c"), Some(counter("b/c", "x0003")), 700).await.unwrap();
    assert_eq!(
        page.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        many[4..704].iter().collect::<Vec<_>>()
    );
    assert_eq!(book.list(&named("b"), None, 10).await.unwrap(), []);

    // A report counts once, and its slice is kept.
    let name = counter("a", "reported");
    let granted = tell(&book, report(7, &name, 100)).await.unwrap();
    assert_eq!(granted[0].limits[&BUDGET].cap, 180);
    drop(book);
    let book = open();
    assert_eq!(tell(&book, report(7, &name, 100)).await.unwrap(), []);
    assert_eq!(all(&book, "a").await[1], ("reported".to_owned(), 100));
    assert_eq!(tell(&book, report(8, &name, 150)).await.unwrap()[0].limits[&BUDGET].others, 0);
    assert_eq!(all(&book, "a").await[1], ("reported".to_owned(), 150));
}

fn open(place: &str) -> Book {
    Book::open(&Place::parse(place).unwrap()).unwrap()
}

#[tokio::test]
async fn sqlite_is_a_book() {
    let folder = Folder::new();
    let path = folder.join("ledger");
    let patient = |path: &Path| {
        // The process before, which is a thread here, has it open for a moment.
        loop {
            match Book::open(&Place::File(path.into())) {
                Err(BookError::Database(_)) => {}
                opened => break opened.unwrap(),
            }
        }
    };
    is_a_book(|| patient(&path)).await;
}

#[tokio::test]
async fn redis_is_a_book() {
    let server = Server::new();
    is_a_book(|| open(&server.url())).await;
}

#[tokio::test]
async fn a_cluster_is_a_book() {
    let servers = Server::cluster();
    is_a_book(|| open(&format!("{}?cluster=true", servers[1].url()))).await;
    let hosts = servers.each_ref().map(|server| format!("127.0.0.1:{}", server.port)).join(",");
    let book = open(&format!("redis://{hosts}"));
    assert_eq!(all(&book, "a").await.len(), 3);
    let sizes = servers.each_ref().map(|server| server.ask::<u64>(&cmd("DBSIZE")).unwrap());
    assert_eq!(sizes.iter().sum::<u64>(), 1201 + 3 + 4, "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_none_loses_what_another_has_charged() {
    let server = Server::new();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let book = open(&server.url());
            tokio::spawn(async move {
                for _ in 0..100 {
                    let names = vec![counter("a", &format!("of-{writer}")), counter("a", "shared")];
                    book.update(names, spend(1)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let expected = [("of-0", 100), ("of-1", 100), ("of-2", 100), ("of-3", 100), ("shared", 800)];
    let expected: Vec<_> = expected.map(|(name, used)| (name.to_owned(), used)).into();
    assert_eq!(all(&open(&server.url()), "a").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_forgets_nothing_and_is_found_again() {
    let server = Server::new();
    let book = open(&server.url());
    let (name, mut answered) = (counter("a", "team"), 0);
    for sequence in 1..=20 {
        match sequence {
            5 | 12 => server.kill(),
            8 | 15 => server.start(),
            _ => {}
        }
        let told = tell(&book, report(sequence, &name, sequence * 10)).await;
        let is_away = (5..8).contains(&sequence) || (12..15).contains(&sequence);
        assert_eq!(told.is_err(), is_away, "{sequence}: {told:?}");
        if told.is_ok() {
            answered = sequence;
        }
        if !is_away {
            assert_eq!(all(&book, "a").await, [("team".to_owned(), i64::try_from(answered).unwrap() * 10)]);
        }
    }
    // A report that is told again, as nobody knew whether it had come, charges nothing.
    assert_eq!(tell(&book, report(20, &name, 200)).await.unwrap(), []);
    assert_eq!(all(&book, "a").await, [("team".to_owned(), 200)]);
}

#[tokio::test]
async fn what_is_no_account_is_left_alone_and_nothing_else_suffers() {
    let server = Server::new();
    let book = open(&server.url());
    let (broken, sound) = (counter("a", "broken"), counter("a", "sound"));
    let key = "weir:ledger:{a}:account:a\0key\0broken";
    server.ask::<()>(cmd("SET").arg(key).arg("nonsense")).unwrap();
    let refused = book.update(vec![broken.clone()], spend(1)).await;
    assert!(matches!(&refused, Err(BookError::Damaged(name)) if *name == broken.to_text()), "{refused:?}");
    assert_eq!(book.update(vec![sound], spend(1)).await.unwrap(), [1]);
    assert_eq!(server.ask::<String>(cmd("GET").arg(key)).unwrap(), "nonsense");
}

#[tokio::test]
async fn an_account_in_which_nothing_counts_any_more_leaves() {
    let server = Server::new();
    let book = open(&server.url());
    book.update(vec![counter("a", "old"), counter("a", "new")], spend(1)).await.unwrap();
    let old = "weir:ledger:{a}:account:a\0key\0old";
    let left: u64 = server.ask(cmd("TTL").arg(old)).unwrap();
    let ends = Zone::default().end_of_month(service::seconds()) + 300;
    assert!(left.abs_diff(ends - service::seconds()) <= 2, "{left}");
    // As Redis does when that time has come.
    server.ask::<()>(cmd("DEL").arg(old)).unwrap();
    server.ask::<()>(cmd("ZADD").arg("weir:ledger:{a}:ends").arg(1000).arg("a\0key\0old")).unwrap();
    assert_eq!(all(&book, "a").await, [("new".to_owned(), 2)]);
    book.update(vec![counter("a", "new")], spend(1)).await.unwrap();
    for set in ["names", "ends"] {
        let names = cmd("ZRANGE").arg(format!("weir:ledger:{{a}}:{set}")).arg(0).arg(-1).to_owned();
        assert_eq!(server.ask::<Vec<String>>(&names).unwrap(), ["a\0key\0new"]);
    }
}

#[test]
fn a_place_is_a_file_or_a_redis() {
    assert_eq!(Place::parse("weir.db-ledger").unwrap().to_string(), "weir.db-ledger");
    assert_eq!(Place::parse("valkey://cache/1").unwrap().to_string(), "Redis at cache:6379");
    for wrong in ["", "memcached://hunter2", "redis://:hunter2@"] {
        let error = Place::parse(wrong).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
    }
}
