//! Every resource of one state of the gateway, as JSON.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use weir_schema::{mcp::SessionKeys, quota};

use crate::hub::Servers;
use crate::key_table::KeyTable;
use crate::secret::{REDACTED, Secret};

/// Every resource of one state of the gateway. It can be shown to anyone: secrets are beside their resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    resources: BTreeMap<Kind, BTreeMap<String, Resource>>,
    /// The MCP servers, for the hub.
    pub mcp: Arc<Servers>,
    /// The keys that Envoys look up, where there are too many to send them all.
    pub keys: Arc<KeyTable>,
    /// What the ledger grants by, and what tokens cost.
    pub quotas: Arc<quota::Config>,
    /// What sessions at MCP servers are sealed with, if the configuration says it.
    pub sessions: Arc<SessionKeys>,
}

/// One of Envoy's resources, in protobuf's JSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its content, with [`REDACTED`] in the places of its secrets.
    pub body: Value,
    /// What stands in these places when the resource is sent, by JSON pointer.
    pub secrets: BTreeMap<&'static str, Secret>,
}

/// The kinds of resources, in the order in which additions are pushed: what is referred to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// CDS.
    Clusters,
    /// EDS.
    Endpoints,
    /// SDS.
    Secrets,
    /// LDS.
    Listeners,
    /// RDS.
    Routes,
    /// ECDS. Last, because the `router` filter names routes.
    Extensions,
}

/// What a resource's content hashes to: equal content has an equal version in every process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(String);

impl Snapshot {
    /// Adds a resource.
    pub fn insert(&mut self, kind: Kind, name: &str, body: Value) {
        self.add(kind, name, body, BTreeMap::new());
    }

    /// Adds a generic secret.
    pub fn insert_secret(&mut self, name: &str, secret: Secret) {
        let body = json!({"name": name, "generic_secret": {"secret": {"inline_string": REDACTED}}});
        self.add(Kind::Secrets, name, body, BTreeMap::from([(GENERIC_AT, secret)]));
    }

    /// Adds a certificate with its key.
    pub fn insert_certificate(&mut self, name: &str, certificate: Secret, key: Secret) {
        let redacted = json!({"inline_string": REDACTED});
        let body = json!({
            "name": name,
            "tls_certificate": {"certificate_chain": redacted, "private_key": redacted},
        });
        let secrets = BTreeMap::from([(CERTIFICATE_AT, certificate), (KEY_AT, key)]);
        self.add(Kind::Secrets, name, body, secrets);
    }

    fn add(&mut self, kind: Kind, name: &str, body: Value, secrets: BTreeMap<&'static str, Secret>) {
        self.resources.entry(kind).or_default().insert(name.into(), Resource { body, secrets });
    }

    /// The resources of a kind, by name.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, &Resource)> {
        self.resources.get(&kind).into_iter().flatten().map(|(name, resource)| (name.as_str(), resource))
    }

    /// All resources, as `{kind: {name: resource}}`, with their fields sorted.
    pub fn to_json(&self) -> Value {
        let of = |kind| self.of(kind).map(|(name, resource)| (name.to_owned(), resource.body.clone()));
        let kinds = Kind::ALL.iter().map(|kind| (kind.to_string(), Value::Object(of(*kind).collect())));
        let mut all = Value::Object(kinds.collect::<Map<_, _>>());
        all.sort_all_objects();
        all
    }
}

impl Resource {
    /// The version of its content, its secrets included.
    pub fn version(&self) -> Version {
        let mut canonical = self.body.clone();
        canonical.sort_all_objects();
        let body = canonical.to_string();
        let secrets = self.secrets.values().map(|secret| secret.expose().as_bytes());
        Version::of([body.as_bytes()].into_iter().chain(secrets))
    }
}

impl Kind {
    /// Every kind, in the order of pushing.
    pub const ALL: [Self; 6] =
        [Self::Clusters, Self::Endpoints, Self::Secrets, Self::Listeners, Self::Routes, Self::Extensions];

    /// The type URL under which Envoy asks for it.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Clusters => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secrets => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Extensions => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Listeners => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The kind with this type URL.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Version {
    /// The version of content that consists of these parts.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// A version as a node reports it.
    pub fn reported(text: &str) -> Self {
        Self(text.into())
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where in a resource its secrets stand.
const GENERIC_AT: &str = "/generic_secret/secret/inline_string";
const CERTIFICATE_AT: &str = "/tls_certificate/certificate_chain/inline_string";
const KEY_AT: &str = "/tls_certificate/private_key/inline_string";
