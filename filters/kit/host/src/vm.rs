//! The filters and streams of one VM, driven by the proxy's callbacks.

mod calls;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::rc::Rc;

use weir_core::{
    Answer, CallError, ConfigError, Cx, Effect, Filter, Flow, Head, Level, Part, Reply, Side, Stream,
    StreamId,
};

use crate::abi::{Abi, BufferKind, MapKind, Status};
use crate::map;
use crate::perform::{self, Held, Questions};
use crate::session::{Message, Reads, Session};

use calls::{Caller, Pending, Task};

/// All contexts of one VM. A worker has one VM for each filter.
pub struct Vm<F: Filter, A> {
    abi: A,
    reads_response: bool,
    roots: RefCell<BTreeMap<u32, Option<Root<F>>>>,
    sessions: RefCell<BTreeMap<u32, SharedSession<F>>>,
    calls: RefCell<BTreeMap<u32, Pending>>,
    tasks: RefCell<VecDeque<Task>>,
}

/// What the proxy does next with the message it showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Lets it flow on.
    Continue = 0,
    /// Holds it.
    Pause = 1,
}

type SharedSession<F> = Rc<RefCell<Session<F>>>;

/// A plugin configuration that runs.
struct Root<F> {
    filter: Rc<F>,
    metrics: Rc<[u32]>,
}

impl<F> Clone for Root<F> {
    fn clone(&self) -> Self {
        Self { filter: Rc::clone(&self.filter), metrics: Rc::clone(&self.metrics) }
    }
}

impl<F: Filter, A: Abi> Vm<F, A> {
    /// A VM without contexts; `reads_response` says whether the module exports the callbacks of a response.
    pub fn new(abi: A, reads_response: bool) -> Self {
        Self {
            abi,
            reads_response,
            roots: RefCell::default(),
            sessions: RefCell::default(),
            calls: RefCell::default(),
            tasks: RefCell::default(),
        }
    }

    /// A plugin (`root` 0) or a stream of the plugin `root` begins.
    pub fn on_context_create(&self, context: u32, root: u32) {
        if root == 0 {
            self.roots.borrow_mut().entry(context).or_insert(None);
            return;
        }
        let Some(running) = self.root(root) else { return };
        let session = Session {
            stream: running.filter.stream(StreamId(context)),
            root,
            metrics: running.metrics,
            reads: Reads::default(),
            request: Message::Flowing,
            response: Message::Flowing,
            ended: false,
            calls_before: self.abi.calls(),
        };
        self.sessions.borrow_mut().insert(context, Rc::new(RefCell::new(session)));
    }

    /// A configuration has come; false refuses it and leaves the running one.
    pub fn on_configure(&self, root: u32, size: usize) -> bool {
        match self.configure(size) {
            Ok(running) => {
                self.roots.borrow_mut().insert(root, Some(running));
                true
            }
            Err(problem) => {
                self.abi.log(Level::Error, &format!("weir.{}: configuration refused: {problem}", F::NAME));
                false
            }
        }
    }

    fn configure(&self, size: usize) -> Result<Root<F>, String> {
        let bytes = match size {
            0 => b"{}".to_vec(),
            _ => self
                .abi
                .buffer(BufferKind::PluginConfiguration, 0, size)
                .map_err(|status| format!("it could not be read: {status:?}"))?,
        };
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let config = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
        json.end().map_err(|error| error.to_string())?;
        let filter = F::new(config).map_err(|error: ConfigError| error.to_string())?;
        let metrics = F::METRICS.iter().map(|metric| self.abi.define_metric(metric.kind, metric.name));
        let metrics = metrics.collect::<Result<_, _>>().map_err(|status| format!("metrics: {status:?}"))?;
        if let Some(millis) = filter.tick_millis() {
            self.abi.set_tick_period(millis).map_err(|status| format!("tick: {status:?}"))?;
        }
        Ok(Root { filter: Rc::new(filter), metrics })
    }

    /// Time has passed for a plugin.
    pub fn on_tick(&self, root: u32) {
        self.tell_filter(root, |filter, cx| filter.on_tick(cx));
        self.drain(None);
    }

    /// The request's header fields have come.
    pub fn on_request_head(&self, context: u32, end: bool) -> Action {
        let Some(session) = self.session(context) else {
            perform::reply(&self.abi, &Reply::fault());
            return Action::Pause;
        };
        self.on_fields(context, &session, Side::Request, MapKind::RequestHead, |stream, cx, fields| {
            match map::decode(fields, end) {
                Some(head) => stream.on_request_head(cx, &head),
                None => Flow::Reply(Reply::fault()),
            }
        })
    }

