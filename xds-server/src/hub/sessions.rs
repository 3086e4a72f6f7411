//! The streams that are open, and whose they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{body::Bytes, http::HeaderMap};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use crate::keys;

/// All open streams.
#[derive(Debug)]
pub(super) struct Sessions {
    open: Mutex<BTreeMap<String, Entry>>,
    streams: usize,
    streams_of_caller: usize,
}

/// A stream that has just been opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its id, which nobody can guess.
    pub(super) id: String,
    /// Writes on it.
    pub(super) events: mpsc::Sender<Bytes>,
    /// What was written.
    pub(super) received: mpsc::Receiver<Bytes>,
}

/// An open stream, as its messages see it.
#[derive(Debug)]
pub(super) struct Session {
    /// Writes on the stream.
    pub(super) events: mpsc::Sender<Bytes>,
    /// How many messages may be under way.
    pub(super) turns: Arc<Semaphore>,
    /// What the server behind it has said at its beginning.
    pub(super) agreed: Mutex<Agreed>,
}

/// What a client's `initialize` has led to.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    /// `Mcp-Session-Id`, if the server has given one.
    pub(super) session: Option<String>,
    /// The revision of the protocol.
    pub(super) version: Option<String>,
}

/// Who has opened a stream, as Envoy says it: the tenant and the key. The same one may write on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller([Vec<u8>; 2]);

/// There are too many streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The caller has as many as it may.
    Caller,
    /// All have as many as they may, or no id can be made.
    All,
}

#[derive(Debug)]
struct Entry {
    caller: Caller,
    endpoint: String,
    session: Arc<Session>,
    /// Messages under way, which end with the stream.
    relayed: JoinSet<()>,
}

impl Caller {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let said = |name: &str| headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
        Self([said(DOMAIN_HEADER), said(KEY_HEADER)])
    }
}

impl Sessions {
    pub(super) fn new(streams: usize, streams_of_caller: usize) -> Self {
        Self { open: Mutex::default(), streams, streams_of_caller }
    }

    /// Opens a stream at an endpoint.
    pub(super) fn open(&self, caller: Caller, endpoint: &str) -> Result<Opened, Refused> {
        let id = keys::random("").map_err(|_| Refused::All)?;
        let mut open = self.locked();
        let own = open.values().filter(|entry| entry.caller == caller).count();
        if own >= self.streams_of_caller {
            return Err(Refused::Caller);
        }
        if open.len() >= self.streams {
            return Err(Refused::All);
        }
        let (events, received) = mpsc::channel(BACKLOG);
        let session = Session {
            events: events.clone(),
            turns: Arc::new(Semaphore::new(TURNS)),
            agreed: Mutex::default(),
        };
        let entry =
            Entry { caller, endpoint: endpoint.into(), session: Arc::new(session), relayed: JoinSet::new() };
        open.insert(id.clone(), entry);
        Ok(Opened { id, events, received })
    }

    /// The stream with that id, if this caller has opened it at this endpoint.
    pub(super) fn find(&self, id: &str, caller: &Caller, endpoint: &str) -> Option<Arc<Session>> {
        let open = self.locked();
        let entry = open.get(id).filter(|entry| entry.caller == *caller && entry.endpoint == endpoint);
        entry.map(|entry| Arc::clone(&entry.session))
    }

    /// Does something for a stream; it is given up when the stream ends.
    pub(super) fn spawn(&self, id: &str, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(entry) = self.locked().get_mut(id) {
            while entry.relayed.try_join_next().is_some() {}
            entry.relayed.spawn(work);
        }
    }

    /// Ends a stream.
    pub(super) fn close(&self, id: &str) {
        self.locked().remove(id);
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(super) fn agreed(&self) -> Agreed {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn agree(&self, agreed: Agreed) {
        *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = agreed;
    }
}

/// Where Envoy says of which tenant a caller is; a client cannot.
pub(crate) const DOMAIN_HEADER: &str = "x-weir-domain";
/// Where Envoy says for which gateway it speaks; a client cannot.
pub(crate) const GATEWAY_HEADER: &str = "x-weir-gateway";
/// Where Envoy says with which key a caller has come; a client cannot.
pub(crate) const KEY_HEADER: &str = "x-weir-key-id";

/// How many events may wait for a client to read them.
const BACKLOG: usize = 64;
/// How many messages of one stream may be under way.
const TURNS: usize = 32;

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn caller(key: &'static str) -> Caller {
        let mut headers = HeaderMap::new();
        headers.insert(KEY_HEADER, HeaderValue::from_static(key));
        Caller::of(&headers)
    }

    #[test]
    fn only_who_opened_a_stream_finds_it() {
        let sessions = Sessions::new(10, 10);
        let opened = sessions.open(caller("a"), "/logs").unwrap();
        assert!(sessions.find(&opened.id, &caller("a"), "/logs").is_some());
        assert!(sessions.find(&opened.id, &caller("b"), "/logs").is_none());
        assert!(sessions.find(&opened.id, &caller("a"), "/other").is_none());
        assert!(sessions.find("", &caller("a"), "/logs").is_none());
        sessions.close(&opened.id);
        assert!(sessions.find(&opened.id, &caller("a"), "/logs").is_none());
    }

    #[test]
    fn streams_are_bounded_for_a_caller_and_in_all() {
        let sessions = Sessions::new(3, 2);
        let first = sessions.open(caller("a"), "/logs").unwrap();
        let _second = sessions.open(caller("a"), "/logs").unwrap();
        assert_eq!(sessions.open(caller("a"), "/logs").unwrap_err(), Refused::Caller);
        let _third = sessions.open(caller("b"), "/logs").unwrap();
        assert_eq!(sessions.open(caller("c"), "/logs").unwrap_err(), Refused::All);
        sessions.close(&first.id);
        assert!(sessions.open(caller("c"), "/logs").is_ok());
    }
}
