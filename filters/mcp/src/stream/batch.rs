//! The messages of a body, until each that wants an answer has one.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};
use weir_core::{Answer as Called, CallError, CallId, Cx, Reply};
use weir_schema::state;
use weir_wire::jsonrpc::{Body, Id, Malformed, Message, RpcError};

use crate::catalog::{Behind, Served};
use crate::era::{Asked, Refused, SERVER_INFO};
use crate::filter::CALL_MILLIS;
use crate::mirror::{Field, Mirror};
use crate::orchestrator::{Answer, Context, Orchestrator};
use crate::outcome::{Kind, Outcome};
use crate::reply;
use crate::run::{Numbers, Part, Run};
use crate::version::Version;

/// The messages of a body that want an answer, in order.
#[derive(Debug)]
pub(super) struct Batch {
    served: Rc<Served>,
    is_array: bool,
    slots: Vec<Slot>,
    calls: BTreeMap<CallId, (usize, Part)>,
    numbers: Numbers,
    kinds: Vec<Kind>,
}

/// A message that wants an answer.
#[derive(Debug)]
enum Slot {
    Answered {
        status: u16,
        json: String,
    },
    /// A stream of events.
    Events(String),
    /// The hub answers.
    Relayed,
    Running {
        id: String,
        version: Version,
        run: Box<Run>,
    },
}

impl Batch {
    /// Reads a body and begins what it asks. `Err` is the answer to a body of no messages.
    pub(super) fn read(
        cx: &mut Cx<'_>,
        served: Rc<Served>,
        consumer: Option<String>,
        mirror: &Mirror,
        body: &[u8],
    ) -> Result<Self, Reply> {
        let mut batch = Self {
            served,
            is_array: false,
            slots: Vec::new(),
            calls: BTreeMap::new(),
            numbers: Numbers::default(),
            kinds: Vec::new(),
        };
        let malformed = |refused: Malformed<'_>| reply::messages(400, "weir_mcp_malformed", refused.answer());
        match Body::parse(body).map_err(malformed)? {
            Body::Single(message) => batch.add(cx, consumer.as_deref(), mirror, &message),
            Body::Batch(_) if !allows_batches(mirror) => {
                let message = "only the revision 2025-03-26 has batches";
                return Err(reply::refused(400, "weir_mcp_batch", message));
            }
            Body::Batch(messages) if is_costly(&messages) => {
                return Err(reply::refused(400, "weir_mcp_batch", ONE_CALL));
            }
            Body::Batch(messages) => {
                batch.is_array = true;
                for message in messages {
                    match message {
                        Ok(message) => batch.add(cx, consumer.as_deref(), mirror, &message),
                        Err(malformed) => {
                            batch.slots.push(Slot::Answered { status: 200, json: malformed.answer() });
                        }
                    }
                }
            }
        }
        Ok(batch)
    }

    fn add(&mut self, cx: &mut Cx<'_>, consumer: Option<&str>, mirror: &Mirror, message: &Message<'_>) {
        let (id, call) = match message {
            Message::Request(id, call) => (*id, call),
            Message::Notification(_) | Message::Response => return,
        };
        let served = Rc::clone(&self.served);
        let Behind::Orchestrator(orchestrator) = served.behind.as_ref() else { return };
        let in_batch = self.is_array && call.method == "initialize";
        let asked = match in_batch {
            true => {
                let message = "\"initialize\" cannot be in a batch";
                Err(Refused::new(200, RpcError::new(RpcError::INVALID_REQUEST, message)))
            }
            false => Asked::of(call, mirror),
        };
        let answered = asked.and_then(|asked| {
            let context = Context { served: &served, consumer, mirror, now: cx.now() };
            orchestrator.answer(context, &asked).map(|answer| (asked.version, answer))
        });
        let slot = match answered {
            Err(Refused { status, error }) => Slot::Answered { status, json: error.answer(Some(id)) },
            Ok((version, Answer::Result(result))) => {
                answered_with(id, finished(Value::Object(result).to_string(), orchestrator, version))
            }
            Ok((version, Answer::Json(json))) => answered_with(id, finished(json, orchestrator, version)),
            Ok((_, Answer::Listen)) if served.hub => Slot::Relayed,
            Ok((version, Answer::Listen)) => Slot::Events(listened(id, orchestrator, version)),
            Ok((version, Answer::Done(outcome))) => self.done(cx, id.as_json(), version, outcome),
            Ok((version, Answer::Run(run))) => {
                self.slots.push(Slot::Running { id: id.as_json().into(), version, run });
                self.advance(cx, self.slots.len().saturating_sub(1));
                return;
            }
        };
        self.slots.push(slot);
    }

    /// Takes the outcome of a call.
    pub(super) fn take(&mut self, cx: &mut Cx<'_>, call: CallId, answer: Result<Called<'_>, CallError>) {
        let Some((at, part)) = self.calls.remove(&call) else { return };
        if let Ok(Called { status, .. }) = &answer {
            cx.publish(state::MCP_UPSTREAM_CODE, status.to_string());
        }
        let Some(Slot::Running { run, .. }) = self.slots.get_mut(at) else { return };
        match run.take(cx, part, answer) {
            Some(outcome) => self.finish(cx, at, outcome),
            None => self.advance(cx, at),
        }
    }

