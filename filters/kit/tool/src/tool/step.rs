//! One of the calls of a tool, and what it waits for.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_schema::mcp::{Request, Step};
use weir_template::Data;

use crate::request::{Outgoing, RequestPlan};
use crate::template::{Scope, Text, named_steps};
use crate::{LoadError, Unfit};

/// A call that a tool makes.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// Its name; empty where the tool has only one.
    pub name: String,
    /// The steps it waits for.
    pub waits_for: Vec<usize>,
    /// The cluster it calls.
    pub cluster: String,
    /// What `:authority` says.
    pub authority: String,
    /// How long an answer may take.
    pub timeout_ms: Option<u32>,
    /// Whether the tool goes on if it fails.
    pub optional: bool,
    request: RequestPlan,
    when: Option<When>,
    each: Option<Text>,
}

/// A condition.
#[derive(Clone, Debug)]
struct When {
    text: Text,
    is_action: bool,
}

impl StepPlan {
    /// The one call that there is.
    pub fn single(request: &Request, plan: RequestPlan) -> Self {
        Self {
            name: String::new(),
            waits_for: Vec::new(),
            cluster: request.cluster.clone(),
            authority: request.authority.clone(),
            timeout_ms: request.timeout_ms.map(Into::into),
            optional: false,
            request: plan,
            when: None,
            each: None,
        }
    }

    pub(super) fn of(step: &Step, args: &BTreeSet<&str>, names: &[&str]) -> Result<Self, LoadError> {
        let outside = Scope { args: args.clone(), steps: Some(names.iter().copied().collect()), item: false };
        let inside = Scope { item: step.each.is_some(), ..outside.clone() };
        let when = step.when.as_ref().map(|when| When::of(&when.0, &outside)).transpose();
        let each = match &step.each {
            None => None,
            Some(each) => {
                let action = Text::action(&each.0, &outside).map_err(|error| error.within("each"))?;
                Some(action.ok_or_else(|| LoadError::new("each", "must be one action, {{ … }}"))?)
            }
        };
        let plan = RequestPlan::of(&step.request, &inside, &[]).map_err(|error| error.within("request"))?;
        let index = |name: &str| names.iter().position(|known| *known == name);
        let mut waits_for = BTreeSet::new();
        for (nth, name) in step.after.iter().enumerate() {
            let unknown = || LoadError::new(format!("after[{nth}]"), "no step has this name");
            waits_for.insert(index(name.as_str()).ok_or_else(unknown)?);
        }
        waits_for.extend(sources(step).into_iter().flat_map(named_steps).filter_map(index));
        Ok(Self {
            name: step.name.to_string(),
            waits_for: waits_for.into_iter().collect(),
            optional: step.optional,
            when: when.map_err(|error| error.within("when"))?,
            each,
            ..Self::single(&step.request, plan)
        })
    }

    /// Whether the call is to be made.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn is_wanted(&self, data: &Data) -> Result<bool, Unfit> {
        let Some(When { text, is_action }) = &self.when else { return Ok(true) };
        let wanted = match is_action {
            true => text.value(data).map(|value| is_true(&value)),
            false => text.render(data).map(|text| is_true(&Value::String(text.trim().into()))),
        };
        match wanted {
            Err(Unfit::Absent(_)) => Ok(false),
            wanted => wanted,
        }
    }

    /// The items that the call is made for; `None` if it is made once.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn items(&self, data: &Data) -> Result<Option<Vec<Value>>, Unfit> {
        let Some(each) = &self.each else { return Ok(None) };
        match each.value(data)? {
            Value::Array(items) if items.len() <= MAX_ITEMS => Ok(Some(items)),
            Value::Array(_) => Err(Unfit::Other(format!("there are more than {MAX_ITEMS} items"))),
            _ => Err(Unfit::Other("what it is made for is no list".into())),
        }
    }

    /// Writes the call.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn write(&self, data: &Data) -> Result<Outgoing, Unfit> {
        self.request.write(data)
    }
}

impl When {
    fn of(source: &str, scope: &Scope<'_>) -> Result<Self, LoadError> {
        Ok(match Text::action(source, scope)? {
            Some(text) => Self { text, is_action: true },
            None => Self { text: Text::parse(source, scope)?, is_action: false },
        })
    }
}

/// A step that waits for itself, perhaps through others.
pub(super) fn circle(steps: &[StepPlan]) -> Option<usize> {
    let mut done = BTreeSet::new();
    while done.len() < steps.len() {
        let free = |(at, step): &(usize, &StepPlan)| {
            !done.contains(at) && step.waits_for.iter().all(|other| done.contains(other))
        };
        match steps.iter().enumerate().find(free) {
            Some((at, _)) => done.insert(at),
            None => return (0..steps.len()).find(|at| !done.contains(at)),
        };
    }
    None
}

/// Every template of a step.
fn sources(step: &Step) -> Vec<&str> {
    let Request { path, headers, body, .. } = &step.request;
    let mut sources = vec![path.0.as_str()];
    sources.extend(headers.iter().map(|header| header.value.0.as_str()));
    sources.extend(step.when.iter().chain(&step.each).map(|template| template.0.as_str()));
    body.iter().for_each(|body| strings(body, &mut sources));
    sources
}

fn strings<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(members) => members.values().for_each(|member| strings(member, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !["", "false", "0"].contains(&text.as_str()),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// How often a repeated call is made.
const MAX_ITEMS: usize = 32;
