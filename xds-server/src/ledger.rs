//! The ledger: it grants gateways slices of their quotas, and is told what was used of them.
//!
//! ```text
//! quota filter ── Report ──► service ──► answer(accounts, rules, report, now) ──► book: saved ──► Answer
//! ```
//!
//! `account` has all of the arithmetic and knows nothing else.

pub mod account;

use std::collections::BTreeMap;

use weir_schema::{
    ledger::{Answer, CounterName, Report},
    quota::{Dimension, Rule},
};

use account::{Account, Pace, Terms};

/// Accounts by counter.
pub type Accounts = BTreeMap<CounterName, Account>;

/// The rule that a counter is under. Of several of one name it is the one that lists what the counter is of.
pub fn rule<'a>(rules: &'a [Rule], counter: &CounterName) -> Option<&'a Rule> {
    let listed = |rule: &Rule| {
        counter.per.iter().all(|(dimension, value)| {
            let among = |names: &std::collections::BTreeSet<weir_schema::Name>| {
                names.is_empty() || names.iter().any(|name| name.as_str() == value)
            };
            let selector = &rule.selector;
            match dimension {
                Dimension::Domain => among(&selector.domains),
                Dimension::Consumer => selector.consumers.as_ref().is_none_or(among),
                Dimension::Key => among(&selector.keys),
                Dimension::Model => among(&selector.routes),
                Dimension::Provider => among(&selector.providers),
            }
        })
    };
    let mut named = rules.iter().filter(|rule| rule.name == counter.rule);
    let first = named.clone().next()?;
    Some(named.find(|rule| listed(rule)).unwrap_or(first))
}

/// What is said to a report. `accounts` has those that the report names, as far as there are any.
pub fn answer(accounts: &mut Accounts, rules: &[Rule], report: &Report, now: u64) -> Answer {
    let node = format!("{}/{:x}", report.node, report.epoch);
    let mut pace = Pace::Calm;
    let mut granted = Vec::new();
    for counted in &report.counters {
        let Some(rule) = rule(rules, &counted.counter) else { continue };
        let terms = Terms { limits: &rule.limits, zone: &rule.timezone };
        let account = accounts.entry(counted.counter.clone()).or_default();
        if let Some((granting, its_pace)) = account.renew(terms, (&node, report.sequence), counted, now) {
            pace = pace.max(its_pace);
            granted.push(granting);
        }
    }
    Answer { sequence: report.sequence, next_ms: pace.millis(), counters: granted }
}
