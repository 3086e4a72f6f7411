//! One request: reserve before it is sent, settle when it has ended.

#[cfg(test)]
mod tests;

use std::mem;
use std::rc::Rc;

use weir_core::{Cx, Flow, Head, Metric, Part, Reply, Stream};
use weir_schema::quota::Rule;
use weir_schema::state::{self, Usage, UsageSource};
use weir_wire::openai::Endpoint;
use weir_wire::{Meter, RequestScan, Weight};

use crate::book::{self, CounterId};
use crate::counter::{Counter, Load, Measure, Refusal, Reservation, Terms};
use crate::estimate::{Estimate, Lore};
use crate::filter::{
    ADMITTED, BUDGET_SPENT, INPUT_TOKENS, OUTPUT_TOKENS, Quota, RATE_LIMITED, SHADOW_REFUSED, UNAVAILABLE,
    UNIDENTIFIED, UNSETTLED, WARNED,
};
use crate::reply;
use crate::rule::{self, Caller, Unidentified};

/// One request.
#[derive(Debug)]
pub struct QuotaStream {
    filter: Rc<Quota>,
    phase: Phase,
}

/// ```text
/// Head ──► Weighing ──► Sent ──► Over
///     └────────────────►
/// ```
#[derive(Debug)]
enum Phase {
    /// Nothing has come yet.
    Head,
    /// All is held until the prompt has been weighed.
    Weighing(Box<Prompt>),
    /// The request has reserved, and flows.
    Sent(Box<Sent>),
    /// Nothing is left to do.
    Over,
}

/// A request that is being weighed.
#[derive(Debug)]
struct Prompt {
    caller: Caller,
    weight: Weight,
    scan: RequestScan,
    length: Option<u64>,
    has_answer: bool,
}

/// A request that has reserved.
#[derive(Debug)]
struct Sent {
    caller: Caller,
    estimate: Estimate,
    held: Vec<Held>,
    fields: Vec<(&'static str, String)>,
    answer: Answer,
}

/// What one rule has reserved for a request.
#[derive(Debug)]
struct Held {
    counter: CounterId,
    reservation: Reservation,
}

/// What has come of the answer.
#[derive(Debug)]
enum Answer {
    Nothing,
    /// An error, which has no tokens.
    Error,
    Metered(Meter),
    /// A filter behind this one meters it.
    MeteredElsewhere,
}

impl QuotaStream {
    pub(crate) fn begin(filter: Rc<Quota>) -> Self {
        Self { filter, phase: Phase::Head }
    }

    fn weigh(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let Phase::Weighing(prompt) = &mut self.phase else { return Flow::Continue };
        prompt.weight.add(chunk);
        // A body that is not JSON is its upstream's to refuse.
        let _readable = prompt.scan.feed(chunk);
        if !end && (prompt.length.is_none() || prompt.weight.bytes() < SAMPLE) {
            return Flow::Wait;
        }
        let Phase::Weighing(prompt) = mem::replace(&mut self.phase, Phase::Over) else {
            return Flow::Continue;
        };
        let Prompt { caller, weight, scan, length, has_answer } = *prompt;
        let lore = Lore::read(cx.store(), caller.model.as_deref().unwrap_or_default());
        let most = if has_answer { scan.max_tokens() } else { Some(0) };
        let estimate = lore.estimate(weight.tokens_of(length.unwrap_or(0)), most);
        cx.skip(Part::RequestBody);
        self.admit(cx, caller, estimate)
    }

