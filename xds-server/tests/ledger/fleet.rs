//! A fleet made of values: gateways that run the real `quota` filter, the real ledger, and what passes between them.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use weir::ledger::account::Standing;
use weir::ledger::{Accounts, answer, renew, rule, terms};
use weir_core::testing::MemStore;
use weir_core::{
    Answer, Call, CallError, Cx, Effect, Filter, Flow, Head, Proxy, SharedStore, Stream, StreamId, UnixTime,
};
use weir_quota::{Quota, QuotaStream};
use weir_schema::ledger::{CounterName, Report};
use weir_schema::quota::{Config, Rule};
use weir_schema::state;

use crate::redis::Replicas;

/// What a request of the simulation reserves and uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) reserved: u64,
    pub(crate) used: u64,
}

/// A request that was admitted, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) at_ms: u64,
    pub(crate) settled_ms: Option<u64>,
    pub(crate) need: Need,
}

impl Spent {
    /// What it counts: what it reserved, until it is known better.
    pub(crate) fn charged(&self) -> u64 {
        if self.settled_ms.is_some() { self.need.used } else { self.need.reserved }
    }

    /// What it counts of what it had reserved.
    pub(crate) fn within(&self) -> u64 {
        self.charged().min(self.need.reserved)
    }
}

pub(crate) struct Fleet {
    pub(crate) now_ms: u64,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) accounts: Accounts,
    /// Where the accounts are kept, if that is not here; these are what was found there last.
    pub(crate) replicas: Option<Replicas>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) spent: Vec<Spent>,
    pub(crate) refused: u64,
    pub(crate) last_refusal: String,
    pub(crate) unavailable: u64,
    pub(crate) reports: u64,
    /// How long a report takes to the ledger, and its answer back. `None`: the test moves them by itself.
    pub(crate) latency_ms: Option<u64>,
    /// Reports that were given up, which may still arrive.
    pub(crate) strays: Vec<Vec<u8>>,
    config: Config,
    workers: usize,
}

pub(crate) struct Gateway {
    name: String,
    pub(crate) epoch: u32,
    store: MemStore,
    workers: Vec<Worker>,
    pub(crate) call: Option<Flight>,
    /// Whether the ledger can be reached.
    pub(crate) is_cut_off: bool,
}

struct Worker {
    filter: Rc<Quota>,
    streams: BTreeMap<u32, Request>,
    next: u32,
    wakes: VecDeque<u32>,
}

struct Request {
    stream: QuotaStream,
    need: Need,
    /// Where it stands in `spent`, once admitted.
    admitted: Option<usize>,
}

/// A report on its way, or its answer.
pub(crate) struct Flight {
    worker: usize,
    call: Call,
    sent_ms: u64,
    pub(crate) answer: Option<Vec<u8>>,
}

struct At<'a> {
    now: UnixTime,
    store: &'a MemStore,
    name: &'a str,
    usage: Option<String>,
}

impl Proxy for At<'_> {
    fn now(&self) -> UnixTime {
        self.now
    }

    fn state(&self, key: &str) -> Option<Vec<u8>> {
        match key {
            state::USAGE => self.usage.clone().map(String::into_bytes),
            state::DOMAIN | state::CONSUMER | state::KEY_ID | state::MODEL | state::ROUTE => {
                Some(b"team".to_vec())
            }
            _ => None,
        }
    }

    fn attribute(&self, _: &[&str]) -> Option<Vec<u8>> {
        Some(self.name.as_bytes().to_vec())
    }

    fn store(&self) -> &dyn SharedStore {
        self.store
    }
}

pub(crate) fn rules(text: &str) -> Vec<Rule> {
    serde_json::from_str(text).unwrap()
}

impl Fleet {
    pub(crate) fn new(gateways: usize, workers: usize, rules: Vec<Rule>, start_secs: u64) -> Self {
        let config = serde_json::json!({"rules": rules, "groups": 8, "ledger": {"cluster": "weir"}});
        let config: Config = serde_json::from_value(config).unwrap();
        let mut fleet = Self {
            now_ms: start_secs * 1000,
            gateways: Vec::new(),
            accounts: Accounts::new(),
            replicas: None,
            rules,
            spent: Vec::new(),
            refused: 0,
            last_refusal: String::new(),
            unavailable: 0,
            reports: 0,
            latency_ms: Some(2),
            strays: Vec::new(),
            config,
            workers,
        };
        for number in 0..gateways {
            let gateway = fleet.gateway(format!("envoy-{number}"), 0);
            fleet.gateways.push(gateway);
        }
        fleet
    }

