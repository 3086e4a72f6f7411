//! What is asked of all servers at once, until each has answered or its time is over.

use std::rc::Rc;

use serde_json::{Map, Value};
use weir_core::{Answer, CallError, CallId, Cx, Level, Reply, UnixTime};
use weir_schema::mcp::{McpUpstream, Proxy};
use weir_wire::jsonrpc::{Id, RpcError};

use super::answer::{Failure, Received};
use super::exchange::{self, Exchange, Question, Terms};
use super::memory::Place;
use super::merge::{self, List, Offer};
use super::visit::Visit;
use crate::catalog::Served;
use crate::filter::{MESSAGES, MISSING};
use crate::proxy::seal::{Holder, Sealed, Sealer};
use crate::proxy::session;
use crate::reply;
use crate::run::Numbers;
use crate::version::Version;

/// What is asked of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// `initialize`
    Begin,
    /// `server/discover`
    Discover,
    /// One of the lists.
    List(List),
}

/// A request to all servers.
#[derive(Debug)]
pub(crate) struct Gather {
    served: Rc<Served>,
    consumer: Option<String>,
    job: Job,
    /// The client's id, as it was written.
    id: String,
    version: Version,
    params: Map<String, Value>,
    fields: Vec<(String, String)>,
    visit: Option<Visit>,
    sealer: Option<Rc<Sealer>>,
    began: UnixTime,
    numbers: Numbers,
    parts: Vec<Part>,
}

/// What has become of it at one server.
#[derive(Debug)]
struct Part {
    exchange: Exchange,
    call: Option<CallId>,
    timeout_ms: u32,
    items: Vec<Value>,
    pages: u32,
    said: Option<Result<Map<String, Value>, Failure>>,
}

/// What a request to all servers is about.
pub(super) struct Asking {
    pub(super) job: Job,
    pub(super) id: String,
    pub(super) version: Version,
    /// The client's parameters.
    pub(super) params: Map<String, Value>,
    /// Header fields that go with each call.
    pub(super) fields: Vec<(String, String)>,
    /// The client's session, if it has one.
    pub(super) visit: Option<Visit>,
    /// What seals one that begins.
    pub(super) sealer: Option<Rc<Sealer>>,
}

impl Gather {
    /// Asks every server.
    pub(super) fn begin(
        cx: &mut Cx<'_>,
        served: Rc<Served>,
        consumer: Option<String>,
        asking: Asking,
    ) -> Self {
        let Asking { job, id, version, params, fields, visit, sealer } = asking;
        let mut gather = Self {
            served,
            consumer,
            job,
            id,
            version,
            params,
            fields,
            visit,
            sealer,
            began: cx.now(),
            numbers: Numbers::default(),
            parts: Vec::new(),
        };
        let served = Rc::clone(&gather.served);
        let Some(proxy) = served.proxy() else { return gather };
        for upstream in &proxy.upstreams {
            let question = gather.question(None);
            let known = gather.place(upstream).is_known(cx);
            let timeout_ms = proxy.timeout_ms.get().min(if known { PATIENCE_MS } else { u32::MAX });
            let session = gather.visit.as_ref().and_then(|visit| visit.session(cx, upstream));
            let exchange = Exchange::new(version, session, question);
            gather.parts.push(Part {
                exchange,
                call: None,
                timeout_ms,
                items: Vec::new(),
                pages: 0,
                said: None,
            });
        }
        for at in 0..gather.parts.len() {
            gather.call(cx, proxy, at);
        }
        gather
    }

    /// Takes the answer to a call. With a reply, all is over.
    pub(super) fn take(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        answer: Result<Answer<'_>, CallError>,
    ) -> Option<Reply> {
        let served = Rc::clone(&self.served);
        let proxy = served.proxy()?;
        let at = self.parts.iter().position(|part| part.call == Some(call))?;
        let part = self.parts.get_mut(at)?;
        part.call = None;
        match part.exchange.take(answer) {
            None => self.call(cx, proxy, at),
            Some(answer) => {
                let renewed = part.exchange.begun().filter(|_| self.job != Job::Begin);
                if let (Some(visit), Some(session), Some(upstream)) =
                    (&self.visit, renewed, proxy.upstreams.get(at))
                {
                    visit.note(cx, upstream, session);
                }
                self.hear(cx, proxy, at, answer.and_then(|received: Received| received.result()));
            }
        }
        self.reply(cx)
    }

    /// The answer, once there is nothing more to wait for.
    pub(super) fn reply(&self, cx: &mut Cx<'_>) -> Option<Reply> {
        if self.parts.iter().any(|part| part.said.is_none()) {
            return None;
        }
        let answer = self.finish(cx);
        let id = Id::written(&self.id);
        let answered =
            |result| reply::messages(200, "weir_mcp_answer", id.answer(&Value::Object(result).to_string()));
        cx.count(MESSAGES);
        Some(match answer {
            Ok(result) if self.job == Job::Begin => match self.token(cx, &result) {
                Some(token) => answered(result).with_header(session::HEADER, token),
                None => {
                    let error = RpcError::new(RpcError::INTERNAL, "the session cannot be sealed");
                    reply::messages(200, "weir_mcp_error", error.answer(Some(id)))
                }
            },
            Ok(result) => answered(result),
            Err(error) => {
                let refused = crate::era::Refused::of(error, self.version);
                reply::messages(refused.status, "weir_mcp_error", refused.error.answer(Some(id)))
            }
        })
    }