    /// More of the request's body has come; `size` counts what is held.
    pub fn on_request_body(&self, context: u32, size: usize, end: bool) -> Action {
        self.on_body(context, Side::Request, size, |stream, cx, chunk| stream.on_request_body(cx, chunk, end))
    }

    /// The request's trailers have come.
    pub fn on_request_trailers(&self, context: u32) -> Action {
        self.on_trailers(context, Side::Request, |stream, cx, trailers| {
            stream.on_request_trailers(cx, trailers)
        })
    }

    /// The response's header fields have come.
    pub fn on_response_head(&self, context: u32, end: bool) -> Action {
        let Some(session) = self.session(context) else { return Action::Continue };
        if !session.try_borrow().is_ok_and(|session| session.reads.response_head) {
            return Action::Continue;
        }
        self.on_fields(context, &session, Side::Response, MapKind::ResponseHead, |stream, cx, fields| {
            match map::decode(fields, end) {
                Some(head) => stream.on_response_head(cx, &head),
                None => Flow::Continue,
            }
        })
    }

    /// More of the response's body has come; `size` counts what is held.
    pub fn on_response_body(&self, context: u32, size: usize, end: bool) -> Action {
        self.on_body(context, Side::Response, size, |stream, cx, chunk| {
            stream.on_response_body(cx, chunk, end)
        })
    }

    /// The response's trailers have come.
    pub fn on_response_trailers(&self, context: u32) -> Action {
        self.on_trailers(context, Side::Response, |stream, cx, trailers| {
            stream.on_response_trailers(cx, trailers)
        })
    }

    /// A call has been answered, or has failed (`headers` is 0).
    pub fn on_call_done(&self, token: u32, headers: usize, size: usize) {
        let Some(pending) = self.calls.borrow_mut().remove(&token) else { return };
        let max = usize::try_from(pending.max_answer_bytes).unwrap_or(usize::MAX);
        let (fields, body);
        let outcome = if headers == 0 {
            Err(CallError::Failed)
        } else if size > max {
            Err(CallError::TooLarge)
        } else {
            (fields, body) = (self.abi.map(MapKind::CallHead), self.buffer(BufferKind::CallBody, 0, size));
            match (&fields, &body) {
                (Ok(fields), Ok(body)) => Ok((fields.as_slice(), body.as_slice())),
                (Err(_), _) | (_, Err(_)) => Err(CallError::Failed),
            }
        };
        let outcome = outcome.and_then(|(fields, body)| {
            let head = map::decode(fields, body.is_empty()).ok_or(CallError::Failed)?;
            let status =
                head.text(":status").and_then(|status| status.parse().ok()).ok_or(CallError::Failed)?;
            Ok((head, status, body))
        });
        let answer = match &outcome {
            Ok((head, status, body)) => Ok(Answer { status: *status, head, body }),
            Err(error) => Err(*error),
        };
        // The proxy tells the plugin of it, whoever made the call.
        if let Caller::Stream(context) = pending.caller
            && self.abi.set_effective_context(context).is_err()
        {
            return;
        }
        self.deliver(pending.caller, pending.id, answer);
        self.drain(None);
    }

    /// The stream is over.
    pub fn on_end(&self, context: u32) {
        let Some(session) = self.session(context) else { return };
        if let Ok(mut session) = session.try_borrow_mut() {
            if mem::replace(&mut session.ended, true) {
                return;
            }
            if let (Some(before), Some(now)) = (session.calls_before, self.abi.calls()) {
                let calls = now.saturating_sub(before).to_string();
                let name = format!("weir.host_calls.{}", F::NAME);
                if let Err(status) = self.abi.set_property(&name, calls.as_bytes()) {
                    self.abi.log(Level::Warn, &format!("{name}: not published: {status:?}"));
                }
            }
        }
        self.tell(context, &session, Side::Response, Held::NOTHING, |stream, cx| {
            stream.on_end(cx);
            Flow::Continue
        });
        self.drain(None);
    }

    /// The context may go; upstream filters learn only by this that their attempt is over.
    pub fn on_done(&self, context: u32) -> bool {
        self.on_end(context);
        true
    }

