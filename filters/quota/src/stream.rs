//! One request: reserve before it is sent, settle when it has ended.

#[cfg(test)]
mod tests;

use std::mem;
use std::rc::Rc;

use weir_core::{Cx, Flow, Head, Part, Reply, Stream, StreamId};
use weir_schema::ROUTE_HEADER;
use weir_schema::mcp::HUB_ROUTE;
use weir_schema::quota::{Count, Rule};
use weir_schema::state::{self, Usage, UsageSource};
use weir_wire::openai::{Endpoint, RequestBody};
use weir_wire::{Meter, RequestScan, Weight};

use crate::admission::{self, Held, Verdict};
use crate::counter::Counter;
use crate::estimate::{Estimate, Lore};
use crate::exact::Exact;
use crate::filter::{ADMITTED, INPUT_TOKENS, LEDGER_WAITS, OUTPUT_TOKENS, Quota, UNAVAILABLE, WARNED};
use crate::reply;
use crate::rule::{self, Caller, Unidentified};
#[cfg(weir_trap_on_demand)]
use crate::trap::{Point, Trap};
use crate::way::Way;

/// One request.
#[derive(Debug)]
pub struct QuotaStream {
    filter: Rc<Quota>,
    id: StreamId,
    /// What is asked for.
    endpoint: Option<Endpoint>,
    phase: Phase,
    #[cfg(weir_trap_on_demand)]
    trap: Trap,
}

/// ```text
/// Head ──► Weighing ──► Asking ──► Sent ──► Over
///     └──────────────────┴───────►
/// ```
#[derive(Debug)]
enum Phase {
    /// Nothing has come yet.
    Head,
    /// All is held until the prompt has been weighed.
    Weighing(Box<Prompt>),
    /// All is held until the ledger has granted more.
    Asking(Box<Asking>),
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
    exact: Option<Exact>,
    scan: RequestScan,
    length: Option<u64>,
    has_answer: bool,
}

/// A request that wants to be admitted.
#[derive(Debug)]
struct Asking {
    caller: Caller,
    estimate: Estimate,
    since_ms: u64,
    woken: u32,
}

/// A request that has reserved.
#[derive(Debug)]
struct Sent {
    caller: Caller,
    estimate: Estimate,
    held: Vec<Held>,
    way: Way,
    fields: Vec<(&'static str, String)>,
    answer: Answer,
}

/// What has come of the answer.
#[derive(Debug)]
enum Answer {
    Nothing,
    /// An error, or what an MCP server says: it has no tokens.
    Error,
    Metered(Meter),
    /// A filter behind this one meters it.
    MeteredElsewhere,
}

impl QuotaStream {
    pub(crate) fn begin(filter: Rc<Quota>, id: StreamId) -> Self {
        Self {
            filter,
            id,
            endpoint: None,
            phase: Phase::Head,
            #[cfg(weir_trap_on_demand)]
            trap: Trap::default(),
        }
    }

