//! What the API of a provider needs, whichever models it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CredentialHeader, Protocol, Rules};
use crate::Name;

/// What the API of a provider needs, whichever models it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The profile that it goes on from. What it says itself stands before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<Name>,
    /// What comes after the upstream's path: `{endpoint}` is what a client has after `/v1`, `{model}` the model's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is added to the query.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// The interfaces that it speaks, the preferred one first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Protocol>>,
    /// The header that credentials are sent in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_header: Option<CredentialHeader>,
    /// What every model needs there.
    #[serde(skip_serializing_if = "Rules::is_default")]
    pub compat: Rules,
}

impl Profile {
    /// This profile, where it says nothing as `base` has it.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        let mut query = base.query;
        query.extend(self.query);
        Self {
            extends: base.extends,
            path: self.path.or(base.path),
            query,
            protocols: self.protocols.or(base.protocols),
            credential_header: self.credential_header.or(base.credential_header),
            compat: self.compat.over(base.compat),
        }
    }
}
