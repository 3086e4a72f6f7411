//! The calls of a tool or a resource, under way.
//!
//! ```text
//! Waiting ──► Calling ──► Over
//!    └───────────────────►
//! ```
//! A step is begun when all that it waits for are over. The first that fails ends the whole, unless it is optional.

mod answer;
mod finish;

use std::mem;
use std::rc::Rc;

use serde_json::{Map, Value};
use weir_core::{Answer, Call, CallError, CallId, Cx, Owner, UnixTime};
use weir_template::Data;
use weir_tool::tool::Calls;
use weir_tool::{Outgoing, ResourcePlan, StepPlan, ToolPlan};

use crate::outcome::{Kind, Outcome};
use crate::version::Version;

use answer::Received;

/// What a server's calls may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest answer that is read.
    pub(crate) answer_bytes: u32,
    /// How long a tool may take that says nothing of it.
    pub(crate) timeout_ms: u32,
}

/// Calls under way.
#[derive(Debug)]
pub(crate) struct Run {
    job: Job,
    version: Version,
    limits: Limits,
    /// The arguments, and as `steps` what has been answered.
    data: Map<String, Value>,
    steps: Vec<Step>,
    /// The answer of the last step as it came.
    last: Option<Received>,
    began: UnixTime,
    timeout_ms: u32,
}

/// What the calls are for.
#[derive(Clone, Debug)]
enum Job {
    Tool(Rc<ToolPlan>),
    Resource(Rc<ResourcePlan>, String),
}

#[derive(Debug)]
enum Step {
    Waiting,
    Calling { answers: Vec<Option<Value>>, is_list: bool, timeout_ms: u32, began: UnixTime },
    Over,
}

/// One call of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    step: usize,
    item: usize,
}

/// Gives each call of a stream a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Numbers(u32);

/// Calls that were begun.
pub(crate) type Begun = Vec<(CallId, Part)>;

/// Why a step has failed.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    kind: Kind,
    text: String,
}

impl Numbers {
    pub(crate) fn next(&mut self) -> CallId {
        self.0 = self.0.saturating_add(1);
        CallId(self.0)
    }

    /// How many have been given.
    pub(crate) fn count(&self) -> u32 {
        self.0
    }
}

impl Run {
    pub(crate) fn of_tool(
        tool: Rc<ToolPlan>,
        args: Map<String, Value>,
        version: Version,
        limits: Limits,
        now: UnixTime,
    ) -> Self {
        let timeout_ms = tool.timeout_ms.unwrap_or(limits.timeout_ms);
        Self::of(Job::Tool(tool), args, version, Limits { timeout_ms, ..limits }, now)
    }

    pub(crate) fn of_resource(
        resource: Rc<ResourcePlan>,
        uri: String,
        variables: Map<String, Value>,
        version: Version,
        limits: Limits,
        now: UnixTime,
    ) -> Self {
        Self::of(Job::Resource(resource, uri), variables, version, limits, now)
    }

    fn of(job: Job, data: Map<String, Value>, version: Version, limits: Limits, now: UnixTime) -> Self {
        let steps = job.steps().iter().map(|_| Step::Waiting).collect();
        let mut run =
            Self { job, version, limits, data, steps, last: None, began: now, timeout_ms: limits.timeout_ms };
        if run.has_steps() {
            run.data.insert(weir_tool::template::STEPS.into(), Value::Object(Map::new()));
        }
        run
    }

    /// Begins every call that need not wait. With an outcome, all is over.
    pub(crate) fn advance(&mut self, cx: &mut Cx<'_>, numbers: &mut Numbers) -> (Begun, Option<Outcome>) {
        let mut begun = Vec::new();
        let job = self.job.clone();
        // A step that is passed over frees others.
        while let Some((at, plan)) = self.next_free(job.steps()) {
            match self.begin(cx, numbers, at, plan) {
                Ok(calls) => begun.extend(calls),
                Err(_) if plan.optional => self.end(at, None),
                Err(failure) => return (begun, Some(self.failed(plan, failure))),
            }
        }
        let is_over = self.steps.iter().all(|step| matches!(step, Step::Over));
        let outcome = is_over.then(|| self.finish());
        (begun, outcome)
    }

    /// Takes the outcome of a call. With an outcome of its own, all is over.
    pub(crate) fn take(
        &mut self,
        cx: &mut Cx<'_>,
        part: Part,
        answer: Result<Answer<'_>, CallError>,
    ) -> Option<Outcome> {
        let job = self.job.clone();
        let plan = job.steps().get(part.step)?;
        let Step::Calling { answers, is_list, timeout_ms, began } = self.steps.get_mut(part.step)? else {
            return None;
        };
        let is_late = || cx.now() >= began.plus(std::time::Duration::from_millis((*timeout_ms).into()));
        let received = answer::read(answer, self.limits.answer_bytes, *timeout_ms, is_late);
        match received.and_then(|received| received.into_ok(|status, body| self.job.error_text(status, body)))
        {
            Ok(received) => {
                // Only several steps read each other's answers.
                let value = if matches!(&self.job, Job::Tool(tool) if matches!(tool.calls, Calls::Several(_)))
                {
                    received.value()
                } else {
                    Value::Null
                };
                if let Some(slot) = answers.get_mut(part.item) {
                    *slot = Some(value);
                }
                let result = match answers.iter().all(Option::is_some) {
                    false => return None,
                    true => mem::take(answers).into_iter().flatten(),
                };
                let result =
                    if *is_list { Value::Array(result.collect()) } else { result.into_iter().next()? };
                let is_last = part.step.saturating_add(1) == self.steps.len();
                if is_last && !matches!(result, Value::Array(_)) {
                    self.last = Some(received);
                }
                self.end(part.step, Some(result));
                None
            }
            Err(_) if plan.optional => {
                self.end(part.step, None);
                None
            }
            Err(failure) => Some(self.failed(plan, failure)),
        }
    }

