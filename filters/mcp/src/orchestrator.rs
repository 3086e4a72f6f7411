//! A server that is made of REST calls.

mod complete;
mod list;
mod prompt;
mod resource;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use serde_json::{Map, Value, json};
use weir_core::UnixTime;
use weir_schema::mcp::{self, Info, Variable};
use weir_tool::{LoadError, PromptPlan, ResourcePlan, ToolPlan};
use weir_wire::jsonrpc::RpcError;

use crate::catalog::Served;
use crate::era::{self, Asked, Refused};
use crate::mirror::Mirror;
use crate::outcome::{Kind, Outcome};
use crate::run::{Limits, Run};
use crate::version::Version;

use list::Lister;
pub(crate) use resource::{content, contents, not_found};

/// A server that is made of REST calls, checked.
#[derive(Debug)]
pub(crate) struct Orchestrator {
    info: Info,
    tools: Vec<Rc<ToolPlan>>,
    tools_by_name: HashMap<String, usize>,
    resources: Vec<Rc<ResourcePlan>>,
    prompts: Vec<PromptPlan>,
    page_size: usize,
    limits: Limits,
    /// Tells cursors of another configuration apart.
    edition: u64,
}

/// What a request leads to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An answer: the members of a result.
    Result(Map<String, Value>),
    /// An answer whose result is JSON already.
    Json(String),
    /// A call that is done.
    Done(Outcome),
    /// A call that goes on.
    Run(Box<Run>),
    /// A subscription to changes: the hub's, or without one acknowledged, and at its end.
    Listen,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) served: &'a Served,
    pub(crate) consumer: Option<&'a str>,
    pub(crate) mirror: &'a Mirror,
    pub(crate) now: UnixTime,
}

