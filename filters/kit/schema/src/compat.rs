//! Configuration of the `model-compat` filter: what a cluster's upstream needs of each attempt.

mod profile;
mod rules;

use core::num::NonZeroU32;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cooling::Terms;

pub use self::profile::Profile;
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
    /// The interfaces that the upstream speaks, the preferred one first. A request of another is translated. Default
    /// `[chat]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<Protocol>,
    /// Header fields that are removed, since an attempt before this one may have left its credential in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_credentials: Vec<CredentialHeader>,
    /// When a cluster that fails is left alone. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooling: Option<Terms>,
    /// What every model needs here that comes without rules of its own.
    #[serde(default, skip_serializing_if = "Rules::is_default")]
    pub rules: Rules,
    /// The largest request body in bytes that is held to be edited as a whole; where rules need that, more is answered 413.
    /// Keep it at or below the `request_body_buffer_limit` of the virtual host. Default 1 MiB.
    #[serde(default = "default_held_body_bytes")]
    pub held_body_bytes: NonZeroU32,
}

/// An interface of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// OpenAI's chat completions, and the interfaces around them.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Gemini's `generateContent`.
    Gemini,
}

/// A header field in which an upstream looks for its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CredentialHeader {
    /// `authorization: Bearer …`
    Authorization,
    /// `x-api-key`, as Anthropic has it.
    XApiKey,
    /// `api-key`, as Azure has it.
    ApiKey,
    /// `x-goog-api-key`, as Gemini has it.
    XGoogApiKey,
}

impl CredentialHeader {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Authorization, Self::XApiKey, Self::ApiKey, Self::XGoogApiKey];

    /// The field's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::XApiKey => "x-api-key",
            Self::ApiKey => "api-key",
            Self::XGoogApiKey => "x-goog-api-key",
        }
    }

    /// Where an upstream that speaks these looks, if nothing else is said.
    pub fn of(protocols: &[Protocol]) -> Self {
        match protocols.first() {
            Some(Protocol::Messages) => Self::XApiKey,
            Some(Protocol::Gemini) => Self::XGoogApiKey,
            Some(Protocol::Chat | Protocol::Responses) | None => Self::Authorization,
        }
    }
}

fn default_held_body_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1024 * 1024 - 1)
}
