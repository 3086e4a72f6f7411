//! The ledger: it grants gateways slices of their quotas, and is told what was used of them.
//!
//! ```text
//! quota filter ── Report ──► service ──► book: renew(account), saved ──► Answer
//! ```
//!
//! `account` has all of the arithmetic and knows nothing else. `book` keeps accounts: in this process, with SQLite
//! under it (`local`), or in Redis for several processes (`shared`).

pub mod account;
pub mod book;
pub mod local;
pub mod service;
pub mod shared;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use weir_schema::{
    Name,
    ledger::{Answer, CounterName, Granting, Report},
    quota::{Dimension, Rule},
};

use account::{Account, Pace, Terms};

/// Accounts by counter.
pub type Accounts = BTreeMap<CounterName, Account>;

/// The rule that a counter is under. Of several of one name it is the one that lists what the counter is of.
pub fn rule<'a>(rules: &'a [Rule], counter: &CounterName) -> Option<&'a Rule> {
    let listed = |rule: &&Rule| {
        counter.per.iter().all(|(dimension, value)| {
            let among =
                |names: &BTreeSet<Name>| names.is_empty() || names.iter().any(|name| name.as_str() == value);
            let selector = &rule.selector;
            match dimension {
                Dimension::Domain => among(&selector.domains),
                Dimension::Consumer => selector.consumers.as_ref().is_none_or(among),
                Dimension::Key => among(&selector.keys),
                Dimension::Model => among(&selector.routes),
                Dimension::Provider => among(&selector.providers),
                Dimension::McpServer => among(&selector.mcp_servers),
                Dimension::Tool => {
                    selector.tools.is_empty() || selector.tools.iter().any(|tools| tools.matches(value))
                }
            }
        })
    };
    let mut named = rules.iter().filter(|rule| rule.name == counter.rule);
    let first = named.clone().next()?;
    Some(named.find(listed).unwrap_or(first))
}

/// The terms of a rule.
pub fn terms(rule: &Rule) -> Terms<'_> {
    Terms { limits: &rule.limits, zone: &rule.timezone }
}

/// What is said to one counter of a report; `None` if nothing is.
pub fn renew(
    account: &mut Account,
    rules: &[Rule],
    (report, at): (&Report, usize),
    now: u64,
) -> Option<(Granting, Pace)> {
    let counted = report.counters.get(at)?;
    let rule = rule(rules, &counted.counter)?;
    let node = format!("{}/{:x}", report.node, report.epoch);
    account.renew(terms(rule), (&node, report.sequence), counted, now)
}

/// The answer to a report, from what is said to its counters.
pub fn answer(sequence: u64, granted: impl IntoIterator<Item = (Granting, Pace)>) -> Answer {
    let (counters, paces): (Vec<_>, Vec<_>) = granted.into_iter().unzip();
    let pace = paces.into_iter().max().unwrap_or(Pace::Calm);
    Answer { sequence, next_ms: pace.millis(), counters }
}

/// Where gateways report.
pub const PATH: &str = "/v1/ledger";
