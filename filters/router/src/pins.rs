//! Models that a filter before this one has pinned to one of their providers.

use std::collections::HashMap;

use weir_core::Cx;
use weir_schema::router::{Model, Pin};
use weir_schema::state;

/// The pins of a configuration, by the model's route and the provider.
#[derive(Debug)]
pub(crate) struct Pins(HashMap<(String, String), Model>);

impl Pins {
    pub(crate) fn of(pins: Vec<Pin>) -> Self {
        Self(
            pins.into_iter()
                .map(|Pin { of, provider, model }| ((of.into(), provider.into()), model))
                .collect(),
        )
    }

    /// The way to a model, which a caller may use, for this request. `None`: it is pinned to a provider that does not
    /// serve this model.
    pub(crate) fn way<'a>(&'a self, cx: &Cx<'_>, model: &'a Model) -> Option<&'a Model> {
        if self.0.is_empty() {
            return Some(model);
        }
        match cx.state(state::PIN) {
            None => Some(model),
            Some(provider) => {
                let provider = String::from_utf8(provider).ok()?;
                self.0.get(&(model.route.as_str().to_owned(), provider))
            }
        }
    }
}
