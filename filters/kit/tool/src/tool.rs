//! A tool with all its calls, checked.

mod listing;
mod step;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use weir_schema::mcp::{Step, Tool};

use crate::LoadError;
use crate::input::Input;
use crate::request::RequestPlan;
use crate::shape::Schema;
use crate::template::{self, ITEM, STEPS, Scope, Text};

pub use listing::Listing;
pub use step::StepPlan;

/// A tool that can be listed and called.
#[derive(Clone, Debug)]
pub struct ToolPlan {
    /// Its name.
    pub name: String,
    /// How it is listed.
    pub listing: Listing,
    /// What it takes.
    pub input: Input,
    /// What it answers, if that is checked.
    pub output: Option<Schema>,
    /// The calls it makes.
    pub calls: Calls,
    /// What it answers. `None`: the answer as it came.
    pub response: Option<Text>,
    /// What it says of an answer that is an error.
    pub error: Option<Text>,
    /// How long it may take as a whole.
    pub timeout_ms: Option<u32>,
}

/// The calls of a tool.
#[derive(Clone, Debug)]
pub enum Calls {
    /// None: its template answers.
    None,
    /// One, whose answer is the tool's.
    One(Box<StepPlan>),
    /// Several, which wait for each other.
    Several(Vec<StepPlan>),
}

impl ToolPlan {
    /// Checks a tool.
    ///
    /// # Errors
    ///
    /// The first field that is wrong.
    pub fn of(tool: &Tool) -> Result<Self, LoadError> {
        let input = Input::of(tool)?;
        let args: BTreeSet<_> = tool.args.iter().map(|arg| arg.name.as_str()).collect();
        let calls = match (&tool.request, tool.steps.as_slice()) {
            (Some(_), [_, ..]) => {
                return Err(LoadError::new("steps", "a tool has one request or several steps"));
            }
            (None, []) => Calls::None,
            (Some(request), []) => {
                let scope = Scope { args: args.clone(), steps: None, item: false };
                let plan = RequestPlan::of(request, &scope, &tool.args).map_err(of_request)?;
                Calls::One(Box::new(StepPlan::single(request, plan)))
            }
            (None, steps) => Calls::Several(several(tool, steps, &args)?),
        };
        let response = match (&tool.response, &calls) {
            (None, Calls::None) => {
                return Err(LoadError::new("response", "a tool without a request needs one"));
            }
            (None, _) => None,
            (Some(text), Calls::One(_)) if template::action(&text.0) == Some(".") => None,
            (Some(text), Calls::One(_)) => {
                Some(Text::unscoped(&text.0).map_err(|error| error.within("response"))?)
            }
            (Some(text), Calls::None | Calls::Several(_)) => {
                let steps = tool.steps.iter().map(|step| step.name.as_str());
                let steps = matches!(calls, Calls::Several(_)).then(|| steps.collect());
                let scope = Scope { args, steps, item: false };
                Some(Text::parse(&text.0, &scope).map_err(|error| error.within("response"))?)
            }
        };
        let error = tool.error.as_ref().map(|text| Text::unscoped(&text.0)).transpose();
        Ok(Self {
            name: tool.name.to_string(),
            listing: Listing::of(tool, &input),
            input,
            output: tool.output_schema.clone(),
            calls,
            response,
            error: error.map_err(|error| error.within("error"))?,
            timeout_ms: tool.timeout_ms.map(Into::into),
        })
    }
}

/// Fields of the one request are the tool's; `args` are no part of it.
fn of_request(error: LoadError) -> LoadError {
    if error.field.starts_with("args[") { error } else { error.within("request") }
}

fn several(tool: &Tool, steps: &[Step], args: &BTreeSet<&str>) -> Result<Vec<StepPlan>, LoadError> {
    if steps.len() > MAX_STEPS {
        return Err(LoadError::new("steps", format!("a tool has at most {MAX_STEPS}")));
    }
    for (at, arg) in tool.args.iter().enumerate() {
        let wrong = |field: &str, problem| Err(LoadError::new(format!("args[{at}].{field}"), problem));
        if [STEPS, ITEM].contains(&arg.name.as_str()) {
            return wrong("name", "the templates of steps call something else that");
        }
        if arg.position.is_some() {
            return wrong("position", "the templates of a tool with steps say where an argument goes");
        }
    }
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    let mut plans = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        let field = format!("steps[{at}]");
        if names.iter().take(at).any(|other| *other == step.name.as_str()) {
            return Err(LoadError::new(format!("{field}.name"), "another step has this name"));
        }
        plans.push(StepPlan::of(step, args, &names).map_err(|error| error.within(&field))?);
    }
    match step::circle(&plans) {
        Some(at) => Err(LoadError::new(format!("steps[{at}]"), "waits for itself")),
        None => Ok(plans),
    }
}

/// How many calls a tool is made of.
const MAX_STEPS: usize = 32;
