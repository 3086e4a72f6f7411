//! The models of a configuration, as each tenant sees them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ptr;

use weir_core::ConfigError;
use weir_schema::router::{Domain, Model, Provider};
use weir_schema::state::Grant;
use weir_schema::{ModelName, ModelPattern, Name};

use crate::names::{Match, Names};

/// Models by tenant and name, and in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Catalog {
    models: Vec<Model>,
    shared: Names,
    default: Option<ModelName>,
    /// Empty: tenants are not told apart.
    tenants: HashMap<String, Tenant>,
    /// Those that keep things for callers.
    providers: HashMap<String, Provider>,
}

/// What one tenant has.
#[derive(Debug)]
struct Tenant {
    own: Names,
    default: Option<ModelName>,
    /// The shared models that it sees beside its own.
    sees: Vec<ModelPattern>,
}

/// A model that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) model: &'a Model,
    /// What it is called: by an alias too its name, and for one with a `*` what was asked for.
    pub(crate) name: Cow<'a, str>,
    pub(crate) star: Option<String>,
}

impl Found<'_> {
    /// What an upstream calls it that has this name for it.
    pub(crate) fn there<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.star.as_ref().map_or(Cow::Borrowed(name), |star| Cow::Owned(name.replacen('*', star, 1)))
    }
}

impl Catalog {
    pub(crate) fn of(
        models: Vec<Model>,
        domains: Vec<Domain>,
        providers: Vec<Provider>,
        default: Option<ModelName>,
    ) -> Result<Self, ConfigError> {
        let mut shared = Names::default();
        let mut tenants = HashMap::with_capacity(domains.len());
        for (at, Domain { name, models: sees, default_model: default }) in domains.into_iter().enumerate() {
            let tenant = Tenant { own: Names::default(), default, sees };
            if tenants.insert(String::from(name), tenant).is_some() {
                let field = format!("domains[{at}].name");
                return Err(ConfigError { field, problem: "another domain has this name" });
            }
        }
        for (at, model) in models.iter().enumerate() {
            let wrong =
                |field: &str, problem| ConfigError { field: format!("models[{at}].{field}"), problem };
            let namesakes = match &model.domain {
                Some(domain) => match tenants.get_mut(domain.as_str()) {
                    Some(tenant) => &mut tenant.own,
                    None => return Err(wrong("domain", "is none of `domains`")),
                },
                None => &mut shared,
            };
            namesakes.add(model, at).map_err(|field| wrong(field, "another model has this name"))?;
        }
        let providers = providers.into_iter().map(|provider| (provider.name.to_string(), provider)).collect();
        Ok(Self { models, shared, default, tenants, providers })
    }

    /// Whether tenants are told apart.
    pub(crate) fn has_domains(&self) -> bool {
        !self.tenants.is_empty()
    }

    /// Whether a caller's tenant is one that is known here.
    pub(crate) fn knows(&self, grant: &Grant) -> bool {
        !self.has_domains() || self.tenants.contains_key(grant.domain())
    }

    /// The model that a request of this caller is for if it names none.
    pub(crate) fn default_for(&self, grant: &Grant) -> Option<Found<'_>> {
        let own = self.tenants.get(grant.domain()).and_then(|tenant| tenant.default.as_ref());
        self.find(own.or(self.default.as_ref())?.as_str(), grant)
    }

    /// The route to a provider of this name, if it keeps things for the caller: whoever may use them sees those of
    /// everybody who may, so that takes a grant of every model.
    pub(crate) fn provider(&self, name: &str, grant: &Grant) -> Option<&str> {
        let provider = self.providers.get(name).filter(|_| grant.is_any())?;
        let is_for = |domain: &Name| domain.as_str() == grant.domain();
        provider.domains.iter().any(is_for).then_some(provider.route.as_str())
    }

    /// The model that this name means, if the caller may use it: the one of that name, else the one with that alias, else
    /// that with the longest fitting wildcard, of each the tenant's own before a shared one. To a caller who may not use
    /// it, it does not exist.
    pub(crate) fn find(&self, name: &str, grant: &Grant) -> Option<Found<'_>> {
        let found = self.named(name, grant)?;
        grant.allows(&found.name).then_some(found)
    }

    fn named(&self, name: &str, grant: &Grant) -> Option<Found<'_>> {
        let tenant = if self.has_domains() { Some(self.tenants.get(grant.domain())?) } else { None };
        let own = tenant.map(|tenant| &tenant.own);
        let sees =
            |name: &str| tenant.is_none_or(|tenant| tenant.sees.iter().any(|pattern| pattern.matches(name)));
        let known = |at: usize| {
            let model = self.models.get(at)?;
            Some(Found { model, name: Cow::Borrowed(model.name.as_str()), star: None })
        };
        let shared = |at: usize| known(at).filter(|found| sees(&found.name));
        let exact = || {
            own.and_then(|own| own.exact(name)).and_then(known).or_else(|| shared(self.shared.exact(name)?))
        };
        let alias = || {
            own.and_then(|own| own.alias(name)).and_then(known).or_else(|| shared(self.shared.alias(name)?))
        };
        let wildcard = || {
            // A name that no upstream could have, or that is a list's entry for many.
            if name.contains('*') || ModelName::try_from(name.to_owned()).is_err() {
                return None;
            }
            let own = own.and_then(|own| own.wildcard(name));
            let shared = self.shared.wildcard(name).filter(|_| sees(name));
            let longest = match (own, shared) {
                (Some((_, own)), Some((found, shared))) if shared > own => found,
                (Some((found, _)), _) | (None, Some((found, _))) => found,
                (None, None) => return None,
            };
            self.standing_for(name, longest)
        };
        exact().or_else(alias).or_else(wildcard)
    }

    fn standing_for(&self, name: &str, found: Match<'_>) -> Option<Found<'_>> {
        let model = self.models.get(found.model)?;
        Some(Found { model, name: Cow::Owned(name.to_owned()), star: Some(found.star.to_owned()) })
    }

    /// The names that a caller may ask for, each with its model: those of models, in the order of the configuration, each
    /// before its aliases, a wildcard as it is written; then names of the caller's own that a wildcard fits.
    pub(crate) fn visible<'a>(&'a self, grant: &'a Grant) -> impl Iterator<Item = (&'a str, &'a Model)> {
        let entries = self.models.iter().flat_map(move |model| {
            let names = [&model.name].into_iter().chain(&model.aliases).map(ModelName::as_str);
            names.filter(move |name| self.shows(model, name, grant)).map(move |name| (name, model))
        });
        let narrowed = grant.names().filter_map(move |name| {
            let found = self.find(name, grant).filter(|found| found.star.is_some())?;
            Some((name, found.model))
        });
        entries.chain(narrowed)
    }

    /// Whether this name of a model means that model to the caller.
    fn shows(&self, model: &Model, name: &str, grant: &Grant) -> bool {
        if !name.contains('*') {
            return self.find(name, grant).is_some_and(|found| ptr::eq(found.model, model));
        }
        let seen = match (&model.domain, self.tenants.get(grant.domain())) {
            (Some(owner), _) => owner.as_str() == grant.domain(),
            (None, Some(tenant)) => tenant.sees.iter().any(|pattern| pattern.matches(name)),
            (None, None) => true,
        };
        seen && grant.allows(name)
    }
}

#[cfg(test)]
mod tests;