    fn gateway(&self, name: String, epoch: u32) -> Gateway {
        let workers = (0..self.workers).map(|_| Worker {
            filter: Rc::new(Quota::new(self.config.clone()).unwrap()),
            streams: BTreeMap::new(),
            next: 1,
            wakes: VecDeque::new(),
        });
        let workers = workers.collect();
        Gateway { name, epoch, store: MemStore::default(), workers, call: None, is_cut_off: false }
    }

    /// Replaces the rules everywhere at once.
    pub(crate) fn set_rules(&mut self, rules: Vec<Rule>) {
        self.config.rules.clone_from(&rules);
        self.rules = rules;
        for worker in self.gateways.iter_mut().flat_map(|gateway| &mut gateway.workers) {
            worker.filter = Rc::new(Quota::new(self.config.clone()).unwrap());
        }
    }

    /// Ends a gateway with all that it has counted; another one of its name takes its place.
    pub(crate) fn kill(&mut self, gateway: usize) {
        // No gateway starts in the nanosecond in which the one before it did.
        self.now_ms += 1;
        let Gateway { name, epoch, .. } = &self.gateways[gateway];
        let fresh = self.gateway(name.clone(), epoch + 1);
        let dead = std::mem::replace(&mut self.gateways[gateway], fresh);
        self.strays.extend(dead.call.map(|flight| flight.call.body));
    }

    /// Ends the VM of one worker: its streams are gone, what all workers share stays.
    pub(crate) fn trap(&mut self, gateway: usize, worker: usize) {
        let filter = Rc::new(Quota::new(self.config.clone()).unwrap());
        let gateway = &mut self.gateways[gateway];
        let next = gateway.workers[worker].next;
        gateway.workers[worker] = Worker { filter, streams: BTreeMap::new(), next, wakes: VecDeque::new() };
        if gateway.call.as_ref().is_some_and(|flight| flight.worker == worker) {
            self.strays.extend(gateway.call.take().map(|flight| flight.call.body));
        }
    }

    /// The ledger ends and starts again from what it has saved.
    pub(crate) fn restart_ledger(&mut self) {
        if let Some(replicas) = &mut self.replicas {
            return replicas.restart();
        }
        let saved: Vec<_> =
            self.accounts.iter().map(|entry| serde_json::to_string(&entry).unwrap()).collect();
        self.accounts =
            saved.iter().map(|entry| serde_json::from_str::<(CounterName, _)>(entry).unwrap()).collect();
    }

