//! The MCP servers of a gateway, as the hub knows them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::{Address, List, Lists, SseServer};
use crate::snapshot::Version;

/// The MCP servers of each gateway, by its name.
pub type Fleet = BTreeMap<String, Arc<Servers>>;

/// The MCP servers of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// The gateway's name.
    pub name: String,
    /// Where it is reached from here.
    pub gateway: Address,
    /// What each server offers, by its tenant if it has one and its endpoint.
    pub lists: Lists,
    /// Servers behind others that speak HTTP with SSE only, by the names of both.
    pub sse: BTreeMap<String, SseServer>,
}

impl Servers {
    /// What a server offers to a tenant, as hashes of its lists.
    pub fn lists(&self, domain: &str, endpoint: &str) -> BTreeMap<List, Version> {
        let own = self.lists.get(&format!("{domain}{endpoint}"));
        own.or_else(|| self.lists.get(endpoint)).cloned().unwrap_or_default()
    }
}

impl Default for Servers {
    fn default() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            name: String::new(),
            gateway: Address::plain(nowhere),
            lists: Lists::new(),
            sse: BTreeMap::new(),
        }
    }
}
