//! Telling the ledger what is used, and taking what it grants.
//!
//! All workers of a proxy have one set of counters and are one gateway to the ledger: whoever takes the turn, which
//! stands in the shared data, sends the one report that is under way. Turns are taken when a report is due, and by
//! requests that no slice covers. A report carries the counters of a bounded number of groups, whichever are next.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use weir_core::{
    Answer, Call, CallError, CallId, ConfigError, Cx, Level, Owner, SharedStore, StoreError, StreamId,
    transact,
};
use weir_schema::ledger::{self as wire, CounterName, Report};
use weir_schema::quota::{self, Config, Limit};

use crate::book::{self, CounterId};
use crate::filter::{LEDGER_CALLS, LEDGER_FAILURES};

/// What one worker has to do with the ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    config: quota::Ledger,
    waiting: RefCell<BTreeSet<StreamId>>,
}

/// Whose turn it is, as all workers see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turn {
    /// When this gateway began to count, in nanoseconds.
    epoch: u64,
    sequence: u64,
    /// When the report under way was sent, in milliseconds; 0 if none is.
    sent_ms: u64,
    /// When the next one is due, in milliseconds.
    due_ms: u64,
    /// Where the next one goes on.
    next_group: u64,
    /// 1 if the last one was not answered.
    lost: u64,
}

impl Ledger {
    pub(crate) fn of(config: quota::Ledger) -> Result<Self, ConfigError> {
        let wrong = |field: &str, problem| Err(ConfigError { field: format!("ledger.{field}"), problem });
        if config.cluster.is_empty() {
            return wrong("cluster", "names no cluster");
        }
        if !config.path.starts_with('/') {
            return wrong("path", "does not start with /");
        }
        Ok(Self { config, waiting: RefCell::default() })
    }

    /// Whether the ledger did not answer when it was last asked.
    pub(crate) fn is_lost(cx: &Cx<'_>) -> bool {
        Turn::read(cx.store()).is_some_and(|turn| turn.lost != 0)
    }

    /// Holds a stream until these counters have other slices; false if there is no place for it.
    pub(crate) fn wait(
        &self,
        cx: &mut Cx<'_>,
        rules: &Config,
        stream: StreamId,
        counters: &[CounterId],
    ) -> bool {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return false };
        if waiting.len() >= MOST_WAITING {
            return false;
        }
        waiting.insert(stream);
        drop(waiting);
        self.report(cx, rules, Some(counters));
        true
    }

    /// A stream that is over waits for nothing.
    pub(crate) fn leave(&self, stream: StreamId) {
        if let Ok(mut waiting) = self.waiting.try_borrow_mut() {
            waiting.remove(&stream);
        }
    }

    /// Reports if that is due. Streams that wait for another worker's report look whether it has come.
    pub(crate) fn on_tick(&self, cx: &mut Cx<'_>, rules: &Config) {
        let idle = Turn::read(cx.store()).is_none_or(|turn| turn.sent_ms == 0);
        if idle {
            self.wake(cx);
        }
        self.report(cx, rules, None);
    }

    pub(crate) fn on_call_done(
        &self,
        cx: &mut Cx<'_>,
        rules: &Config,
        call: CallId,
        outcome: Result<Answer<'_>, CallError>,
    ) {
        let answer = match outcome {
            Ok(Answer { status: 200, body, .. }) => {
                serde_json::from_slice::<wire::Answer>(body).map_err(|error| error.to_string())
            }
            Ok(Answer { status, .. }) => Err(format!("it was answered {status}")),
            Err(error) => Err(format!("{error:?}")),
        };
        let now = cx.now().millis();
        match &answer {
            Ok(answer) => {
                if let Some(turn) = Turn::end(cx.store(), call, now, Some(answer.next_ms)) {
                    for granting in &answer.counters {
                        take(cx.store(), rules, granting, turn, now);
                    }
                }
            }
            Err(problem) => {
                cx.count(LEDGER_FAILURES);
                cx.log(Level::Warn, format!("weir.quota: a report to the ledger failed: {problem}"));
                Turn::end(cx.store(), call, now, None);
            }
        }
        self.wake(cx);
    }

    fn wake(&self, cx: &mut Cx<'_>) {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return };
        for stream in std::mem::take(&mut *waiting) {
            cx.wake(stream);
        }
    }

    /// Sends a report, if none is under way and one is due, or wanted for these counters.
    fn report(&self, cx: &mut Cx<'_>, rules: &Config, wanted: Option<&[CounterId]>) {
        let (nanos, now_ms, groups) = (cx.now().nanos(), cx.now().millis(), rules.groups.get());
        let timeout: u64 = self.config.timeout_ms.get().into();
        let Some(turn) = Turn::begin(cx.store(), nanos, timeout.saturating_mul(2), wanted.is_some()) else {
            return;
        };
        let limits = |counter: &CounterName| limits_of(rules, counter);
        let (counters, next_group) =
            book::listed(cx.store(), groups, (wanted.unwrap_or_default(), turn.next_group), |counter| {
                counter.report(&limits, rules.lease_secs.get().into(), cx.now().seconds())
            });
        if counters.is_empty() {
            Turn::go_on(cx.store(), next_group);
            Turn::end(cx.store(), turn.call(), now_ms, Some(IDLE_MS));
            return;
        }
        Turn::go_on(cx.store(), next_group);
        let node =
            cx.attribute(&["node", "id"]).and_then(|id| String::from_utf8(id).ok()).unwrap_or_default();
        let report = Report { node, epoch: turn.epoch, sequence: turn.sequence, counters };
        let Ok(body) = serde_json::to_vec(&report) else { return };
        cx.count(LEDGER_CALLS);
        cx.call(self.call(turn.call(), body));
    }

    fn call(&self, id: CallId, body: Vec<u8>) -> Call {
        let authority = self.config.authority.clone().unwrap_or_else(|| self.config.cluster.clone());
        Call {
            id,
            owner: Owner::Filter,
            cluster: self.config.cluster.clone(),
            headers: vec![
                (Cow::Borrowed(":method"), "POST".into()),
                (Cow::Borrowed(":path"), self.config.path.clone()),
                (Cow::Borrowed(":authority"), authority),
                (Cow::Borrowed("content-type"), "application/json".into()),
            ],
            body,
            timeout_ms: self.config.timeout_ms.get(),
            max_answer_bytes: MOST_ANSWER_BYTES,
        }
    }
}

