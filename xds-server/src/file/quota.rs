//! Who may use how much, as the file has it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_schema::mcp::ToolPattern;
use weir_schema::quota::{Count, Dimension, Limits, OnLedgerLoss};
use weir_schema::{ModelPattern, Name, Zone};

use crate::model::{self, Label, Share};

/// `quotas[]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The quota's name, as errors tell it.
    pub name: Name,
    /// Which requests it is for. Default all.
    #[serde(default, rename = "match")]
    pub selector: Match,
    /// What of a request has counters of its own. Default nothing: all that match share one.
    #[serde(default)]
    pub per: BTreeSet<Dimension>,
    /// The limits, at least one.
    pub limits: Box<Limits>,
    /// Whose days and months are meant.
    #[serde(default)]
    pub timezone: Zone,
    /// Whether it only counts, and refuses nothing.
    #[serde(default)]
    pub shadow: bool,
    /// From which share of a limit on responses warn.
    pub warn_at: Option<Share>,
    /// What holds while an Envoy cannot reach the ledger. Default `share`.
    #[serde(default)]
    pub on_ledger_loss: OnLedgerLoss,
    /// How long a prompt is taken to be before its upstream has said it. Default `estimate`.
    #[serde(default)]
    pub count: Count,
}

/// `quotas[].match`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// A tenant.
    pub domain: Option<Name>,
    /// A consumer.
    pub consumer: Option<Name>,
    /// Consumers that have all of these labels.
    pub labels: BTreeMap<Name, Label>,
    /// A key, by its id.
    pub key: Option<Name>,
    /// A pattern of the model that is asked.
    pub model: Option<ModelPattern>,
    /// A provider.
    pub provider: Option<Name>,
    /// An MCP server.
    pub mcp_server: Option<Name>,
    /// A pattern of the tool of an MCP server that is called.
    pub tool: Option<ToolPattern>,
}

impl Quota {
    pub(super) fn into_model(self) -> model::Quota {
        let Self { name, selector, per, limits, timezone, shadow, warn_at, on_ledger_loss, count } = self;
        let Match { domain, consumer, labels, key, model, provider, mcp_server, tool } = selector;
        let selector = model::Match { domain, consumer, labels, key, model, provider, mcp_server, tool };
        let limits = *limits;
        model::Quota { name, selector, per, limits, timezone, shadow, warn_at, on_ledger_loss, count }
    }
}