    /// The context is gone.
    pub fn on_delete(&self, context: u32) {
        let gone = self.sessions.borrow_mut().remove(&context);
        if gone.is_none() {
            self.roots.borrow_mut().remove(&context);
        }
        self.calls.borrow_mut().retain(|_, pending| match pending.caller {
            Caller::Stream(caller) | Caller::Filter(caller) => caller != context,
        });
    }

    fn on_fields(
        &self,
        context: u32,
        session: &SharedSession<F>,
        side: Side,
        kind: MapKind,
        event: impl FnOnce(&mut F::Stream, &mut Cx<'_>, &[u8]) -> Flow,
    ) -> Action {
        let flow = match self.abi.map(kind) {
            Ok(fields) => {
                self.tell(context, session, side, Held::NOTHING, |stream, cx| event(stream, cx, &fields))
            }
            Err(status) => self.fault(side, status),
        };
        self.conclude(context, session, side, flow)
    }

    fn on_body(
        &self,
        context: u32,
        side: Side,
        size: usize,
        event: impl FnOnce(&mut F::Stream, &mut Cx<'_>, &[u8]) -> Flow,
    ) -> Action {
        let Some(session) = self.session(context) else { return without_session(side) };
        let told = match progress(&session, side) {
            (Message::Answered, _) | (Message::Held { .. }, false) => return Action::Pause,
            (Message::Flowing, false) => return Action::Continue,
            (Message::Flowing, true) => 0,
            (Message::Held { told }, true) => told,
        };
        let flow = match self.buffer(perform::buffer_of(side), told, size.saturating_sub(told)) {
            Ok(chunk) => {
                let start = if told == 0 { chunk.as_slice() } else { &[] };
                let held = Held { len: size, start };
                self.tell(context, &session, side, held, |stream, cx| event(stream, cx, &chunk))
            }
            Err(status) => self.fault(side, status),
        };
        self.conclude(context, &session, side, flow)
    }

    fn on_trailers(
        &self,
        context: u32,
        side: Side,
        event: impl FnOnce(&mut F::Stream, &mut Cx<'_>, &Head<'_>) -> Flow,
    ) -> Action {
        let Some(session) = self.session(context) else { return without_session(side) };
        match progress(&session, side) {
            (Message::Answered, _) | (Message::Held { .. }, false) => Action::Pause,
            (Message::Flowing, false) => Action::Continue,
            (Message::Flowing | Message::Held { .. }, true) => {
                self.on_fields(context, &session, side, perform::trailers_of(side), |stream, cx, fields| {
                    match (map::decode(fields, true), side) {
                        (Some(trailers), _) => event(stream, cx, &trailers),
                        (None, Side::Request) => Flow::Reply(Reply::fault()),
                        (None, Side::Response) => Flow::Continue,
                    }
                })
            }
        }
    }

    /// Tells a stream of an event and does what it asks for. `held` is the held body of `side`.
    fn tell(
        &self,
        context: u32,
        session: &SharedSession<F>,
        side: Side,
        held: Held<'_>,
        event: impl FnOnce(&mut F::Stream, &mut Cx<'_>) -> Flow,
    ) -> Flow {
        let Ok(mut session) = session.try_borrow_mut() else { return self.fault(side, Status::BadArgument) };
        let session = &mut *session;
        let questions = Questions(&self.abi);
        let mut cx = Cx::new(&questions);
        let flow = event(&mut session.stream, &mut cx);
        let mut bodies = Vec::new();
        for effect in cx.take_effects() {
            let mut done = Ok(());
            match effect {
                Effect::Read(Part::ResponseHead | Part::ResponseBody) if !self.reads_response => {
                    done = Err(Status::BadArgument);
                }
                Effect::Read(part) => session.reads.set(part, true),
                Effect::Skip(part) => session.reads.set(part, false),
                Effect::Wake(stream) => self.tasks.borrow_mut().push_back(Task::Wake(stream.0)),
                Effect::Call(call) => done = self.call(call, Some(context), session.root),
                Effect::ReplaceBody(of, range, with) if of == side => bodies.push((range, with)),
                effect => done = perform::perform(&self.abi, (F::METRICS, &session.metrics), &effect),
            }
            if let Err(status) = done {
                return self.fault(side, status);
            }
        }
        match perform::replace_body(&self.abi, side, held, bodies) {
            Ok(len) => {
                // A message that is held on has been told all of it; one that flows on starts anew.
                if flow == Flow::Wait && *session.message(side) != Message::Answered {
                    *session.message(side) = Message::Held { told: len };
                }
                flow
            }
            Err(status) => self.fault(side, status),
        }
    }

    /// Tells a filter of an event that belongs to no stream. The effective context must be the filter's.
    fn tell_filter(&self, root: u32, event: impl FnOnce(&F, &mut Cx<'_>)) {
        let Some(running) = self.root(root) else { return };
        let questions = Questions(&self.abi);
        let mut cx = Cx::new(&questions);
        event(&running.filter, &mut cx);
        for effect in cx.take_effects() {
            let mut done = Ok(());
            match effect {
                Effect::Wake(stream) => self.tasks.borrow_mut().push_back(Task::Wake(stream.0)),
                Effect::Call(call) => done = self.call(call, None, root),
                Effect::Count(..) | Effect::Record(..) | Effect::Log(..) => {
                    done = perform::perform(&self.abi, (F::METRICS, &running.metrics), &effect);
                }
                Effect::SetHeader(..)
                | Effect::RemoveHeader(..)
                | Effect::ReplaceBody(..)
                | Effect::Read(_)
                | Effect::Skip(_)
                | Effect::Publish(..) => done = Err(Status::BadArgument),
            }
            if let Err(status) = done {
                self.abi.log(Level::Error, &format!("weir.{}: an effect failed: {status:?}", F::NAME));
            }
        }
    }

    /// Turns an event's flow into the proxy's action, after the tasks it left.
    fn conclude(&self, context: u32, session: &SharedSession<F>, side: Side, flow: Flow) -> Action {
        let idle = self.tasks.borrow().is_empty();
        let verdict = if idle { None } else { self.drain(Some((context, session, side))) };
        let flow = match (flow, verdict) {
            (Flow::Wait, Some(verdict)) => verdict,
            (flow, _) => flow,
        };
        let action = match flow {
            Flow::Continue => Action::Continue,
            Flow::Wait | Flow::Reply(_) => Action::Pause,
        };
        self.settle(session, side, flow);
        action
    }

    /// Notes what a flow makes of a message, and answers the client if it says so.
    fn settle(&self, session: &SharedSession<F>, side: Side, flow: Flow) {
        let Ok(mut session) = session.try_borrow_mut() else { return };
        let state = session.message(side);
        match flow {
            Flow::Continue => *state = Message::Flowing,
            Flow::Wait if *state == Message::Flowing => *state = Message::Held { told: 0 },
            Flow::Wait => {}
            Flow::Reply(reply) => {
                *state = Message::Answered;
                drop(session);
                perform::reply(&self.abi, &self.worded(reply));
            }
        }
    }

    /// A reply as the client of this request reads it.
    fn worded(&self, reply: Reply) -> Reply {
        let fields = self.abi.map(MapKind::RequestHead).unwrap_or_default();
        let head = map::decode(&fields, false);
        match head.as_ref().and_then(|head| head.text(":path")) {
            Some(path) => F::worded(path, reply),
            None => reply,
        }
    }

    fn fault(&self, side: Side, status: Status) -> Flow {
        self.abi.log(Level::Error, &format!("weir.{}: a host function failed: {status:?}", F::NAME));
        match side {
            Side::Request => Flow::Reply(Reply::fault()),
            Side::Response => Flow::Continue,
        }
    }

    fn buffer(&self, kind: BufferKind, start: usize, len: usize) -> Result<Vec<u8>, Status> {
        if len == 0 { Ok(Vec::new()) } else { self.abi.buffer(kind, start, len) }
    }

    fn root(&self, root: u32) -> Option<Root<F>> {
        self.roots.borrow().get(&root).cloned().flatten()
    }

    fn session(&self, context: u32) -> Option<SharedSession<F>> {
        self.sessions.borrow().get(&context).cloned()
    }
}

/// How far a message has come, and whether its body is read. One that cannot be told counts as answered: nothing more
/// of it passes.
fn progress<F: Filter>(session: &SharedSession<F>, side: Side) -> (Message, bool) {
    session
        .try_borrow_mut()
        .map_or((Message::Answered, false), |mut session| (*session.message(side), session.reads.body(side)))
}

/// A request that no stream watches was answered at its head; nothing of it may pass.
fn without_session(side: Side) -> Action {
    match side {
        Side::Request => Action::Pause,
        Side::Response => Action::Continue,
    }
}

#[cfg(test)]
mod tests;
