//! Configuration of the `quota` filter: who may use how much.

use core::num::NonZeroU32;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::mcp::ToolPattern;
use crate::state::Usage;
use crate::{Amount, ModelPattern, Name, Zone};

/// Configuration of the `quota` filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rules. All that match a request apply to it.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What is known of the routes that the `router` filter publishes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<Name, Route>,
    /// How many groups of 16 counters the workers share. Memory is bounded by it, about 1 KiB a counter at most.
    /// Default 4096.
    #[serde(default = "default_groups")]
    pub groups: NonZeroU32,
    /// After how long a request that never ended, as its worker's filter had trapped, stops counting as one under
    /// way. Longer than the longest stream. Default 3600.
    #[serde(default = "default_lease_secs")]
    pub lease_secs: NonZeroU32,
    /// Where limits are shared with other gateways. Absent: each gateway counts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

/// The ledger: what grants a gateway slices of its limits, and is told what was used of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The Envoy cluster to ask.
    pub cluster: String,
    /// `:authority` of the call. Default the cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Where a [`crate::ledger::Report`] is posted. Default `/v1/ledger`.
    #[serde(default = "default_ledger_path")]
    pub path: String,
    /// How long to wait for an answer; after that the ledger counts as lost. Default 1000.
    #[serde(default = "default_ledger_timeout_ms")]
    pub timeout_ms: NonZeroU32,
}

/// A rule: these limits hold for the requests that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The rule's name, as errors tell it. Rules of one name share their counters.
    pub name: Name,
    /// Which requests it is for. Default all.
    #[serde(default, rename = "match")]
    pub selector: Selector,
    /// What of a request has counters of its own. Default nothing: one counter for all that match.
    #[serde(default)]
    pub per: BTreeSet<Dimension>,
    /// The limits.
    pub limits: Limits,
    /// Whose days and months are meant. Default UTC.
    #[serde(default)]
    pub timezone: Zone,
    /// Whether the rule only counts, and refuses nothing.
    #[serde(default)]
    pub shadow: bool,
    /// From which share of a limit on the response says so, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_at_percent: Option<u8>,
    /// What holds while the ledger cannot be reached. Default `share`.
    #[serde(default, skip_serializing_if = "OnLedgerLoss::is_share")]
    pub on_ledger_loss: OnLedgerLoss,
    /// How long a prompt is taken to be before its upstream has said it. Default `estimate`.
    #[serde(default, skip_serializing_if = "Count::is_estimate")]
    pub count: Count,
}

/// How long a prompt is taken to be before its upstream has said it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// By its bytes, corrected by what the model's upstream says of its prompts.
    #[default]
    Estimate,
    /// By the tables of OpenAI's models, token by token. Only the module `quota-exact` has them.
    Exact,
}

/// A table that texts are written as tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// That of GPT-4o and of what has come after it.
    O200k,
    /// That of GPT-4, GPT-3.5 and the embeddings after ada-001.
    Cl100k,
}

/// What a gateway that cannot reach the ledger admits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnLedgerLoss {
    /// Of rates and concurrency its share of the limit, of budgets the slice it has in hand.
    #[default]
    Share,
    /// Of rates and concurrency nothing, once its slice has expired; of budgets the slice it has in hand.
    Deny,
    /// All that the limit allows, by its own count.
    Allow,
}

/// One of [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Limits::rpm`]
    Rpm,
    /// [`Limits::tpm`]
    Tpm,
    /// [`Limits::concurrency`]
    Concurrency,
    /// [`Limits::tokens_per_day`]
    TokensPerDay,
    /// [`Limits::tokens_per_month`]
    TokensPerMonth,
    /// [`Limits::cost_per_month`]
    CostPerMonth,
}

/// Which requests a rule is for: those that fit every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Tenants.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub domains: BTreeSet<Name>,
    /// Consumers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<BTreeSet<Name>>,
    /// Keys, by their ids.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<Name>,
    /// Patterns of the model that is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelPattern>,
    /// Routes.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub routes: BTreeSet<Name>,
    /// Providers: those that the requests' routes have in `routes`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub providers: BTreeSet<Name>,
    /// MCP servers.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub mcp_servers: BTreeSet<Name>,
    /// Patterns of the tools of MCP servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolPattern>,
}

/// Something that requests are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The caller's tenant.
    Domain,
    /// The caller.
    Consumer,
    /// The key.
    Key,
    /// The model, by its route.
    Model,
    /// The provider of the model's route.
    Provider,
    /// The MCP server.
    McpServer,
    /// The tool of an MCP server.
    Tool,
}

/// How much may be used. An absent limit is none; 0 refuses all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Tokens in any minute, of prompts and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Requests under way at once, each until its stream ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Tokens in a calendar day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Tokens in a calendar month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<u64>,
    /// Money in a calendar month, by the prices of the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_month: Option<Amount>,
}