    /// Reserves under every rule, or under none.
    fn admit(&mut self, cx: &mut Cx<'_>, caller: Caller, estimate: Estimate) -> Flow {
        let (filter, now) = (Rc::clone(&self.filter), cx.now().seconds());
        let mut held = Vec::new();
        let mut standings = Vec::new();
        for rule in &filter.config.rules {
            match reserve(cx, &filter, rule, &caller, estimate) {
                Ok(None) => {}
                Ok(Some((one, counter))) => {
                    held.push(one);
                    standings.push((rule, counter));
                }
                Err(refused) => {
                    for one in &held {
                        settle(cx, &filter, one, Load::default());
                    }
                    return refused;
                }
            }
        }
        cx.count(ADMITTED);
        let mut fields = reply::left(&standings, now);
        if let Some(warning) = warning(cx, &standings) {
            fields.push((WARNING, warning));
        }
        // A compressed answer could not be metered.
        cx.remove_request_header("accept-encoding");
        cx.read(Part::ResponseHead);
        self.phase = Phase::Sent(Box::new(Sent { caller, estimate, held, fields, answer: Answer::Nothing }));
        Flow::Continue
    }
}

impl Stream for QuotaStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        self.phase = Phase::Over;
        if self.filter.config.rules.is_empty() {
            return Flow::Continue;
        }
        let caller = Caller::read(cx, &self.filter.config);
        let mut counts_tokens = false;
        let mut applies = false;
        for rule in &self.filter.config.rules {
            match rule::applies(rule, &caller) {
                Ok(matches) => {
                    applies |= matches;
                    counts_tokens |= matches && rule.limits.count_tokens();
                }
                Err(Unidentified) => return unidentified(cx),
            }
        }
        if !applies {
            return Flow::Continue;
        }
        if !counts_tokens || head.is_end() {
            return self.admit(cx, caller, Estimate::default());
        }
        cx.read(Part::RequestBody);
        let endpoint = head.text(":path").and_then(Endpoint::at);
        let prompt = Prompt {
            caller,
            weight: Weight::default(),
            scan: RequestScan::new(),
            length: head.text("content-length").and_then(|length| length.parse().ok()),
            has_answer: endpoint != Some(Endpoint::Embeddings),
        };
        self.phase = Phase::Weighing(Box::new(prompt));
        Flow::Wait
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        self.weigh(cx, chunk, end)
    }

    fn on_request_trailers(&mut self, cx: &mut Cx<'_>, _: &Head<'_>) -> Flow {
        self.weigh(cx, b"", true)
    }

    fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        let Phase::Sent(sent) = &mut self.phase else { return Flow::Continue };
        for (name, value) in sent.fields.drain(..) {
            cx.set_response_header(name, value);
        }
        let status = head.text(":status").and_then(|status| status.parse::<u16>().ok());
        sent.answer = if !status.is_some_and(|status| (200..300).contains(&status)) {
            Answer::Error
        } else if cx.state(state::USAGE).is_some() {
            Answer::MeteredElsewhere
        } else {
            cx.read(Part::ResponseBody);
            Answer::Metered(Meter::of(head.get("content-type")))
        };
        Flow::Continue
    }

    fn on_response_body(&mut self, _: &mut Cx<'_>, chunk: &[u8], _: bool) -> Flow {
        if let Phase::Sent(sent) = &mut self.phase
            && let Answer::Metered(meter) = &mut sent.answer
        {
            meter.feed(chunk);
        }
        Flow::Continue
    }

    fn on_end(&mut self, cx: &mut Cx<'_>) {
        let Phase::Sent(sent) = mem::replace(&mut self.phase, Phase::Over) else {
            if let Some(usage) = metered_elsewhere(cx) {
                tell(cx, &usage);
            }
            return;
        };
        let usage = sent.usage(cx);
        tell(cx, &usage);
        let load = rule::used(rule::prices(&self.filter.config, &sent.caller), &usage);
        for held in &sent.held {
            settle(cx, &self.filter, held, load);
        }
        cx.add(INPUT_TOKENS, usage.input);
        cx.add(OUTPUT_TOKENS, usage.output);
        if let (UsageSource::Upstream, Some(model)) = (usage.source, &sent.caller.model) {
            // What is not learned now is learned from the next request.
            let _learned = Lore::learn(cx.store(), model, sent.estimate, (usage.input, usage.output));
        }
        if !matches!(sent.answer, Answer::MeteredElsewhere) {
            cx.publish(state::USAGE, usage.to_string());
        }
    }
}

impl Sent {
    /// What the request has used, as well as it is known.
    fn usage(&self, cx: &Cx<'_>) -> Usage {
        let prompt = Usage { input: self.estimate.input, ..Usage::default() };
        match &self.answer {
            // The upstream may have read the prompt before the client left.
            Answer::Nothing => prompt,
            Answer::Error => Usage::default(),
            Answer::MeteredElsewhere => {
                let metered =
                    metered_elsewhere(cx).unwrap_or(Usage { output: self.estimate.output, ..prompt });
                match metered.source {
                    UsageSource::Upstream => metered,
                    // Who reads the answer alone does not know how long the prompt was.
                    UsageSource::Estimated | UsageSource::Counted => Usage { input: prompt.input, ..metered },
                }
            }
            Answer::Metered(meter) => {
                let totals = meter.totals();
                let source = match (totals.input, totals.output) {
                    (None, None) => UsageSource::Counted,
                    (Some(_), _) | (_, Some(_)) => UsageSource::Upstream,
                };
                let counted = if totals.input.is_some() { 0 } else { totals.delivered };
                Usage {
                    input: totals.input.unwrap_or(self.estimate.input),
                    output: totals.output.unwrap_or(counted),
                    cached_input: totals.cached_input,
                    reasoning: totals.reasoning,
                    source,
                }
            }
        }
    }
}