    fn weigh(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> Flow {
        let Phase::Weighing(prompt) = &mut self.phase else { return Flow::Continue };
        prompt.weight.add(chunk);
        if let Some(exact) = &mut prompt.exact {
            exact.add(chunk);
        }
        // A body that is not JSON is its upstream's to refuse.
        let _readable = prompt.scan.feed(chunk);
        if !end && (prompt.length.is_none() || prompt.weight.bytes() < SAMPLE) {
            return Flow::Wait;
        }
        let Phase::Weighing(prompt) = mem::replace(&mut self.phase, Phase::Over) else {
            return Flow::Continue;
        };
        let Prompt { caller, weight, exact, scan, length, has_answer } = *prompt;
        let lore = Lore::read(cx.store(), caller.model.as_deref().unwrap_or_default());
        let most = if has_answer { scan.max_tokens() } else { Some(0) };
        let mut estimate = lore.estimate(weight.tokens_of(length.unwrap_or(0)), most);
        let length = length.unwrap_or(0).max(weight.bytes());
        if let Some(tokens) = exact.and_then(|exact| exact.tokens(length)) {
            estimate.input = tokens;
        }
        cx.skip(Part::RequestBody);
        self.admit(cx, caller, estimate)
    }

    /// Reserves under every rule, or waits for the ledger.
    fn admit(&mut self, cx: &mut Cx<'_>, caller: Caller, estimate: Estimate) -> Flow {
        let asking = Asking { caller, estimate, since_ms: cx.now().millis(), woken: 0 };
        self.ask(cx, asking)
    }

    fn ask(&mut self, cx: &mut Cx<'_>, mut asking: Asking) -> Flow {
        let filter = Rc::clone(&self.filter);
        let waited = asking.has_waited(cx.now().millis());
        let uncovered = match admission::admit(cx, &filter, &asking.caller, asking.estimate, waited) {
            Verdict::Admitted(held, way, standings) => return self.send(cx, asking, (held, way), &standings),
            Verdict::Refused(flow) => return flow,
            Verdict::Uncovered(counters) => counters,
        };
        let Some(ledger) = &filter.ledger else { return Flow::Reply(Reply::fault()) };
        if asking.woken == 0 {
            cx.count(LEDGER_WAITS);
        }
        asking.woken = asking.woken.saturating_add(1);
        if !ledger.wait(cx, &filter.config, self.id, &uncovered) {
            cx.count(UNAVAILABLE);
            return Flow::Reply(reply::unknown());
        }
        self.phase = Phase::Asking(Box::new(asking));
        Flow::Wait
    }

    fn send(
        &mut self,
        cx: &mut Cx<'_>,
        asking: Asking,
        (held, way): (Vec<Held>, Way),
        standings: &[(&Rule, Counter)],
    ) -> Flow {
        #[cfg(weir_trap_on_demand)]
        self.trap.at(Point::Admitted);
        cx.count(ADMITTED);
        let mut fields = reply::left(standings, cx.now().seconds());
        if let Some(warning) = warning(cx, standings) {
            fields.push((WARNING, warning));
        }
        // A compressed answer could not be metered.
        cx.remove_request_header("accept-encoding");
        way.publish(cx, asking.caller.targets.len());
        cx.read(Part::ResponseHead);
        let Asking { caller, estimate, .. } = asking;
        self.phase =
            Phase::Sent(Box::new(Sent { caller, estimate, held, way, fields, answer: Answer::Nothing }));
        Flow::Continue
    }
}

impl Stream for QuotaStream {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        self.phase = Phase::Over;
        #[cfg(weir_trap_on_demand)]
        {
            self.trap = Trap::read(head);
            self.trap.at(Point::Head);
        }
        // What the hub is sent comes back, and is counted then. Where nobody has told who calls, nobody has taken away what
        // a client can write itself, either.
        let to_hub = || head.text(ROUTE_HEADER) == Some(HUB_ROUTE) && cx.state(state::GRANT).is_some();
        if self.filter.config.rules.is_empty() || to_hub() {
            return Flow::Continue;
        }
        let mut caller = Caller::read(cx, &self.filter.config);
        self.endpoint = head.text(":path").and_then(Endpoint::at);
        if self.endpoint.is_none() && !caller.read_mcp(cx) {
            return Flow::Continue;
        }
        let mut counts_tokens = false;
        let mut applies = false;
        let mut is_exact = false;
        for rule in &self.filter.config.rules {
            match rule::applies_anywhere(rule, &caller) {
                Ok(matches) => {
                    applies |= matches;
                    counts_tokens |= matches && rule.limits.count_tokens();
                    is_exact |= matches && rule.count == Count::Exact;
                }
                Err(Unidentified) => return admission::unidentified(cx),
            }
        }
        if !applies {
            return Flow::Continue;
        }
        if !counts_tokens || head.is_end() || caller.mcp_server.is_some() {
            return self.admit(cx, caller, Estimate::default());
        }
        let endpoint = self.endpoint.clone();
        let body = endpoint.as_ref().map(Endpoint::request_body);
        if matches!(body, Some(RequestBody::Form | RequestBody::Opaque)) {
            // A sound or an image tells nothing of how many tokens it is.
            let lore = Lore::read(cx.store(), caller.model.as_deref().unwrap_or_default());
            let generated = endpoint.as_ref().is_some_and(Endpoint::is_generated);
            return self.admit(cx, caller, lore.estimate(0, (!generated).then_some(0)));
        }
        cx.read(Part::RequestBody);
        let prompt = Prompt {
            exact: is_exact.then(|| Exact::of(&self.filter.config, &caller)).flatten(),
            caller,
            weight: Weight::default(),
            scan: RequestScan::new(),
            length: head.text("content-length").and_then(|length| length.parse().ok()),
            has_answer: endpoint.as_ref().is_none_or(Endpoint::is_generated),
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

    fn on_wake(&mut self, cx: &mut Cx<'_>) -> Flow {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Asking(asking) => self.ask(cx, *asking),
            other @ (Phase::Head | Phase::Weighing(_) | Phase::Sent(_) | Phase::Over) => {
                self.phase = other;
                Flow::Wait
            }
        }
    }