    /// A step whose turn it is.
    fn next_free<'p>(&self, plans: &'p [StepPlan]) -> Option<(usize, &'p StepPlan)> {
        let is_over = |at: &usize| matches!(self.steps.get(*at), Some(Step::Over));
        let mut waiting = plans.iter().enumerate().zip(&self.steps);
        let free = waiting
            .find(|((_, plan), step)| matches!(step, Step::Waiting) && plan.waits_for.iter().all(is_over));
        free.map(|(free, _)| free)
    }

    fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        numbers: &mut Numbers,
        at: usize,
        plan: &StepPlan,
    ) -> Result<Begun, Failure> {
        let unfit = |unfit: weir_tool::Unfit| Failure { kind: Kind::ToolError, text: unfit.to_string() };
        let data = Data::from(Value::Object(self.data.clone()));
        if !plan.is_wanted(&data).map_err(unfit)? {
            self.end(at, None);
            return Ok(Vec::new());
        }
        let left = self.left(cx.now()).ok_or_else(|| Failure::timeout(self.timeout_ms))?;
        let timeout_ms = plan.timeout_ms.map_or(left, |own| own.min(left));
        let items = plan.items(&data).map_err(unfit)?;
        let outgoing = match &items {
            None => vec![plan.write(&data).map_err(unfit)?],
            Some(items) => {
                items.iter().map(|item| self.for_item(plan, item)).collect::<Result<_, _>>().map_err(unfit)?
            }
        };
        if outgoing.is_empty() {
            self.end(at, Some(Value::Array(Vec::new())));
            return Ok(Vec::new());
        }
        let answers = vec![None; outgoing.len()];
        if let Some(step) = self.steps.get_mut(at) {
            *step = Step::Calling { answers, is_list: items.is_some(), timeout_ms, began: cx.now() };
        }
        let begin = |(item, outgoing)| {
            let id = numbers.next();
            cx.call(call(plan, id, outgoing, timeout_ms, self.limits.answer_bytes));
            (id, Part { step: at, item })
        };
        Ok(outgoing.into_iter().enumerate().map(begin).collect())
    }

    fn for_item(&self, plan: &StepPlan, item: &Value) -> Result<Outgoing, weir_tool::Unfit> {
        let mut data = self.data.clone();
        data.insert(weir_tool::template::ITEM.into(), item.clone());
        plan.write(&Data::from(Value::Object(data)))
    }

    /// A step is over, with its result if it has one.
    fn end(&mut self, at: usize, result: Option<Value>) {
        if let Some(step) = self.steps.get_mut(at) {
            *step = Step::Over;
        }
        let name = self.job.steps().get(at).map(|plan| plan.name.clone());
        if let (Some(name), Some(result)) = (name, result)
            && let Some(Value::Object(steps)) = self.data.get_mut(weir_tool::template::STEPS)
            && self.job.has_steps()
        {
            steps.insert(name, result);
        }
    }

    /// How much of its time is left, in milliseconds.
    fn left(&self, now: UnixTime) -> Option<u32> {
        let spent = now.millis().saturating_sub(self.began.millis());
        let left = u64::from(self.timeout_ms).saturating_sub(spent);
        u32::try_from(left).ok().filter(|left| *left > 0)
    }

    /// How long it has taken so far, in milliseconds.
    pub(crate) fn millis(&self, now: UnixTime) -> u64 {
        now.millis().saturating_sub(self.began.millis())
    }

    fn has_steps(&self) -> bool {
        self.job.has_steps()
    }
}

impl Job {
    fn steps(&self) -> &[StepPlan] {
        match self {
            Self::Tool(tool) => match &tool.calls {
                Calls::None => &[],
                Calls::One(step) => std::slice::from_ref(step),
                Calls::Several(steps) => steps,
            },
            Self::Resource(resource, _) => resource.call().map_or(&[], std::slice::from_ref),
        }
    }

    fn has_steps(&self) -> bool {
        matches!(self, Self::Tool(tool) if matches!(tool.calls, Calls::Several(_)))
    }
}

impl Failure {
    fn timeout(millis: u32) -> Self {
        Self { kind: Kind::Timeout, text: format!("timed out after {}", duration(millis)) }
    }
}

fn call(plan: &StepPlan, id: CallId, outgoing: Outgoing, timeout_ms: u32, max_answer_bytes: u32) -> Call {
    let Outgoing { method, path, headers, body } = outgoing;
    let mut fields = vec![
        (":method".into(), method),
        (":path".into(), path),
        (":authority".into(), plan.authority.clone()),
        ("accept".into(), "application/json, */*;q=0.5".into()),
        ("accept-encoding".into(), "identity".into()),
        ("user-agent".into(), "weir-mcp".into()),
    ];
    let given = |name: &str| headers.iter().any(|(other, _)| other == name);
    fields.retain(|(name, _): &(std::borrow::Cow<'static, str>, String)| !given(name));
    fields.extend(headers.into_iter().map(|(name, value)| (name.into(), value)));
    Call {
        id,
        owner: Owner::Stream,
        cluster: plan.cluster.clone(),
        headers: fields,
        body,
        timeout_ms,
        max_answer_bytes,
    }
}

/// A time as people write it.
fn duration(millis: u32) -> String {
    match millis.checked_rem(1000) {
        Some(0) => format!("{} s", millis / 1000),
        _ => format!("{millis} ms"),
    }
}
