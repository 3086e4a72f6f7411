//! Reserving for one request under every rule, or under none; and settling it.

use weir_core::{Cx, Flow, Metric, Reply};
use weir_schema::quota::Rule;

use crate::book::{self, BookError, CounterId};
use crate::counter::{Ask, Counter, Load, Loss, Measure, Obstacle, Refusal, Reservation, Terms, measure};
use crate::estimate::Estimate;
use crate::filter::{
    BUDGET_SPENT, Quota, RATE_LIMITED, SHADOW_REFUSED, UNAVAILABLE, UNIDENTIFIED, UNSETTLED,
};
use crate::ledger::Ledger;
use crate::reply;
use crate::rule::{self, Caller, Unidentified};
use crate::way::Way;

/// What one rule has reserved for a request.
#[derive(Debug)]
pub(crate) struct Held {
    counter: CounterId,
    reservation: Reservation,
}

/// What comes of a request that wants to be admitted.
pub(crate) enum Verdict<'a> {
    /// It has reserved.
    Admitted(Vec<Held>, Way, Vec<(&'a Rule, Counter)>),
    /// It is answered.
    Refused(Flow),
    /// It has reserved nothing, and waits until these have other slices.
    Uncovered(Vec<CounterId>),
}

/// What rules have reserved.
#[derive(Debug, Default)]
pub(crate) struct Taken<'a> {
    pub(crate) held: Vec<Held>,
    standings: Vec<(&'a Rule, Counter)>,
    uncovered: Vec<CounterId>,
}

/// What is in a request's way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum No<'a> {
    /// A limit of a rule is used up.
    Limit(&'a Rule, Refusal),
    /// Nobody knows what is left.
    Unknown,
    /// Nobody knows who is calling.
    Unidentified,
}

/// What one rule says to a request.
enum Answer {
    NotForIt,
    Reserved(Held, Box<Counter>),
    Uncovered(CounterId),
}

/// How a request asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It waits for what it needs.
    Patient,
    /// It has waited long enough, and goes on as if the ledger were lost.
    HasWaited,
    /// It has been sent already, and is charged whatever the limits are.
    Sent,
}

impl No<'_> {
    /// Of two the one that goes away sooner.
    pub(crate) fn or_sooner(self, other: Self) -> Self {
        let wait = |no: &Self| match no {
            Self::Limit(_, refusal) => (0, refusal.retry_secs.unwrap_or(u64::MAX)),
            Self::Unknown => (1, 0),
            Self::Unidentified => (2, 0),
        };
        if wait(&other) < wait(&self) { other } else { self }
    }

    fn answer(self, cx: &mut Cx<'_>) -> Flow {
        match self {
            Self::Limit(rule, refusal) => {
                cx.count(match measure(refusal.limit) {
                    Measure::Requests | Measure::Tokens => RATE_LIMITED,
                    Measure::Budget => BUDGET_SPENT,
                });
                Flow::Reply(reply::refused(rule, refusal))
            }
            Self::Unknown => refuse(cx, UNAVAILABLE, reply::unknown()),
            Self::Unidentified => unidentified(cx),
        }
    }
}

/// Reserves under every rule, or under none. One that has `waited` long enough goes on as if the ledger were lost.
pub(crate) fn admit<'a>(
    cx: &mut Cx<'_>,
    filter: &'a Quota,
    caller: &Caller,
    estimate: Estimate,
    waited: bool,
) -> Verdict<'a> {
    let by_target = |rule: &&Rule| !caller.targets.is_empty() && rule::is_of_providers(rule);
    let rules = filter.config.rules.iter().filter(|rule| !by_target(rule));
    let taken = match take(cx, filter, rules, caller, estimate, waited) {
        Ok(taken) => taken,
        Err(no) => return Verdict::Refused(no.answer(cx)),
    };
    let Taken { held, mut standings, mut uncovered } = taken;
    let way = match Way::find(cx, filter, caller, estimate, waited) {
        Ok((way, there)) => {
            standings.extend(there.standings);
            uncovered.extend(there.uncovered);
            way
        }
        Err(no) => {
            release(cx, filter, &held);
            return Verdict::Refused(no.answer(cx));
        }
    };
    if uncovered.is_empty() {
        return Verdict::Admitted(held, way, standings);
    }
    release(cx, filter, &held);
    way.release(cx, filter);
    Verdict::Uncovered(uncovered)
}