    fn on_response_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        #[cfg(weir_trap_on_demand)]
        self.trap.at(Point::Answer);
        let Phase::Sent(sent) = &mut self.phase else { return Flow::Continue };
        for (name, value) in sent.fields.drain(..) {
            cx.set_response_header(name, value);
        }
        sent.way.follow(cx, &self.filter, &sent.caller, sent.estimate);
        let status = head.text(":status").and_then(|status| status.parse::<u16>().ok());
        sent.answer = if !status.is_some_and(|status| (200..300).contains(&status))
            || sent.caller.mcp_server.is_some()
        {
            Answer::Error
        } else if cx.state(state::USAGE).is_some() {
            Answer::MeteredElsewhere
        } else {
            cx.read(Part::ResponseBody);
            Answer::Metered(Meter::at(self.endpoint.as_ref(), head.get("content-type")))
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
        if let (Phase::Asking(_), Some(ledger)) = (&self.phase, &self.filter.ledger) {
            ledger.leave(self.id);
        }
        let Phase::Sent(mut sent) = mem::replace(&mut self.phase, Phase::Over) else {
            if let Some(usage) = metered_elsewhere(cx) {
                tell(cx, &usage);
            }
            return;
        };
        let usage = sent.usage(cx);
        tell(cx, &usage);
        let load = rule::used(rule::prices(&self.filter.config, &sent.caller), &usage);
        for held in &sent.held {
            admission::settle(cx, &self.filter, held, load);
        }
        sent.way.follow(cx, &self.filter, &sent.caller, sent.estimate);
        sent.way.settle(cx, &self.filter, load);
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

impl Asking {
    /// Whether it has waited long enough, and goes on as if the ledger were lost.
    fn has_waited(&self, now_ms: u64) -> bool {
        self.woken >= MOST_WOKEN || now_ms.saturating_sub(self.since_ms) >= LONGEST_WAIT_MS
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
                // A stream that is cut has often told its prompt, and of its answer nothing.
                let source = match (totals.input, totals.output) {
                    (_, Some(_)) => UsageSource::Upstream,
                    (Some(_), None) if totals.delivered == 0 => UsageSource::Upstream,
                    (_, None) => UsageSource::Counted,
                };
                Usage {
                    input: totals.input.unwrap_or(self.estimate.input),
                    output: totals.output.unwrap_or(totals.delivered),
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

/// Tells the rules that are used up to the share from which on they warn.
const WARNING: &str = "x-quota-warning";
/// For how long, and how often, a request waits for the ledger.
const LONGEST_WAIT_MS: u64 = 2_500;
const MOST_WOKEN: u32 = 16;
/// How much of a prompt is held and weighed, in bytes; the rest is taken to be alike.
const SAMPLE: u64 = 64 * 1024;
