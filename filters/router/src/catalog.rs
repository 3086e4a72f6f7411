//! The models of a configuration.

use std::collections::HashMap;

use weir_core::ConfigError;
use weir_schema::router::Model;
use weir_schema::state::Grant;

/// Models by name, and in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Catalog {
    models: Vec<Model>,
    by_name: HashMap<String, usize>,
}

impl Catalog {
    pub(crate) fn of(models: Vec<Model>) -> Result<Self, ConfigError> {
        let mut by_name = HashMap::with_capacity(models.len());
        for (at, model) in models.iter().enumerate() {
            if by_name.insert(model.name.as_str().to_owned(), at).is_some() {
                let field = format!("models[{at}].name");
                return Err(ConfigError { field, problem: "another model has this name" });
            }
        }
        Ok(Self { models, by_name })
    }

    /// The model of this name, if the caller may use it. To a caller who may not, it does not exist.
    pub(crate) fn find(&self, name: &str, grant: &Grant) -> Option<&Model> {
        let model = self.by_name.get(name).and_then(|at| self.models.get(*at))?;
        grant.allows(name).then_some(model)
    }

    /// The models a caller may use.
    pub(crate) fn visible(&self, grant: &Grant) -> impl Iterator<Item = &Model> {
        self.models.iter().filter(|model| grant.allows(model.name.as_str()))
    }
}
