//! A request to a server that speaks the other era: this filter asks in the server's words and answers in the client's.
//!
//! ```text
//! to a server with sessions    Begin ──► Begun ──► Ask ──► over
//!                                ▲                  │
//!                                └─ session lost ───┘
//! to one of 2026-07-28         Ask ──► over
//!                               ▲ │
//!                               │ ▼ a tool's arguments are wanted in header fields
//!                              Tools
//! ```
//! A session at the server is kept for the next request of the same consumer, and for nobody else's.

use std::rc::Rc;

use serde_json::{Value, json};
use weir_core::{Answer, Call, CallError, CallId, Cx, Owner, Reply, UnixTime};
use weir_schema::mcp::McpUpstream;
use weir_schema::state;
use weir_wire::jsonrpc::{Body, Id, Message, RpcError};

use super::begun::{Begun, Place};
use super::convert::{self, not_possible};
use super::heard::Heard;
use super::object::Object;
use super::{Fields, Kept, head_of_call, passes, session, shows};
use crate::catalog::Served;
use crate::era::{self, Asked, Refused};
use crate::filter::CALL_MILLIS;
use crate::mirror::Mirror;
use crate::outcome::Kind;
use crate::reply;
use crate::run::Numbers;
use crate::version::Version;

/// A request that is being asked in another era's words.
#[derive(Debug)]
pub(crate) struct Converted {
    served: Rc<Served>,
    consumer: Option<String>,
    /// The client's id, as it was written.
    id: String,
    method: String,
    /// The client's revision.
    version: Version,
    params: String,
    /// What the server is asked: the name of a tool or prompt, or the URI of a resource.
    name: Option<String>,
    wants_log: bool,
    fields: Vec<(String, String)>,
    /// Tells this request from others of its session.
    unique: String,
    step: Step,
    begun: Option<Begun>,
    /// Whether the session is from an earlier request, and may be over.
    is_kept: bool,
    /// The arguments that header fields repeat, once the server has wanted that.
    mirrored: Option<Vec<(String, String)>>,
    began: UnixTime,
    numbers: Numbers,
    under_way: Option<CallId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `initialize`
    Begin,
    /// `notifications/initialized`
    Begun,
    /// The client's request.
    Ask,
    /// A page of the list of tools.
    Tools(Option<String>),
}

/// What comes after an answer.
enum Next {
    Call(Step),
    /// What the client is told, and its result.
    Answer {
        told: Vec<String>,
        result: String,
    },
}

/// What a body leads to.
pub(crate) enum Reading {
    /// The server speaks the client's era: it passes as it is.
    Same,
    /// It is answered, or refused.
    Answered(Reply),
    /// The server is asked.
    Asking(Box<Converted>),
}

/// Who asks, and with what.
pub(crate) struct Asker<'a> {
    pub(crate) served: &'a Rc<Served>,
    pub(crate) consumer: Option<&'a str>,
    pub(crate) mirror: &'a Mirror,
    pub(crate) head: &'a Kept,
}

impl Converted {
    /// Reads a body for a server that speaks `revision`.
    pub(crate) fn read(cx: &mut Cx<'_>, asker: &Asker<'_>, revision: Version, body: &[u8]) -> Reading {
        let (id, call) = match Body::parse(body) {
            Err(malformed) => {
                return Reading::Answered(reply::messages(400, "weir_mcp_malformed", malformed.answer()));
            }
            // Batches are older than 2026-07-28, and so are answers of clients.
            Ok(Body::Batch(_) | Body::Single(Message::Response)) if !revision.is_modern() => {
                return Reading::Same;
            }
            Ok(Body::Batch(_)) => {
                let message = "a batch cannot be converted for a server of 2026-07-28";
                return Reading::Answered(reply::refused(400, "weir_mcp_batch", message));
            }
            Ok(Body::Single(Message::Response)) => return Reading::Answered(reply::accepted()),
            Ok(Body::Single(Message::Request(id, call))) => (Some(id), call),
            Ok(Body::Single(Message::Notification(call))) => (None, call),
        };
        let refused = |Refused { status, error }: Refused| {
            Reading::Answered(reply::messages(status, "weir_mcp_error", error.answer(id)))
        };
        let asked = match Asked::of(&call, asker.mirror) {
            Ok(asked) => asked,
            Err(Refused { status, error })
                if error.code == RpcError::UNSUPPORTED_VERSION && !revision.is_modern() =>
            {
                let requested = error.data.as_ref().and_then(|data| data.get("requested")).cloned();
                let supported = [Version::V2026_07_28.as_str(), revision.as_str()];
                let error = error.with_data(json!({"supported": supported, "requested": requested}));
                return refused(Refused { status, error });
            }
            Err(error) => return refused(error),
        };
        if asked.version.is_modern() == revision.is_modern() {
            return Reading::Same;
        }
        // The server's era has no notification that means the same.
        let Some(id) = id else { return Reading::Answered(reply::accepted()) };
        let opens = if asked.version.is_modern() { DISCOVER } else { "initialize" };
        match asked.method {
            "ping" if !asked.version.is_modern() => {
                return Reading::Answered(reply::messages(200, "weir_mcp_answer", id.answer("{}")));
            }
            method if method == opens || convert::is_common(method) => {}
            _ => {
                let message = "this method cannot be converted for the revision of the server";
                return refused(Refused::of(
                    RpcError::new(RpcError::METHOD_NOT_FOUND, message),
                    asked.version,
                ));
            }
        }
        if let Err(denied) = admit(cx, asker, &asked) {
            return refused(denied);
        }
        let mut converted = Self::of(cx, asker, id, &asked, call.params.map_or("{}", |params| params.get()));
        converted.call(cx);
        Reading::Asking(Box::new(converted))
    }