impl Orchestrator {
    pub(crate) fn of(config: mcp::Orchestrator) -> Result<Self, LoadError> {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&config).unwrap_or_default().hash(&mut hasher);
        let mcp::Orchestrator { server, tools, resources, prompts, page_size, response_bytes, timeout_ms } =
            config;
        let mut plans: Vec<Rc<ToolPlan>> = Vec::with_capacity(tools.len());
        let mut tools_by_name = HashMap::with_capacity(tools.len());
        for (at, tool) in tools.iter().enumerate() {
            let plan = ToolPlan::of(tool).map_err(|error| error.within(&format!("tools[{at}]")))?;
            if tools_by_name.insert(plan.name.clone(), at).is_some() {
                return Err(LoadError::new(format!("tools[{at}].name"), "another tool has this name"));
            }
            plans.push(Rc::new(plan));
        }
        let resource = |(at, resource)| {
            let plan =
                ResourcePlan::of(resource).map_err(|error| error.within(&format!("resources[{at}]")))?;
            Ok(Rc::new(plan))
        };
        let prompt = |(at, prompt)| {
            PromptPlan::of(prompt).map_err(|error: LoadError| error.within(&format!("prompts[{at}]")))
        };
        Ok(Self {
            info: server,
            tools: plans,
            tools_by_name,
            resources: resources.into_iter().enumerate().map(resource).collect::<Result<_, LoadError>>()?,
            prompts: prompts.into_iter().enumerate().map(prompt).collect::<Result<_, _>>()?,
            page_size: usize::try_from(page_size.get()).unwrap_or(usize::MAX),
            limits: Limits { answer_bytes: response_bytes.get(), timeout_ms: timeout_ms.get() },
            edition: hasher.finish(),
        })
    }

    /// Answers a request.
    pub(crate) fn answer(&self, context: Context<'_>, asked: &Asked<'_>) -> Result<Answer, Refused> {
        let (version, tells) = (asked.version, context.served.hub);
        let refused = |error| Refused::of(error, version);
        let lister = Lister { edition: self.edition, page_size: self.page_size, version };
        match asked.method {
            "initialize" if !version.is_modern() => self.initialize(asked, tells).map_err(refused),
            "server/discover" if version.is_modern() => Ok(Answer::Result(self.discover(tells))),
            "ping" if !version.is_modern() => Ok(Answer::Result(Map::new())),
            "tools/list" if !self.tools.is_empty() => {
                let granted = |tool: &&Rc<ToolPlan>| context.served.shows(context.consumer, &tool.name);
                let listed = |tool: &'_ Rc<ToolPlan>| match version.is_modern() {
                    true => tool.listing.modern.clone(),
                    false => tool.listing.legacy.clone(),
                };
                lister.list(asked, "tools", &self.tools, granted, listed).map_err(refused)
            }
            "tools/call" if !self.tools.is_empty() => self.call(context, asked),
            "resources/list" if !self.resources.is_empty() => lister
                .list(
                    asked,
                    "resources",
                    &self.resources,
                    |one| !one.is_template(),
                    |one| one.listed().to_owned(),
                )
                .map_err(refused),
            "resources/templates/list" if !self.resources.is_empty() => lister
                .list(
                    asked,
                    "resourceTemplates",
                    &self.resources,
                    |one| one.is_template(),
                    |one| one.listed().to_owned(),
                )
                .map_err(refused),
            "resources/read" if !self.resources.is_empty() => {
                resource::read(&self.resources, self.limits, context.now, asked).map_err(refused)
            }
            "prompts/list" if !self.prompts.is_empty() => lister
                .list(asked, "prompts", &self.prompts, |_| true, |one| one.listed().to_owned())
                .map_err(refused),
            "prompts/get" if !self.prompts.is_empty() => prompt::get(&self.prompts, asked).map_err(refused),
            "completion/complete" if self.completes() => {
                complete::complete(&self.prompts, &self.resources, asked).map_err(refused)
            }
            "subscriptions/listen" if version.is_modern() => Ok(Answer::Listen),
            _ => Err(refused(RpcError::new(RpcError::METHOD_NOT_FOUND, "this method is not served"))),
        }
    }

    fn initialize(&self, asked: &Asked<'_>, tells: bool) -> Result<Answer, RpcError> {
        let Some(wanted) = asked.text("protocolVersion") else {
            return Err(RpcError::new(RpcError::INVALID_PARAMS, "\"protocolVersion\" is missing"));
        };
        let version = Version::parse(&wanted).filter(|version| !version.is_modern());
        let version = version.unwrap_or(Version::NEWEST_LEGACY);
        let mut result = Map::new();
        result.insert("protocolVersion".into(), version.as_str().into());
        result.insert("capabilities".into(), self.capabilities(tells));
        result.insert("serverInfo".into(), self.server_info());
        if let Some(instructions) = &self.info.instructions {
            result.insert("instructions".into(), instructions.as_str().into());
        }
        Ok(Answer::Result(result))
    }

    fn discover(&self, tells: bool) -> Map<String, Value> {
        let mut result = Map::new();
        result.insert("supportedVersions".into(), json!(Version::ALL.map(Version::as_str)));
        result.insert("capabilities".into(), self.capabilities(tells));
        if let Some(instructions) = &self.info.instructions {
            result.insert("instructions".into(), instructions.as_str().into());
        }
        list::cached(&mut result);
        result
    }

    /// Only what is configured; `tells` is whether a hub tells of changes.
    fn capabilities(&self, tells: bool) -> Value {
        let mut all = Map::new();
        if !self.tools.is_empty() {
            all.insert("tools".into(), json!({"listChanged": tells}));
        }
        if !self.resources.is_empty() {
            all.insert("resources".into(), json!({"subscribe": false, "listChanged": tells}));
        }
        if !self.prompts.is_empty() {
            all.insert("prompts".into(), json!({"listChanged": tells}));
        }
        if self.completes() {
            all.insert("completions".into(), json!({}));
        }
        Value::Object(all)
    }

    /// What the server says of itself.
    pub(crate) fn server_info(&self) -> Value {
        let Info { name, title, version, description, instructions: _ } = &self.info;
        let mut info = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
        if let Some(title) = title {
            info.insert("title".into(), title.as_str().into());
        }
        info.insert("version".into(), version.as_str().into());
        if let Some(description) = description {
            info.insert("description".into(), description.as_str().into());
        }
        Value::Object(info)
    }

    /// Whether it has a tool of this name.
    pub(crate) fn has_tool(&self, name: &str) -> bool {
        self.tools_by_name.contains_key(name)
    }

    fn completes(&self) -> bool {
        let known = |variable: &Variable| !variable.enum_values.is_empty();
        self.prompts.iter().flat_map(|prompt| &prompt.arguments).any(known)
            || self.resources.iter().flat_map(|resource| &resource.variables).any(known)
    }

    fn call(&self, context: Context<'_>, asked: &Asked<'_>) -> Result<Answer, Refused> {
        let invalid = |message: &'static str| {
            Refused::of(RpcError::new(RpcError::INVALID_PARAMS, message), asked.version)
        };
        let name = asked.text("name").ok_or_else(|| invalid("\"name\" must be a string"))?;
        let Some(args) = asked.object("arguments") else {
            return Err(invalid("\"arguments\" must be an object"));
        };
        let found = self.tools_by_name.get(&name).and_then(|at| self.tools.get(*at));
        let granted = context.served.grants(context.consumer, &name);
        let Some(tool) = found.filter(|_| granted) else {
            // To a caller who may not use it, a tool does not exist.
            let kind = if found.is_some() { Kind::Denied } else { Kind::UnknownTool };
            let error =
                RpcError::new(RpcError::INVALID_PARAMS, format!("Unknown tool: {}", shortened(&name)));
            return Ok(Answer::Done(Outcome::error(kind, error)));
        };
        if asked.version.is_modern() {
            let wrong = |(arg, header): &&(String, String)| !context.mirror.repeats(header, args.get(arg));
            if let Some((_, header)) = tool.input.mirrored.iter().find(wrong) {
                return Err(era::mismatch(&format!("Mcp-Param-{header}")));
            }
        }
        let args = match tool.input.take(args) {
            Ok(args) => args,
            Err(problems) => {
                let text = format!("Invalid arguments for tool \"{name}\": {problems}");
                return Ok(Answer::Done(Outcome::failure(Kind::InvalidArgs, text)));
            }
        };
        let run = Run::of_tool(Rc::clone(tool), args, asked.version, self.limits, context.now);
        Ok(Answer::Run(Box::new(run)))
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(128).collect()
}
