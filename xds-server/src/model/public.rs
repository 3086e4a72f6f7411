//! What callers may ask for.

use std::{collections::BTreeMap, time::Duration};

use weir_schema::compat::Rules;
use weir_schema::quota::{Limits, Prices};
use weir_schema::{ModelName, Name};

use super::{ModelError, Parts, Problem, Weight, known, profile};

/// A model that callers may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicModel {
    /// What a request's `model` says. With one `*`, which stands for any characters, it is for every such name that no
    /// other model has.
    pub name: ModelName,
    /// Other names for it.
    pub aliases: Vec<ModelName>,
    /// The tenant it is for; there it stands before a shared model of this name. Absent: it is shared.
    pub domain: Option<Name>,
    /// Who answers, at least one.
    pub targets: Vec<Target>,
    /// How long an answer may take to begin, at each target. Absent: as long as the other limits let it.
    pub first_token_timeout: Option<Duration>,
    /// How long neither side may be silent.
    pub idle_timeout: Duration,
    /// How long an answer may take as a whole, from the end of the request. Absent: as long as it flows.
    pub total_timeout: Option<Duration>,
    /// `owned_by` in the list of models.
    pub owned_by: String,
    /// What its tokens cost. Absent: nothing.
    pub prices: Option<Prices>,
    /// How much may be used. Absent: no limit of its own.
    pub limits: Option<Limits>,
    /// What it needs at its upstreams, beside what their APIs need.
    pub compat: Option<Rules>,
}

/// Who answers requests for a model, and what it calls the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's name.
    pub provider: Name,
    /// The model's name there; `*` is what that of the model's name stands for. Absent: the same name.
    pub model: Option<ModelName>,
    /// When it is asked: those of the lowest number first, the others after them, in order.
    pub priority: u32,
    /// How often it is the first of its priority that is asked, beside the others'.
    pub weight: Weight,
    /// What the model needs there, beside what it needs everywhere.
    pub compat: Option<Rules>,
}

impl Parts {
    pub(super) fn check_model(&self, model: &PublicModel) -> Result<(), ModelError> {
        let at = |field: &str| format!("models.{}.{field}", model.label());
        if let Some(rules) = &model.compat {
            profile::check_rules(rules, &at("compat"))?;
        }
        let stars = |name: &ModelName| name.as_str().matches('*').count();
        if stars(&model.name) > 1 {
            return Err(ModelError { at: at("name"), problem: Problem::Wildcards });
        }
        for (nth, target) in model.targets.iter().enumerate() {
            if let Some(rules) = &target.compat {
                profile::check_rules(rules, &at(&format!("targets[{nth}].compat")))?;
            }
            if target.model.as_ref().map_or(0, stars) > stars(&model.name) {
                return Err(ModelError {
                    at: at(&format!("targets[{nth}].model")),
                    problem: Problem::StrayWildcard,
                });
            }
            let names = self.providers.iter().map(|provider| provider.name.as_str());
            let at = || at(&format!("targets[{nth}].provider"));
            known("provider", target.provider.as_str(), names, at)?;
            let named = |target: &Target| {
                (target.provider.clone(), target.model.clone().unwrap_or_else(|| model.name.clone()))
            };
            if let Some(first) =
                model.targets.iter().take(nth).position(|other| named(other) == named(target))
            {
                return Err(ModelError { at: at(), problem: Problem::SameTarget(first) });
            }
        }
        let attempts = model.targets.iter().filter_map(|target| self.provider(&target.provider));
        let attempts: usize = attempts.map(|provider| provider.credentials.len().max(1)).sum();
        match attempts {
            0 => Err(ModelError { at: at("targets"), problem: Problem::NoTarget }),
            1..=MAX_ATTEMPTS => Ok(()),
            _ => Err(ModelError { at: at("targets"), problem: Problem::TooManyAttempts }),
        }
    }

    /// Within a domain, and among the shared models, every name and alias means one model.
    pub(super) fn check_aliases(&self) -> Result<(), ModelError> {
        let names = self.models.iter().map(|model| ((&model.domain, &model.name), model));
        let mut taken: BTreeMap<_, _> = names.collect();
        for model in &self.models {
            for (nth, alias) in model.aliases.iter().enumerate() {
                let refuse =
                    |problem| ModelError { at: format!("models.{}.aliases[{nth}]", model.label()), problem };
                if alias.as_str().contains('*') {
                    return Err(refuse(Problem::WildcardAlias));
                }
                if let Some(other) = taken.insert((&model.domain, alias), model) {
                    return Err(refuse(Problem::TakenAlias(alias.clone(), other.label())));
                }
            }
        }
        Ok(())
    }
}

/// How often one request is tried at most: at each target, with each of its credentials.
pub const MAX_ATTEMPTS: usize = 16;
