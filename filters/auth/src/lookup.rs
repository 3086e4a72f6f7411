//! Keys that are looked up on demand: a cache all workers share, and one call at a time for each key.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use weir_core::{
    Answer, Call, CallError, CallId, ConfigError, Cx, Level, Owner, SharedStore, StreamId, UnixTime,
};
use weir_schema::KeyHash;
use weir_schema::auth::{Key, Lookup};

use crate::directory::Caller;
use crate::filter::{LOOKUP_FAILURES, LOOKUPS};

/// Looks keys up at a cluster.
#[derive(Debug)]
pub(crate) struct Lookups {
    config: Lookup,
    flights: RefCell<Flights>,
}

/// The lookups under way in this worker, and the verdicts that streams have not yet fetched.
#[derive(Debug, Default)]
struct Flights {
    last: u32,
    calls: BTreeMap<CallId, (KeyHash, BTreeSet<StreamId>)>,
    verdicts: BTreeMap<StreamId, Verdict>,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Known(Rc<Caller>),
    Unknown,
    /// The key could not be looked up.
    Unavailable,
}

/// What a stream does about its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Now(Verdict),
    /// The stream will be woken.
    Later,
}

impl Lookups {
    pub(crate) fn of(config: Lookup) -> Result<Self, ConfigError> {
        let wrong = |field: &str, problem| Err(ConfigError { field: format!("lookup.{field}"), problem });
        if config.cluster.is_empty() {
            return wrong("cluster", "names no cluster");
        }
        if !config.path.starts_with('/') {
            return wrong("path", "does not start with /");
        }
        Ok(Self { config, flights: RefCell::default() })
    }

    /// Finds a key in the cache, or sends for it.
    pub(crate) fn find(&self, cx: &mut Cx<'_>, hash: KeyHash, stream: StreamId) -> Found {
        if let Some(verdict) = self.cached(cx.store(), &hash, cx.now()) {
            return Found::Now(verdict);
        }
        let Ok(mut flights) = self.flights.try_borrow_mut() else { return Found::Now(Verdict::Unavailable) };
        if let Some((_, waiting)) = flights.calls.values_mut().find(|(key, _)| *key == hash) {
            waiting.insert(stream);
            return Found::Later;
        }
        if flights.calls.len() >= MAX_FLIGHTS {
            cx.count(LOOKUP_FAILURES);
            return Found::Now(Verdict::Unavailable);
        }
        flights.last = flights.last.wrapping_add(1);
        let id = CallId(flights.last);
        flights.calls.insert(id, (hash, BTreeSet::from([stream])));
        cx.count(LOOKUPS);
        cx.call(self.call(id, hash));
        Found::Later
    }

    /// The verdict a woken stream was waiting for.
    pub(crate) fn fetch(&self, stream: StreamId) -> Option<Verdict> {
        self.flights.try_borrow_mut().ok()?.verdicts.remove(&stream)
    }

    /// A stream that is over waits for nothing.
    pub(crate) fn leave(&self, stream: StreamId) {
        if let Ok(mut flights) = self.flights.try_borrow_mut() {
            flights.verdicts.remove(&stream);
            for (_, waiting) in flights.calls.values_mut() {
                waiting.remove(&stream);
            }
        }
    }

    pub(crate) fn on_call_done(&self, cx: &mut Cx<'_>, call: CallId, outcome: Result<Answer<'_>, CallError>) {
        let Ok(mut flights) = self.flights.try_borrow_mut() else { return };
        let Some((hash, waiting)) = flights.calls.remove(&call) else { return };
        let verdict = match outcome {
            Ok(Answer { status: 200, body, .. }) => self.learn(cx, &hash, body),
            Ok(Answer { status: 404, .. }) => {
                self.remember(cx, &hash, self.config.negative_ttl_secs.get(), b"");
                Verdict::Unknown
            }
            Ok(Answer { status, .. }) => {
                cx.log(Level::Warn, format!("weir.auth: a key lookup was answered {status}"));
                Verdict::Unavailable
            }
            Err(error) => {
                cx.log(Level::Warn, format!("weir.auth: a key lookup failed: {error:?}"));
                Verdict::Unavailable
            }
        };
        if verdict == Verdict::Unavailable {
            cx.count(LOOKUP_FAILURES);
        }
        for stream in waiting {
            flights.verdicts.insert(stream, verdict.clone());
            cx.wake(stream);
        }
    }

    fn learn(&self, cx: &mut Cx<'_>, hash: &KeyHash, body: &[u8]) -> Verdict {
        match serde_json::from_slice::<Key>(body) {
            Ok(key) => {
                self.remember(cx, hash, self.config.ttl_secs.get(), body);
                Verdict::Known(Rc::new(Caller::of(key)))
            }
            Err(error) => {
                cx.log(Level::Error, format!("weir.auth: a key lookup's answer is no key: {error}"));
                Verdict::Unavailable
            }
        }
    }

    fn call(&self, id: CallId, hash: KeyHash) -> Call {
        let authority = self.config.authority.clone().unwrap_or_else(|| self.config.cluster.clone());
        Call {
            id,
            owner: Owner::Filter,
            cluster: self.config.cluster.clone(),
            headers: vec![
                (Cow::Borrowed(":method"), "GET".into()),
                (Cow::Borrowed(":path"), format!("{}/{hash}", self.config.path.trim_end_matches('/'))),
                (Cow::Borrowed(":authority"), authority),
                (Cow::Borrowed("accept"), "application/json".into()),
            ],
            body: Vec::new(),
            timeout_ms: self.config.timeout_ms.get(),
            max_answer_bytes: MAX_ANSWER_BYTES,
        }
    }

    /// A cache entry is the key's hash, the epoch it was found in, the second it stops being believed, and the key
    /// as JSON (nothing for a key that is unknown). Keys share slots, and a newer one takes the slot.
    fn cached(&self, store: &dyn SharedStore, hash: &KeyHash, now: UnixTime) -> Option<Verdict> {
        let entry = store.get(&self.slot(hash)).ok().flatten()?.value;
        let (whose, rest) = entry.split_first_chunk::<32>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (until, key) = rest.split_first_chunk::<8>()?;
        let current = u64::from_le_bytes(*epoch) == self.config.epoch;
        if !current || KeyHash::from_bytes(*whose) != *hash || u64::from_le_bytes(*until) <= now.seconds() {
            return None;
        }
        match key {
            b"" => Some(Verdict::Unknown),
            key => serde_json::from_slice(key).ok().map(|key| Verdict::Known(Rc::new(Caller::of(key)))),
        }
    }

    fn remember(&self, cx: &mut Cx<'_>, hash: &KeyHash, ttl_secs: u32, key: &[u8]) {
        let until = cx.now().plus(Duration::from_secs(ttl_secs.into())).seconds();
        let epoch = self.config.epoch.to_le_bytes();
        let entry = [&hash.to_bytes()[..], &epoch, &until.to_le_bytes(), key].concat();
        if let Err(error) = cx.store().set(&self.slot(hash), &entry, None) {
            cx.log(Level::Warn, format!("weir.auth: a looked-up key was not cached: {error:?}"));
        }
    }

    fn slot(&self, hash: &KeyHash) -> String {
        let [first, second, third, fourth, ..] = hash.to_bytes();
        let number = u32::from_le_bytes([first, second, third, fourth]);
        format!("auth/lookup/{}", number.checked_rem(self.config.cache_slots.get()).unwrap_or(0))
    }
}

/// Lookups under way at once in one worker; a request that would begin another is answered 503.
const MAX_FLIGHTS: usize = 256;
const MAX_ANSWER_BYTES: u32 = 64 * 1024;
