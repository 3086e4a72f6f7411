//! What one counter has granted and to whom: pure arithmetic, with time as a parameter.
//!
//! Every limit obeys one rule: what is granted to all gateways together, or used by them where that is more, is at
//! most the limit. A gateway may use up to its *cap*. The cap is raised by the ledger alone and lowered by the gateway
//! alone, in its report, so no message in flight can make both believe that they have the same room:
//!
//! - an answer that is lost raised nothing, for the next report says the cap that the gateway really has;
//! - an answer with a lower cap is a wish, and its room is free only once the gateway has reported it.
//!
//! So for rates too: what a gateway used in its last minute is held against the limit until it has left that minute.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_schema::{
    Zone,
    ledger::{Counted, Granted, Granting, Held},
    quota::{Limit, Limits},
};

/// What one counter has granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What counts that are complete have used of budgets, and what was corrected by hand.
    #[serde(default)]
    settled: BTreeMap<Limit, Settled>,
    /// By gateway.
    #[serde(default)]
    nodes: BTreeMap<String, Node>,
}

/// What a counter is asked under.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The limits, as they are now.
    pub limits: &'a Limits,
    /// Whose days and months are meant.
    pub zone: &'a Zone,
}

/// What a limit has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which limit.
    pub limit: Limit,
    /// How much of it there is.
    pub most: u64,
    /// What is used.
    pub used: i64,
    /// What is granted beyond that, and may be used at any time.
    pub granted: u64,
    /// The second at which the period ends; 0 where there are no periods.
    pub until: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    until: u64,
    amount: i64,
}

/// What a gateway has reported last, and was granted then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    sequence: u64,
    since: u64,
    /// The second from which on its rates are no longer granted.
    expires: u64,
    limits: BTreeMap<Limit, Held>,
    /// What it used of budgets between its last reports.
    #[serde(default)]
    pace: BTreeMap<Limit, u64>,
}

