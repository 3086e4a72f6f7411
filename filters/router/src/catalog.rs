//! The models of a configuration, as each tenant sees them.

use std::collections::HashMap;
use std::ptr;

use weir_core::ConfigError;
use weir_schema::router::{Domain, Model, Provider};
use weir_schema::state::Grant;
use weir_schema::{ModelPattern, Name};

/// Models by tenant and name, and in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Catalog {
    models: Vec<Model>,
    shared: HashMap<String, usize>,
    /// Empty: tenants are not told apart.
    tenants: HashMap<String, Tenant>,
    /// Those that keep things for callers.
    providers: HashMap<String, Provider>,
}

/// What one tenant has.
#[derive(Debug)]
struct Tenant {
    own: HashMap<String, usize>,
    /// The shared models that it sees beside its own.
    sees: Vec<ModelPattern>,
}

impl Catalog {
    pub(crate) fn of(
        models: Vec<Model>,
        domains: Vec<Domain>,
        providers: Vec<Provider>,
    ) -> Result<Self, ConfigError> {
        let mut shared = HashMap::with_capacity(models.len());
        let mut tenants = HashMap::with_capacity(domains.len());
        for (at, Domain { name, models: sees }) in domains.into_iter().enumerate() {
            if tenants.insert(String::from(name), Tenant { own: HashMap::new(), sees }).is_some() {
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
            if namesakes.insert(model.name.as_str().to_owned(), at).is_some() {
                return Err(wrong("name", "another model has this name"));
            }
        }
        let providers = providers.into_iter().map(|provider| (provider.name.to_string(), provider)).collect();
        Ok(Self { models, shared, tenants, providers })
    }

    /// Whether tenants are told apart.
    pub(crate) fn has_domains(&self) -> bool {
        !self.tenants.is_empty()
    }

    /// Whether a caller's tenant is one that is known here.
    pub(crate) fn knows(&self, grant: &Grant) -> bool {
        !self.has_domains() || self.tenants.contains_key(grant.domain())
    }

    /// The model of this name, if the caller may use it. To a caller who may not, it does not exist.
    pub(crate) fn find(&self, name: &str, grant: &Grant) -> Option<&Model> {
        let at = if self.has_domains() {
            let tenant = self.tenants.get(grant.domain())?;
            let seen = || tenant.sees.iter().any(|pattern| pattern.matches(name));
            tenant.own.get(name).or_else(|| self.shared.get(name).filter(|_| seen()))
        } else {
            self.shared.get(name)
        };
        let model = at.and_then(|at| self.models.get(*at))?;
        grant.allows(name).then_some(model)
    }

    /// The route to a provider of this name, if it keeps things for the caller: whoever may use them sees those of
    /// everybody who may, so that takes a grant of every model.
    pub(crate) fn provider(&self, name: &str, grant: &Grant) -> Option<&str> {
        let provider = self.providers.get(name).filter(|_| grant.is_any())?;
        let is_for = |domain: &Name| domain.as_str() == grant.domain();
        provider.domains.iter().any(is_for).then_some(provider.route.as_str())
    }

    /// The models a caller may use.
    pub(crate) fn visible(&self, grant: &Grant) -> impl Iterator<Item = &Model> {
        let found = |model: &Model| self.find(model.name.as_str(), grant);
        self.models.iter().filter(move |model| found(model).is_some_and(|found| ptr::eq(found, *model)))
    }
}
