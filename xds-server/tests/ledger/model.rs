//! Random schedules with lost, repeated and late messages, deaths and restarts.

use proptest::prelude::*;
use weir_schema::quota::Limit;

use crate::fleet::{Fleet, Need, WEIGHT, rules};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Pass(u64),
    Ask { gateway: usize, worker: usize, reserved: u64, used: u64 },
    Finish(usize),
    Deliver(usize),
    Bring(usize),
    Lose(usize),
    Repeat(usize),
    Kill(usize),
    Trap(usize, usize),
    RestartLedger,
}

const GATEWAYS: usize = 3;
const WORKERS: usize = 2;
/// The fifteenth of a month, at noon.
const START: u64 = 1_700_049_600;

pub(crate) fn steps(with_deaths: bool) -> impl Strategy<Value = Vec<Step>> {
    let deaths = u32::from(with_deaths);
    let step = prop_oneof![
        8 => (1..4000_u64).prop_map(Step::Pass),
        20 => (0..GATEWAYS, 0..WORKERS, 10..60_u64, 0..90_u64)
            .prop_map(|(gateway, worker, reserved, used)| Step::Ask { gateway, worker, reserved, used }),
        12 => any::<usize>().prop_map(Step::Finish),
        24 => (0..GATEWAYS).prop_map(Step::Deliver),
        24 => (0..GATEWAYS).prop_map(Step::Bring),
        4 => (0..GATEWAYS).prop_map(Step::Lose),
        6 => any::<usize>().prop_map(Step::Repeat),
        deaths => (0..GATEWAYS).prop_map(Step::Kill),
        deaths => (0..GATEWAYS, 0..WORKERS).prop_map(|(gateway, worker)| Step::Trap(gateway, worker)),
        2 => Just(Step::RestartLedger),
    ];
    prop::collection::vec(step, 1..250)
}

fn take(fleet: &mut Fleet, step: Step) {
    match step {
        Step::Pass(millis) => fleet.pass(millis),
        Step::Ask { gateway, worker, reserved, used } => {
            fleet.request(gateway, worker, Need { reserved: reserved + WEIGHT, used: used + WEIGHT });
        }
        Step::Finish(which) => {
            let all = fleet.under_way();
            if let Some(at) = which.checked_rem(all.len()) {
                fleet.finish(all[at]);
            }
        }
        Step::Deliver(gateway) => fleet.deliver(gateway),
        Step::Bring(gateway) => fleet.bring(gateway),
        Step::Lose(gateway) => fleet.fail(gateway),
        Step::Repeat(which) => fleet.repeat(which),
        Step::Kill(gateway) => fleet.kill(gateway),
        Step::Trap(gateway, worker) => fleet.trap(gateway, worker),
        Step::RestartLedger => fleet.restart_ledger(),
    }
}

/// At most the limit is admitted, counting of each request what it had reserved at most.
fn check(fleet: &Fleet, (rpm, tpm, budget): (usize, u64, u64)) -> Result<(), TestCaseError> {
    let minute = fleet.spent.iter().filter(|one| one.at_ms + 60_000 > fleet.now_ms);
    prop_assert!(minute.clone().count() <= rpm, "{} requests", minute.count());
    let tokens: u64 = minute.map(|one| one.within()).sum();
    prop_assert!(tokens <= tpm, "{tokens} tokens in a minute");
    let all: u64 = fleet.spent.iter().map(|one| one.within()).sum();
    prop_assert!(all <= budget, "{all} tokens in a month");
    Ok(())
}

pub(crate) fn fleet(rpm: usize, tpm: u64, budget: u64) -> Fleet {
    let rules = rules(&format!(
        r#"[{{"name":"rate","per":["key"],"limits":{{"rpm":{rpm},"tpm":{tpm}}},"on_ledger_loss":"deny"}},
            {{"name":"budget","limits":{{"tokens_per_month":{budget}}}}}]"#
    ));
    let mut fleet = Fleet::new(GATEWAYS, WORKERS, rules, START);
    fleet.latency_ms = None;
    fleet
}

/// Lets every request end and every message arrive.
fn settle(fleet: &mut Fleet) {
    fleet.latency_ms = Some(2);
    for _ in 0..3 {
        fleet.pass(5_000);
        for stream in fleet.under_way() {
            fleet.finish(stream);
        }
    }
    fleet.pass(30_000);
}

/// Whatever happens, no more is admitted than the limit, and what is reserved is charged.
pub(crate) fn admits_no_more(
    mut fleet: Fleet,
    steps: Vec<Step>,
    limits: (usize, u64, u64),
) -> Result<(), TestCaseError> {
    for step in steps {
        take(&mut fleet, step);
        check(&fleet, limits)?;
    }
    settle(&mut fleet);
    check(&fleet, limits)?;
    prop_assert_eq!(fleet.waiting(), 0);
    // Whatever died, nothing that was reserved is forgotten, and no more is charged than there is. What a request
    // used beyond its reservation is forgotten if its gateway dies before it has reported that.
    if fleet.accounts.is_empty() {
        return Ok(());
    }
    let spent: u64 = fleet.spent.iter().map(|one| one.within()).sum();
    if let Some(standing) =
        fleet.accounts.keys().any(|name| name.rule.as_str() == "budget").then(|| fleet.standing("budget")[0])
    {
        let charged = u64::try_from(standing.used).unwrap() + standing.granted;
        prop_assert!(charged >= spent, "{charged} of {spent}");
        let excess: u64 = fleet.spent.iter().map(|one| one.charged() - one.within()).sum();
        prop_assert!(charged <= limits.2 + excess, "{charged} of {}", limits.2);
    }
    Ok(())
}

/// If nobody dies, what is granted is spent or comes back.
pub(crate) fn gives_back(mut fleet: Fleet, steps: Vec<Step>, budget: u64) -> Result<(), TestCaseError> {
    for step in steps {
        take(&mut fleet, step);
    }
    settle(&mut fleet);
    prop_assert_eq!(fleet.waiting(), 0);
    if fleet.spent.is_empty() {
        return Ok(());
    }
    let spent: u64 = fleet.spent.iter().map(|one| one.need.used).sum();
    let standing = fleet.standing("budget")[0];
    prop_assert_eq!(standing.limit, Limit::TokensPerMonth);
    prop_assert_eq!((standing.used, standing.granted), (i64::try_from(spent).unwrap(), 0));
    // And it can be used.
    if spent + 20 <= budget {
        fleet.request(0, 0, Need { reserved: 15, used: 15 });
        fleet.pass(1000);
        prop_assert_eq!(fleet.under_way().len(), 1);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_admits_more_than_the_limit(
        steps in steps(true),
        limits in (1..30_usize, 70..900_u64, 70..4000_u64),
    ) {
        admits_no_more(fleet(limits.0, limits.1, limits.2), steps, limits)?;
    }

    #[test]
    fn what_is_granted_is_spent_or_given_back(steps in steps(false), budget in 70..4000_u64) {
        gives_back(fleet(1000, 100_000, budget), steps, budget)?;
    }
}
/// Few, unless `WEIR_LEDGER_CASES` says how many.
fn cases() -> u32 {
    std::env::var("WEIR_LEDGER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100)
}
