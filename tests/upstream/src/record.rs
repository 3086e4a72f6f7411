//! The record of what was received and sent, event by event.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::http::request::Parts;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The last requests, and a signal whenever something happens to one.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: Mutex<Log>,
    changed: watch::Sender<()>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Log {
    next_id: u64,
    entries: VecDeque<Entry>,
}

/// One request as it was seen.
#[derive(Debug, Serialize)]
struct Entry {
    id: u64,
    tag: Option<String>,
    method: String,
    path: String,
    version: String,
    headers: Vec<(String, String)>,
    #[serde(flatten, serialize_with = "body_forms")]
    body: Vec<u8>,
    events: Vec<Timed>,
}

#[derive(Debug, Serialize)]
struct Timed {
    at_us: u64,
    #[serde(flatten)]
    event: Event,
}

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The request's headers were received.
    Headers,
    /// A part of its body was received.
    BodyChunk { bytes: usize },
    /// The body's end was received.
    BodyComplete,
    /// The body will never be complete.
    BodyAborted,
    /// The response's headers were handed over for sending.
    ResponseStarted { status: u16 },
    /// A part of the response's body was handed over for sending.
    ChunkSent { bytes: usize },
    /// So was its end.
    ResponseComplete,
    /// The connection or stream was reset, as asked.
    Reset,
    /// The client went away before the response's end.
    ClientGone,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::BodyChunk { .. } => "body_chunk",
            Self::BodyComplete => "body_complete",
            Self::BodyAborted => "body_aborted",
            Self::ResponseStarted { .. } => "response_started",
            Self::ChunkSent { .. } => "chunk_sent",
            Self::ResponseComplete => "response_complete",
            Self::Reset => "reset",
            Self::ClientGone => "client_gone",
        }
    }
}

/// Which requests a reader wants, and what it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) id: Option<u64>,
    pub(crate) tag: Option<String>,
    pub(crate) wait_for: Option<String>,
    pub(crate) count: usize,
    pub(crate) timeout: Duration,
}

impl Query {
    fn selects(&self, entry: &Entry) -> bool {
        self.id.is_none_or(|id| entry.id == id) && (self.tag.is_none() || self.tag == entry.tag)
    }
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { log: Mutex::default(), changed: watch::channel(()).0, started: Instant::now() }
    }

    /// Begins the record of a request.
    pub(crate) fn begin(self: &Arc<Self>, head: &Parts) -> Exchange {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut log = self.lock();
        let id = log.next_id;
        log.next_id = id.saturating_add(1);
        if log.entries.len() >= KEPT {
            log.entries.pop_front();
        }
        log.entries.push_back(Entry {
            id,
            tag: head.headers.get("sim-tag").map(|tag| text(tag.as_bytes())),
            method: head.method.to_string(),
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            version: format!("{:?}", head.version),
            headers: authority(head)
                .into_iter()
                .chain(head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))))
                .collect(),
            body: vec![],
            events: vec![],
        });
        drop(log);
        let exchange = Exchange { recorder: Arc::clone(self), id, receiving: true, sending: true };
        exchange.record(Event::Headers);
        exchange
    }

    /// The selected requests, oldest first.
    pub(crate) fn list(&self, query: &Query) -> Value {
        let log = self.lock();
        json!(log.entries.iter().filter(|entry| query.selects(entry)).collect::<Vec<_>>())
    }

    /// Waits until enough of the selected requests have the event; false if the time is up before.
    pub(crate) async fn wait(&self, query: &Query) -> bool {
        let Some(event) = &query.wait_for else { return true };
        let mut changed = self.changed.subscribe();
        let reached = changed.wait_for(|()| {
            let log = self.lock();
            let has_it = |entry: &&Entry| entry.events.iter().any(|timed| timed.event.name() == event);
            log.entries.iter().filter(|entry| query.selects(entry)).filter(has_it).count() >= query.count
        });
        matches!(tokio::time::timeout(query.timeout, reached).await, Ok(Ok(_)))
    }

    /// Forgets every request.
    pub(crate) fn clear(&self) {
        self.lock().entries.clear();
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Entry, u64)) {
        let at_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(entry) = self.lock().entries.iter_mut().rfind(|entry| entry.id == id) {
            change(entry, at_us);
        }
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that is being served. Dropped before its response is complete, it records that the client went.
#[derive(Debug)]
pub(crate) struct Exchange {
    recorder: Arc<Recorder>,
    id: u64,
    receiving: bool,
    sending: bool,
}

impl Exchange {
    /// The number of the request.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// A part of the body arrived.
    pub(crate) fn received(&self, chunk: &[u8]) {
        self.recorder.change(self.id, |entry, at_us| {
            entry.body.extend_from_slice(chunk);
            entry.events.push(Timed { at_us, event: Event::BodyChunk { bytes: chunk.len() } });
        });
    }

    /// The whole body arrived.
    pub(crate) fn received_all(&mut self) {
        self.receiving = false;
        self.record(Event::BodyComplete);
    }

    /// The response begins.
    pub(crate) fn started(&self, status: u16) {
        self.record(Event::ResponseStarted { status });
    }

    /// A part of the response was handed over.
    pub(crate) fn sent(&self, bytes: usize) {
        self.record(Event::ChunkSent { bytes });
    }

    /// The response ended, by its end or by the reset that was asked for.
    pub(crate) fn ended(&mut self, event: Event) {
        if std::mem::replace(&mut self.sending, false) {
            self.record(event);
        }
    }

    fn record(&self, event: Event) {
        self.recorder.change(self.id, |entry, at_us| entry.events.push(Timed { at_us, event }));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.receiving {
            self.record(Event::BodyAborted);
        }
        self.ended(Event::ClientGone);
    }
}

/// HTTP/2 sends the host as `:authority`; it is listed under that name.
fn authority(head: &Parts) -> Option<(String, String)> {
    head.uri.authority().map(|authority| (":authority".to_owned(), authority.to_string()))
}

#[derive(Serialize)]
struct BodyForms<'a> {
    body_base64: String,
    body: Option<&'a str>,
}

