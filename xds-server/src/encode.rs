//! Turns a snapshot's JSON into the protobuf that Envoy reads, with Envoy's own descriptors.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, LazyLock},
};

use prost::{Message, bytes::Bytes};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::de::{DeserializeSeed, IntoDeserializer};
use serde_json::Value;
use weir_schema::{mcp::SessionKeys, quota};

use crate::hub::Servers;
use crate::{
    key_table::KeyTable,
    secret::Secret,
    snapshot::{Kind, Resource, Snapshot, Version},
};

/// A snapshot as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    version: Option<Version>,
    resources: BTreeMap<Kind, BTreeMap<String, Sealed>>,
    /// The endpoint resource that each cluster warms up with, where it needs one.
    warmed_by: BTreeMap<String, String>,
    secrets: Vec<Secret>,
    keys: Arc<KeyTable>,
    quotas: Arc<quota::Config>,
    mcp: Arc<Servers>,
    sessions: Arc<SessionKeys>,
}

/// A resource as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The version of its content.
    pub version: Version,
    /// The message, serialized. It may have a secret in it.
    pub message: Bytes,
}

impl Encoded {
    /// Encodes every resource.
    pub fn new(snapshot: &Snapshot) -> Result<Self, EncodeError> {
        Self::reusing(snapshot, &[])
    }

    /// Encodes every resource that none of these snapshots has, and shares the others with them.
    pub fn reusing(snapshot: &Snapshot, known: &[Arc<Self>]) -> Result<Self, EncodeError> {
        let mut resources: BTreeMap<Kind, BTreeMap<String, Sealed>> = BTreeMap::new();
        let (mut secrets, mut warmed_by) = (Vec::new(), BTreeMap::new());
        for kind in Kind::ALL {
            for (name, resource) in snapshot.of(kind) {
                let refused = |problem| EncodeError { kind, name: name.into(), problem };
                let version = resource.version();
                let mut same = known.iter().filter_map(|known| known.get(kind, name));
                let sealed = match same.find(|known| known.version == version) {
                    Some(known) => known.clone(),
                    None => Sealed { version, message: encode(kind, resource).map_err(refused)? },
                };
                resources.entry(kind).or_default().insert(name.into(), sealed);
                secrets.extend(resource.secrets.values().cloned());
            }
        }
        for (name, cluster) in snapshot.of(Kind::Clusters) {
            let config = cluster.body.get("eds_cluster_config");
            let service =
                config.map(|config| config.get("service_name").and_then(Value::as_str).unwrap_or(name));
            warmed_by.extend(service.map(|service| (name.to_owned(), service.to_owned())));
        }
        let (version, keys) = (Some(version(&resources)), Arc::clone(&snapshot.keys));
        let (quotas, mcp) = (Arc::clone(&snapshot.quotas), Arc::clone(&snapshot.mcp));
        let sessions = Arc::clone(&snapshot.sessions);
        Ok(Self { version, resources, warmed_by, secrets, keys, quotas, mcp, sessions })
    }

    /// The same with those of these endpoint resources, by name, that its clusters use, added or in the place of others.
    pub fn with_endpoints(&self, endpoints: &BTreeMap<String, Value>) -> Result<Self, EncodeError> {
        let mut whole = self.clone();
        let used: BTreeSet<&String> = self.warmed_by.values().collect();
        let mut endpoints = endpoints.iter().filter(|(name, _)| used.contains(name)).peekable();
        if endpoints.peek().is_none() {
            return Ok(whole);
        }
        for (name, body) in endpoints {
            let resource = Resource { body: body.clone(), secrets: BTreeMap::new() };
            let refused = |problem| EncodeError { kind: Kind::Endpoints, name: name.clone(), problem };
            let message = encode(Kind::Endpoints, &resource).map_err(refused)?;
            let sealed = Sealed { version: resource.version(), message };
            whole.resources.entry(Kind::Endpoints).or_default().insert(name.clone(), sealed);
        }
        whole.version = Some(version(&whole.resources));
        Ok(whole)
    }

