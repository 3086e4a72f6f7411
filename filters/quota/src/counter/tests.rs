use proptest::prelude::*;
use weir_schema::Amount;
use weir_schema::ledger::{CounterName, Granted, Granting};

use super::*;

const NOON: u64 = 1_700_000_000;

fn load(tokens: u64) -> Load {
    Load { requests: 1, tokens, cost: tokens.saturating_mul(10) }
}

fn reserve(
    counter: &mut Counter,
    limits: &Limits,
    tokens: u64,
    now: u64,
) -> Result<Reservation, (Limit, Option<u64>)> {
    let zone = Zone::default();
    let refused = |refusal: Refusal| (refusal.limit, refusal.retry_secs);
    counter.reserve(Terms { limits, zone: &zone, lease_secs: 3600 }, load(tokens), now).map_err(refused)
}

#[test]
fn no_minute_has_more_than_the_limit_however_it_lies() {
    let limits = Limits { rpm: Some(2), ..Limits::default() };
    let mut counter = Counter::default();
    assert!(reserve(&mut counter, &limits, 0, NOON + 59).is_ok());
    assert!(reserve(&mut counter, &limits, 0, NOON + 60).is_ok());
    assert_eq!(reserve(&mut counter, &limits, 0, NOON + 61), Err((Limit::Rpm, Some(59))));
    assert_eq!(reserve(&mut counter, &limits, 0, NOON + 119), Err((Limit::Rpm, Some(1))));
    assert!(reserve(&mut counter, &limits, 0, NOON + 120).is_ok());
    assert_eq!(reserve(&mut counter, &limits, 0, NOON + 120), Err((Limit::Rpm, Some(1))));
}

#[test]
fn what_was_reserved_and_not_used_is_free_again_and_what_was_used_beyond_it_is_owed() {
    let limits = Limits { tpm: Some(100), ..Limits::default() };
    let mut counter = Counter::default();
    let first = reserve(&mut counter, &limits, 90, NOON).unwrap();
    assert_eq!(reserve(&mut counter, &limits, 20, NOON), Err((Limit::Tpm, Some(61))));
    counter.settle(&first, load(10), NOON + 5);
    let second = reserve(&mut counter, &limits, 20, NOON + 5).unwrap();
    counter.settle(&second, load(200), NOON + 30);
    assert_eq!(counter.used(Limit::Tpm), 210);
    assert_eq!(reserve(&mut counter, &limits, 0, NOON + 80), Err((Limit::Tpm, Some(11))));
    assert!(reserve(&mut counter, &limits, 100, NOON + 91).is_ok());
}

#[test]
fn more_than_a_limit_can_ever_hold_is_not_asked_to_come_again() {
    let limits = Limits { tpm: Some(100), ..Limits::default() };
    assert_eq!(reserve(&mut Counter::default(), &limits, 101, NOON), Err((Limit::Tpm, None)));
    let none = Limits { rpm: Some(0), ..Limits::default() };
    assert_eq!(reserve(&mut Counter::default(), &none, 0, NOON), Err((Limit::Rpm, None)));
    let huge = Limits { tpm: Some(u64::MAX), tokens_per_month: Some(u64::MAX), ..Limits::default() };
    let mut counter = Counter::default();
    for _ in 0..3 {
        assert!(reserve(&mut counter, &huge, u64::MAX, NOON).is_ok());
    }
    assert_eq!(counter.used(Limit::TokensPerMonth), u64::MAX);
}

#[test]
fn a_request_counts_as_under_way_until_it_settles_or_its_lease_ends() {
    let limits = Limits { concurrency: Some(1), ..Limits::default() };
    let mut counter = Counter::default();
    let first = reserve(&mut counter, &limits, 0, NOON).unwrap();
    assert_eq!(reserve(&mut counter, &limits, 0, NOON + 3600), Err((Limit::Concurrency, Some(1))));
    counter.settle(&first, load(0), NOON + 3600);
    assert!(reserve(&mut counter, &limits, 0, NOON + 3600).is_ok());
    assert!(reserve(&mut counter, &limits, 0, NOON + 3600 + 3600 + 450).is_ok());
}

#[test]
fn a_month_ends_and_what_began_in_it_is_charged_to_it() {
    let month = Amount::try_from(0.000_001).unwrap();
    let limits = Limits { tokens_per_month: Some(100), cost_per_month: Some(month), ..Limits::default() };
    let mut counter = Counter::default();
    let end = Zone::default().end_of_month(NOON);
    let late = reserve(&mut counter, &limits, 60, end - 1).unwrap();
    assert_eq!(reserve(&mut counter, &limits, 50, end - 1), Err((Limit::TokensPerMonth, Some(1))));
    let early = reserve(&mut counter, &limits, 50, end).unwrap();
    counter.settle(&late, load(90), end + 1);
    assert_eq!((counter.used(Limit::TokensPerMonth), counter.used(Limit::CostPerMonth)), (50, 500));
    counter.settle(&early, load(70), end + 2);
    assert_eq!((counter.used(Limit::TokensPerMonth), counter.used(Limit::CostPerMonth)), (70, 700));
    assert_eq!(reserve(&mut counter, &limits, 31, end + 3).unwrap_err().0, Limit::TokensPerMonth);
}