    fn of(cx: &Cx<'_>, asker: &Asker<'_>, id: Id<'_>, asked: &Asked<'_>, params: &str) -> Self {
        let Asker { served, consumer, head, .. } = asker;
        let is_modern = asked.version.is_modern();
        let meta = asked.object("_meta").unwrap_or_default();
        let begun = if is_modern && asked.method != DISCOVER {
            Place::of(&served.name, *consumer).and_then(|place| place.recall(cx))
        } else {
            None
        };
        Self {
            served: Rc::clone(served),
            consumer: consumer.map(str::to_owned),
            id: id.as_json().to_owned(),
            method: asked.method.to_owned(),
            version: asked.version,
            params: if asked.method == "initialize" {
                params.into()
            } else if is_modern {
                convert::params_to_legacy(params)
            } else {
                convert::params_to_modern(params)
            },
            name: asked.text("name").or_else(|| asked.text("uri")),
            wants_log: !is_modern || meta.contains_key(LOG_LEVEL),
            fields: head.fields.clone(),
            unique: head.request_id.clone().unwrap_or_default(),
            step: if is_modern && begun.is_none() { Step::Begin } else { Step::Ask },
            is_kept: begun.is_some(),
            begun,
            mirrored: None,
            began: cx.now(),
            numbers: Numbers::default(),
            under_way: None,
        }
    }

    /// Takes the answer to a call. With a reply, all is over.
    pub(crate) fn take(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        answer: Result<Answer<'_>, CallError>,
    ) -> Option<Reply> {
        if self.under_way != Some(call) {
            return None;
        }
        let next = match Heard::of(answer) {
            Ok(heard) => self.hear(cx, heard),
            Err(silence) => Err(not_possible(silence.as_str())),
        };
        match next {
            Ok(Next::Call(step)) => {
                self.step = step;
                self.call(cx);
                None
            }
            Ok(Next::Answer { told, result }) => Some(self.reply(cx, &told, Ok(&result))),
            Err(error) => Some(self.reply(cx, &[], Err(error))),
        }
    }

    fn hear(&mut self, cx: &Cx<'_>, heard: Heard) -> Result<Next, RpcError> {
        let place = Place::of(&self.served.name, self.consumer.as_deref());
        match &self.step {
            Step::Begin => {
                let session = heard.session.clone();
                let said = heard.into_result()?;
                let version = Object::parse(&said).and_then(|said| said.text("protocolVersion"));
                let known =
                    version.as_deref().and_then(Version::parse).filter(|version| !version.is_modern());
                let version =
                    known.ok_or_else(|| not_possible("the server speaks no revision that is known"))?;
                self.begun = Some(Begun { id: session, version: version.as_str().into(), said });
                Ok(Next::Call(Step::Begun))
            }
            Step::Begun => {
                let Some(begun) = &self.begun else { return Ok(Next::Call(Step::Begin)) };
                if let Some(place) = place {
                    place.remember(cx, begun);
                }
                if self.method != DISCOVER {
                    return Ok(Next::Call(Step::Ask));
                }
                let version = Version::parse(&begun.version).unwrap_or(Version::NEWEST_LEGACY);
                let result = convert::discovered(&begun.said, version)?;
                Ok(Next::Answer { told: Vec::new(), result })
            }
            // Some servers say 400 of a session that they do not know.
            Step::Ask if self.is_kept && matches!(heard.status, 400 | 404) => {
                self.is_kept = false;
                Ok(Next::Call(Step::Begin))
            }
            Step::Ask if self.wants_fields(&heard) => Ok(Next::Call(Step::Tools(None))),
            Step::Ask => self.answered(heard),
            Step::Tools(_) => {
                let list = heard.into_result()?;
                let tool = self.name.as_deref().unwrap_or_default();
                if let Some(mirrored) = convert::mirrored(&list, tool) {
                    self.mirrored = Some(mirrored);
                    return Ok(Next::Call(Step::Ask));
                }
                match Object::parse(&list).and_then(|list| list.text("nextCursor")) {
                    Some(cursor) if self.numbers.count() < MAX_CALLS => {
                        Ok(Next::Call(Step::Tools(Some(cursor))))
                    }
                    Some(_) | None => Err(RpcError::new(RpcError::INVALID_PARAMS, "Unknown tool")),
                }
            }
        }
    }

