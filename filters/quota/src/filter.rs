//! The filter with one configuration.

use std::borrow::Cow;
use std::rc::Rc;

use weir_core::{Answer, CallError, CallId, ConfigError, Cx, Filter, Metric, Reply, StreamId};
use weir_schema::quota::{Config, Count, Rule};
use weir_wire::translate;

use crate::ledger::Ledger;
use crate::stream::QuotaStream;

/// Admits requests while their limits last.
#[derive(Debug)]
pub struct Quota {
    pub(crate) config: Config,
    pub(crate) ledger: Option<Ledger>,
}

impl Filter for Quota {
    const NAME: &'static str = "quota";
    const METRICS: &'static [Metric] = &[
        ADMITTED,
        RATE_LIMITED,
        BUDGET_SPENT,
        SHADOW_REFUSED,
        WARNED,
        PASSED_OVER,
        UNIDENTIFIED,
        UNAVAILABLE,
        UNSETTLED,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        LEDGER_CALLS,
        LEDGER_FAILURES,
        LEDGER_WAITS,
    ];
    type Config = Config;
    type Stream = QuotaStream;

    fn new(config: Config) -> Result<Self, ConfigError> {
        for (at, rule) in config.rules.iter().enumerate() {
            if rule.warn_at_percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
                let field = format!("rules[{at}].warn_at_percent");
                return Err(ConfigError { field, problem: "is not from 1 to 100" });
            }
        }
        let is_exact = |rule: &Rule| rule.count == Count::Exact;
        if let Some(at) = config.rules.iter().position(is_exact).filter(|_| !cfg!(feature = "exact")) {
            let field = format!("rules[{at}].count");
            return Err(ConfigError { field, problem: "`exact` is what only the module quota-exact can" });
        }
        let ledger = config.ledger.clone().map(Ledger::of).transpose()?;
        Ok(Self { config, ledger })
    }

    fn worded(path: &str, reply: Reply) -> Reply {
        match translate::worded(path, reply.status, &reply.body) {
            Some(body) => Reply { body: Cow::Owned(body), ..reply },
            None => reply,
        }
    }

    fn stream(self: &Rc<Self>, id: StreamId) -> QuotaStream {
        QuotaStream::begin(Rc::clone(self), id)
    }

    fn on_call_done(&self, cx: &mut Cx<'_>, call: CallId, outcome: Result<Answer<'_>, CallError>) {
        if let Some(ledger) = &self.ledger {
            ledger.on_call_done(cx, &self.config, call, outcome);
        }
    }

    fn tick_millis(&self) -> Option<u32> {
        self.ledger.as_ref().map(|_| TICK_MS)
    }

    fn on_tick(&self, cx: &mut Cx<'_>) {
        if let Some(ledger) = &self.ledger {
            ledger.on_tick(cx, &self.config);
        }
    }
}

/// Requests that fitted under every rule that is for them.
pub(crate) const ADMITTED: Metric = Metric::counter("weir.quota.admitted_total");
/// Requests refused for their rate, or for how many are under way.
pub(crate) const RATE_LIMITED: Metric = Metric::counter("weir.quota.rate_limited_total");
/// Requests refused as a budget is spent.
pub(crate) const BUDGET_SPENT: Metric = Metric::counter("weir.quota.budget_spent_total");
/// Requests that a rule in shadow would have refused.
pub(crate) const SHADOW_REFUSED: Metric = Metric::counter("weir.quota.shadow_refused_total");
/// Limits that were found used up to the share from which on their rule warns.
pub(crate) const WARNED: Metric = Metric::counter("weir.quota.warned_total");
/// Targets that a request was not sent to as their provider had no room.
pub(crate) const PASSED_OVER: Metric = Metric::counter("weir.quota.passed_over_total");
/// Requests refused as no `auth` filter had identified them and a rule asks who they are.
pub(crate) const UNIDENTIFIED: Metric = Metric::counter("weir.quota.unidentified_total");
/// Requests refused as a counter could not be used.
pub(crate) const UNAVAILABLE: Metric = Metric::counter("weir.quota.unavailable_total");
/// Reservations that could not be settled, and stay as they were estimated.
pub(crate) const UNSETTLED: Metric = Metric::counter("weir.quota.unsettled_total");
/// Tokens of prompts that were charged.
pub(crate) const INPUT_TOKENS: Metric = Metric::counter("weir.quota.input_tokens_total");
/// Tokens of answers that were charged.
pub(crate) const OUTPUT_TOKENS: Metric = Metric::counter("weir.quota.output_tokens_total");
/// Reports to the ledger.
pub(crate) const LEDGER_CALLS: Metric = Metric::counter("weir.quota.ledger_calls_total");
/// Reports to the ledger that were not answered.
pub(crate) const LEDGER_FAILURES: Metric = Metric::counter("weir.quota.ledger_failures_total");
/// Requests that waited for what the ledger grants.
pub(crate) const LEDGER_WAITS: Metric = Metric::counter("weir.quota.ledger_waits_total");

/// How often a worker looks whether a report is due.
const TICK_MS: u32 = 50;
