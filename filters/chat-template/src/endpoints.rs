//! Where templates are called.

use std::num::NonZeroU32;

use weir_core::ConfigError;
use weir_schema::Name;
use weir_schema::chat_template::Endpoint;
use weir_schema::mcp::Mount;
use weir_template::chat::Chat;

/// The endpoints of a configuration, in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Endpoints(Vec<Served>);

/// An endpoint whose templates have been read.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) name: Name,
    path: Mount,
    domain: Option<Name>,
    pub(crate) timeout_ms: Option<NonZeroU32>,
    variants: Vec<(NonZeroU32, Chat)>,
}

impl Endpoints {
    /// Reads every template. Exact paths are tried before those with more below them, longer ones before shorter ones,
    /// and a tenant's own before those of all.
    pub(crate) fn of(endpoints: Vec<Endpoint>) -> Result<Self, ConfigError> {
        let mut served = Vec::with_capacity(endpoints.len());
        for (at, endpoint) in endpoints.into_iter().enumerate() {
            let field = |name: String| format!("endpoints[{at}].{name}");
            if endpoint.variants.is_empty() {
                return Err(ConfigError { field: field("variants".into()), problem: "there is none" });
            }
            let mut variants = Vec::with_capacity(endpoint.variants.len());
            for (nth, variant) in endpoint.variants.into_iter().enumerate() {
                let chat = Chat::new(variant.template).map_err(|error| ConfigError {
                    field: field(format!("variants[{nth}].template.{error}")),
                    problem: "the template cannot be used",
                })?;
                variants.push((variant.weight, chat));
            }
            let Endpoint { name, path, domain, timeout_ms, .. } = endpoint;
            served.push(Served { name, path, domain, timeout_ms, variants });
        }
        served.sort_by_key(|served| {
            let (base, whole) = (served.path.base().len(), served.path.as_str().len());
            (base != whole, usize::MAX.saturating_sub(base), served.domain.is_none())
        });
        Ok(Self(served))
    }

    /// Which endpoint a path, without its query, is of. The tenant is asked for only where it matters.
    pub(crate) fn find(&self, path: &str, domain: impl Fn() -> Option<Name>) -> Option<usize> {
        let mut caller = None;
        self.0.iter().position(|served| {
            served.path.find(path).is_some()
                && served
                    .domain
                    .as_ref()
                    .is_none_or(|domain_of| caller.get_or_insert_with(&domain).as_ref() == Some(domain_of))
        })
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Served> {
        self.0.get(at)
    }
}

impl Served {
    /// The number of the template that a lot falls on.
    pub(crate) fn draw(&self, lot: u64) -> usize {
        let total: u64 = self.variants.iter().map(|(weight, _)| u64::from(weight.get())).sum();
        let mut left = lot.checked_rem(total).unwrap_or(0);
        let drawn =
            self.variants.iter().position(|(weight, _)| match left.checked_sub(weight.get().into()) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            });
        drawn.unwrap_or(0)
    }

    pub(crate) fn chat(&self, variant: usize) -> Option<&Chat> {
        self.variants.get(variant).map(|(_, chat)| chat)
    }

    /// Whether there is something to draw.
    pub(crate) fn has_choice(&self) -> bool {
        self.variants.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(paths: &[(&str, Option<&str>)]) -> Endpoints {
        let endpoint = |(nth, (path, domain)): (usize, &(&str, Option<&str>))| {
            let template = serde_json::json!({"model_name": "index", "prompt_template": "x"});
            serde_json::from_value(serde_json::json!({
                "name": format!("e{nth}"), "path": path, "domain": domain, "variants": [{"template": template}],
            }))
            .unwrap()
        };
        Endpoints::of(paths.iter().enumerate().map(endpoint).collect()).unwrap()
    }

    #[test]
    fn the_nearest_path_is_found_and_a_tenants_own_first() {
        let endpoints = endpoints(&[
            ("/v1/*", None),
            ("/v1/reply", None),
            ("/v1/reply", Some("video")),
            ("/v1/reply/more/*", None),
            ("/own", Some("video")),
        ]);
        let find = |path: &str, domain: &str| {
            let domain = || Name::try_from(domain.to_owned()).ok();
            endpoints
                .find(path, domain)
                .and_then(|at| endpoints.get(at))
                .map(|served| served.name.to_string())
        };
        for (path, domain, name) in [
            ("/v1/reply", "video", Some("e2")),
            ("/v1/reply", "finance", Some("e1")),
            ("/v1/reply/more/x", "video", Some("e3")),
            ("/v1/else", "video", Some("e0")),
            ("/own", "finance", None),
            ("/own/x", "video", None),
            ("/v2", "video", None),
        ] {
            assert_eq!(find(path, domain).as_deref(), name, "{path} {domain}");
        }
    }

    #[test]
    fn templates_are_drawn_by_their_weight() {
        let mut served = endpoints(&[("/a", None)]).0.remove(0);
        let (_, chat) = served.variants.remove(0);
        let weight = |weight| NonZeroU32::new(weight).unwrap();
        served.variants = vec![(weight(9), chat.clone()), (weight(1), chat)];
        let second = (0..1000).filter(|lot| served.draw(*lot) == 1).count();
        assert_eq!((second, served.draw(u64::MAX)), (100, 0));
    }
}