    /// Whether a server of 2026-07-28 wants arguments in header fields that the client knows nothing of.
    fn wants_fields(&self, heard: &Heard) -> bool {
        let is_mismatch =
            matches!(&heard.outcome, Some(Err(error)) if error.code == RpcError::HEADER_MISMATCH);
        is_mismatch && self.method == "tools/call" && self.mirrored.is_none() && !self.version.is_modern()
    }

    /// The server has answered what the client asked.
    fn answered(&self, heard: Heard) -> Result<Next, RpcError> {
        let is_modern = self.version.is_modern();
        let tells = |method: &str| match method {
            "notifications/progress" => true,
            "notifications/message" => self.wants_log,
            _ => false,
        };
        let told =
            heard.told.iter().filter(|told| tells(&told.method)).map(|told| told.json.clone()).collect();
        let result = heard.into_result().map_err(|error| match is_modern {
            true => convert::error_to_modern(error),
            false => convert::error_to_legacy(&self.method, error),
        })?;
        let result = match self.method.as_str() {
            "initialize" => convert::begun(&result, self.chosen(), self.served.name.as_str())?,
            method if is_modern => convert::result_to_modern(method, &result)?,
            method => convert::result_to_legacy(method, &result)?,
        };
        match (self.method.as_str(), self.served.proxy()) {
            ("tools/list", Some(proxy)) => {
                let may_use = |tool: &str| shows(&self.served, proxy, self.consumer.as_deref(), tool);
                Ok(Next::Answer { told, result: convert::only_tools(&result, may_use)? })
            }
            _ => Ok(Next::Answer { told, result }),
        }
    }

    /// The revision that a client of before gets.
    fn chosen(&self) -> Version {
        let wanted = Object::parse(&self.params).and_then(|params| params.text("protocolVersion"));
        let wanted = wanted.as_deref().and_then(Version::parse).filter(|version| !version.is_modern());
        wanted.unwrap_or(Version::NEWEST_LEGACY)
    }

    fn reply(&self, cx: &mut Cx<'_>, told: &[String], outcome: Result<&str, RpcError>) -> Reply {
        let id = Id::written(&self.id);
        if self.method == "tools/call" {
            let kind = match &outcome {
                Ok(result) if is_error(result) => Kind::ToolError,
                Ok(_) => Kind::Ok,
                Err(error) if error.code == RpcError::INTERNAL => Kind::Upstream5xx,
                Err(_) => Kind::Upstream4xx,
            };
            tell(cx, kind);
            cx.record(CALL_MILLIS, cx.now().millis().saturating_sub(self.began.millis()));
        }
        let (status, answer) = match outcome {
            Ok(result) => (200, id.answer(result)),
            Err(error) => {
                let refused = Refused::of(error, self.version);
                (refused.status, refused.error.answer(Some(id)))
            }
        };
        if told.is_empty() {
            return reply::messages(status, "weir_mcp_converted", answer);
        }
        let messages = told.iter().chain([&answer]);
        let events: String = messages.map(|json| format!("event: message\ndata: {json}\n\n")).collect();
        reply::events("weir_mcp_converted", &events)
    }

    /// Makes the call whose turn it is.
    fn call(&mut self, cx: &mut Cx<'_>) {
        let served = Rc::clone(&self.served);
        let Some((proxy, upstream)) =
            served.proxy().and_then(|proxy| Some((proxy, proxy.upstreams.first()?)))
        else {
            return;
        };
        let id = self.numbers.next();
        self.under_way = Some(id);
        let spent = cx.now().millis().saturating_sub(self.began.millis());
        let left = u64::from(proxy.timeout_ms.get()).saturating_sub(spent).max(1);
        cx.call(Call {
            id,
            owner: Owner::Stream,
            cluster: upstream.cluster.clone(),
            headers: self.head(upstream),
            body: self.body().into_bytes(),
            timeout_ms: u32::try_from(left).unwrap_or(u32::MAX),
            max_answer_bytes: proxy.response_bytes.get(),
        });
    }