    /// Whether it is for the hub to answer.
    pub(super) fn is_relayed(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Relayed))
    }

    /// The answer, once each message has one.
    pub(super) fn reply(&self) -> Option<Reply> {
        let mut answers = Vec::new();
        for slot in &self.slots {
            match slot {
                Slot::Answered { status, json } => answers.push((*status, json.as_str())),
                Slot::Events(events) => return Some(reply::events("weir_mcp_listen", events)),
                Slot::Running { .. } | Slot::Relayed => return None,
            }
        }
        let details = self.kinds.first().map_or("weir_mcp_answer", |kind| match kind {
            Kind::Ok => "weir_mcp_ok",
            _ => "weir_mcp_failed",
        });
        Some(match answers.as_slice() {
            [] => reply::accepted(),
            [(status, json)] if !self.is_array => reply::messages(*status, details, (*json).to_owned()),
            several => {
                let list: Vec<_> = several.iter().map(|(_, json)| *json).collect();
                reply::messages(200, details, format!("[{}]", list.join(",")))
            }
        })
    }

    fn advance(&mut self, cx: &mut Cx<'_>, at: usize) {
        let Some(Slot::Running { run, .. }) = self.slots.get_mut(at) else { return };
        let (begun, outcome) = run.advance(cx, &mut self.numbers);
        self.calls.extend(begun.into_iter().map(|(call, part)| (call, (at, part))));
        if let Some(outcome) = outcome {
            self.finish(cx, at, outcome);
        }
    }

    fn finish(&mut self, cx: &mut Cx<'_>, at: usize, outcome: Outcome) {
        let Some(Slot::Running { id, version, run }) = self.slots.get(at) else { return };
        cx.record(CALL_MILLIS, run.millis(cx.now()));
        let (id, version) = (id.clone(), *version);
        let slot = self.done(cx, &id, version, outcome);
        if let Some(running) = self.slots.get_mut(at) {
            *running = slot;
        }
    }

    fn done(&mut self, cx: &mut Cx<'_>, id: &str, version: Version, outcome: Outcome) -> Slot {
        let Outcome { kind, answer } = outcome;
        cx.count(kind.metric());
        self.kinds.push(kind);
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        cx.publish(state::MCP_OUTCOME, kinds.join(","));
        let Behind::Orchestrator(orchestrator) = self.served.behind.as_ref() else {
            return Slot::Answered { status: 200, json: String::new() };
        };
        let id = Id::written(id);
        match answer {
            Ok(result) => {
                answered_with(id, finished(Value::Object(result).to_string(), orchestrator, version))
            }
            Err(error) => {
                let Refused { status, error } = Refused::of(error, version);
                Slot::Answered { status, json: error.answer(Some(id)) }
            }
        }
    }
}

fn answered_with(id: Id<'_>, result: String) -> Slot {
    Slot::Answered { status: 200, json: id.answer(&result) }
}

/// A result with what the revision wants of every result.
fn finished(mut json: String, orchestrator: &Orchestrator, version: Version) -> String {
    if !version.is_modern() {
        return json;
    }
    // It is an object, perhaps an empty one.
    json.pop();
    let comma = if json.ends_with('{') { "" } else { "," };
    let meta = json!({SERVER_INFO: orchestrator.server_info()});
    json.push_str(&format!(r#"{comma}"resultType":"complete","_meta":{meta}}}"#));
    json
}

/// A subscription that is acknowledged, and ends.
fn listened(id: Id<'_>, orchestrator: &Orchestrator, version: Version) -> String {
    let subscription = serde_json::from_str::<Value>(id.as_json()).unwrap_or_default();
    let acknowledged = json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": {SUBSCRIPTION: subscription}, "notifications": {}},
    });
    let mut result = Map::from_iter([("resultType".to_owned(), Value::from("complete"))]);
    debug_assert!(version.is_modern());
    let meta = json!({SERVER_INFO: orchestrator.server_info(), SUBSCRIPTION: subscription});
    result.insert("_meta".into(), meta);
    let answer = id.answer(&Value::Object(result).to_string());
    format!("event: message\ndata: {acknowledged}\n\nevent: message\ndata: {answer}\n\n")
}

/// Whether a batch makes several calls that quotas count: each of them has a request of its own.
pub(crate) fn is_costly(messages: &[Result<Message<'_>, Malformed<'_>>]) -> bool {
    let counts = |message: &&Message<'_>| match message {
        Message::Request(_, call) | Message::Notification(call) => call.asked().is_some(),
        Message::Response => false,
    };
    messages.iter().flatten().filter(counts).nth(1).is_some()
}

fn allows_batches(mirror: &Mirror) -> bool {
    mirror.version == Field::Absent || mirror.version.is(Version::V2025_03_26.as_str())
}

/// Why such a batch is refused.
pub(crate) const ONE_CALL: &str = "a batch calls one tool, or reads one resource";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