/// Reserves under some rules, or under none of them.
pub(crate) fn take<'a>(
    cx: &mut Cx<'_>,
    filter: &'a Quota,
    rules: impl Iterator<Item = &'a Rule>,
    caller: &Caller,
    estimate: Estimate,
    waited: bool,
) -> Result<Taken<'a>, No<'a>> {
    let manner = if waited { Manner::HasWaited } else { Manner::Patient };
    let mut taken = Taken::default();
    for rule in rules {
        match reserve(cx, filter, rule, caller, estimate, manner) {
            Ok(Answer::NotForIt) => {}
            Ok(Answer::Reserved(one, counter)) => {
                taken.held.push(one);
                taken.standings.push((rule, *counter));
            }
            Ok(Answer::Uncovered(counter)) => taken.uncovered.push(counter),
            Err(no) => {
                release(cx, filter, &taken.held);
                return Err(no);
            }
        }
    }
    Ok(taken)
}

/// Charges what is expected of a request that has been sent, under the rules about providers.
pub(crate) fn charge(cx: &mut Cx<'_>, filter: &Quota, caller: &Caller, estimate: Estimate) -> Vec<Held> {
    let mut held = Vec::new();
    for rule in filter.config.rules.iter().filter(|rule| rule::is_of_providers(rule)) {
        match reserve(cx, filter, rule, caller, estimate, Manner::Sent) {
            Ok(Answer::Reserved(one, _)) => held.push(one),
            Ok(Answer::NotForIt) => {}
            Ok(Answer::Uncovered(_)) | Err(_) => cx.count(UNSETTLED),
        }
    }
    held
}

/// Whether a rule would let a request pass, as far as is known here.
pub(crate) fn has_room(
    cx: &Cx<'_>,
    filter: &Quota,
    rule: &Rule,
    caller: &Caller,
    estimate: Estimate,
) -> bool {
    let (config, now) = (&filter.config, cx.now());
    if rule.shadow || rule::applies(rule, caller) != Ok(true) {
        return true;
    }
    let Ok(name) = rule::counter(rule, caller) else { return true };
    let id = CounterId::of(name.to_text().split('\0'));
    let load = rule::expected(rule, rule::prices(config, caller), estimate);
    let terms = terms(rule, filter);
    let looked = book::change(cx.store(), config.groups.get(), id, now.seconds(), |counter| {
        let mut counter = counter.clone();
        let is_full = if filter.ledger.is_some() {
            let ask = Ask { terms, name: &name, loss: None, load, now: now.nanos() };
            matches!(counter.ask(ask, false).0, Err(Obstacle::Refused(_)))
        } else {
            counter.reserve(terms, load, now.seconds()).is_err()
        };
        // Nothing is changed.
        Err::<(), _>(is_full)
    });
    !matches!(looked, Ok(Err(true)))
}

fn terms<'a>(rule: &'a Rule, filter: &Quota) -> Terms<'a> {
    Terms { limits: &rule.limits, zone: &rule.timezone, lease_secs: filter.config.lease_secs.get().into() }
}

