//! Paths that are more than a model's API.

use std::time::Duration;

use weir_schema::Name;
use weir_schema::chat_template::ChatTemplate;
use weir_schema::mcp::Mount;
use weir_template::chat::Chat;
use weir_wire::openai::Endpoint;

use super::{McpOptions, ModelError, Parts, Problem, PublicModel, TemplateUse, known, unique};

/// A path, and what answers there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The path.
    pub path: Mount,
    /// The tenant it is for. Absent: every one.
    pub domain: Option<Name>,
    /// How long an answer may take as a whole. Absent: as long as what answers may.
    pub timeout: Option<Duration>,
    /// What answers; of a checked model exactly one.
    pub answers: Vec<RouteAnswer>,
}

/// What answers at a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAnswer {
    /// A model, with what a template makes of variables.
    ChatTemplate(Box<ChatTemplate>),
    /// An MCP server.
    McpServer(Box<McpOptions>),
    /// The marketplace of MCP servers, and where clients reach the gateway if that is said.
    McpRegistry(Option<String>),
    /// The same, by a template that is kept under a name.
    StoredChatTemplate(TemplateUse),
}

/// What a route is called among all routes: its path without the first slash, which the path of an object's URL has
/// before it.
pub fn route_label(path: &Mount, domain: Option<&Name>) -> String {
    let path = path.as_str().trim_start_matches('/');
    match domain {
        Some(domain) => format!("{path}@{domain}"),
        None => path.to_owned(),
    }
}

impl Route {
    /// What tells the route apart from every other.
    pub fn label(&self) -> String {
        route_label(&self.path, self.domain.as_ref())
    }

    /// The options of its MCP server, if that is what answers.
    pub fn mcp_server(&self) -> Option<&McpOptions> {
        self.answers.iter().find_map(|answer| match answer {
            RouteAnswer::McpServer(options) => Some(options.as_ref()),
            RouteAnswer::ChatTemplate(_)
            | RouteAnswer::McpRegistry(_)
            | RouteAnswer::StoredChatTemplate(_) => None,
        })
    }

    /// Whether the marketplace answers, and where clients reach the gateway if that is said.
    pub fn mcp_registry(&self) -> Option<Option<&str>> {
        self.answers.iter().find_map(|answer| match answer {
            RouteAnswer::McpRegistry(url) => Some(url.as_deref()),
            RouteAnswer::ChatTemplate(_) | RouteAnswer::McpServer(_) | RouteAnswer::StoredChatTemplate(_) => {
                None
            }
        })
    }
}

impl Parts {
    pub(super) fn check_routes(&self) -> Result<(), ModelError> {
        unique("routes", self.routes.iter().map(Route::label))?;
        self.check_mcp_servers()?;
        self.routes.iter().try_for_each(|route| self.check_route(route))
    }

    fn check_route(&self, route: &Route) -> Result<(), ModelError> {
        let at = |field: &str| format!("routes.{}.{field}", route.label());
        if Endpoint::at(route.path.base()).is_some() {
            return Err(ModelError { at: at("path"), problem: Problem::ModelsPath });
        }
        if let Some(domain) = &route.domain {
            self.check_domain_of_quota(domain, || at("domain"))?;
        }
        match route.answers.as_slice() {
            [RouteAnswer::ChatTemplate(_) | RouteAnswer::StoredChatTemplate(_)] => {}
            [RouteAnswer::McpRegistry(url)] => return self.check_mcp_registry(route, url.as_deref(), at),
            [RouteAnswer::McpServer(options)] => {
                let of = |field: &str| at(&format!("middlewares[0].options.{field}"));
                return self.check_mcp(route, options, of).map(|_| ());
            }
            _ => return Err(ModelError { at: at("middlewares"), problem: Problem::NotOneAnswer }),
        }
        let variants = self.variants(route)?;
        if variants.is_empty() {
            return Err(ModelError {
                at: at("middlewares[0].options.versions"),
                problem: Problem::VersionOrLabel,
            });
        }
        variants.iter().try_for_each(|variant| {
            let of = |field: &str| at(&format!("middlewares[0].options.{field}"));
            self.check_chat_template(&variant.template, route.domain.as_ref(), of)
        })
    }

    /// The paths of the registry API are not chosen.
    fn check_mcp_registry(
        &self,
        route: &Route,
        url: Option<&str>,
        at: impl Fn(&str) -> String,
    ) -> Result<(), ModelError> {
        if route.path.as_str() != REGISTRY {
            return Err(ModelError { at: at("path"), problem: Problem::RegistryPath });
        }
        let host = url.map(|url| url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")));
        let is_host = |host: &str| !host.is_empty() && !host.contains(['/', ' ', '?', '#', '@', '{']);
        if host.is_some_and(|host| !host.is_some_and(is_host)) {
            return Err(ModelError { at: at("middlewares[0].options.url"), problem: Problem::RegistryUrl });
        }
        Ok(())
    }

    /// The template is one, and its model is there for those who can call it.
    pub(super) fn check_chat_template(
        &self,
        options: &ChatTemplate,
        domain: Option<&Name>,
        at: impl Fn(&str) -> String,
    ) -> Result<(), ModelError> {
        Chat::new(options.clone()).map_err(|error| ModelError {
            at: at(&error.field),
            problem: Problem::Template(error.problem.to_string()),
        })?;
        let name = options.model_name.as_str();
        let visible = self.models.iter().filter(|model| {
            domain.is_none_or(|domain| model.domain.as_ref().is_none_or(|owner| owner == domain))
        });
        known("model", name, visible.map(|model| model.name.as_str()), || at("model_name"))?;
        let Some(provider) = &options.provider else { return Ok(()) };
        let named = || at("provider");
        known("provider", provider.as_str(), self.providers.iter().map(|of| of.name.as_str()), named)?;
        match self.pinned(options, domain).next() {
            Some(_) => Ok(()),
            None => Err(ModelError { at: named(), problem: Problem::NotATarget(options.model_name.clone()) }),
        }
    }

    /// The models that a template may ask, if it pins their provider: those of its name that have a target there.
    pub fn pinned<'a>(
        &'a self,
        options: &'a ChatTemplate,
        domain: Option<&'a Name>,
    ) -> impl Iterator<Item = &'a PublicModel> {
        let provider = options.provider.as_ref();
        self.models.iter().filter(move |model| {
            let visible =
                domain.is_none_or(|domain| model.domain.as_ref().is_none_or(|owner| owner == domain));
            let there = |provider: &Name| model.targets.iter().any(|target| target.provider == *provider);
            visible && model.name == options.model_name && provider.is_some_and(there)
        })
    }
}

/// Where the registry API is.
const REGISTRY: &str = "/v0.1/*";