/// What a filter behind this one has read of the answer.
fn metered_elsewhere(cx: &Cx<'_>) -> Option<Usage> {
    cx.state(state::USAGE).and_then(|usage| Usage::parse(&usage))
}

/// Tells the access log and the metrics what was used.
fn tell(cx: &mut Cx<'_>, usage: &Usage) {
    for (name, tokens) in state::TOKENS.into_iter().zip(usage.tokens()) {
        cx.publish(name, tokens.to_string());
    }
    cx.publish(state::USAGE_SOURCE, usage.source.as_str());
}

/// Reserves under one rule, if it is for this caller. `Err` is the answer to the request.
fn reserve(
    cx: &mut Cx<'_>,
    filter: &Quota,
    rule: &Rule,
    caller: &Caller,
    estimate: Estimate,
) -> Result<Option<(Held, Counter)>, Flow> {
    let (config, now) = (&filter.config, cx.now().seconds());
    let asked = rule::applies(rule, caller)
        .and_then(|applies| if applies { rule::counter(rule, caller).map(Some) } else { Ok(None) });
    let id = match asked {
        Ok(Some(id)) => id,
        Ok(None) => return Ok(None),
        Err(Unidentified) => return Err(unidentified(cx)),
    };
    let load = rule::expected(rule, rule::prices(config, caller), estimate);
    let terms =
        Terms { limits: &rule.limits, zone: &rule.timezone, lease_secs: config.lease_secs.get().into() };
    let done = book::change(cx.store(), config.groups.get(), id, now, |counter| {
        let reserved = match counter.reserve(terms, load, now) {
            Err(_) if rule.shadow => (counter.charge(terms, load, now), true),
            reserved => (reserved?, false),
        };
        Ok::<_, Refusal>((reserved, counter.clone()))
    });
    match done {
        Ok(Ok(((reservation, passed_over), counter))) => {
            if passed_over {
                cx.count(SHADOW_REFUSED);
            }
            Ok(Some((Held { counter: id, reservation }, counter)))
        }
        Ok(Err(refusal)) => {
            cx.count(match refusal.limit.measure() {
                Measure::Requests | Measure::Tokens => RATE_LIMITED,
                Measure::Budget => BUDGET_SPENT,
            });
            Err(Flow::Reply(reply::refused(rule, refusal)))
        }
        Err(_) if rule.shadow => {
            cx.count(UNAVAILABLE);
            Ok(None)
        }
        Err(_) => Err(refuse(cx, UNAVAILABLE, reply::unknown())),
    }
}

fn settle(cx: &mut Cx<'_>, filter: &Quota, held: &Held, used: Load) {
    let now = cx.now().seconds();
    let done = book::change(cx.store(), filter.config.groups.get(), held.counter, now, |counter| {
        counter.settle(&held.reservation, used, now);
        Ok::<_, Refusal>(())
    });
    if done.is_err() {
        cx.count(UNSETTLED);
    }
}

/// What the caller is warned of; of what others share, only the metric tells.
fn warning(cx: &mut Cx<'_>, standings: &[(&Rule, Counter)]) -> Option<String> {
    let mut told = Vec::new();
    for (rule, counter) in standings {
        let warnings = reply::warnings(rule, counter);
        for _ in &warnings {
            cx.count(WARNED);
        }
        if rule::is_own(rule) && !rule.shadow {
            told.extend(warnings);
        }
    }
    (!told.is_empty()).then(|| told.join(", "))
}

fn unidentified(cx: &mut Cx<'_>) -> Flow {
    refuse(cx, UNIDENTIFIED, Reply::fault())
}

fn refuse(cx: &mut Cx<'_>, why: Metric, reply: Reply) -> Flow {
    cx.count(why);
    Flow::Reply(reply)
}

/// Tells the rules that are used up to the share from which on they warn.
const WARNING: &str = "x-quota-warning";
/// How much of a prompt is held and weighed, in bytes; the rest is taken to be alike.
const SAMPLE: u64 = 64 * 1024;
