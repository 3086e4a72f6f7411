//! Chat templates: the configuration of their filter, and the models that it may pin to a provider.

use std::num::NonZeroU32;

use weir_schema::Name;
use weir_schema::chat_template::{ChatTemplate, Config, Endpoint};
use weir_schema::mcp::Mount;

use super::extension::HELD_BODY_BYTES;
use crate::model::{Parts, PublicModel, Route, RouteAnswer};

/// What the filter is told; nothing if there is no template.
pub(super) fn config(parts: &Parts) -> Option<Config> {
    let endpoints: Vec<_> = parts.routes.iter().filter_map(|route| endpoint(parts, route)).collect();
    (!endpoints.is_empty()).then(|| Config { endpoints, held_body_bytes: held_body_bytes(parts) })
}

fn endpoint(parts: &Parts, route: &Route) -> Option<Endpoint> {
    // What a route names is there, or there would be no model.
    let variants = parts.variants(route).ok().filter(|variants| !variants.is_empty())?;
    let stored = route.answers.iter().find_map(|answer| match answer {
        RouteAnswer::StoredChatTemplate(used) => Some(used.template.clone()),
        RouteAnswer::ChatTemplate(_) | RouteAnswer::McpServer(_) | RouteAnswer::McpRegistry(_) => None,
    });
    let millis = route.timeout.and_then(|timeout| u32::try_from(timeout.as_millis()).ok());
    Some(Endpoint {
        name: stored.unwrap_or_else(|| name_of(&route.path)),
        path: route.path.clone(),
        domain: route.domain.clone(),
        timeout_ms: millis.and_then(NonZeroU32::new),
        variants,
    })
}

/// Every template that a route can draw, with its route.
fn templates(parts: &Parts) -> impl Iterator<Item = (&Route, ChatTemplate)> {
    let variants = |route| parts.variants(route).unwrap_or_default().into_iter();
    parts.routes.iter().flat_map(move |route| variants(route).map(move |variant| (route, variant.template)))
}

/// The last part of the path.
fn name_of(path: &Mount) -> Name {
    let last = path.base().rsplit('/').next().unwrap_or_default();
    super::header_value(last).unwrap_or_else(Name::default_domain)
}

/// How much of a request Envoy holds: what the filter is sent, and what it may make of that.
pub(super) fn held_body_bytes(parts: &Parts) -> NonZeroU32 {
    let needed = templates(parts).map(|(_, template)| {
        // JSON has two bytes for what texts mostly have to escape.
        let made = template.limits.prompt_bytes.get().saturating_mul(2).saturating_add(ROOM);
        template.limits.body_bytes.saturating_add(ROOM).max(NonZeroU32::MIN.saturating_add(made))
    });
    needed.max().map_or(HELD_BODY_BYTES, |needed| needed.max(HELD_BODY_BYTES))
}

/// A model whose requests a template sends to one of its providers only.
#[derive(Debug)]
pub(super) struct Pinned {
    /// The route of the model itself.
    pub(super) of: Name,
    /// The provider.
    pub(super) provider: Name,
    /// Its own route.
    pub(super) route: Name,
    /// The model with that provider's targets.
    pub(super) model: PublicModel,
}

/// Every model that a template pins.
pub(super) fn pinned(parts: &Parts) -> Vec<Pinned> {
    let mut pinned: Vec<Pinned> = Vec::new();
    for (route, template) in templates(parts) {
        for model in parts.pinned(&template, route.domain.as_ref()) {
            let (Some(of), Some(provider)) = (super::route_name(model), &template.provider) else { continue };
            // No model's own route has three slashes.
            let Some(route) = super::header_value(&format!("{of}///{provider}")) else { continue };
            if pinned.iter().all(|known| known.route != route) {
                let mut model = model.clone();
                model.targets.retain(|target| target.provider == *provider);
                pinned.push(Pinned { of, provider: provider.clone(), route, model });
            }
        }
    }
    pinned
}

/// For the rest of a request, in bytes.
const ROOM: u32 = 64 * 1024;
