//! Who may use how much.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_schema::mcp::ToolPattern;
use weir_schema::quota::{Count, Dimension, Limits, OnLedgerLoss};
use weir_schema::{ModelPattern, Name, Zone};

use super::{Label, ModelError, Parts, Problem, known, unique};

/// Limits for the requests that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The quota's name, as errors tell it.
    pub name: Name,
    /// Which requests it is for.
    pub selector: Match,
    /// What of a request has counters of its own.
    pub per: BTreeSet<Dimension>,
    /// The limits.
    pub limits: Limits,
    /// Whose days and months are meant.
    pub timezone: Zone,
    /// Whether it only counts.
    pub shadow: bool,
    /// From which share of a limit on responses warn.
    pub warn_at: Option<Share>,
    /// What holds while the ledger cannot be reached.
    pub on_ledger_loss: OnLedgerLoss,
    /// How long a prompt is taken to be.
    pub count: Count,
}

/// Which requests a quota is for: those that fit all that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// A tenant.
    pub domain: Option<Name>,
    /// A consumer.
    pub consumer: Option<Name>,
    /// Labels that the consumer has.
    pub labels: BTreeMap<Name, Label>,
    /// A key.
    pub key: Option<Name>,
    /// A pattern of the model.
    pub model: Option<ModelPattern>,
    /// A provider.
    pub provider: Option<Name>,
    /// An MCP server.
    pub mcp_server: Option<Name>,
    /// A pattern of a tool.
    pub tool: Option<ToolPattern>,
}

/// A share: a number above 0 and up to 1, to the hundredth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64", extend("minimum" = 0.01, "maximum" = 1))]
pub struct Share(u8);

impl Share {
    /// The share in percent.
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = InvalidShare;

    fn try_from(share: f64) -> Result<Self, InvalidShare> {
        let percent = (1..=100).find(|percent| (share * 100.0 - f64::from(*percent)).abs() < 1e-6);
        percent.map(Self).ok_or(InvalidShare)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        Self::from(share.0) / 100.0
    }
}

/// The number is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number from 0.01 to 1 with at most two decimals")]
pub struct InvalidShare;

impl Parts {
    pub(super) fn check_quotas(&self) -> Result<(), ModelError> {
        unique("quotas", self.quotas.iter().map(|quota| quota.name.as_str()))?;
        self.quotas.iter().try_for_each(|quota| self.check_quota(quota))?;
        let consumers = self.consumers.iter().map(|of| ("consumers", of.name.to_string(), &of.limits));
        let keys = self.keys.iter().map(|of| ("keys", of.id.to_string(), &of.limits));
        let providers = self.providers.iter().map(|of| ("providers", of.name.to_string(), &of.limits));
        let models = self.models.iter().map(|of| ("models", of.label(), &of.limits));
        let mut all = consumers.chain(keys).chain(providers).chain(models);
        match all.find(|(_, _, limits)| **limits == Some(Limits::default())) {
            Some((kind, name, _)) => {
                Err(ModelError { at: format!("{kind}.{name}.limits"), problem: Problem::NoLimit })
            }
            None => Ok(()),
        }
    }

    /// Whom a key stands for may be a consumer that is named nowhere else.
    fn check_quota(&self, quota: &Quota) -> Result<(), ModelError> {
        let at = |field: &str| format!("quotas.{}.{field}", quota.name);
        if quota.name.as_str().starts_with(OF_OBJECTS) {
            return Err(ModelError { at: at("name"), problem: Problem::ReservedQuota });
        }
        if quota.limits == Limits::default() {
            return Err(ModelError { at: at("limits"), problem: Problem::NoLimit });
        }
        let Match { domain, consumer, labels: _, key, model, provider, mcp_server, tool: _ } =
            &quota.selector;
        if let Some(domain) = domain {
            self.check_domain_of_quota(domain, || at("match.domain"))?;
        }
        if let Some(consumer) = consumer {
            let of_keys = self.keys.iter().filter(|key| key.consumer.is_none()).map(|key| key.id.as_str());
            let names = self.consumers.iter().map(|consumer| consumer.name.as_str()).chain(of_keys);
            known("consumer", consumer.as_str(), names, || at("match.consumer"))?;
        }
        if let Some(key) = key {
            known("key", key.as_str(), self.keys.iter().map(|key| key.id.as_str()), || at("match.key"))?;
        }
        let is_known = |name: &str| self.models.iter().any(|known| known.is_named(name));
        let plain = model.as_ref().map(ModelPattern::as_str).filter(|name| !name.contains('*'));
        if let Some(name) = plain.filter(|name| !is_known(name)) {
            let names = self.models.iter().map(|model| model.name.as_str());
            known("model", name, names, || at("match.model"))?;
        }
        if let Some(provider) = provider {
            let names = self.providers.iter().map(|provider| provider.name.as_str());
            known("provider", provider.as_str(), names, || at("match.provider"))?;
        }
        if let Some(server) = mcp_server {
            let servers: Vec<_> = self.mcp_servers().map(|(_, _, plan)| plan.name).collect();
            let names = servers.iter().map(Name::as_str);
            known("MCP server", server.as_str(), names, || at("match.mcp_server"))?;
        }
        Ok(())
    }
}

/// Quotas with this prefix are the limits on keys, consumers, models and providers.
pub(crate) const OF_OBJECTS: &str = "limits/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_as_it_was_read() {
        for share in [0.01, 0.29, 0.8, 1.0] {
            assert_eq!(f64::from(Share::try_from(share).unwrap()), share);
        }
        for none in [0.0, 0.005, 1.01, 80.0, -0.5, f64::NAN] {
            assert_eq!(Share::try_from(none), Err(InvalidShare));
        }
    }
}
