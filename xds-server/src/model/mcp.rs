//! MCP servers: made of REST calls, or of other servers.

mod oauth;
mod openapi;
mod options;
mod plan;
mod url;

use std::collections::BTreeSet;

use weir_schema::Name;
use weir_tool::LoadError;

use super::{ModelError, Parts, Problem, Route, known};
use crate::secret::Secret;

pub use oauth::{Jwks, OAuth, TokenConsumer};
pub use openapi::{OpenApi, OpenApiDocument};
pub use options::{
    CredentialType, ErrorTemplate, Grant, McpLimits, McpOptions, Orchestrator, OwnUpstream, Proxy,
    ProxyUpstream, RequestTemplate, Resource, ResponseTemplate, Step, ToolOptions, UpstreamAuth, WrittenUrl,
};
pub use plan::{McpPlan, PlannedUpstream};

impl Parts {
    /// No two servers have one name, or paths that a request could take for each other's.
    pub(super) fn check_mcp_servers(&self) -> Result<(), ModelError> {
        let servers: Vec<_> = self.mcp_routes().collect();
        let markets = self.routes.iter().filter(|route| route.mcp_registry().is_some());
        for market in markets {
            let meets = |route: &Route| {
                let apart =
                    route.domain.is_some() && market.domain.is_some() && route.domain != market.domain;
                !apart && route.path.overlaps(&market.path)
            };
            if let Some((route, _)) = servers.iter().find(|(route, _)| meets(route)) {
                let at = format!("routes.{}.path", route.label());
                return Err(ModelError { at, problem: Problem::Duplicate });
            }
        }
        for (at, (route, options)) in servers.iter().enumerate() {
            for (other, others) in servers.iter().take(at) {
                let refused = |field: &str| {
                    Err(ModelError {
                        at: format!("routes.{}.{field}", route.label()),
                        problem: Problem::Duplicate,
                    })
                };
                if options.name().is_some() && options.name() == others.name() {
                    return refused("middlewares[0].options");
                }
                let apart = route.domain.is_some() && other.domain.is_some() && route.domain != other.domain;
                if !apart && route.path.overlaps(&other.path) {
                    return refused("path");
                }
            }
        }
        Ok(())
    }

    /// The routes of MCP servers.
    fn mcp_routes(&self) -> impl Iterator<Item = (&Route, &McpOptions)> {
        self.routes.iter().filter_map(|route| Some((route, route.mcp_server()?)))
    }

    /// The MCP servers of a model that has been checked, with their routes.
    pub(crate) fn mcp_servers(&self) -> impl Iterator<Item = (&Route, &McpOptions, McpPlan)> {
        self.mcp_routes().filter_map(|(route, options)| Some((route, options, options.plan().ok()?)))
    }

    /// Checks an MCP server; `at` names a field of its options.
    pub(super) fn check_mcp(
        &self,
        route: &Route,
        options: &McpOptions,
        at: impl Fn(&str) -> String,
    ) -> Result<McpPlan, ModelError> {
        let plan = options.plan().map_err(|LoadError { field, problem }| ModelError {
            at: at(&field),
            problem: Problem::Mcp(problem),
        })?;
        self.check_oauth(route, options).map_err(|LoadError { field, problem }| ModelError {
            at: at(&field),
            problem: Problem::Mcp(problem),
        })?;
        let callers = self.callers();
        for (nth, grant) in options.grants.iter().flatten().enumerate() {
            for (of, name) in grant.consumers.iter().flatten().enumerate() {
                let at = || at(&format!("grants[{nth}].consumers[{of}]"));
                known("consumer", name.as_str(), callers.iter().copied(), at)?;
            }
        }
        for upstream in &plan.upstreams {
            if let Some(service) = upstream.upstream.service()
                && let Some(section) = self.registries.missing(service)
            {
                return Err(ModelError { at: at(&upstream.field), problem: Problem::NoRegistry(section) });
            }
            if let Some(auth) = &upstream.auth {
                let at = || at(&format!("{}.{}", options.kind_field(), upstream.secret_field));
                self.check_secret(&auth.secret, Secret::fits_header, Problem::PemCredential, at)?;
            }
        }
        Ok(plan)
    }

    /// Checks whose tokens are accepted, and what scopes are asked of them.
    fn check_oauth(&self, route: &Route, options: &McpOptions) -> Result<(), LoadError> {
        let Some(oauth) = &options.oauth else {
            let mut grants = options.grants.iter().flatten();
            return match grants.position(|grant| !grant.scopes.is_empty()) {
                Some(at) => {
                    Err(LoadError::new(format!("grants[{at}].scopes"), "need \"oauth\": keys have none"))
                }
                None => Ok(()),
            };
        };
        let shared = !self.domains.is_empty() && route.domain.is_none();
        let checked = oauth.check(route.path.base(), shared).map(|_| ());
        checked.map_err(|LoadError { field, problem }| match field.as_str() {
            "" => LoadError::new("oauth", problem),
            field => LoadError::new(format!("oauth.{field}"), problem),
        })
    }

    /// Who may call: consumers, and keys that stand for themselves.
    fn callers(&self) -> BTreeSet<&str> {
        let of_keys = self.keys.iter().filter(|key| key.consumer.is_none()).map(|key| key.id.as_str());
        self.consumers.iter().map(|consumer| consumer.name.as_str()).chain(of_keys).collect()
    }

    /// The consumers that a grant is for: all that it names, or that have its labels. `None`: everyone.
    pub(crate) fn granted(&self, grant: &Grant) -> Option<BTreeSet<Name>> {
        let labelled = (!grant.labels.is_empty()).then(|| {
            let has_all = |of: &&super::Consumer| {
                grant.labels.iter().all(|(name, label)| of.labels.get(name) == Some(label))
            };
            self.consumers.iter().filter(has_all).map(|of| of.name.clone()).collect::<BTreeSet<_>>()
        });
        match (&grant.consumers, labelled) {
            (None, labelled) => labelled,
            (Some(named), labelled) => {
                Some(named.iter().cloned().chain(labelled.into_iter().flatten()).collect())
            }
        }
    }
}