impl Turn {
    /// The call of a report says which it is, whichever configuration learns its outcome.
    fn call(self) -> CallId {
        let [first, second, third, fourth, ..] = self.sequence.to_le_bytes();
        CallId(u32::from_le_bytes([first, second, third, fourth]))
    }

    fn read(store: &dyn SharedStore) -> Option<Self> {
        let entry = store.get(TURN).ok().flatten()?;
        Self::parse(&entry.value)
    }

    /// Takes the turn, unless a report is under way that may still be answered.
    fn begin(store: &dyn SharedStore, nanos: u64, patience_ms: u64, wanted: bool) -> Option<Self> {
        let now_ms = nanos / NANOS_PER_MILLI;
        let begun = transact(store, TURN, |bytes| {
            let new = Self { epoch: nanos, ..Self::default() };
            let turn = bytes.and_then(Self::parse).unwrap_or(new);
            let busy = turn.sent_ms != 0
                && (turn.sent_ms..turn.sent_ms.saturating_add(patience_ms)).contains(&now_ms);
            // A clock that was set back makes nobody wait.
            let far = now_ms.saturating_add(FARTHEST_MS) < turn.due_ms;
            if busy || !(wanted || turn.due_ms <= now_ms || far) {
                return (None, None);
            }
            let turn = Self { sequence: turn.sequence.saturating_add(1), sent_ms: now_ms.max(1), ..turn };
            (Some(turn.to_bytes()), Some(turn))
        });
        begun.ok().flatten()
    }

    /// Ends a report's turn, if it is still that report's. `next_ms` is `None` if the report was not answered.
    fn end(store: &dyn SharedStore, call: CallId, now_ms: u64, next_ms: Option<u32>) -> Option<Self> {
        let ended = transact(store, TURN, |bytes| {
            let turn = bytes.and_then(Self::parse).filter(|turn| turn.call() == call && turn.sent_ms != 0);
            let Some(turn) = turn else { return (None, None) };
            let rest = if next_ms.is_some() && turn.next_group > 0 { 0 } else { next_ms.unwrap_or(RETRY_MS) };
            let due_ms = now_ms.saturating_add(rest.into());
            let next = Self { sent_ms: 0, due_ms, lost: next_ms.is_none().into(), ..turn };
            (Some(next.to_bytes()), Some(turn))
        });
        ended.ok().flatten()
    }

    fn go_on(store: &dyn SharedStore, next_group: u64) {
        // What does not go on begins with the same groups again.
        let _done: Result<(), StoreError> = transact(store, TURN, |bytes| {
            let turn = bytes.and_then(Self::parse).filter(|turn| turn.next_group != next_group);
            (turn.map(|turn| Self { next_group, ..turn }.to_bytes()), ())
        });
    }

    fn to_bytes(self) -> Vec<u8> {
        let Self { epoch, sequence, sent_ms, due_ms, next_group, lost } = self;
        [epoch, sequence, sent_ms, due_ms, next_group, lost].map(u64::to_le_bytes).concat()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let [epoch, sequence, sent_ms, due_ms, next_group, lost] = *numbers.first_chunk::<6>()?;
        let [epoch, sequence, sent_ms, due_ms, next_group, lost] =
            [epoch, sequence, sent_ms, due_ms, next_group, lost].map(u64::from_le_bytes);
        Some(Self { epoch, sequence, sent_ms, due_ms, next_group, lost })
    }
}

fn take(store: &dyn SharedStore, rules: &Config, granting: &wire::Granting, turn: Turn, now_ms: u64) {
    let id = CounterId::of(granting.counter.to_text().split('\0'));
    let sent = turn.sent_ms / 1000;
    // What is not taken now is told again.
    let _taken =
        book::existing(store, rules.groups.get(), id, |counter| counter.take(granting, sent, now_ms));
}

/// The limits that rules of this name have.
fn limits_of(rules: &Config, counter: &CounterName) -> Vec<Limit> {
    let named = rules.rules.iter().filter(|rule| rule.name == counter.rule);
    let has = |limit: &Limit| named.clone().any(|rule| limit.of(&rule.limits).is_some());
    Limit::ALL.into_iter().filter(has).collect()
}

const TURN: &str = "quota/ledger/turn";
/// Streams of one worker that wait at once.
const MOST_WAITING: usize = 4096;
const MOST_ANSWER_BYTES: u32 = 1024 * 1024;
/// After how long a ledger that did not answer is asked again.
const RETRY_MS: u32 = 500;
/// How often a gateway that has nothing to report looks again.
const IDLE_MS: u32 = 500;
const FARTHEST_MS: u64 = 60_000;
const NANOS_PER_MILLI: u64 = 1_000_000;