/// Reserves under one rule, if it is for this caller.
fn reserve<'a>(
    cx: &mut Cx<'_>,
    filter: &Quota,
    rule: &'a Rule,
    caller: &Caller,
    estimate: Estimate,
    manner: Manner,
) -> Result<Answer, No<'a>> {
    let (config, now) = (&filter.config, cx.now());
    let asked = rule::applies(rule, caller)
        .and_then(|applies| if applies { rule::counter(rule, caller).map(Some) } else { Ok(None) });
    let name = match asked {
        Ok(Some(name)) => name,
        Ok(None) => return Ok(Answer::NotForIt),
        Err(Unidentified) => return Err(No::Unidentified),
    };
    let id = CounterId::of(name.to_text().split('\0'));
    let load = rule::expected(rule, rule::prices(config, caller), estimate);
    let terms = terms(rule, filter);
    let anyway = rule.shadow || manner == Manner::Sent;
    let done = if filter.ledger.is_some() {
        let ask = Ask {
            terms,
            name: &name,
            loss: (manner == Manner::HasWaited).then_some(Loss(rule.on_ledger_loss)),
            load,
            now: now.nanos(),
        };
        let first = ask_ledger(cx, filter, id, ask, anyway);
        if ask.loss.is_none() && matches!(first, Ok((Err(Obstacle::Uncovered), _))) && Ledger::is_lost(cx) {
            let ask = Ask { loss: Some(Loss(rule.on_ledger_loss)), ..ask };
            ask_ledger(cx, filter, id, ask, anyway)
        } else {
            first
        }
    } else {
        let now = now.seconds();
        let alone = book::change(cx.store(), config.groups.get(), id, now, |counter| {
            let reserved = match counter.reserve(terms, load, now) {
                Err(_) if anyway => (counter.charge(terms, load, now), true),
                reserved => (reserved?, false),
            };
            Ok::<_, Refusal>((reserved, counter.clone()))
        });
        alone.map(|reserved| match reserved {
            Ok((reserved, counter)) => (Ok(reserved), Some(counter)),
            Err(refusal) => (Err(Obstacle::Refused(refusal)), None),
        })
    };
    match done {
        Ok((Ok((reservation, passed_over)), counter)) => {
            if passed_over && rule.shadow {
                cx.count(SHADOW_REFUSED);
            }
            let held = Held { counter: id, reservation };
            Ok(Answer::Reserved(held, Box::new(counter.unwrap_or_default())))
        }
        Ok((Err(Obstacle::Refused(refusal)), _)) => Err(No::Limit(rule, refusal)),
        Ok((Err(Obstacle::Uncovered), _)) => Ok(Answer::Uncovered(id)),
        Err(_) if rule.shadow => {
            cx.count(UNAVAILABLE);
            Ok(Answer::NotForIt)
        }
        Ok((Err(Obstacle::Lost), _)) | Err(_) => Err(No::Unknown),
    }
}

type Asked = (Result<(Reservation, bool), Obstacle>, Option<Counter>);

/// Asks under what the ledger has granted; a counter that is new to it is listed.
fn ask_ledger(
    cx: &Cx<'_>,
    filter: &Quota,
    id: CounterId,
    ask: Ask<'_>,
    shadow: bool,
) -> Result<Asked, BookError> {
    let groups = filter.config.groups.get();
    let asked = book::change(cx.store(), groups, id, cx.now().seconds(), |counter| {
        let (result, news) = counter.ask(ask, shadow);
        let standing = result.is_ok().then(|| counter.clone());
        Ok::<_, Refusal>((result, standing, news))
    })?;
    let Ok((result, standing, news)) = asked else { return Err(BookError::Broken) };
    if news {
        book::list(cx.store(), groups, id).map_err(BookError::Store)?;
    }
    Ok((result, standing))
}

fn release(cx: &mut Cx<'_>, filter: &Quota, held: &[Held]) {
    for one in held {
        settle(cx, filter, one, Load::default());
    }
}

/// Replaces what was reserved by what was used.
pub(crate) fn settle(cx: &mut Cx<'_>, filter: &Quota, held: &Held, used: Load) {
    let (groups, now) = (filter.config.groups.get(), cx.now().seconds());
    let done = book::change(cx.store(), groups, held.counter, now, |counter| {
        counter.settle(&held.reservation, used, now);
        Ok::<_, Refusal>(counter.list())
    });
    match done {
        Ok(Ok(true)) if book::list(cx.store(), groups, held.counter).is_err() => cx.count(UNSETTLED),
        Ok(_) => {}
        Err(_) => cx.count(UNSETTLED),
    }
}

pub(crate) fn unidentified(cx: &mut Cx<'_>) -> Flow {
    refuse(cx, UNIDENTIFIED, Reply::fault())
}

fn refuse(cx: &mut Cx<'_>, why: Metric, reply: Reply) -> Flow {
    cx.count(why);
    Flow::Reply(reply)
}
