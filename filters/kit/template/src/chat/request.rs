use serde_json::{Map, Value, json};
use weir_schema::chat_template::Streaming;

use super::{Chat, OWN, Refusal, role_name};
use crate::{Data, Limits, Misfit, RenderProblem};

/// The request of a chat completion, made of a template and variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its body.
    pub body: Vec<u8>,
    /// How many bytes its messages have.
    pub prompt_bytes: usize,
}

/// What a caller has sent: the variables, and what else may stand beside them.
struct Sent {
    variables: Map<String, Value>,
    stream: Option<Value>,
    stream_options: Option<Value>,
    params: Option<Value>,
    user: Option<Value>,
}

impl Chat {
    /// Makes the request of a caller's body.
    ///
    /// # Errors
    ///
    /// What is wrong with the body: with variables that do not fit the schema, all of it at once.
    pub fn request(&self, body: &[u8]) -> Result<Request, Refusal> {
        let limit = self.options.limits.body_bytes.get();
        if u32::try_from(body.len()).map_or(true, |length| length > limit) {
            return Err(Refusal::too_large("The request body", limit.into()));
        }
        let value = serde_json::from_slice(body)
            .map_err(|error| Refusal::not_json(format!("The request body is not JSON: {error}.")))?;
        self.fill(value)
    }

    /// Makes the request of a body that has been read.
    ///
    /// # Errors
    ///
    /// As [`Chat::request`].
    pub fn fill(&self, body: Value) -> Result<Request, Refusal> {
        let Value::Object(members) = body else {
            return Err(Refusal::not_json("The request body must be an object: the template's variables."));
        };
        let sent = self.split(members);
        let stream = self.streams(sent.stream.as_ref())?;
        let params = self.params(sent.params)?;
        let user = text(sent.user, "user")?;
        let stream_options = match sent.stream_options {
            None | Some(Value::Null) => None,
            Some(options @ Value::Object(_)) => Some(options).filter(|_| stream),
            Some(_) => return Err(not_a("an object", "stream_options")),
        };
        let variables = Value::Object(sent.variables);
        if let Some(shape) = &self.variables {
            misfits(&shape.check(&variables))?;
        }
        let (messages, prompt_bytes) = self.messages(variables)?;
        let mut request = Map::new();
        request.insert("model".to_owned(), self.options.model_name.as_str().into());
        request.insert("messages".to_owned(), messages);
        request.extend(params);
        let rest = [
            ("stream", stream.then_some(Value::Bool(true))),
            ("stream_options", stream_options),
            ("user", user),
        ];
        request.extend(rest.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        // Keys are strings, so nothing here can fail.
        let body = serde_json::to_vec(&request).unwrap_or_default();
        Ok(Request { body, prompt_bytes })
    }

    /// Takes what is not a variable out of a body. A schema that names such a member makes it one.
    fn split(&self, mut members: Map<String, Value>) -> Sent {
        let mut take = |name: &str| {
            let declared = self.variables.as_ref().is_some_and(|shape| shape.declares(name));
            if declared { None } else { members.shift_remove(name) }
        };
        let (stream, stream_options) = (take("stream"), take("stream_options"));
        let (params, user) = (take("params"), take("user"));
        Sent { variables: members, stream, stream_options, params, user }
    }

    fn streams(&self, asked: Option<&Value>) -> Result<bool, Refusal> {
        let asked = match asked {
            None | Some(Value::Null) => None,
            Some(Value::Bool(asked)) => Some(*asked),
            Some(_) => return Err(not_a("a boolean", "stream")),
        };
        let mode = if self.reshapes() { Streaming::Never } else { self.options.stream };
        let (streams, refused) = match mode {
            Streaming::Client => return Ok(asked.unwrap_or(false)),
            Streaming::Never => (false, "This template does not stream its answers."),
            Streaming::Always => (true, "This template streams its answers."),
        };
        if asked.is_some_and(|asked| asked != streams) {
            return Err(Refusal::variables(refused, Some("stream".to_owned())));
        }
        Ok(streams)
    }

    fn params(&self, asked: Option<Value>) -> Result<Map<String, Value>, Refusal> {
        let asked = match asked {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(asked)) => asked,
            Some(_) => return Err(not_a("an object", "params")),
        };
        let allowed =
            |name: &String| self.options.allow_params.contains(name) && !OWN.contains(&name.as_str());
        if let Some(name) = asked.keys().find(|name| !allowed(name)) {
            let name: String = name.chars().take(64).collect();
            let message = format!("This template does not let callers set {name:?}.");
            return Err(Refusal::variables(message, Some(format!("params.{name}"))));
        }
        let mut params = self.options.params.clone();
        params.extend(asked);
        Ok(params)
    }

    fn messages(&self, variables: Value) -> Result<(Value, usize), Refusal> {
        let data = Data::from(variables);
        let limit = self.options.limits.prompt_bytes.get();
        let all = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut written = 0_usize;
        let mut messages = Vec::with_capacity(self.messages.len());
        for (role, template) in &self.messages {
            let limits = Limits { output_bytes: all.saturating_sub(written), ..Limits::default() };
            let text = template.render(&data, limits).map_err(|error| match &error.problem {
                RenderProblem::TooLong { .. } => Refusal::too_large("The prompt", limit.into()),
                problem => {
                    let param = variable(problem);
                    let message = format!("The template cannot be filled: {error}.");
                    Refusal { status: 400, code: "template_render_failed", message, param }
                }
            })?;
            written = written.saturating_add(text.len());
            messages.push(json!({"role": role_name(*role), "content": text}));
        }
        Ok((Value::Array(messages), written))
    }
}

/// The variable that an error is about, without the template's dot.
fn variable(problem: &RenderProblem) -> Option<String> {
    match problem {
        RenderProblem::NotSet { name } => {
            Some(name.trim_start_matches(['$', '.']).to_owned()).filter(|name| !name.is_empty())
        }
        _ => None,
    }
}

fn misfits(misfits: &[Misfit]) -> Result<(), Refusal> {
    let Some(first) = misfits.first() else { return Ok(()) };
    let told: Vec<_> = misfits.iter().map(ToString::to_string).collect();
    let param = Some(first.at.clone()).filter(|at| !at.is_empty());
    Err(Refusal::variables(format!("The variables do not fit the template: {}.", told.join("; ")), param))
}

fn text(value: Option<Value>, name: &'static str) -> Result<Option<Value>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(Value::String(text))),
        Some(_) => Err(not_a("a string", name)),
    }
}

fn not_a(kind: &str, name: &str) -> Refusal {
    Refusal::variables(format!("{name} must be {kind}."), Some(name.to_owned()))
}
