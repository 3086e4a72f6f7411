//! What the answers of all calls become.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weir_template::Data;
use weir_tool::shape::{self, Strictness};
use weir_tool::tool::Calls;
use weir_tool::{StepPlan, ToolPlan};
use weir_wire::jsonrpc::RpcError;

use super::answer::{self, Received};
use super::{Failure, Job, Run};
use crate::orchestrator::{content, contents, not_found};
use crate::outcome::{Kind, Outcome, cut, media};

impl Run {
    /// All calls are over.
    pub(super) fn finish(&mut self) -> Outcome {
        match self.job.clone() {
            Job::Tool(tool) => {
                self.of_answers(&tool).unwrap_or_else(|text| Outcome::failure(Kind::ToolError, text))
            }
            Job::Resource(resource, uri) => {
                let Received { content_type, body, .. } = self.last.take().unwrap_or_default();
                let from_answer = Some(content_type).filter(|media| !media.is_empty());
                let mime_type = resource.mime_type.clone().or(from_answer);
                let content = match str::from_utf8(&body) {
                    Ok(text) => content(&uri, mime_type.as_deref(), ("text", text)),
                    Err(_) => content(&uri, mime_type.as_deref(), ("blob", &STANDARD.encode(&body))),
                };
                Outcome { kind: Kind::Ok, answer: Ok(contents(content, self.version)) }
            }
        }
    }

    /// A step has failed, and with it all.
    pub(super) fn failed(&self, plan: &StepPlan, failure: Failure) -> Outcome {
        let Failure { kind, text } = failure.of_step(&plan.name);
        match &self.job {
            Job::Tool(_) => Outcome::failure(kind, text),
            Job::Resource(_, uri) if kind == Kind::Upstream4xx && text.starts_with("HTTP 404") => {
                Outcome::error(kind, not_found(uri, self.version))
            }
            Job::Resource(..) => Outcome::error(kind, RpcError::new(RpcError::INTERNAL, text)),
        }
    }

    fn of_answers(&mut self, tool: &ToolPlan) -> Result<Outcome, String> {
        let text = match (&tool.response, &tool.calls) {
            (Some(response), Calls::One(_)) => {
                let body = self.last.take().unwrap_or_default();
                text(&body.body)?;
                response.render(&Data::from(body.value())).map_err(|unfit| unfit.to_string())?
            }
            (Some(response), Calls::None | Calls::Several(_)) => {
                let data = Data::from(Value::Object(self.data.clone()));
                response.render(&data).map_err(|unfit| unfit.to_string())?
            }
            (None, _) => match self.last.take() {
                Some(received) => match media(&received.content_type, &received.body) {
                    Some(content) => return Ok(Outcome::content(content)),
                    None => text(&received.body)?.to_owned(),
                },
                None => self.last_result().to_string(),
            },
        };
        let Some(schema) = &tool.output else { return Ok(Outcome::text(text)) };
        let value: Value = serde_json::from_str(&text).map_err(|_| NOT_JSON.to_owned())?;
        let wrong =
            |problems: shape::Problems| format!("the answer is not what the tool promises: {problems}");
        let value = shape::check(schema, value, Strictness::Strict).map_err(wrong)?;
        Ok(Outcome::text(text).with_structure(value, self.version))
    }

    /// The result of the last step; `null` if it was passed over.
    fn last_result(&self) -> Value {
        let name = self.job.steps().last().map(|plan| plan.name.as_str()).unwrap_or_default();
        let steps = self.data.get(weir_tool::template::STEPS);
        steps.and_then(|steps| steps.get(name)).cloned().unwrap_or_default()
    }
}

impl Job {
    /// What is said of an answer that is an error.
    pub(super) fn error_text(&self, status: u16, body: &[u8]) -> String {
        let template = match self {
            Self::Tool(tool) => tool.error.as_ref(),
            Self::Resource(..) => None,
        };
        if let Some(template) = template {
            let data = json!({"status": status, "body": answer::value(body)});
            if let Ok(text) = template.render(&Data::from(data)) {
                return cut(&text).to_owned();
            }
        }
        let text = String::from_utf8_lossy(body);
        match cut(text.trim()) {
            "" => format!("HTTP {status}"),
            text => format!("HTTP {status}: {text}"),
        }
    }
}

impl Default for Received {
    fn default() -> Self {
        Self { status: 200, content_type: String::new(), body: Vec::new() }
    }
}

fn text(body: &[u8]) -> Result<&str, String> {
    str::from_utf8(body).map_err(|_| "the answer is not text in UTF-8".into())
}

const NOT_JSON: &str = "the answer is not JSON, which the tool promises";