impl Account {
    /// Takes a report and answers it; `None` to one that came before, or out of turn.
    pub fn renew(
        &mut self,
        terms: Terms<'_>,
        (node, sequence): (&str, u64),
        counted: &Counted,
        now: u64,
    ) -> Option<(Granting, Pace)> {
        self.forget(now);
        if self.nodes.get(node).is_some_and(|known| known.sequence >= sequence) {
            return None;
        }
        self.take((node, sequence), counted, now);
        let mut limits = BTreeMap::new();
        let (mut pace, mut valid) = (Pace::Calm, SLICE_SECS);
        for limit in Limit::ALL {
            let Some(most) = limit.of(terms.limits) else { continue };
            let until = self.period(limit, terms.zone, now);
            let (granted, limits_pace) = self.grant(node, (limit, most, until), counted.waiting, now);
            pace = pace.max(limits_pace);
            if limit.is_budget() {
                valid = valid.min(until.saturating_sub(now)).max(1);
            }
            limits.insert(limit, granted);
        }
        let others = self.live(node, now);
        if let Some(known) = self.nodes.get_mut(node) {
            known.expires = now.saturating_add(SLICE_SECS).saturating_add(MARGIN_SECS);
        }
        self.merge_silent(now);
        let granting = Granting {
            counter: counted.counter.clone(),
            valid_secs: u32::try_from(valid).unwrap_or(u32::MAX),
            nodes: u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1),
            limits,
        };
        Some((granting, pace))
    }

    /// What its limits have come to.
    pub fn standing(&self, terms: Terms<'_>, now: u64) -> Vec<Standing> {
        let mut at = self.clone();
        at.forget(now);
        let of = |limit: Limit| {
            let (most, until) = (limit.of(terms.limits)?, at.period(limit, terms.zone, now));
            let held = at.held(limit, until);
            let used = held.clone().fold(0_u64, |sum, held| sum.saturating_add(held.used));
            let granted =
                held.fold(0_u64, |sum, held| sum.saturating_add(held.cap.saturating_sub(held.used)));
            let used = narrow(i128::from(used).saturating_add(at.settled(limit, until)));
            Some(Standing { limit, most, used, granted, until })
        };
        Limit::ALL.into_iter().filter_map(of).collect()
    }

    /// Adds to what is used of a budget in the period that runs.
    pub fn adjust(&mut self, limit: Limit, by: i64, zone: &Zone, now: u64) {
        self.forget(now);
        let until = self.period(limit, zone, now);
        let settled = self.settled.entry(limit).or_insert(Settled { until, amount: 0 });
        settled.amount = settled.amount.saturating_add(by);
    }

    /// Whether nothing of it is needed any more.
    pub fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.nodes.is_empty()
    }

    /// The second at which nothing of it is needed any more, if no more reports come.
    pub fn ends(&self) -> u64 {
        let settled = self.settled.values().map(|settled| settled.until);
        let held = self.nodes.values().flat_map(|node| {
            let rates = node.expires.saturating_add(MINUTE_SECS);
            node.limits.values().map(move |held| held.until.max(rates))
        });
        settled.chain(held).max().unwrap_or(0)
    }

    /// Forgets what no longer counts: periods that are over, and what silent gateways had of rates. What they have of
    /// budgets stays charged, used or not, until they say otherwise.
    fn forget(&mut self, now: u64) {
        self.settled.retain(|_, settled| settled.until > now);
        self.nodes.retain(|_, node| {
            let expires = node.expires;
            node.limits.retain(|limit, held| match limit {
                Limit::Rpm | Limit::Tpm => expires.saturating_add(MINUTE_SECS) > now,
                Limit::Concurrency => expires > now,
                Limit::TokensPerDay | Limit::TokensPerMonth | Limit::CostPerMonth => held.until > now,
            });
            !node.limits.is_empty()
        });
    }

    /// Replaces what is known of a gateway by what it says.
    fn take(&mut self, (node, sequence): (&str, u64), counted: &Counted, now: u64) {
        let mut pace = BTreeMap::new();
        if let Some(before) = self.nodes.remove(node) {
            if before.since == counted.since {
                pace = before.pace_until(&counted.limits);
            } else {
                // It has given back all that it did not use.
                self.settle(&before, |held| held.used);
            }
        }
        let mut limits = counted.limits.clone();
        // A period that is over, or not known yet, has nothing but the need for one.
        for (_, held) in limits.iter_mut().filter(|(limit, held)| limit.is_budget() && held.until <= now) {
            *held = Held { need: held.need, ..Held::default() };
        }
        let known = Node { sequence, since: counted.since, expires: now, limits, pace };
        self.nodes.insert(node.to_owned(), known);
    }

    /// How far a gateway may go: an even share of what is left, one share being kept for whoever comes, or what it
    /// needs at least. Where a share is too little to be of use, what is left is kept together for those who wait.
    fn grant(
        &mut self,
        node: &str,
        (limit, most, until): (Limit, u64, u64),
        waiting: bool,
        now: u64,
    ) -> (Granted, Pace) {
        let settled = self.settled(limit, until);
        let (mut used, mut taken) = (settled, settled);
        // Itself, and whoever comes.
        let mut sharers = 2_i128;
        for (_, other) in self.nodes.iter().filter(|(name, _)| *name != node) {
            let Some(held) = other.limits.get(&limit).filter(|held| held.until == until) else { continue };
            used = used.saturating_add(held.used.into());
            taken = taken.saturating_add(held.used.max(held.cap).into());
            sharers = sharers.saturating_add((other.expires > now).into());
        }
        let Some(known) = self.nodes.get_mut(node) else { return (Granted::default(), Pace::Calm) };
        let mine = known.limits.entry(limit).or_default();
        if mine.until != until {
            *mine = Held { until, need: mine.need, ..Held::default() };
        }
        let room = i128::from(most).saturating_sub(taken).saturating_sub(mine.used.into());
        let (mut fair, need) = (room.checked_div(sharers).unwrap_or(room), i128::from(mine.need));
        let scarce = need > 0 && sharers > 2 && fair < need.saturating_mul(SCARCE);
        if limit.is_budget() {
            // What is in hand when a gateway dies stays charged.
            let pace = known.pace.get(&limit).copied().unwrap_or(0);
            let enough = pace.saturating_mul(AHEAD).max(mine.need.saturating_mul(AT_LEAST));
            fair = fair.min(enough.into());
        }
        let slack = match () {
            () if need == 0 => 0,
            () if fair >= need => fair,
            () if waiting && room >= need => need,
            () => 0,
        };
        let cap = mine.used.saturating_add(u64::try_from(slack).unwrap_or(0));
        mine.cap = mine.cap.max(cap);
        let granted = Granted { cap, others: narrow(used), until };
        (granted, if scarce { Pace::Scarce } else { Pace::Calm })
    }

    /// The end of the period that runs. One that has begun goes on as it began, whatever the time zone is now.
    fn period(&self, limit: Limit, zone: &Zone, now: u64) -> u64 {
        if !limit.is_budget() {
            return 0;
        }
        // Tokens and money of a month have one period.
        let same = |other: &Limit| match other {
            Limit::Rpm | Limit::Tpm | Limit::Concurrency => false,
            Limit::TokensPerDay => limit == Limit::TokensPerDay,
            Limit::TokensPerMonth | Limit::CostPerMonth => limit != Limit::TokensPerDay,
        };
        let held = self.nodes.values().flat_map(|node| &node.limits).filter(|(of, _)| same(of));
        let settled = self.settled.iter().filter(|(of, _)| same(of));
        let ends = held.map(|(_, held)| held.until).chain(settled.map(|(_, settled)| settled.until));
        ends.filter(|until| *until > now).min().unwrap_or_else(|| limit.end_of_period(zone, now))
    }

    fn held(&self, limit: Limit, until: u64) -> impl Iterator<Item = Held> + Clone {
        let held = self.nodes.values().filter_map(move |node| node.limits.get(&limit).copied());
        held.filter(move |held| held.until == until)
    }

    fn settled(&self, limit: Limit, until: u64) -> i128 {
        let settled = self.settled.get(&limit).filter(|settled| settled.until == until);
        settled.map_or(0, |settled| settled.amount.into())
    }

    /// Keeps what a gateway has of budgets when it is no longer known by itself.
    fn settle(&mut self, node: &Node, charged: impl Fn(&Held) -> u64) {
        for (limit, held) in node.limits.iter().filter(|(limit, held)| limit.is_budget() && held.until > 0) {
            let begun = Settled { until: held.until, amount: 0 };
            let settled = self.settled.entry(*limit).or_insert(begun);
            if settled.until < held.until {
                *settled = begun;
            }
            let amount = i64::try_from(charged(held)).unwrap_or(i64::MAX);
            settled.amount = settled.amount.saturating_add(amount);
        }
    }

    /// How many gateways but this one have slices.
    fn live(&self, node: &str, now: u64) -> usize {
        self.nodes.iter().filter(|(name, other)| *name != node && other.expires > now).count()
    }

    /// Of many gateways, merges those that have been silent for longest.
    fn merge_silent(&mut self, now: u64) {
        while self.nodes.len() > MANY_NODES {
            let oldest = self.nodes.iter().min_by_key(|(_, node)| node.expires);
            let Some((name, expires)) = oldest.map(|(name, node)| (name.clone(), node.expires)) else {
                return;
            };
            if self.nodes.len() <= MOST_NODES && expires.saturating_add(SILENT_SECS) > now {
                return;
            }
            if let Some(node) = self.nodes.remove(&name) {
                self.settle(&node, |held| held.used.max(held.cap));
            }
        }
    }
}

