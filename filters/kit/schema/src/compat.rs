//! Configuration of the `model-compat` filter: what a cluster's upstream needs of each attempt.

use serde::{Deserialize, Serialize};

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
}
