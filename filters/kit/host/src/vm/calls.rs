//! Calls, wakes, and the verdicts they bring to streams that wait.

use weir_core::{Answer, Call, CallError, CallId, Cx, Filter, Flow, Level, Owner, Reply, Side, Stream};

use super::{SharedSession, Vm};
use crate::abi::{Abi, Status};
use crate::map;
use crate::perform::{self, Held};

/// A call under way.
pub(super) struct Pending {
    pub(super) id: CallId,
    pub(super) caller: Caller,
    pub(super) max_answer_bytes: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Caller {
    Stream(u32),
    Filter(u32),
}

/// What an effect left to do once its event is over.
pub(super) enum Task {
    Wake(u32),
    Refused(Caller, CallId),
}

impl<F: Filter, A: Abi> Vm<F, A> {
    pub(super) fn call(&self, call: Call, stream: Option<u32>, root: u32) -> Result<(), Status> {
        let caller = match (call.owner, stream) {
            (Owner::Stream, Some(context)) => Caller::Stream(context),
            (Owner::Filter, _) | (Owner::Stream, None) => Caller::Filter(root),
        };
        let fields = call.headers.iter().map(|(name, value)| (name.as_ref(), value.as_str()));
        let headers = map::encode(fields).ok_or(Status::BadArgument)?;
        let made = match (caller, stream) {
            (Caller::Filter(root), Some(context)) => {
                self.abi.set_effective_context(root)?;
                let made = self.abi.call(&call.cluster, &headers, &call.body, call.timeout_ms);
                self.abi.set_effective_context(context)?;
                made
            }
            (Caller::Filter(_), None) | (Caller::Stream(_), _) => {
                self.abi.call(&call.cluster, &headers, &call.body, call.timeout_ms)
            }
        };
        match made {
            Ok(token) => {
                let pending = Pending { id: call.id, caller, max_answer_bytes: call.max_answer_bytes };
                self.calls.borrow_mut().insert(token, pending);
            }
            Err(_) => self.tasks.borrow_mut().push_back(Task::Refused(caller, call.id)),
        }
        Ok(())
    }

    /// Gives a call's outcome to its caller. The effective context must be the caller's.
    pub(super) fn deliver(&self, caller: Caller, id: CallId, outcome: Result<Answer<'_>, CallError>) {
        match caller {
            Caller::Filter(root) => self.tell_filter(root, |filter, cx| filter.on_call_done(cx, id, outcome)),
            Caller::Stream(context) => {
                self.judge(context, |stream, cx| stream.on_call_done(cx, id, outcome));
            }
        }
    }

    /// Tells a stream of an event that came from elsewhere, and lets it flow on if it was held for that.
    fn judge(&self, context: u32, event: impl FnOnce(&mut F::Stream, &mut Cx<'_>) -> Flow) {
        let Some(session) = self.session(context) else { return };
        let Some((side, held)) = session.try_borrow().ok().and_then(|session| session.held()) else { return };
        let flow = self.tell(context, &session, side, Held { len: held, start: &[] }, event);
        let flows_on = flow == Flow::Continue;
        self.settle(&session, side, flow);
        if flows_on && let Err(status) = self.abi.resume(perform::stream_of(side)) {
            self.abi.log(Level::Error, &format!("weir.{}: a stream did not resume: {status:?}", F::NAME));
            perform::reply(&self.abi, &Reply::fault());
        }
    }

    /// Does what events left to do. With `current`, the stream whose callback this is: its own verdicts are
    /// returned, since the proxy takes them from the callback.
    pub(super) fn drain(&self, current: Option<(u32, &SharedSession<F>, Side)>) -> Option<Flow> {
        let mut verdict = None;
        let mut elsewhere = false;
        for _ in 0..MAX_TASKS {
            let Some(task) = self.tasks.borrow_mut().pop_front() else { break };
            let (Task::Wake(target)
            | Task::Refused(Caller::Stream(target), _)
            | Task::Refused(Caller::Filter(target), _)) = task;
            if let Some((context, session, side)) = current
                && context == target
            {
                let held = session.try_borrow().ok().and_then(|session| session.held());
                let held = held.map_or(0, |(_, held)| held);
                verdict =
                    Some(self.tell(context, session, side, Held { len: held, start: &[] }, |stream, cx| {
                        match task {
                            Task::Wake(_) => stream.on_wake(cx),
                            Task::Refused(_, id) => stream.on_call_done(cx, id, Err(CallError::Refused)),
                        }
                    }));
                continue;
            }
            elsewhere = true;
            if self.abi.set_effective_context(target).is_err() {
                continue;
            }
            match task {
                Task::Wake(context) => self.judge(context, |stream, cx| stream.on_wake(cx)),
                Task::Refused(caller, id) => self.deliver(caller, id, Err(CallError::Refused)),
            }
        }
        if let Some((context, ..)) = current
            && elsewhere
            && self.abi.set_effective_context(context).is_err()
        {
            return Some(Flow::Reply(Reply::fault()));
        }
        verdict
    }
}

/// More tasks than this wait for the next callback.
const MAX_TASKS: u32 = 10_000;