impl Node {
    /// What it has used until a report that says this.
    fn pace_until(&self, limits: &BTreeMap<Limit, Held>) -> BTreeMap<Limit, u64> {
        let pace = |(limit, now): (&Limit, &Held)| {
            let before =
                self.limits.get(limit).filter(|before| before.until == now.until && limit.is_budget())?;
            let last = self.pace.get(limit).copied().unwrap_or(0);
            // Reports that follow each other at once do not say that little is used.
            Some((*limit, now.used.saturating_sub(before.used).max(last.saturating_sub(last / 4))))
        };
        limits.iter().filter_map(pace).collect()
    }
}

/// How soon a report is worth while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// There is enough for everyone.
    Calm,
    /// Others may be waiting for what is not used.
    Scarce,
}

impl Pace {
    /// In how many milliseconds the next report is due.
    pub fn millis(self) -> u32 {
        match self {
            Self::Calm => 3_000,
            Self::Scarce => 250,
        }
    }
}

fn narrow(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

/// For how long rates are granted.
pub const SLICE_SECS: u64 = 10;
/// How long after that the ledger still holds them granted: a call's time and the rounding of two clocks.
const MARGIN_SECS: u64 = 3;
/// How long what was used may lie in somebody's last minute.
const MINUTE_SECS: u64 = 62;
/// Below this many requests for each gateway a limit is scarce.
const SCARCE: i128 = 8;
/// Of a budget a gateway has in hand what it uses between so many reports,
const AHEAD: u64 = 4;
/// or so many requests.
const AT_LEAST: u64 = 8;
/// With more gateways than this, those that have been silent for [`SILENT_SECS`] are no longer told apart.
const MANY_NODES: usize = 64;
/// How many gateways are told apart at all.
const MOST_NODES: usize = 1024;
const SILENT_SECS: u64 = 3600;
