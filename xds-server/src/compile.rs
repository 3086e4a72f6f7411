//! Turns a model into Envoy's resources: pure, and without protobuf.

mod attempt;
mod chat_template;
mod cluster;
mod extension;
mod listener;
mod mcp;
mod oauth;
mod quota;
mod route;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use weir_schema::Name;

use crate::{
    model::{Model, PublicModel},
    modules::Modules,
    snapshot::{Kind, Snapshot},
};

pub use cluster::service_endpoints;
pub use extension::OF_CLUSTERS;

/// The name of the listener and of its route table.
pub const GATEWAY: &str = "weir";

/// Every resource that Envoy needs to serve `model` with these modules.
pub fn compile(model: &Model, modules: &Modules) -> Result<Snapshot, CompileError> {
    let parts = model.parts();
    let pinned = chat_template::pinned(parts);
    let public = route_names(&parts.models)?;
    let mut routes = public.clone();
    routes.extend(pinned.iter().map(|pinned| (pinned.route.clone(), &pinned.model)));
    let mut snapshot = Snapshot::default();
    for (name, lane) in attempt::lanes(model, &routes) {
        snapshot.insert(Kind::Clusters, &name, cluster::cluster(&lane));
        let (extension, body) =
            extension::model_compat(&lane, parts.gateway.cooling.as_ref(), &modules.model_compat)?;
        snapshot.insert(Kind::Extensions, &extension, body);
    }
    for provider in &parts.providers {
        if let Some(endpoints) = cluster::endpoints(provider) {
            snapshot.insert(Kind::Endpoints, provider.name.as_str(), endpoints);
        }
        for (name, secret) in provider.credentials.iter().filter_map(|name| parts.secrets.get_key_value(name))
        {
            snapshot.insert_secret(name.as_str(), secret.clone());
        }
    }
    for tls in parts.domains.iter().filter_map(|domain| domain.tls.as_ref()) {
        if let (Some(certificate), Some(key)) =
            (parts.secrets.get(&tls.certificate), parts.secrets.get(&tls.key))
        {
            snapshot.insert_certificate(&listener::secret_name(tls), certificate.clone(), key.clone());
        }
    }
    snapshot.keys = Arc::new(extension::looked_up(parts));
    snapshot.insert(Kind::Extensions, oauth::JWT, oauth::jwt(parts));
    oauth::upstreams(parts, &mut snapshot);
    let auth = extension::auth(parts, &modules.auth)?;
    snapshot.insert(Kind::Extensions, extension::AUTH, auth);
    let chat_template = extension::chat_template(parts, modules.chat_template.as_deref())?;
    snapshot.insert(Kind::Extensions, extension::CHAT_TEMPLATE, chat_template);
    let router = extension::router(model, &public, &pinned, &modules.router)?;
    snapshot.insert(Kind::Extensions, extension::ROUTER, router);
    snapshot.quotas = Arc::new(quota::config(parts, &routes));
    let module = match &modules.quota_exact {
        Some(exact) if quota::is_exact(&snapshot.quotas.rules) => exact,
        None if quota::is_exact(&snapshot.quotas.rules) => return Err(CompileError::NoModule("quota-exact")),
        Some(_) | None => &modules.quota,
    };
    let quota = extension::quota(&snapshot.quotas, module)?;
    snapshot.insert(Kind::Extensions, extension::QUOTA, quota);
    let mcp = extension::mcp(parts, modules.mcp.as_deref())?;
    snapshot.insert(Kind::Extensions, extension::MCP, mcp);
    snapshot.mcp = Arc::new(mcp::servers(parts));
    mcp::upstreams(parts, &mut snapshot);
    snapshot.sessions = Arc::new(mcp::session_keys(parts));
    snapshot.insert(Kind::Listeners, GATEWAY, listener::listener(parts));
    snapshot.insert(Kind::Routes, GATEWAY, route::table(model, &routes));
    Ok(snapshot)
}

/// A model that cannot be written as resources.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Two models would be told apart by one route name.
    #[error("models.{0}: the name cannot be told apart from that of \"{1}\"")]
    RouteCollision(String, String),
    /// A model's name leads to no name of a route.
    #[error("models.{0}: no route can be named after it")]
    RouteName(String),
    /// A filter that is needed has not been built.
    #[error("{0}: the filter's module is missing")]
    NoModule(&'static str),
    /// A filter's configuration cannot be written as JSON.
    #[error("{filter}: {problem}")]
    Config {
        /// The filter.
        filter: &'static str,
        /// What serde says.
        problem: serde_json::Error,
    },
}

/// The models by the name of their route.
type Routes<'a> = BTreeMap<Name, &'a PublicModel>;

fn route_names(models: &[PublicModel]) -> Result<Routes<'_>, CompileError> {
    let mut routes = Routes::new();
    for model in models {
        let name = route_name(model).ok_or_else(|| CompileError::RouteName(model.label()))?;
        if let Some(other) = routes.insert(name, model) {
            return Err(CompileError::RouteCollision(model.label(), other.label()));
        }
    }
    Ok(routes)
}

/// `model`, or `domain//model` for a domain's own; two slashes, as names of models have one of their own.
fn route_name(model: &PublicModel) -> Option<Name> {
    match &model.domain {
        Some(domain) => header_value(&format!("{domain}//{}", model.name)),
        None => header_value(model.name.as_str()),
    }
}

/// The name as it is if it can stand in a header; otherwise what is left of it and a short hash.
fn header_value(name: &str) -> Option<Name> {
    Name::try_from(name.to_owned()).ok().or_else(|| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || ".-/".contains(c) { c } else { '-' };
        let safe: String = name.chars().map(|c| plain(c.to_ascii_lowercase())).take(SAFE_CHARS).collect();
        let hash: String = Sha256::digest(name).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let start = |c: char| !c.is_ascii_alphanumeric();
        Name::try_from(format!("{}-{hash}", safe.trim_start_matches(start)).trim_matches('-').to_owned()).ok()
    })
}

/// `typed_config` of an extension: an `Any` in JSON form.
fn typed(message: &str, body: Value) -> Value {
    with(body, json!({"@type": format!("type.googleapis.com/{message}")}))
}

/// An object with the fields of another one added.
fn with(mut body: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut body, more) {
        fields.extend(more);
    }
    body
}

/// Where everything that is named comes from: the stream that asks.
fn ads() -> Value {
    json!({"ads": {}, "resource_api_version": "V3"})
}

/// A duration as protobuf writes it in JSON.
fn seconds(duration: std::time::Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        millis => format!("{}.{millis:03}s", duration.as_secs()),
    }
}

/// Where resources have what Envoy does not need: clusters and endpoints, routes, and what logs tell of them.
const METADATA: &str = "weir";

/// How much of a model's name stays readable in a derived one.
const SAFE_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_named_after_its_model() {
        let route = |name: &str| header_value(name).unwrap().to_string();
        assert_eq!(route("openai/gpt-4o"), "openai/gpt-4o");
        assert_eq!(route("meta-llama/Llama-3.1-8B"), "meta-llama/llama-3.1-8b-ac8584a0");
        assert_ne!(route("Gpt"), route("gPt"));
        assert_eq!(route("::").len(), 8);
        assert_eq!(route(&"X".repeat(256)).len(), 109);
    }
}