    /// A client asks. True if its request is admitted, false if it is refused; `None` if it waits.
    pub(crate) fn request(&mut self, gateway: usize, worker: usize, need: Need) -> Option<bool> {
        let worker = worker % self.workers;
        // The body weighs nothing that the test does not know.
        let body = format!(r#"{{"max_tokens":{:5}}}"#, need.reserved.saturating_sub(WEIGHT));
        let id = {
            let worker = &mut self.gateways[gateway].workers[worker];
            let id = worker.next;
            worker.next += 1;
            let stream = worker.filter.stream(StreamId(id));
            worker.streams.insert(id, Request { stream, need, admitted: None });
            id
        };
        let length = body.len().to_string();
        let head = [(":method", "POST"), (":path", "/v1/chat/completions"), ("content-length", &length)];
        let flow = self.event(gateway, worker, id, |stream, cx| {
            match stream.on_request_head(cx, &Head::new(&head, false)) {
                Flow::Wait => stream.on_request_body(cx, body.as_bytes(), true),
                flow @ (Flow::Continue | Flow::Reply(_)) => flow,
            }
        });
        let verdict = self.conclude(gateway, worker, id, flow);
        self.wake(gateway);
        verdict
    }

    /// Streams that are admitted and under way, by gateway, worker and id.
    pub(crate) fn under_way(&self) -> Vec<(usize, usize, u32)> {
        let mut all = Vec::new();
        for (gateway, of) in self.gateways.iter().enumerate() {
            for (worker, of) in of.workers.iter().enumerate() {
                let admitted = of.streams.iter().filter(|(_, request)| request.admitted.is_some());
                all.extend(admitted.map(|(id, _)| (gateway, worker, *id)));
            }
        }
        all
    }

    /// How many requests wait for the ledger.
    pub(crate) fn waiting(&self) -> usize {
        let workers = self.gateways.iter().flat_map(|gateway| &gateway.workers);
        workers
            .flat_map(|worker| worker.streams.values())
            .filter(|request| request.admitted.is_none())
            .count()
    }

    /// A request under way ends, having used what it needs.
    pub(crate) fn finish(&mut self, (gateway, worker, id): (usize, usize, u32)) {
        let request = &self.gateways[gateway].workers[worker].streams[&id];
        let (used, at) = (request.need.used, request.admitted.unwrap());
        self.usage(
            gateway,
            worker,
            id,
            Some(format!("0 {} 0 0 counted", used.saturating_sub(WEIGHT))),
            |stream, cx| {
                let flow = stream.on_response_head(cx, &Head::new(&[(":status", "200")], false));
                stream.on_end(cx);
                flow
            },
        );
        self.gateways[gateway].workers[worker].streams.remove(&id);
        self.spent[at].settled_ms = Some(self.now_ms);
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now_ms + millis;
        while self.now_ms < end {
            self.now_ms = (self.now_ms + TICK_MS).min(end);
            for gateway in 0..self.gateways.len() {
                if let Some(latency) = self.latency_ms {
                    self.carry(gateway, latency);
                }
                let old = |flight: &Flight| flight.sent_ms + TIMEOUT_MS <= self.now_ms;
                if self.gateways[gateway].call.as_ref().is_some_and(old) {
                    self.fail(gateway);
                }
                for worker in 0..self.workers {
                    self.filter_event(gateway, worker, |filter, cx| filter.on_tick(cx));
                }
                self.wake(gateway);
            }
        }
    }

    fn carry(&mut self, gateway: usize, latency: u64) {
        if self.gateways[gateway].is_cut_off {
            return self.fail(gateway);
        }
        let arrived = |flight: &Flight| flight.sent_ms + latency <= self.now_ms;
        if self.gateways[gateway].call.as_ref().is_some_and(arrived) {
            self.deliver(gateway);
            self.bring(gateway);
        }
    }

    /// A gateway's report reaches the ledger.
    pub(crate) fn deliver(&mut self, gateway: usize) {
        let Some(flight) = &self.gateways[gateway].call else { return };
        if flight.answer.is_none() {
            let answered = self.ask(&flight.call.body.clone());
            if let Some(flight) = &mut self.gateways[gateway].call {
                flight.answer = Some(answered);
            }
        }
    }

    /// A report that was given up long ago, or one under way, reaches the ledger once more; nobody hears the answer.
    pub(crate) fn repeat(&mut self, which: usize) {
        let under_way = self.gateways.iter().filter_map(|gateway| gateway.call.as_ref());
        let all: Vec<_> =
            under_way.map(|flight| flight.call.body.clone()).chain(self.strays.clone()).collect();
        if let Some(body) = which.checked_rem(all.len()).and_then(|which| all.get(which)) {
            self.ask(body);
        }
    }

    fn ask(&mut self, body: &[u8]) -> Vec<u8> {
        let report: Report = serde_json::from_slice(body).unwrap();
        let now = self.now_ms / 1000;
        if let Some(replicas) = &mut self.replicas {
            return replicas.ask(report, (self.rules.clone(), now), &mut self.accounts);
        }
        let granted = report.counters.iter().enumerate().filter_map(|(at, counted)| {
            let account = self.accounts.entry(counted.counter.clone()).or_default();
            renew(account, &self.rules, (&report, at), now)
        });
        let answered = answer(report.sequence, granted.collect::<Vec<_>>());
        serde_json::to_vec(&answered).unwrap()
    }

    /// The ledger's answer reaches its gateway.
    pub(crate) fn bring(&mut self, gateway: usize) {
        let flight = self.gateways[gateway].call.take_if(|flight| flight.answer.is_some());
        let Some(Flight { worker, call, answer: Some(body), .. }) = flight else { return };
        let head = Head::new(&[(":status", "200")], false);
        self.filter_event(gateway, worker, |filter, cx| {
            filter.on_call_done(cx, call.id, Ok(Answer { status: 200, head: &head, body: &body }));
        });
        self.wake(gateway);
    }

    /// A report or its answer is lost.
    pub(crate) fn fail(&mut self, gateway: usize) {
        let Some(Flight { worker, call, .. }) = self.gateways[gateway].call.take() else { return };
        self.filter_event(gateway, worker, |filter, cx| {
            filter.on_call_done(cx, call.id, Err(CallError::Failed));
        });
        self.strays.push(call.body);
        self.wake(gateway);
    }

    /// What a counter's limits have come to at the ledger.
    pub(crate) fn standing(&self, rule_name: &str) -> Vec<Standing> {
        let name = self.accounts.keys().find(|name| name.rule.as_str() == rule_name).unwrap();
        let rule = rule(&self.rules, name).unwrap();
        self.accounts[name].standing(terms(rule), self.now_ms / 1000)
    }

    fn event(
        &mut self,
        gateway: usize,
        worker: usize,
        id: u32,
        event: impl FnOnce(&mut QuotaStream, &mut Cx<'_>) -> Flow,
    ) -> Flow {
        self.usage(gateway, worker, id, None, event)
    }

    fn usage(
        &mut self,
        gateway: usize,
        worker: usize,
        id: u32,
        usage: Option<String>,
        event: impl FnOnce(&mut QuotaStream, &mut Cx<'_>) -> Flow,
    ) -> Flow {
        let now = UnixTime::from_nanos(self.now_ms * 1_000_000);
        let Gateway { store, name, workers, .. } = &mut self.gateways[gateway];
        let request = workers[worker].streams.get_mut(&id).unwrap();
        let at = At { now, store, name, usage };
        let mut cx = Cx::new(&at);
        let flow = event(&mut request.stream, &mut cx);
        let effects = cx.take_effects();
        self.perform(gateway, worker, effects);
        flow
    }

    fn filter_event(&mut self, gateway: usize, worker: usize, event: impl FnOnce(&Quota, &mut Cx<'_>)) {
        let now = UnixTime::from_nanos(self.now_ms * 1_000_000);
        let Gateway { store, name, workers, .. } = &self.gateways[gateway];
        let at = At { now, store, name, usage: None };
        let mut cx = Cx::new(&at);
        event(&workers[worker].filter, &mut cx);
        let effects = cx.take_effects();
        self.perform(gateway, worker, effects);
    }

    fn perform(&mut self, gateway: usize, worker: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    self.reports += 1;
                    let flight = Flight { worker, call, sent_ms: self.now_ms, answer: None };
                    let before = self.gateways[gateway].call.replace(flight);
                    // One that is still on its way has been given up.
                    self.strays.extend(before.map(|flight| flight.call.body));
                }
                Effect::Wake(stream) => self.gateways[gateway].workers[worker].wakes.push_back(stream.0),
                Effect::Count(metric, _) if metric.name == "weir.quota.unavailable_total" => {
                    self.unavailable += 1
                }
                _ => {}
            }
        }
    }

    fn wake(&mut self, gateway: usize) {
        for worker in 0..self.workers {
            for _ in 0..self.gateways[gateway].workers[worker].wakes.len() {
                let Some(id) = self.gateways[gateway].workers[worker].wakes.pop_front() else { break };
                if self.gateways[gateway].workers[worker].streams.contains_key(&id) {
                    let flow = self.event(gateway, worker, id, |stream, cx| stream.on_wake(cx));
                    self.conclude(gateway, worker, id, flow);
                }
            }
        }
    }

    fn conclude(&mut self, gateway: usize, worker: usize, id: u32, flow: Flow) -> Option<bool> {
        match flow {
            Flow::Wait => None,
            Flow::Continue => {
                let at_ms = self.now_ms;
                let request = self.gateways[gateway].workers[worker].streams.get_mut(&id).unwrap();
                request.admitted = Some(self.spent.len());
                let need = request.need;
                self.spent.push(Spent { at_ms, settled_ms: None, need });
                Some(true)
            }
            Flow::Reply(reply) => {
                self.refused += 1;
                self.last_refusal = String::from_utf8_lossy(&reply.body).into_owned();
                self.event(gateway, worker, id, |stream, cx| {
                    stream.on_end(cx);
                    Flow::Wait
                });
                self.gateways[gateway].workers[worker].streams.remove(&id);
                Some(false)
            }
        }
    }
}

/// What the body of [`Fleet::request`] weighs; every request that is answered uses it.
pub(crate) const WEIGHT: u64 = 5;
const TICK_MS: u64 = 50;
const TIMEOUT_MS: u64 = 1000;
