//! The keys that sessions are sealed with: asked for when they are needed first, and again now and then.

use std::cell::RefCell;
use std::rc::Rc;

use weir_core::{Answer, Call, CallError, CallId, Cx, Level, Owner, UnixTime};
use weir_schema::mcp::{SessionKeys, SessionSource};

use super::seal::Sealer;

/// The keys of a worker.
#[derive(Debug)]
pub(crate) struct Keys {
    source: SessionSource,
    held: RefCell<Held>,
}

#[derive(Debug, Default)]
struct Held {
    sealer: Option<Rc<Sealer>>,
    /// When they were asked for last.
    asked: UnixTime,
}

impl Keys {
    pub(crate) fn at(source: SessionSource) -> Self {
        Self { source, held: RefCell::default() }
    }

    /// What seals now. `None`: the stream has asked, and waits for [`KEYS_CALL`]. A token that an unknown key has sealed
    /// may be of one that is newer.
    pub(crate) fn get(&self, cx: &mut Cx<'_>, token: Option<&[u8]>) -> Option<Rc<Sealer>> {
        let Ok(mut held) = self.held.try_borrow_mut() else { return None };
        let age = cx.now().millis().saturating_sub(held.asked.millis());
        match &held.sealer {
            Some(sealer) if token.is_none_or(|token| sealer.knows(token)) || age < AGAIN_MS => {
                let sealer = Rc::clone(sealer);
                if age > FRESH_MS {
                    held.asked = cx.now();
                    cx.call(self.call(Owner::Filter));
                }
                Some(sealer)
            }
            Some(_) | None => {
                held.asked = cx.now();
                cx.call(self.call(Owner::Stream));
                None
            }
        }
    }

    /// What was known last.
    pub(crate) fn last(&self) -> Option<Rc<Sealer>> {
        self.held.try_borrow().ok()?.sealer.clone()
    }

    /// Takes the answer. One that has no keys leaves those that are there.
    pub(crate) fn learn(&self, cx: &mut Cx<'_>, outcome: Result<Answer<'_>, CallError>) {
        let answered = match &outcome {
            Ok(answer) if answer.status == 200 => serde_json::from_slice::<SessionKeys>(answer.body).ok(),
            Ok(_) | Err(_) => None,
        };
        let Ok(mut held) = self.held.try_borrow_mut() else { return };
        match answered.and_then(|keys| Sealer::of(&keys, held.sealer.as_deref())) {
            Some(sealer) => held.sealer = Some(Rc::new(sealer)),
            None => cx.log(Level::Warn, "weir.mcp: the keys of sessions could not be had"),
        }
    }

    fn call(&self, owner: Owner) -> Call {
        let SessionSource { cluster, path, epoch: _ } = &self.source;
        let headers = [(":method", "GET"), (":path", path), (":authority", cluster)];
        Call {
            id: KEYS_CALL,
            owner,
            cluster: cluster.clone(),
            headers: headers.map(|(name, value)| (name.into(), value.to_owned())).into(),
            body: Vec::new(),
            timeout_ms: TIMEOUT_MS,
            max_answer_bytes: MAX_ANSWER,
        }
    }
}

/// The number of the call that asks for keys; calls of requests count from one.
pub(crate) const KEYS_CALL: CallId = CallId(0);

/// How long keys are used before they are asked for again, on the side.
const FRESH_MS: u64 = 60_000;
/// How soon a token of an unknown key is a reason to ask again.
const AGAIN_MS: u64 = 2_000;
const TIMEOUT_MS: u32 = 5_000;
const MAX_ANSWER: u32 = 16 * 1024;