    fn head(&self, upstream: &McpUpstream) -> Fields {
        let mut fields = head_of_call(upstream);
        let mut add = |name: &str, value: String| fields.push((name.to_owned().into(), value));
        if self.version.is_modern() {
            if let Some(begun) = self.begun.as_ref().filter(|_| self.step != Step::Begin) {
                add(era::VERSION_HEADER, begun.version.clone());
                if let Some(id) = &begun.id {
                    add(session::HEADER, id.clone());
                }
            }
        } else {
            add(era::VERSION_HEADER, Version::V2026_07_28.as_str().into());
            add(era::METHOD_HEADER, self.asked().into());
            if let (Step::Ask, Some(name)) = (&self.step, &self.name) {
                add(era::NAME_HEADER, era::written(name));
            }
            for (header, value) in self.repeated() {
                add(&format!("mcp-param-{header}"), era::written(&value));
            }
        }
        fields.extend(self.fields.iter().map(|(name, value)| (name.clone().into(), value.clone())));
        fields
    }

    /// The arguments that header fields repeat.
    fn repeated(&self) -> Vec<(String, String)> {
        let Some(mirrored) = self.mirrored.as_ref().filter(|_| self.step == Step::Ask) else {
            return Vec::new();
        };
        let args =
            Object::parse(&self.params).and_then(|params| params.value("arguments")).unwrap_or_default();
        let text = |(header, arg): &(String, String)| {
            let value = match args.get(arg)? {
                Value::String(text) => text.clone(),
                value @ (Value::Bool(_) | Value::Number(_)) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            Some((header.clone(), value))
        };
        mirrored.iter().filter_map(text).collect()
    }

    /// The method that the server is asked.
    fn asked(&self) -> &str {
        match (&self.step, self.method.as_str()) {
            (Step::Begin, _) => "initialize",
            (Step::Begun, _) => "notifications/initialized",
            (Step::Tools(_), _) => "tools/list",
            (Step::Ask, "initialize") => DISCOVER,
            (Step::Ask, method) => method,
        }
    }

    fn body(&self) -> String {
        let method = Value::from(self.asked());
        let params = match &self.step {
            Step::Begun => return format!(r#"{{"jsonrpc":"2.0","method":{method}}}"#),
            // The client's capabilities are not told: what a server asks could not be led to it.
            Step::Begin => json!({
                "protocolVersion": self.wanted().as_str(),
                "capabilities": {},
                "clientInfo": convert::client_info(),
            })
            .to_string(),
            Step::Tools(cursor) => {
                let params = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
                convert::params_to_modern(&params.to_string())
            }
            Step::Ask if self.method == "initialize" => convert::params_to_modern("{}"),
            Step::Ask => self.params.clone(),
        };
        // Several clients of one consumer may share a session, and give their requests the same id.
        let id = Value::from(format!("{}/{}", self.unique, self.numbers.count()));
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#)
    }

    /// The revision that a session is begun in.
    fn wanted(&self) -> Version {
        let upstream = self.served.proxy().and_then(|proxy| proxy.upstreams.first());
        upstream.and_then(|upstream| upstream.revision).map_or(Version::NEWEST_LEGACY, Version::of)
    }
}

/// Refuses the call of a tool that the caller may not use.
fn admit(cx: &mut Cx<'_>, asker: &Asker<'_>, asked: &Asked<'_>) -> Result<(), Refused> {
    let Some(proxy) = asker.served.proxy().filter(|_| asked.method == "tools/call") else { return Ok(()) };
    let may_call = |name: String| passes(asker.served, proxy, asker.consumer, &name);
    if asked.text("name").is_some_and(may_call) {
        return Ok(());
    }
    tell(cx, Kind::Denied);
    Err(Refused::of(RpcError::new(RpcError::INVALID_PARAMS, "Unknown tool"), asked.version))
}

fn tell(cx: &mut Cx<'_>, kind: Kind) {
    cx.count(kind.metric());
    cx.publish(state::MCP_OUTCOME, kind.as_str());
}

/// Whether a tool says that it has failed.
fn is_error(result: &str) -> bool {
    Object::parse(result).is_some_and(|result| result.get("isError") == Some("true"))
}

const DISCOVER: &str = "server/discover";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// How many calls are made for one request; the most are pages of a list.
const MAX_CALLS: u32 = 50;
