//! Sessions at servers that are kept for the next request of the same consumer.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use weir_core::Cx;
use weir_schema::Name;

/// A session at a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Its id, if the server has given one.
    pub(super) id: Option<String>,
    /// The revision that is spoken in it.
    pub(super) version: String,
    /// What the server has said at its beginning, as JSON; kept by nobody.
    #[serde(skip)]
    pub(super) said: String,
}

/// Where a consumer's session is kept: a bounded table that all workers share. What loses its place is begun anew.
pub(super) struct Place {
    key: String,
    owner: u64,
}

impl Place {
    /// `None` for callers who cannot be told apart: they share no session.
    pub(super) fn of(server: &Name, consumer: Option<&str>) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        (server, consumer?).hash(&mut hasher);
        let owner = hasher.finish();
        Some(Self { key: format!("mcp/begun/{server}/{}", owner % SLOTS), owner })
    }

    pub(super) fn remember(&self, cx: &Cx<'_>, begun: &Begun) {
        if begun.id.as_ref().is_some_and(|id| id.len() > LONGEST_ID) {
            return;
        }
        let json = serde_json::to_vec(begun).unwrap_or_default();
        // What is not kept is begun anew.
        let _kept = cx.store().set(&self.key, &[&self.owner.to_le_bytes(), json.as_slice()].concat(), None);
    }

    pub(super) fn recall(&self, cx: &Cx<'_>) -> Option<Begun> {
        let entry = cx.store().get(&self.key).ok().flatten()?;
        serde_json::from_slice(entry.value.strip_prefix(&self.owner.to_le_bytes())?).ok()
    }
}

const SLOTS: u64 = 1024;
const LONGEST_ID: usize = 1024;
