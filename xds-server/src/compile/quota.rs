//! Quotas, and the limits that stand on objects, as the rules of the `quota` filter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use weir_schema::{
    Name, Zone,
    quota::{Config, Count, Dimension, Encoding, Ledger, Limits, OnLedgerLoss, Route, Rule, Selector},
};

use super::Routes;
use crate::model::{Consumer, Match, OF_OBJECTS, Parts, Quota};
use crate::{bootstrap, ledger};

/// What the filter is told.
pub(super) fn config(parts: &Parts, routes: &Routes<'_>) -> Config {
    let quotas = parts.quotas.iter().map(|quota| rule(quota, &parts.consumers));
    let rules: Vec<_> = quotas.chain(of_objects(parts, routes)).collect();
    let mut config = Config::default();
    let is_exact = is_exact(&rules);
    if !rules.is_empty() {
        config.routes = routes
            .iter()
            .map(|(name, model)| {
                let first = model.targets.iter().min_by_key(|target| target.priority);
                let provider = first.map(|target| target.provider.clone());
                let upstream = first.and_then(|target| target.model.as_ref()).unwrap_or(&model.name);
                let encoding = is_exact.then(|| Encoding::of(upstream.as_str()));
                (name.clone(), Route { provider, prices: model.prices, encoding })
            })
            .collect();
    }
    config.rules = rules;
    config.ledger = parts.gateway.has_ledger.then(ledger);
    config
}

/// Whether a rule wants prompts counted token by token.
pub(super) fn is_exact(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| rule.count == Count::Exact)
}

/// Where Envoys connect anyway.
#[expect(clippy::expect_used, reason = "the rest of it has defaults")]
fn ledger() -> Ledger {
    serde_json::from_value(json!({"cluster": bootstrap::CLUSTER, "path": ledger::PATH}))
        .expect("it has all that it needs")
}

fn rule(quota: &Quota, consumers: &[Consumer]) -> Rule {
    let Match { domain, consumer, labels, key, model, provider, mcp_server, tool } = &quota.selector;
    let labelled = (!labels.is_empty()).then(|| {
        let has_all = |of: &&Consumer| labels.iter().all(|(name, label)| of.labels.get(name) == Some(label));
        consumers.iter().filter(has_all).map(|of| of.name.clone()).collect::<BTreeSet<_>>()
    });
    let consumers = match (consumer, labelled) {
        (Some(one), Some(labelled)) => Some(labelled.into_iter().filter(|name| name == one).collect()),
        (Some(one), None) => Some(BTreeSet::from([one.clone()])),
        (None, labelled) => labelled,
    };
    Rule {
        name: quota.name.clone(),
        selector: Selector {
            domains: domain.iter().cloned().collect(),
            consumers,
            keys: key.iter().cloned().collect(),
            models: model.iter().cloned().collect(),
            routes: BTreeSet::new(),
            providers: provider.iter().cloned().collect(),
            mcp_servers: mcp_server.iter().cloned().collect(),
            tools: tool.iter().cloned().collect(),
        },
        per: quota.per.clone(),
        limits: quota.limits,
        timezone: quota.timezone.clone(),
        shadow: quota.shadow,
        warn_at_percent: quota.warn_at.map(crate::model::Share::percent),
        on_ledger_loss: quota.on_ledger_loss,
        count: quota.count,
    }
}

/// The limits on objects: one rule for all of a kind that have the same ones, so that many keys make few rules. A
/// counter is that of its object, whichever rule it is under.
fn of_objects(parts: &Parts, routes: &Routes<'_>) -> Vec<Rule> {
    let keys = parts.keys.iter().map(|key| (&key.id, key.limits));
    let consumers = parts.consumers.iter().map(|consumer| (&consumer.name, consumer.limits));
    let models = routes.iter().map(|(route, model)| (route, model.limits));
    let providers = parts.providers.iter().map(|provider| (&provider.name, provider.limits));
    [
        alike("key", Dimension::Key, keys, |keys| Selector { keys, ..Selector::default() }),
        alike("consumer", Dimension::Consumer, consumers, |consumers| Selector {
            consumers: Some(consumers),
            ..Selector::default()
        }),
        alike("model", Dimension::Model, models, |routes| Selector { routes, ..Selector::default() }),
        alike("provider", Dimension::Provider, providers, |providers| Selector {
            providers,
            ..Selector::default()
        }),
    ]
    .concat()
}

fn alike<'a>(
    kind: &str,
    per: Dimension,
    objects: impl Iterator<Item = (&'a Name, Option<Limits>)>,
    selector: impl Fn(BTreeSet<Name>) -> Selector,
) -> Vec<Rule> {
    let mut groups = BTreeMap::<Limits, BTreeSet<Name>>::new();
    for (name, limits) in objects {
        if let Some(limits) = limits {
            groups.entry(limits).or_default().insert(name.clone());
        }
    }
    let name = Name::try_from(format!("{OF_OBJECTS}{kind}")).unwrap_or_else(|_| Name::default_domain());
    let rule = |(limits, names)| Rule {
        name: name.clone(),
        selector: selector(names),
        per: BTreeSet::from([per]),
        limits,
        timezone: Zone::default(),
        shadow: false,
        warn_at_percent: None,
        on_ledger_loss: OnLedgerLoss::default(),
        count: Count::default(),
    };
    groups.into_iter().map(rule).collect()
}
