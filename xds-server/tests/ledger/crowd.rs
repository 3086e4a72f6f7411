//! Many clients at one limit, in simulated time: how much is admitted, and how often the ledger is asked.
//!
//! `WEIR_LEDGER_CROWD=1` runs all of two minutes and prints the table of `docs/quotas.md`.

use crate::fleet::{Fleet, Need, WEIGHT, rules};

const TPM: u64 = 10_000;
const CLIENTS: usize = 200;
/// A minute that begins none of the calendar's.
const START: u64 = 1_700_049_613;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// One client: when it does something next, and the stream it has.
struct Client {
    next_ms: u64,
    stream: Option<(usize, usize, u32)>,
}

/// What came of a crowd.
#[derive(Debug)]
struct Outcome {
    /// The most tokens that lay in any one minute.
    most: u64,
    /// Of them, those that requests had used beyond their reservations.
    excess: u64,
    /// Tokens a minute, on average.
    mean: u64,
    admitted: usize,
    refused: u64,
    reports: u64,
    unavailable: u64,
}

/// Every client asks, waits for its answer or half a second, and asks again. A fifth of the streams are cut, and a
/// fifth use more than they reserved.
fn crowd(gateways: usize, minutes: u64) -> Outcome {
    let rules = rules(&format!(r#"[{{"name":"key","per":["key"],"limits":{{"tpm":{TPM}}}}}]"#));
    let mut fleet = Fleet::new(gateways, 2, rules, START);
    let mut dice = Dice(7);
    let start = fleet.now_ms;
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client { next_ms: start + dice.roll(2000), stream: None }).collect();
    let end = fleet.now_ms + minutes * 60_000;
    while fleet.now_ms < end {
        for client in &mut clients {
            if client.next_ms > fleet.now_ms {
                continue;
            }
            if let Some(stream) = client.stream.take() {
                if fleet.under_way().contains(&stream) {
                    fleet.finish(stream);
                }
                client.next_ms = fleet.now_ms + 100 + dice.roll(400);
                continue;
            }
            let reserved = WEIGHT + 60 + dice.roll(190);
            let used = match dice.roll(5) {
                0 => WEIGHT + dice.roll(reserved - WEIGHT),
                1 => reserved + dice.roll(40),
                _ => reserved - dice.roll(20),
            };
            let gateway = usize::try_from(dice.roll(gateways as u64)).unwrap();
            let worker = usize::try_from(dice.roll(2)).unwrap();
            let before = fleet.under_way();
            match fleet.request(gateway, worker, Need { reserved, used }) {
                Some(true) => {
                    client.stream = fleet.under_way().into_iter().find(|stream| !before.contains(stream));
                    client.next_ms = fleet.now_ms + 500 + dice.roll(4000);
                }
                Some(false) | None => client.next_ms = fleet.now_ms + 300 + dice.roll(500),
            }
        }
        // What waited and was admitted meanwhile is nobody's: its client has gone, and it ends by itself.
        let owned: Vec<_> = clients.iter().filter_map(|client| client.stream).collect();
        for stream in fleet.under_way() {
            if !owned.contains(&stream) && dice.roll(20) == 0 {
                fleet.finish(stream);
            }
        }
        fleet.pass(50);
    }
    outcome(&fleet, end, minutes)
}

fn outcome(fleet: &Fleet, end: u64, minutes: u64) -> Outcome {
    let begin = START * 1000;
    let within = |from: u64| fleet.spent.iter().filter(move |one| (from..from + 60_000).contains(&one.at_ms));
    let windows = (begin..=end.saturating_sub(60_000)).step_by(250);
    let (most, excess) = windows
        .map(|from| {
            let tokens = within(from).map(|one| one.charged()).sum::<u64>();
            (tokens, tokens - within(from).map(|one| one.within()).sum::<u64>())
        })
        .max()
        .unwrap();
    let total: u64 = fleet.spent.iter().map(|one| one.charged()).sum();
    Outcome {
        most,
        excess,
        mean: total / minutes,
        admitted: fleet.spent.len(),
        refused: fleet.refused,
        reports: fleet.reports,
        unavailable: fleet.unavailable,
    }
}

fn percent(part: u64, of: u64) -> f64 {
    f64::from(u32::try_from(part).unwrap()) * 100.0 / f64::from(u32::try_from(of).unwrap())
}

#[test]
fn a_crowd_uses_its_limit_and_no_more() {
    let whole = std::env::var_os("WEIR_LEDGER_CROWD").is_some();
    let fleets: &[usize] = if whole { &[1, 3] } else { &[3] };
    for gateways in fleets {
        let outcome = crowd(*gateways, 2);
        let over = outcome.most.saturating_sub(TPM);
        println!(
            "{gateways} gateways: most in a minute {} ({:+.1} % of the limit, {} of it beyond reservations), mean {} \
             ({:.1} %), {} admitted, {} refused, {} reports ({:.1} for 1000 requests)",
            outcome.most,
            percent(outcome.most, TPM) - 100.0,
            outcome.excess,
            outcome.mean,
            percent(outcome.mean, TPM),
            outcome.admitted,
            outcome.refused,
            outcome.reports,
            percent(outcome.reports * 10, u64::try_from(outcome.admitted).unwrap() + outcome.refused),
        );
        assert!(over <= outcome.excess, "{outcome:?}");
        assert!(outcome.mean >= TPM * 80 / 100, "{outcome:?}");
        assert_eq!(outcome.unavailable, 0, "{outcome:?}");
    }
}

/// Requests that fit: what it costs to ask the ledger where nothing is scarce.
#[test]
fn in_steady_state_the_ledger_is_asked_seldom() {
    let rules =
        rules(r#"[{"name":"key","per":["key"],"limits":{"rpm":1000000,"tokens_per_month":100000000}}]"#);
    let mut fleet = Fleet::new(3, 2, rules, START);
    let mut asked = 0;
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
    let calls = percent(fleet.reports * 10, asked);
    println!(
        "100 requests a second and gateway: {calls:.2} reports for 1000 requests, {} refused",
        fleet.refused
    );
    assert!(calls < 5.0, "{calls}");
    assert_eq!((fleet.refused, fleet.unavailable), (0, 0));
}
