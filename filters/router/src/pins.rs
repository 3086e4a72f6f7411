//! Models that a filter before this one has pinned to one of their providers.

use std::collections::HashMap;

use weir_core::Cx;
use weir_schema::router::{Model, Pin};
use weir_schema::state;

use crate::catalog::Found;

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
    pub(crate) fn way<'a>(&'a self, cx: &Cx<'_>, found: Found<'a>) -> Option<Found<'a>> {
        if self.0.is_empty() {
            return Some(found);
        }
        match cx.state(state::PIN) {
            None => Some(found),
            Some(provider) => {
                let provider = String::from_utf8(provider).ok()?;
                let model = self.0.get(&(found.model.route.as_str().to_owned(), provider))?;
                Some(Found { model, ..found })
            }
        }
    }
}