fn body_forms<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    BodyForms { body_base64: BASE64.encode(body), body: std::str::from_utf8(body).ok() }.serialize(serializer)
}

const KEPT: usize = 1000;

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(tag: &str) -> Parts {
        Request::post("/v1/x?y").header("sim-tag", tag).body(()).unwrap().into_parts().0
    }

    fn tagged(tag: &str) -> Query {
        Query { tag: Some(tag.into()), count: 1, timeout: Duration::from_secs(5), ..Query::default() }
    }

    fn names(list: &Value) -> Vec<&str> {
        list[0]["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_request_is_recorded_event_by_event() {
        let recorder = Arc::new(Recorder::new());
        let mut exchange = recorder.begin(&head("a"));
        exchange.received(b"he");
        exchange.received(b"y\xff");
        exchange.received_all();
        exchange.started(200);
        exchange.sent(3);
        exchange.ended(Event::ResponseComplete);
        drop(exchange);
        let list = recorder.list(&tagged("a"));
        assert_eq!(
            names(&list),
            [
                "headers",
                "body_chunk",
                "body_chunk",
                "body_complete",
                "response_started",
                "chunk_sent",
                "response_complete"
            ]
        );
        assert_eq!((&list[0]["body"], &list[0]["body_base64"]), (&Value::Null, &json!("aGV5/w==")));
        assert_eq!((&list[0]["path"], &list[0]["events"][2]["bytes"]), (&json!("/v1/x?y"), &json!(2)));
        assert_eq!(recorder.list(&tagged("b")), json!([]));
    }

    #[test]
    fn a_request_that_is_dropped_early_was_left_by_its_client() {
        let recorder = Arc::new(Recorder::new());
        drop(recorder.begin(&head("a")));
        assert_eq!(names(&recorder.list(&tagged("a"))), ["headers", "body_aborted", "client_gone"]);
    }

    #[test]
    fn only_the_last_thousand_are_kept() {
        let recorder = Arc::new(Recorder::new());
        for _ in 0..=KEPT {
            drop(recorder.begin(&head("a")));
        }
        let list = recorder.list(&tagged("a"));
        assert_eq!((list.as_array().map(Vec::len), &list[0]["id"]), (Some(KEPT), &json!(1)));
        recorder.clear();
        assert_eq!(recorder.list(&tagged("a")), json!([]));
    }

    #[tokio::test]
    async fn a_reader_waits_for_an_event() {
        let recorder = Arc::new(Recorder::new());
        let query = Query { wait_for: Some("body_complete".into()), ..tagged("a") };
        let mut exchange = recorder.begin(&head("a"));
        let (reached, ()) = tokio::join!(recorder.wait(&query), async { exchange.received_all() });
        assert!(reached);
        let never = Query { count: 2, timeout: Duration::ZERO, ..query };
        assert!(!recorder.wait(&never).await);
    }
}
