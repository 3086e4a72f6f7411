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

/// What one rule has reserved for a request.
#[derive(Debug)]
pub(crate) struct Held {
    counter: CounterId,
    reservation: Reservation,
}

/// What comes of a request that wants to be admitted.
pub(crate) enum Verdict<'a> {
    /// It has reserved.
    Admitted(Vec<Held>, Vec<(&'a Rule, Counter)>),
    /// It is answered.
    Refused(Flow),
    /// It has reserved nothing, and waits until these have other slices.
    Uncovered(Vec<CounterId>),
}

/// What one rule says to a request.
enum Answer {
    NotForIt,
    Reserved(Held, Box<Counter>),
    Uncovered(CounterId),
}

/// Reserves under every rule, or under none. One that has `waited` long enough goes on as if the ledger were lost.
pub(crate) fn admit<'a>(
    cx: &mut Cx<'_>,
    filter: &'a Quota,
    caller: &Caller,
    estimate: Estimate,
    waited: bool,
) -> Verdict<'a> {
    let (mut held, mut standings, mut uncovered) = (Vec::new(), Vec::new(), Vec::new());
    let mut refused = None;
    for rule in &filter.config.rules {
        match reserve(cx, filter, rule, caller, estimate, waited) {
            Ok(Answer::NotForIt) => {}
            Ok(Answer::Reserved(one, counter)) => {
                held.push(one);
                standings.push((rule, *counter));
            }
            Ok(Answer::Uncovered(counter)) => uncovered.push(counter),
            Err(flow) => {
                refused = Some(flow);
                break;
            }
        }
    }
    if refused.is_some() || !uncovered.is_empty() {
        for one in &held {
            settle(cx, filter, one, Load::default());
        }
    }
    match refused {
        Some(flow) => Verdict::Refused(flow),
        None if uncovered.is_empty() => Verdict::Admitted(held, standings),
        None => Verdict::Uncovered(uncovered),
    }
}

/// Reserves under one rule, if it is for this caller. `Err` is the answer to the request.
fn reserve(
    cx: &mut Cx<'_>,
    filter: &Quota,
    rule: &Rule,
    caller: &Caller,
    estimate: Estimate,
    waited: bool,
) -> Result<Answer, Flow> {
    let (config, now) = (&filter.config, cx.now());
    let asked = rule::applies(rule, caller)
        .and_then(|applies| if applies { rule::counter(rule, caller).map(Some) } else { Ok(None) });
    let name = match asked {
        Ok(Some(name)) => name,
        Ok(None) => return Ok(Answer::NotForIt),
        Err(Unidentified) => return Err(unidentified(cx)),
    };
    let id = CounterId::of(name.to_text().split('\0'));
    let load = rule::expected(rule, rule::prices(config, caller), estimate);
    let terms =
        Terms { limits: &rule.limits, zone: &rule.timezone, lease_secs: config.lease_secs.get().into() };
    let done = if filter.ledger.is_some() {
        let ask = Ask {
            terms,
            name: &name,
            loss: waited.then_some(Loss(rule.on_ledger_loss)),
            load,
            now: now.nanos(),
        };
        let first = ask_ledger(cx, filter, id, ask, rule.shadow);
        if !waited && matches!(first, Ok((Err(Obstacle::Uncovered), _))) && Ledger::is_lost(cx) {
            let ask = Ask { loss: Some(Loss(rule.on_ledger_loss)), ..ask };
            ask_ledger(cx, filter, id, ask, rule.shadow)
        } else {
            first
        }
    } else {
        let now = now.seconds();
        let alone = book::change(cx.store(), config.groups.get(), id, now, |counter| {
            let reserved = match counter.reserve(terms, load, now) {
                Err(_) if rule.shadow => (counter.charge(terms, load, now), true),
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
            if passed_over {
                cx.count(SHADOW_REFUSED);
            }
            let held = Held { counter: id, reservation };
            Ok(Answer::Reserved(held, Box::new(counter.unwrap_or_default())))
        }
        Ok((Err(Obstacle::Refused(refusal)), _)) => {
            cx.count(match measure(refusal.limit) {
                Measure::Requests | Measure::Tokens => RATE_LIMITED,
                Measure::Budget => BUDGET_SPENT,
            });
            Err(Flow::Reply(reply::refused(rule, refusal)))
        }
        Ok((Err(Obstacle::Uncovered), _)) => Ok(Answer::Uncovered(id)),
        Err(_) if rule.shadow => {
            cx.count(UNAVAILABLE);
            Ok(Answer::NotForIt)
        }
        Ok((Err(Obstacle::Lost), _)) | Err(_) => Err(refuse(cx, UNAVAILABLE, reply::unknown())),
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
