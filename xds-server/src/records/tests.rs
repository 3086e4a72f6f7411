use std::{thread, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use weir_schema::state::Usage;

use super::{
    database::{Base, Batch, Bucket, Entry, Question, Records, Row},
    postgres::Postgres,
    record::{Dimensions, Record},
    sqlite::Sqlite,
};
use crate::store::{postgres::Address, tests::server::Server};

/// 2026-11-24T12:00:00Z
const NOON: i64 = 1_795_521_600;

fn record(at: i64, consumer: &str, model: &str, tokens: u64) -> Record {
    Record {
        at,
        of: Dimensions {
            consumer: consumer.into(),
            key: format!("{consumer}-1"),
            model: model.into(),
            provider: "near".into(),
            ..Dimensions::default()
        },
        status: if tokens == 0 { 503 } else { 200 },
        usage: Usage { input: tokens, output: 2 * tokens, ..Usage::default() },
        cost: tokens * 500_000_000,
        duration_ms: 100,
        first_token_ms: (tokens > 0).then_some(40),
    }
}

fn question(bucket: Bucket, by: &[&'static str], only: &[(&'static str, &str)]) -> Question {
    let only = only.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Question {
        from: NOON - 86_400,
        to: NOON + 86_400,
        bucket,
        by: by.to_vec(),
        only: only.collect(),
        most: 100,
    }
}

/// Time, names, requests, errors, tokens and cost of a row.
fn shown(rows: Vec<Row>) -> Vec<(i64, Vec<String>, [i64; 4], f64)> {
    let row = |row: Row| {
        let numbers = [row.requests, row.errors, row.input_tokens, row.output_tokens];
        (row.time.as_second() - NOON, row.of.into_values().collect(), numbers, row.cost)
    };
    rows.into_iter().map(row).collect()
}

/// What every database of records must do; `open` opens the same one again and again.
fn keeps_records(open: impl Fn() -> Box<dyn Base>) {
    let mut base = open();
    let mut number = 0;
    let mut save = |base: &mut dyn Base, records: &[Record], times: usize| {
        number += 1;
        let mut batch = Batch { number, ..Batch::default() };
        records.iter().for_each(|one| batch.add(one));
        (0..times).for_each(|_| base.save(&batch, None).unwrap());
    };
    save(
        &mut *base,
        &[record(NOON, "a", "m", 3), record(NOON + 59, "a", "m", 1), record(NOON + 60, "b", "m", 2)],
        1,
    );
    save(&mut *base, &[record(NOON + 61, "a", "m", 5), record(NOON + 3600, "a", "n", 0)], 1);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let minutes = shown(base.usage(&question(Bucket::Minute, &["consumer"], &[])).unwrap());
    let expected = [
        (0, names(&["a"]), [2, 0, 4, 8], 2.0),
        (60, names(&["a"]), [1, 0, 5, 10], 2.5),
        (60, names(&["b"]), [1, 0, 2, 4], 1.0),
        (3600, names(&["a"]), [1, 1, 0, 0], 0.0),
    ];
    assert_eq!(minutes, expected);
    let of_a = [("consumer", "a"), ("provider", "near")];
    let hours = shown(base.usage(&question(Bucket::Hour, &["model", "key"], &of_a)).unwrap());
    let expected =
        [(0, names(&["a-1", "m"]), [3, 0, 9, 18], 4.5), (3600, names(&["a-1", "n"]), [1, 1, 0, 0], 0.0)];
    assert_eq!(hours, expected);
    let day = base.usage(&question(Bucket::Day, &[], &[])).unwrap();
    assert_eq!((day[0].mean_duration_ms, day[0].mean_first_token_ms), (100.0, Some(40.0)));
    assert_eq!(shown(day), [(-43_200, vec![], [5, 1, 11, 22], 5.5)]);
    assert_eq!(base.usage(&question(Bucket::Day, &[], &[("consumer", "' OR ''='")])).unwrap(), []);
    assert_eq!((base.last_used("a-1").unwrap(), base.last_used("c").unwrap()), (Some(NOON + 3600), None));

    let entry = |action: &str| Entry {
        at: Timestamp::from_second(NOON).unwrap(),
        actor: "admin/first".into(),
        action: action.into(),
        object: "quotas/é".into(),
        detail: json!({"by": -5}),
    };
    ["adjust", "reset"].iter().for_each(|action| base.write_down(&entry(action)).unwrap());
    drop(base);
    let mut base = open();
    assert_eq!(base.audit(10).unwrap(), [entry("reset"), entry("adjust")]);
    assert_eq!(base.audit(1).unwrap(), [entry("reset")]);

    base.save(&Batch { number: 100, ..Batch::default() }, Some(NOON + 3 * 86_400)).unwrap();
    assert_eq!(base.usage(&question(Bucket::Minute, &[], &[])).unwrap(), []);
    assert_eq!(shown(base.usage(&question(Bucket::Day, &[], &[])).unwrap())[0].2, [5, 1, 11, 22]);
    base.save(&Batch { number: 101, ..Batch::default() }, Some(NOON + 401 * 86_400)).unwrap();
    assert_eq!(base.usage(&question(Bucket::Day, &[], &[])).unwrap(), []);
    assert_eq!(base.last_used("a-1").unwrap(), None);
}

#[test]
fn sqlite_keeps_records() {
    let folder = crate::folder::Folder::new();
    let path = folder.path().join("records");
    keeps_records(|| Box::new(Sqlite::open(&path).unwrap()));
}

#[test]
fn postgres_keeps_records() {
    let server = Server::shared();
    let address = Address::parse(&server.database("records_kept")).unwrap();
    keeps_records(|| Box::new(Postgres::at(&address).unwrap()));
}

#[test]
fn replicas_add_to_the_same_sums_and_a_batch_counts_once() {
    let server = Server::shared();
    let address = Address::parse(&server.database("records_shared")).unwrap();
    let replicas = [0; 3].map(|_| Records::in_postgres(&address).unwrap());
    for replica in &replicas {
        (0..100).for_each(|at| assert!(replica.add(record(NOON + at % 2, "a", "m", 1))));
    }
    let asked = question(Bucket::Day, &[], &[]);
    let sum = |records: &Records| records.usage(&asked).unwrap().first().map_or(0, |row| row.requests);
    let all_are_saved = |records: &Records| {
        (0..500).any(|_| {
            thread::sleep(Duration::from_millis(20));
            sum(records) == 300
        })
    };
    assert!(replicas.iter().all(all_are_saved));

    let mut batch = Batch { number: 1, ..Batch::default() };
    batch.add(&record(NOON, "a", "m", 1));
    let mut base = Postgres::at(&address).unwrap();
    // As if the first commit had not been heard of.
    (0..2).for_each(|_| base.save(&batch, None).unwrap());
    assert_eq!(sum(&replicas[0]), 301);
}
