//! Configuration of the `auth` filter: who may call, with which key, for which models.

use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::mcp::Mount;
use crate::oauth::{ResourceUri, Scope};
use crate::{HostPattern, KeyHash, ModelPattern, Name, Timestamp};

/// Configuration of the `auth` filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keys known from the start. Good for up to about 10 000; above that, use `lookup`.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// The tenants, each with its hosts. A request to a host of none of them is answered 421, and a key works on
    /// the hosts of its own domain only. Absent: every key works on every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// Where to ask for a key that is not in `keys`. Absent: it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<Lookup>,
    /// Who checks a request's model against the key's `models`.
    #[serde(default)]
    pub model_check: ModelCheck,
    /// With `model_check: here`, the largest part of a body in bytes that is held while its model is not yet
    /// known. Keep it at or below the route's `request_body_buffer_limit`. Default 1 MiB.
    #[serde(default = "default_held_body_bytes")]
    pub held_body_bytes: NonZeroU32,
    /// MCP servers whose messages of the revision 2024-11-05, at their `…/message`, go through a hub that sends each
    /// of them back to this gateway: there alone the credential goes on. Nothing but the hub may be routed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relayed: Vec<Mount>,
    /// MCP servers whose callers have tokens of OAuth. Envoy's own filter `jwt_authn` stands before this one, verifies them
    /// and leaves what they say as its dynamic metadata; it lets requests without one pass, and this filter refuses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
}

/// A resource that tokens of OAuth are for (RFC 6750, RFC 9728).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Where it is called.
    pub path: Mount,
    /// The tenant it is for. Absent: the one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
    /// Its identifier.
    pub resource: ResourceUri,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who issues tokens for it: URLs of issuers.
    pub authorization_servers: Vec<String>,
    /// The scopes that every request needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// All scopes that matter to it, for its metadata.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<Scope>,
    /// The key under which `jwt_authn` puts what a verified token says (`payload_in_metadata`). Why one is refused is
    /// expected under the same key with `.failed` behind it (`failed_status_in_metadata`).
    pub payload: String,
    /// The claim that names the consumer. Default `sub`.
    #[serde(default = "default_claim")]
    pub claim: String,
    /// What stands before it in the consumer's name. Default `oauth/`, so that no token names a consumer of keys.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Whether keys work too. Default no.
    #[serde(default)]
    pub allow_keys: bool,
}

/// A tenant: the hosts on which its keys work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The tenant's name.
    pub name: Name,
    /// Its hosts. The most exact pattern of all domains decides.
    pub hosts: Vec<HostPattern>,
}

/// One API key: whom it stands for and what it allows. Also the answer to a key lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key's public name, used in logs and usage.
    pub id: Name,
    /// SHA-256 of every secret that is now accepted for this key; two while it is being rotated. A lookup's
    /// answer may leave it out.
    #[serde(default)]
    pub sha256: Vec<KeyHash>,
    /// Who is calling.
    pub consumer: Name,
    /// The tenant the consumer belongs to. Default `default`.
    #[serde(default = "Name::default_domain")]
    pub domain: Name,
    /// Models the key may use; `*` in a name stands for any characters. Default all.
    #[serde(default = "any_model")]
    pub models: Vec<ModelPattern>,
    /// When the key stops working. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// A disabled key is refused as if it did not exist.
    #[serde(default)]
    pub disabled: bool,
}

/// Where an unknown key is looked up: `GET {path}/{sha256 in hex}` at a cluster, which answers 200 with
/// a [`Key`] as JSON, or 404. The secret itself never leaves the filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The Envoy cluster to ask.
    pub cluster: String,
    /// `:authority` of the call. Default the cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Path before the hash. Default `/v1/key-lookup`.
    #[serde(default = "default_lookup_path")]
    pub path: String,
    /// How long to wait for an answer; after that the request is answered 503. Default 1000.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: NonZeroU32,
    /// How long a found key is believed. Default 60.
    #[serde(default = "default_ttl_secs")]
    pub ttl_secs: NonZeroU32,
    /// How long an unknown key stays unknown. Default 5.
    #[serde(default = "default_negative_ttl_secs")]
    pub negative_ttl_secs: NonZeroU32,
    /// Slots of the cache that all workers share; a newer key takes the slot of an older one. Default 16 384.
    #[serde(default = "default_cache_slots")]
    pub cache_slots: NonZeroU32,
    /// Which state of the keys this is: what was cached under another number is not believed. Whoever answers
    /// lookups changes it with its keys, so that a revoked key stops at once. Default 0.
    #[serde(default)]
    pub epoch: u64,
}

/// Who checks a request's model against the key's allow-list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModelCheck {
    /// `auth` itself reads the model from the body, for keys that do not allow every model.
    #[default]
    Here,
    /// The `router` filter, which stands after `auth` and reads the published grant.
    Router,
}

fn default_claim() -> String {
    "sub".into()
}

fn default_prefix() -> String {
    "oauth/".into()
}

fn default_held_body_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1024 * 1024 - 1)
}

fn any_model() -> Vec<ModelPattern> {
    vec![ModelPattern::any()]
}

fn default_lookup_path() -> String {
    "/v1/key-lookup".into()
}

fn default_timeout_ms() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(999)
}

fn default_ttl_secs() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(59)
}

fn default_negative_ttl_secs() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4)
}

fn default_cache_slots() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(16 * 1024 - 1)
}
