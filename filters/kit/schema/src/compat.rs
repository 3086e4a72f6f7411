//! Configuration of the `model-compat` filter: what a cluster's upstream needs of each attempt.

mod rules;

use core::num::NonZeroU32;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::rules::{Bounds, Content, Params, Range, RuleText, Rules, StreamUsage, Think};

/// Configuration of the `model-compat` filter. It stands in the chain of a cluster, before `upstream_codec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The cluster's name, by which the `router` filter says what the upstream calls a model.
    pub cluster: String,
    /// What `:authority` says. Default the address of the endpoint that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The path that stands in the place of a client's `/v1`. Default none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_path: String,
    /// What comes after it: `{endpoint}` is what a client has after `/v1`, `{model}` the model's name. Default
    /// `{endpoint}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is added to the query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// What every model needs here that comes without rules of its own.
    #[serde(default, skip_serializing_if = "Rules::is_default")]
    pub rules: Rules,
    /// The largest request body in bytes that is held to be edited as a whole; where rules need that, more is answered 413.
    /// Keep it at or below the `request_body_buffer_limit` of the virtual host. Default 1 MiB.
    #[serde(default = "default_held_body_bytes")]
    pub held_body_bytes: NonZeroU32,
}

fn default_held_body_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1024 * 1024 - 1)
}
