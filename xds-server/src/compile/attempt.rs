//! How a request for a model is tried: at which clusters, in which order.

use std::{collections::BTreeMap, num::NonZeroU32};

use weir_schema::compat::{RuleText, Rules};
use weir_schema::{ModelName, Name};

use super::Routes;
use crate::model::{Model, Provider, PublicModel};

/// A way to a provider: with one of its credentials, and for one of the names by which it knows a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane<'a> {
    pub(super) provider: &'a Provider,
    pub(super) credential: Option<&'a Name>,
    /// How many targets of one model lead to this provider before this one.
    nth: usize,
}

/// One attempt, and what the upstream calls the model there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) lane: Lane<'a>,
    pub(super) model: &'a ModelName,
    /// What the target, then the model say of what is needed there.
    compat: [Option<&'a Rules>; 2],
    pub(super) priority: u32,
    pub(super) weight: NonZeroU32,
}

/// The attempts of a model, of which there is at least one: by priority, then as they are listed.
#[derive(Debug)]
pub(super) struct Plan<'a>(Vec<Attempt<'a>>);

impl<'a> Lane<'a> {
    /// The lanes to a provider for one target: one for each credential.
    pub(super) fn of(provider: &'a Provider, nth: usize) -> impl Iterator<Item = Self> {
        let credentials = provider.credentials.iter().map(Some);
        let none = provider.credentials.is_empty().then_some(None);
        credentials.chain(none).map(move |credential| Self { provider, credential, nth })
    }

    /// The name of its cluster: the provider's, with `@` the credential if it is not the first, with `#2` if it is the
    /// second target of a model at this provider. No name has these characters.
    pub(super) fn cluster(&self) -> String {
        let mut name = self.provider.name.to_string();
        if let Some(credential) =
            self.credential.filter(|name| self.provider.credentials.first() != Some(name))
        {
            name.push('@');
            name.push_str(credential.as_str());
        }
        match self.nth {
            0 => name,
            nth => format!("{name}#{}", nth.saturating_add(1)),
        }
    }
}

impl Attempt<'_> {
    /// What the model needs there, where that is more than what the provider's API needs.
    pub(super) fn rules(&self) -> Option<RuleText> {
        let own = self.compat.into_iter().flatten().cloned().reduce(Rules::over)?;
        Some(own.over(self.lane.provider.needs.compat.clone()).into())
    }
}

impl<'a> Plan<'a> {
    pub(super) fn of(model: &'a Model, served: &'a PublicModel) -> Self {
        let mut attempts = Vec::new();
        let mut targets_at: BTreeMap<&Name, usize> = BTreeMap::new();
        for target in &served.targets {
            // Every target's provider exists, or there would be no `Model`.
            let Some(provider) = model.provider(&target.provider) else { continue };
            let nth = targets_at.entry(&target.provider).or_default();
            // A target's weight is shared by its credentials, of which there are few enough to divide evenly.
            let shares = u32::try_from(provider.credentials.len().max(1)).unwrap_or(u32::MAX);
            let share = WHOLE.checked_div(shares).and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
            attempts.extend(Lane::of(provider, *nth).map(|lane| Attempt {
                lane,
                model: target.model.as_ref().unwrap_or(&served.name),
                compat: [target.compat.as_ref(), served.compat.as_ref()],
                priority: target.priority,
                weight: target.weight.get().saturating_mul(share),
            }));
            *nth = nth.saturating_add(1);
        }
        attempts.sort_by_key(|attempt| attempt.priority);
        let divisor = attempts.iter().map(|attempt| attempt.weight.get()).fold(0, greatest_common_divisor);
        for attempt in &mut attempts {
            let reduced = attempt.weight.get().checked_div(divisor).and_then(NonZeroU32::new);
            attempt.weight = reduced.unwrap_or(attempt.weight);
        }
        Self(attempts)
    }

    /// All of them.
    pub(super) fn attempts(&self) -> &[Attempt<'a>] {
        &self.0
    }
}

/// Every way to a provider, by the name of its cluster.
pub(super) fn lanes<'a>(model: &'a Model, routes: &Routes<'a>) -> BTreeMap<String, Lane<'a>> {
    let plans = routes.values().map(|served| Plan::of(model, served));
    let tried = plans.flat_map(|plan| plan.0).map(|attempt| attempt.lane);
    let all = model.parts().providers.iter().flat_map(|provider| Lane::of(provider, 0));
    all.chain(tried).map(|lane| (lane.cluster(), lane)).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    b.checked_rem(a).map_or(b, |rest| greatest_common_divisor(rest, a))
}

/// A number that every possible count of credentials divides.
const WHOLE: u32 = 720_720;