    /// The version of the whole; none before the first snapshot.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The keys that Envoys look up.
    pub fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// What sessions at MCP servers are sealed with, if the configuration says it.
    pub fn sessions(&self) -> &SessionKeys {
        &self.sessions
    }

    /// The MCP servers.
    pub fn mcp(&self) -> &Arc<Servers> {
        &self.mcp
    }

    /// What the ledger grants by, and what tokens cost.
    pub fn quotas(&self) -> &Arc<quota::Config> {
        &self.quotas
    }

    /// A resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Sealed> {
        self.resources.get(&kind)?.get(name)
    }

    /// The endpoint resource that a cluster warms up with, if it needs one that there is.
    pub fn warms(&self, cluster: &str) -> Option<&str> {
        let name = self.warmed_by.get(cluster)?;
        self.get(Kind::Endpoints, name).map(|_| name.as_str())
    }

    /// The names of a kind's resources.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.resources.get(&kind).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    /// How many resources of each kind are not what they were before, those that are gone included.
    pub fn changes_since(&self, before: &Self) -> BTreeMap<Kind, usize> {
        // The serialized maps of a message have no order, so equal content may differ in its bytes.
        let version =
            |snapshot: &Self, kind, name| snapshot.get(kind, name).map(|sealed| sealed.version.clone());
        let changes = Kind::ALL.map(|kind| {
            let names: BTreeSet<&str> = self.names(kind).chain(before.names(kind)).collect();
            let changed =
                names.into_iter().filter(|name| version(self, kind, name) != version(before, kind, name));
            (kind, changed.count())
        });
        changes.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// `text` without the secrets that are in the snapshot, and no longer than `limit` bytes.
    pub fn redact(&self, text: &str, limit: usize) -> String {
        let redact = |text: String, secret: &Secret| text.replace(secret.expose(), crate::secret::REDACTED);
        let text = self.secrets.iter().fold(text.to_owned(), redact);
        let whole = text.char_indices().map(|(at, char)| at.saturating_add(char.len_utf8()));
        let end = whole.take_while(|end| *end <= limit).last().unwrap_or_default();
        text.get(..end).unwrap_or_default().to_owned()
    }
}

fn version(resources: &BTreeMap<Kind, BTreeMap<String, Sealed>>) -> Version {
    let named = resources.values().flatten();
    Version::of(named.flat_map(|(name, sealed)| [name.as_bytes(), sealed.version.as_str().as_bytes()]))
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.version, self.message.len())
    }
}

/// A resource that is not what Envoy's descriptors say. This is a fault of the compiler, not of the file.
#[derive(Debug, thiserror::Error)]
#[error("{kind}.{name}: {problem}")]
pub struct EncodeError {
    /// The resource's kind.
    pub kind: Kind,
    /// The resource's name.
    pub name: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a resource.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The descriptors that are built in cannot be read.
    #[error("the descriptors do not have {0}")]
    NoDescriptor(&'static str),
    /// The JSON is not a message of that type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// There is no place for its secret.
    #[error("there is no place for the secret")]
    NoSecret,
}

/// Whether a JSON value is a message of that type; `weir compile` checks its bootstrap with it.
pub fn check(message: &'static str, body: &Value) -> Result<(), Problem> {
    parse(message, body.clone()).map(drop)
}

fn encode(kind: Kind, resource: &Resource) -> Result<Bytes, Problem> {
    let message = kind.type_url().rsplit('/').next().unwrap_or_default();
    let mut body = resource.body.clone();
    for (at, secret) in &resource.secrets {
        *body.pointer_mut(at).ok_or(Problem::NoSecret)? = secret.expose().into();
    }
    Ok(parse(message, body)?.encode_to_vec().into())
}

fn parse(message: &'static str, body: Value) -> Result<DynamicMessage, Problem> {
    let descriptor = POOL.as_ref().and_then(|pool| pool.get_message_by_name(message));
    let descriptor = descriptor.ok_or(Problem::NoDescriptor(message))?;
    Ok(descriptor.deserialize(body.into_deserializer())?)
}

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok());

const DESCRIPTORS: &[u8] = include_bytes!("../../envoy/descriptors.binpb");
