//! Several gateways: which part of a model each of them serves.

use std::{borrow::Cow, collections::BTreeSet};

use weir_schema::{ModelName, Name};

use super::{
    Domain, Gateway, Model, ModelError, Parts, Problem, PublicModel, RouteAnswer, domain::plain, known,
    unique,
};
use crate::secret::Secret;

impl Model {
    /// What each gateway serves, as a model with that gateway alone.
    pub fn of_gateways(&self) -> Vec<Cow<'_, Self>> {
        let Parts { gateway, gateways, .. } = &self.parts;
        let of = |gateway: &Gateway| Cow::Owned(Self { parts: self.parts.of_gateway(gateway) });
        match gateways.as_slice() {
            [] if gateway.serves_all() => vec![Cow::Borrowed(self)],
            [] => vec![of(gateway)],
            several => several.iter().map(of).collect(),
        }
    }

    /// Whether a node gets what the gateway of its cluster's name serves. Otherwise there is one for all.
    pub fn has_gateways(&self) -> bool {
        !self.parts.gateways.is_empty()
    }
}

impl Gateway {
    fn serves_all(&self) -> bool {
        self.domains.is_empty() && self.models.is_empty()
    }

    fn serves_domain(&self, domain: &Name) -> bool {
        self.domains.is_empty() || self.domains.contains(domain)
    }

    fn serves_model(&self, model: &PublicModel) -> bool {
        let name = model.name.as_str();
        model.domain.as_ref().is_none_or(|domain| self.serves_domain(domain))
            && (self.models.is_empty() || self.models.iter().any(|pattern| pattern.matches(name)))
    }
}

impl Parts {
    pub(super) fn check_gateways(&self) -> Result<(), ModelError> {
        unique("gateways", self.gateways.iter().map(|gateway| gateway.name.as_str()))?;
        let one = [("gateway".to_owned(), &self.gateway)];
        let several = self.gateways.iter().map(|gateway| (format!("gateways.{}", gateway.name), gateway));
        for (name, gateway) in one.into_iter().chain(several) {
            for (nth, domain) in gateway.domains.iter().enumerate() {
                self.check_domain_of_quota(domain, || format!("{name}.domains[{nth}]"))?;
            }
            let models = self.models.iter().map(|model| model.name.as_str());
            for (nth, pattern) in plain(&gateway.models) {
                known("model", pattern, models.clone(), || format!("{name}.models[{nth}]"))?;
            }
            for (nth, secret) in gateway.mcp_sessions.iter().enumerate() {
                let field = if nth == 0 { "secret" } else { "previous" };
                let at = || format!("{name}.mcp_sessions.{field}");
                self.check_secret(secret, Secret::is_long, Problem::ShortSecret, at)?;
            }
            self.check_default(gateway, &name)?;
        }
        Ok(())
    }

    /// The default of all domains is a model that not only one of them has.
    fn check_default(&self, gateway: &Gateway, at: &str) -> Result<(), ModelError> {
        let Some(name) = &gateway.default_model else { return Ok(()) };
        let served = self.models.iter().filter(|model| model.domain.is_none() && gateway.serves_model(model));
        if served.clone().any(|model| model.is_named(name.as_str())) {
            return Ok(());
        }
        let names = served.map(|model| model.name.as_str());
        known("model", name.as_str(), names, || format!("{at}.default_model"))
    }

    /// Whether the two are served at one port.
    pub(super) fn meet(&self, one: &Domain, other: &Domain) -> bool {
        let has_both =
            |gateway: &Gateway| gateway.serves_domain(&one.name) && gateway.serves_domain(&other.name);
        if self.gateways.is_empty() { has_both(&self.gateway) } else { self.gateways.iter().any(has_both) }
    }

    /// What a gateway serves. Of the providers it has those that it may need, so that no other credential gets to its
    /// nodes.
    fn of_gateway(&self, gateway: &Gateway) -> Self {
        let mut parts = self.clone();
        let keys = self.keys_with_domains().map(|(_, domain)| gateway.serves_domain(&domain));
        let mut keys = keys.collect::<Vec<_>>().into_iter();
        parts.keys.retain(|_| keys.next().unwrap_or(false));
        parts.consumers.retain(|consumer| {
            let domain = consumer.domain.clone().unwrap_or_else(Name::default_domain);
            gateway.serves_domain(&domain)
        });
        parts.domains.retain(|domain| gateway.serves_domain(&domain.name));
        parts.models.retain(|model| gateway.serves_model(model));
        for domain in &mut parts.domains {
            let is_it = |name: &ModelName| parts.models.iter().any(|model| model.is_named(name.as_str()));
            domain.default_model = domain.default_model.take().filter(is_it);
        }
        let has = |name: &ModelName| parts.models.iter().any(|model| model.is_named(name.as_str()));
        parts.templates.retain(|stored| has(&stored.template.model_name));
        parts.routes.retain(|route| {
            let is_served = |answer: &RouteAnswer| match answer {
                RouteAnswer::ChatTemplate(options) => has(&options.model_name),
                RouteAnswer::StoredChatTemplate(_) => self
                    .variants(route)
                    .is_ok_and(|variants| variants.iter().all(|variant| has(&variant.template.model_name))),
                RouteAnswer::McpServer(_) | RouteAnswer::McpRegistry(_) => true,
            };
            route.domain.as_ref().is_none_or(|domain| gateway.serves_domain(domain))
                && route.answers.iter().all(is_served)
        });
        let targets = |models: &[PublicModel]| -> BTreeSet<Name> {
            let targets = models.iter().flat_map(|model| &model.targets);
            targets.map(|target| target.provider.clone()).collect()
        };
        let (of_all, of_these) = (targets(&self.models), targets(&parts.models));
        parts.providers.retain_mut(|provider| {
            provider.stored_for.retain(|domain| gateway.serves_domain(domain));
            let is_stored_for = !provider.stored_for.is_empty();
            is_stored_for || of_these.contains(&provider.name) || !of_all.contains(&provider.name)
        });
        parts.quotas.retain(|quota| {
            quota.selector.domain.as_ref().is_none_or(|domain| gateway.serves_domain(domain))
        });
        Self { gateway: gateway.clone(), gateways: Vec::new(), ..parts }
    }
}