    /// The sessions that have begun, sealed.
    fn token(&self, cx: &Cx<'_>, result: &Map<String, Value>) -> Option<String> {
        let proxy = self.served.proxy()?;
        let version = result.get("protocolVersion").and_then(Value::as_str).and_then(Version::parse)?;
        let begun =
            proxy.upstreams.iter().zip(&self.parts).filter_map(|(upstream, part)| {
                Some((upstream.name.to_string(), part.exchange.begun()?.clone()))
            });
        let holder = Holder { server: self.served.name.as_str(), consumer: self.consumer.as_deref() };
        self.sealer.as_ref()?.seal(holder, &Sealed::new(cx.now(), version, begun.collect()))
    }

    /// A server has answered.
    fn hear(
        &mut self,
        cx: &mut Cx<'_>,
        proxy: &Proxy,
        at: usize,
        result: Result<Map<String, Value>, Failure>,
    ) {
        let Some(part) = self.parts.get_mut(at) else { return };
        let (list, mut result) = match (self.job, result) {
            (Job::List(list), Ok(result)) => (list, result),
            (Job::Begin | Job::Discover | Job::List(_), result) => {
                part.said = Some(result);
                return;
            }
        };
        if let Some(Value::Array(items)) = result.remove(list.member()) {
            part.items.extend(items);
        }
        part.pages = part.pages.saturating_add(1);
        match result.get("nextCursor").and_then(Value::as_str) {
            Some(cursor) if part.pages < MAX_PAGES => {
                let cursor = cursor.to_owned();
                if let Some(question) = self.question(Some(&cursor))
                    && let Some(part) = self.parts.get_mut(at)
                {
                    part.exchange.ask(question);
                    self.call(cx, proxy, at);
                }
            }
            Some(_) | None => {
                result.remove("nextCursor");
                part.said = Some(Ok(result));
            }
        }
    }

    fn call(&mut self, cx: &mut Cx<'_>, proxy: &Proxy, at: usize) {
        let (Some(part), Some(upstream)) = (self.parts.get_mut(at), proxy.upstreams.get(at)) else { return };
        let spent = cx.now().millis().saturating_sub(self.began.millis());
        let left = u64::from(part.timeout_ms).saturating_sub(spent);
        let Some(timeout_ms) = u32::try_from(left).ok().filter(|left| *left > 0) else {
            part.said = Some(Err(Failure::Slow));
            return;
        };
        let id = self.numbers.next();
        part.call = Some(id);
        let terms = Terms {
            upstream,
            fields: &self.fields,
            timeout_ms,
            max_answer_bytes: proxy.response_bytes.get(),
        };
        part.exchange.call(cx, &terms, id);
    }

    fn question(&self, cursor: Option<&str>) -> Option<Question> {
        let method = self.job.method()?;
        let mut params = self.params.clone();
        if let Some(cursor) = cursor {
            params.insert("cursor".into(), cursor.into());
        }
        let body = exchange::request(&self.id, method, &params);
        Some(Question { method: method.into(), name: None, body })
    }

    fn place(&self, upstream: &McpUpstream) -> Place {
        let method = self.job.method().unwrap_or("initialize");
        Place::of(&self.served.name, upstream, method, self.version.is_modern())
    }

    /// Brings together what all have said; of one that has not answered, what it said last.
    fn finish(&self, cx: &mut Cx<'_>) -> Result<Map<String, Value>, RpcError> {
        let Some(proxy) = self.served.proxy() else { return Err(merge::nobody()) };
        // What depends on the caller's own header fields is nobody else's.
        let remembers = proxy.forward_headers.is_empty();
        let mut offers = Vec::new();
        let mut missing = Vec::new();
        for (upstream, part) in proxy.upstreams.iter().zip(&self.parts) {
            let place = self.place(upstream);
            let name = upstream.name.as_str();
            match &part.said {
                Some(Ok(result)) => {
                    let offer = Offer { result: result.clone(), items: part.items.clone() };
                    if remembers {
                        place.remember(cx, &offer);
                    }
                    offers.push((name, offer));
                }
                Some(Err(Failure::Refused(code)))
                    if *code == i64::from(RpcError::METHOD_NOT_FOUND) && matches!(self.job, Job::List(_)) => {
                }
                Some(Err(failure)) => {
                    let told = failure.told();
                    cx.count(MISSING);
                    cx.log(Level::Warn, format!("weir.mcp: {}: {name} is missing: {told}", self.served.name));
                    missing.push(name);
                    offers.extend(place.recall(cx).filter(|_| remembers).map(|offer| (name, offer)));
                }
                None => {}
            }
        }
        if offers.is_empty() && !missing.is_empty() {
            return Err(merge::nobody());
        }
        match self.job {
            Job::List(list) => {
                let may_use =
                    |tool: &str| crate::proxy::shows(&self.served, proxy, self.consumer.as_deref(), tool);
                merge::list(&self.served, list, self.version, offers, &missing, may_use)
            }
            Job::Discover => Ok(merge::discovered(&self.served, &offers, &missing)),
            Job::Begin => Ok(merge::begun(&self.served, self.version, &offers, &missing)),
        }
    }
}

impl Job {
    /// The method that asks for it; none where a session is begun, which each exchange does by itself.
    fn method(self) -> Option<&'static str> {
        match self {
            Self::Begin => None,
            Self::Discover => Some("server/discover"),
            Self::List(list) => Some(list.method()),
        }
    }
}

/// How long a server may take whose last offer is known, in milliseconds.
const PATIENCE_MS: u32 = 2_000;
/// How many pages are read of one list.
const MAX_PAGES: u32 = 50;
