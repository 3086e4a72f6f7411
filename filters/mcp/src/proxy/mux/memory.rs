//! What servers have offered last, for the time in which one of them does not answer.
//!
//! There is one entry for each list of each server of the configuration, so the store stays as small as that.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_core::Cx;
use weir_schema::Name;
use weir_schema::mcp::McpUpstream;

/// The place where an offer is kept.
pub(super) struct Place {
    key: String,
    /// Tells a server that has moved from the one that was there.
    server: u64,
}

impl Place {
    pub(super) fn of(endpoint: &Name, upstream: &McpUpstream, method: &str, is_modern: bool) -> Self {
        let mut hasher = DefaultHasher::new();
        (&upstream.cluster, &upstream.path, &upstream.authority).hash(&mut hasher);
        let era = if is_modern { "m" } else { "l" };
        let name = &upstream.name;
        Self { key: format!("mcp/offer/{endpoint}/{name}/{method}/{era}"), server: hasher.finish() }
    }

    pub(super) fn remember(&self, cx: &Cx<'_>, offer: &impl Serialize) {
        let Ok(text) = serde_json::to_vec(offer) else { return };
        if text.len() > LONGEST {
            return;
        }
        let value = [&self.server.to_le_bytes(), text.as_slice()].concat();
        if let Ok(Some(known)) = cx.store().get(&self.key)
            && known.value == value
        {
            return;
        }
        // What is not kept is asked for again.
        let _kept = cx.store().set(&self.key, &value, None);
    }

    pub(super) fn recall<T: DeserializeOwned>(&self, cx: &Cx<'_>) -> Option<T> {
        let entry = cx.store().get(&self.key).ok().flatten()?;
        let text = entry.value.strip_prefix(&self.server.to_le_bytes())?;
        serde_json::from_slice(text).ok()
    }

    pub(super) fn is_known(&self, cx: &Cx<'_>) -> bool {
        let entry = cx.store().get(&self.key).ok().flatten();
        entry.is_some_and(|entry| entry.value.starts_with(&self.server.to_le_bytes()))
    }
}

/// The longest offer that is kept, in bytes.
const LONGEST: usize = 256 * 1024;
