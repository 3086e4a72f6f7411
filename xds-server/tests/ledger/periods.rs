//! Budgets and their calendar periods, over a fleet.

use crate::fleet::{Fleet, Need, rules};

const NEED: Need = Need { reserved: 100, used: 100 };

fn budget(limits: &str, zone: &str) -> Vec<weir_schema::quota::Rule> {
    rules(&format!(r#"[{{"name":"budget","limits":{{{limits}}},"timezone":"{zone}"}}]"#))
}

fn seconds(time: &str) -> u64 {
    time.parse::<jiff::Timestamp>().unwrap().as_second().try_into().unwrap()
}

/// Asks until nothing more is admitted, and says how many were.
fn spend(fleet: &mut Fleet) -> usize {
    let before = fleet.spent.len();
    let mut idle = 0;
    while idle < 12 {
        let admitted = fleet.spent.len();
        let gateway = admitted % fleet.gateways.len();
        fleet.request(gateway, admitted, NEED);
        fleet.pass(400);
        for stream in fleet.under_way() {
            fleet.finish(stream);
        }
        idle = if fleet.spent.len() > admitted { 0 } else { idle + 1 };
        // Another gateway may have what is left.
        if idle > 0 {
            fleet.request(idle % fleet.gateways.len(), idle, NEED);
            fleet.pass(400);
        }
    }
    for stream in fleet.under_way() {
        fleet.finish(stream);
    }
    fleet.spent.len() - before
}

#[test]
fn a_month_begins_where_the_zone_says() {
    for (zone, end) in [
        ("UTC", "2026-12-01T00:00:00Z"),
        ("Asia/Shanghai", "2026-11-30T16:00:00Z"),
        ("America/New_York", "2026-12-01T05:00:00Z"),
    ] {
        let end = seconds(end);
        let mut fleet = Fleet::new(3, 2, budget(r#""tokens_per_month":1000"#, zone), end - 120);
        assert_eq!(spend(&mut fleet), 10, "{zone}");
        assert!(fleet.now_ms < end * 1000, "{zone}");
        fleet.pass(end * 1000 - fleet.now_ms - 1000);
        fleet.request(0, 0, NEED);
        fleet.pass(900);
        assert_eq!((fleet.spent.len(), fleet.waiting()), (10, 0), "{zone}: a second before");
        fleet.pass(1100);
        assert_eq!(spend(&mut fleet), 10, "{zone}");
    }
}

#[test]
fn a_budget_that_is_lowered_or_raised_forgets_nothing() {
    let month = |most: u64| budget(&format!(r#""tokens_per_month":{most}"#), "UTC");
    let mut fleet = Fleet::new(3, 2, month(5000), seconds("2026-11-10T12:00:00Z"));
    for _ in 0..30 {
        fleet.request(fleet.spent.len() % 3, 0, NEED);
        fleet.pass(50);
    }
    assert_eq!(fleet.spent.len(), 30);
    for stream in fleet.under_way() {
        fleet.finish(stream);
    }
    fleet.set_rules(month(2000));
    fleet.pass(4000);
    assert_eq!(spend(&mut fleet), 0, "lowered below what is spent");
    fleet.set_rules(month(3500));
    assert_eq!(spend(&mut fleet), 5, "raised again");
    let standing = fleet.standing("budget")[0];
    assert_eq!((standing.used, standing.most), (3500, 3500));
}

#[test]
fn a_zone_that_is_changed_is_that_of_the_next_period() {
    let mut fleet =
        Fleet::new(2, 1, budget(r#""tokens_per_day":1000"#, "UTC"), seconds("2026-11-10T20:00:00Z"));
    assert_eq!(spend(&mut fleet), 10);
    fleet.set_rules(budget(r#""tokens_per_day":1000"#, "Asia/Shanghai"));
    fleet.pass(20_000);
    assert_eq!(spend(&mut fleet), 0, "the day goes on in UTC");
    fleet.pass((seconds("2026-11-11T00:00:01Z") * 1000).saturating_sub(fleet.now_ms));
    assert_eq!(spend(&mut fleet), 10);
    fleet.pass(seconds("2026-11-11T15:59:58Z") * 1000 - fleet.now_ms);
    fleet.request(0, 0, NEED);
    fleet.pass(3000);
    assert_eq!(spend(&mut fleet), 10, "the day ended in Shanghai");
}

#[test]
fn no_limit_and_every_limit_are_limits() {
    let start = seconds("2026-11-10T12:00:00Z");
    let mut fleet = Fleet::new(2, 1, budget(r#""tokens_per_month":0,"rpm":0"#, "UTC"), start);
    assert_eq!(spend(&mut fleet), 0);
    let all = u64::MAX;
    let limits = format!(r#""tokens_per_month":{all},"tpm":{all},"rpm":{all},"concurrency":{all}"#);
    let mut fleet = Fleet::new(2, 1, budget(&limits, "UTC"), start);
    fleet.request(0, 0, NEED);
    fleet.request(1, 0, NEED);
    fleet.pass(100);
    assert_eq!((fleet.spent.len(), fleet.waiting()), (2, 0), "{}", fleet.last_refusal);
}

#[test]
fn a_gateway_whose_clock_jumps_admits_no_more() {
    let start = seconds("2026-11-10T12:00:00Z");
    for jump in [-7_200_000_i64, -2_000, 2_000, 7_200_000] {
        let mut fleet = Fleet::new(2, 1, budget(r#""tokens_per_month":1000,"tpm":100000"#, "UTC"), start);
        assert_eq!(spend(&mut fleet), 10);
        fleet.now_ms = fleet.now_ms.saturating_add_signed(jump);
        fleet.pass(15_000);
        assert_eq!((spend(&mut fleet), fleet.waiting()), (0, 0), "{jump}");
    }
}