#[test]
fn a_clock_that_is_set_back_forgets_no_budget_and_opens_no_minute() {
    let limits = Limits { rpm: Some(1), tokens_per_day: Some(100), ..Limits::default() };
    let mut counter = Counter::default();
    let day = 24 * 3600;
    assert!(reserve(&mut counter, &limits, 80, NOON).is_ok());
    assert_eq!(reserve(&mut counter, &limits, 10, NOON - day), Err((Limit::Rpm, Some(61))));
    assert_eq!(reserve(&mut counter, &limits, 30, NOON - day + 61).unwrap_err().0, Limit::TokensPerDay);
}

#[test]
fn another_limit_meets_what_was_used_before_it() {
    let budget = |tokens| Limits { tokens_per_month: Some(tokens), ..Limits::default() };
    let mut counter = Counter::default();
    assert!(reserve(&mut counter, &budget(100), 80, NOON).is_ok());
    assert_eq!(reserve(&mut counter, &budget(50), 1, NOON).unwrap_err().0, Limit::TokensPerMonth);
    assert!(reserve(&mut counter, &budget(100), 20, NOON).is_ok());
    assert_eq!(reserve(&mut counter, &budget(100), 1, NOON).unwrap_err().0, Limit::TokensPerMonth);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Reserve(u64),
    Settle(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..40).prop_map(Step::Pass),
        (0_u64..60).prop_map(Step::Reserve),
        (any::<usize>(), 0_u64..120).prop_map(|(which, used)| Step::Settle(which, used)),
    ]
}

proptest! {
    /// The counter against a journal of every charge.
    #[test]
    fn never_more_is_admitted_than_the_limit_and_all_is_accounted_for(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let limits = Limits {
            rpm: Some(10), tpm: Some(100), concurrency: Some(4), tokens_per_month: Some(1000), ..Limits::default()
        };
        let (mut counter, mut now) = (Counter::default(), NOON);
        let (mut open, mut journal, mut spent) = (Vec::new(), Vec::<(u64, u64)>::new(), 0);
        for step in steps {
            match step {
                Step::Pass(seconds) => now += seconds,
                Step::Reserve(tokens) => {
                    let in_minute: u64 =
                        journal.iter().filter(|(at, _)| at + 60 >= now).map(|(_, tokens)| tokens).sum();
                    let fits = in_minute + tokens <= 100 && spent + tokens <= 1000 && open.len() < 4;
                    match reserve(&mut counter, &limits, tokens, now) {
                        Ok(reservation) => {
                            prop_assert!(fits, "{in_minute} in the minute, {spent} spent");
                            open.push((reservation, tokens, journal.len()));
                            journal.push((now, tokens));
                            spent += tokens;
                        }
                        Err((limit, _)) => prop_assert!(limit == Limit::Rpm || !fits, "{limit:?}"),
                    }
                }
                Step::Settle(_, _) if open.is_empty() => {}
                Step::Settle(which, used) => {
                    let (reservation, tokens, entry) = open.swap_remove(which % open.len());
                    counter.settle(&reservation, load(used), now);
                    journal[entry].1 = tokens.min(used);
                    journal.push((now, used.saturating_sub(tokens)));
                    spent = spent - tokens + used;
                }
            }
            prop_assert_eq!(counter.used(Limit::TokensPerMonth), spent);
            prop_assert_eq!(counter.used(Limit::Concurrency), open.len() as u64);
            prop_assert_eq!(Counter::parse(&counter.to_bytes()), Some(counter.clone()));
            prop_assert!(counter.to_bytes().len() <= 1400);
        }
    }

    #[test]
    fn no_time_and_no_load_breaks_a_counter(
        steps in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..80),
    ) {
        let limits = Limits {
            rpm: Some(50), tpm: Some(u64::MAX), concurrency: Some(50), tokens_per_day: Some(u64::MAX),
            ..Limits::default()
        };
        let mut counter = Counter::default();
        for (now, tokens, used) in steps {
            if let Ok(reservation) = reserve(&mut counter, &limits, tokens, now) {
                counter.settle(&reservation, load(used), now ^ tokens);
            }
            prop_assert_eq!(Counter::parse(&counter.to_bytes()), Some(counter.clone()));
            prop_assert_eq!(counter.used(Limit::Concurrency), 0);
        }
    }
}

#[test]
fn a_request_that_never_settles_keeps_its_slice_no_longer_than_a_stream_may_last() {
    let limits = Limits { tokens_per_month: Some(1000), ..Limits::default() };
    let (zone, name) = (Zone::default(), CounterName::parse("month").unwrap());
    let until = zone.end_of_month(NOON);
    let mut counter = Counter::default();
    let ask = Ask {
        terms: Terms { limits: &limits, zone: &zone, lease_secs: 3600 },
        name: &name,
        loss: None,
        load: load(30),
        now: NOON * 1_000_000_000,
    };
    assert_eq!(counter.ask(ask, false).0, Err(Obstacle::Uncovered));
    let granted = Granted { cap: 100, others: 0, until };
    let limits_of = [(Limit::TokensPerMonth, granted)].into();
    let granting = Granting { counter: name.clone(), limits: limits_of, valid_secs: 10, nodes: 1 };
    counter.take(&granting, NOON, NOON * 1000);
    assert!(counter.ask(ask, false).0.is_ok());
    let mut held = |now| {
        let told = counter.report(&|_| vec![Limit::TokensPerMonth], 3600, now).unwrap();
        let held = told.limits[&Limit::TokensPerMonth];
        (held.used, held.cap)
    };
    assert_eq!(held(NOON + 3599), (30, 100));
    assert_eq!(held(NOON + 3600), (30, 30));
}
