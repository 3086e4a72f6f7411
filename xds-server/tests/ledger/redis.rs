//! The same over Redis, with several replicas of the control plane.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use proptest::prelude::*;
use redis::cmd;
use tokio::runtime::Runtime;
use weir::ledger::book::{Book, Change, Place};
use weir::ledger::{Accounts, answer, renew};
use weir_schema::ledger::Report;
use weir_schema::quota::Rule;

use crate::fleet::{Fleet, Need, rules};
use crate::model::{admits_no_more, fleet, gives_back, steps};
use crate::server::Server;

/// Control planes with one Redis; a report reaches any of them.
pub(crate) struct Replicas {
    runtime: Runtime,
    place: Place,
    books: Vec<Book>,
    next: usize,
}

impl Replicas {
    fn new(server: &Server) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = Place::parse(&format!("{}?prefix=fleet-{number}", server.url())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut replicas = Self { runtime, place, books: Vec::new(), next: 0 };
        for _ in 0..2 {
            let book = replicas.open();
            replicas.books.push(book);
        }
        replicas
    }

    fn open(&self) -> Book {
        let _inside = self.runtime.enter();
        Book::open(&self.place).unwrap()
    }

    /// The next one ends, and starts again.
    pub(crate) fn restart(&mut self) {
        let at = self.next % self.books.len();
        self.books[at] = self.open();
    }

    /// Answers a report in simulated time, and tells what has become of its accounts.
    pub(crate) fn ask(
        &mut self,
        report: Report,
        (rules, now): (Vec<Rule>, u64),
        accounts: &mut Accounts,
    ) -> Vec<u8> {
        self.next += 1;
        let book = &self.books[self.next % self.books.len()];
        let names: Vec<_> = report.counters.iter().map(|counted| counted.counter.clone()).collect();
        let sequence = report.sequence;
        let change: Change<_> = Arc::new(move |at, account, _| {
            let said = renew(account, &rules, (&report, at), now);
            (said, account.clone())
        });
        let changed = self.runtime.block_on(book.update(names.clone(), change)).unwrap();
        let (said, changed): (Vec<_>, Vec<_>) = changed.into_iter().unzip();
        accounts.extend(names.into_iter().zip(changed));
        serde_json::to_vec(&answer(sequence, said.into_iter().flatten())).unwrap()
    }
}

fn over(server: &Server, mut fleet: Fleet) -> Fleet {
    fleet.replicas = Some(Replicas::new(server));
    fleet
}

#[test]
fn no_schedule_admits_more_than_the_limit_over_several_replicas() {
    let server = Server::new();
    let schedules = (steps(true), (1..30_usize, 70..900_u64, 70..4000_u64));
    proptest!(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() }, |(
        (steps, limits) in schedules,
    )| {
        admits_no_more(over(&server, fleet(limits.0, limits.1, limits.2)), steps, limits)?;
    });
}

#[test]
fn what_replicas_grant_is_spent_or_given_back() {
    let server = Server::new();
    proptest!(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() }, |(
        steps in steps(false), budget in 70..4000_u64,
    )| {
        gives_back(over(&server, fleet(1000, 100_000, budget)), steps, budget)?;
    });
}

/// Requests that fit: what they cost Redis.
#[test]
fn in_steady_state_redis_is_asked_seldom() {
    let server = Server::new();
    let rules =
        rules(r#"[{"name":"key","per":["key"],"limits":{"rpm":1000000,"tokens_per_month":100000000}}]"#);
    let mut fleet = over(&server, Fleet::new(3, 2, rules, 1_700_049_613));
    let mut asked = 0_u32;
    for _ in 0..1200 {
        // A hundred a second and gateway.
        for request in 0..15 {
            assert_ne!(fleet.request(request % 3, request, Need { reserved: 100, used: 90 }), Some(false));
            asked += 1;
        }
        fleet.pass(50);
        for stream in fleet.under_way() {
            fleet.finish(stream);
        }
    }
    let stats: String = server.ask(cmd("INFO").arg("commandstats")).unwrap();
    let (_, scripts) = stats.split_once("cmdstat_eval:calls=").unwrap();
    let scripts: u32 = scripts.split(',').next().unwrap().parse().unwrap();
    let of_1000 = |calls: f64| calls * 1000.0 / f64::from(asked);
    let reports = f64::from(u32::try_from(fleet.reports).unwrap());
    println!(
        "over Redis, 100 requests a second and gateway: {:.2} reports and {:.2} scripts for 1000 requests",
        of_1000(reports),
        of_1000(scripts.into())
    );
    assert!(of_1000(reports) < 5.0 && f64::from(scripts) <= 2.0 * reports, "{reports} {scripts}");
    assert_eq!((fleet.refused, fleet.unavailable), (0, 0));
}