/// What is known of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Who answers first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
    /// What its tokens cost. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// What its model writes prompts as. Absent: what one of the model's name would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// What tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// For how many tokens the prices are. Default a million.
    #[serde(default = "default_per")]
    pub per: NonZeroU32,
    /// Tokens of the prompt.
    #[serde(default)]
    pub input: Amount,
    /// Tokens of the prompt that the upstream had cached. Default as others of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Amount>,
    /// Tokens of the answer.
    #[serde(default)]
    pub output: Amount,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            routes: BTreeMap::new(),
            groups: default_groups(),
            lease_secs: default_lease_secs(),
            ledger: None,
        }
    }
}

impl OnLedgerLoss {
    fn is_share(&self) -> bool {
        *self == Self::Share
    }
}

impl Count {
    fn is_estimate(&self) -> bool {
        *self == Self::Estimate
    }
}

impl Encoding {
    /// What a model of this name writes prompts as, whoever serves it: `openai/gpt-4-turbo` as `gpt-4-turbo`. A model that
    /// is none of OpenAI's is taken for one of its newest.
    pub fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let is = |family: &str| {
            name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':']))
        };
        let older = ["gpt-4", "gpt-3.5", "gpt-35", "text-embedding-3", "text-embedding-ada"];
        if older.into_iter().any(is) { Self::Cl100k } else { Self::O200k }
    }
}

impl Limit {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Rpm,
        Self::Tpm,
        Self::Concurrency,
        Self::TokensPerDay,
        Self::TokensPerMonth,
        Self::CostPerMonth,
    ];

    /// The limit's key in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Tpm => "tpm",
            Self::Concurrency => "concurrency",
            Self::TokensPerDay => "tokens_per_day",
            Self::TokensPerMonth => "tokens_per_month",
            Self::CostPerMonth => "cost_per_month",
        }
    }

    /// How much of it there is: requests, tokens or thousand-millionths.
    pub fn of(self, limits: &Limits) -> Option<u64> {
        match self {
            Self::Rpm => limits.rpm,
            Self::Tpm => limits.tpm,
            Self::Concurrency => limits.concurrency,
            Self::TokensPerDay => limits.tokens_per_day,
            Self::TokensPerMonth => limits.tokens_per_month,
            Self::CostPerMonth => limits.cost_per_month.map(Amount::nanos),
        }
    }

    /// Whether it is a budget: what is spent of it counts until its calendar period ends.
    pub fn is_budget(self) -> bool {
        match self {
            Self::Rpm | Self::Tpm | Self::Concurrency => false,
            Self::TokensPerDay | Self::TokensPerMonth | Self::CostPerMonth => true,
        }
    }

    /// The second at which the period ends that has the second `now`; 0 where there are no periods.
    pub fn end_of_period(self, zone: &Zone, now: u64) -> u64 {
        match self {
            Self::Rpm | Self::Tpm | Self::Concurrency => 0,
            Self::TokensPerDay => zone.end_of_day(now),
            Self::TokensPerMonth | Self::CostPerMonth => zone.end_of_month(now),
        }
    }
}

impl Dimension {
    /// Its name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Consumer => "consumer",
            Self::Key => "key",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::McpServer => "mcp_server",
            Self::Tool => "tool",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Domain,
            Self::Consumer,
            Self::Key,
            Self::Model,
            Self::Provider,
            Self::McpServer,
            Self::Tool,
        ];
        all.into_iter().find(|dimension| dimension.as_str() == name)
    }
}

impl Prices {
    /// What tokens cost, in thousand-millionths, rounded up.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let Self { per, input, cached_input, output } = self;
        let cached = usage.cached_input.min(usage.input);
        let of = |tokens: u64, price: Amount| u128::from(tokens).saturating_mul(price.nanos().into());
        let sum = of(usage.input.saturating_sub(cached), *input)
            .saturating_add(of(cached, cached_input.unwrap_or(*input)))
            .saturating_add(of(usage.output, *output));
        u64::try_from(sum.div_ceil(per.get().into())).unwrap_or(u64::MAX)
    }
}

impl Limits {
    /// Whether any of them counts tokens or money.
    pub fn count_tokens(&self) -> bool {
        self.tpm.is_some()
            || self.tokens_per_day.is_some()
            || self.tokens_per_month.is_some()
            || self.cost_per_month.is_some()
    }
}

fn default_groups() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4095)
}

fn default_lease_secs() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(3599)
}

fn default_per() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(999_999)
}

fn default_ledger_path() -> String {
    "/v1/ledger".into()
}

fn default_ledger_timeout_ms() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_the_encoding_of_its_family() {
        for name in
            ["gpt-4", "gpt-4-0613", "openai/gpt-4-turbo", "gpt-3.5-turbo-16k", "text-embedding-3-small"]
        {
            assert_eq!(Encoding::of(name), Encoding::Cl100k, "{name}");
        }
        for name in ["gpt-4o", "gpt-4.1-mini", "gpt-4o-mini", "o3", "gpt-5", "index", "", "meta/llama-3"] {
            assert_eq!(Encoding::of(name), Encoding::O200k, "{name}");
        }
    }
}
