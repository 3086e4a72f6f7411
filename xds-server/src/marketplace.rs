//! The MCP servers that a tenant may use, as the MCP registry API v0.1 lists them.
//!
//! Pure: what is listed comes in, pages and versions come out. Versions of one name are told apart by their text; which
//! is the latest is decided by when it was published, as a version need not be a number.

mod detail;
mod version;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_schema::Name;

pub use detail::{Detail, InvalidDetail, ListingName, Remote, Transport};
pub use version::{InvalidListingVersion, ListingVersion};

/// One version of a server, as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// What it is and where it is reached.
    pub server: Detail,
    /// The only tenant that sees it. None: every one.
    pub domain: Option<Name>,
    /// Whether it should be used.
    pub standing: Standing,
    /// When this version was published.
    pub published_at: Timestamp,
    /// When something of it changed last.
    pub updated_at: Timestamp,
}

/// Whether a server should be used, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// In a word.
    #[serde(default)]
    pub status: Status,
    /// What to know about that, in at most 500 characters.
    #[serde(default, rename = "statusMessage", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub message: Option<String>,
    /// Since when.
    #[serde(default, rename = "statusChangedAt", skip_serializing_if = "Option::is_none")]
    pub since: Option<weir_schema::Timestamp>,
}

/// Whether a server should be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It should.
    #[default]
    Active,
    /// It works, and another one is better.
    Deprecated,
    /// It is there no more; only those who ask for what is gone see it.
    Deleted,
}

/// Which servers are asked for (registry API, `GET /v0.1/servers`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// How many at most; 30 by default, 100 at most.
    pub limit: Option<usize>,
    /// A part of the name.
    pub search: Option<String>,
    /// Only what has changed since, also what is gone.
    pub updated_since: Option<Timestamp>,
    /// Only this version; `latest` for the latest of each.
    pub version: Option<String>,
    /// Also what is gone.
    pub include_deleted: bool,
}

/// All that is listed, for one tenant.
#[derive(Clone, Debug, Default)]
pub struct Market<'a> {
    /// By name, then in the order they were published.
    servers: BTreeMap<&'a ListingName, Vec<&'a Listing>>,
}

/// The cursor is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is none that a page ended with")]
pub struct InvalidCursor;

impl<'a> Market<'a> {
    /// What a tenant sees. `None` stands for the operator, who sees everything.
    pub fn seen_by(domain: Option<&Name>, listings: impl IntoIterator<Item = &'a Listing>) -> Self {
        let mut servers: BTreeMap<_, Vec<&Listing>> = BTreeMap::new();
        for listing in listings {
            if domain.is_none() || listing.domain.is_none() || listing.domain.as_ref() == domain {
                servers.entry(&listing.server.name).or_default().push(listing);
            }
        }
        for versions in servers.values_mut() {
            versions.sort_by_key(|listing| listing.published_at);
        }
        Self { servers }
    }

    /// A page of servers, by name and then the newest version first.
    ///
    /// # Errors
    /// If the cursor is none of an earlier page.
    pub fn page(&self, query: &Query) -> Result<Value, InvalidCursor> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let after = query.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        let after = after.map(|cursor| cursor.split_once(CURSOR).ok_or(InvalidCursor)).transpose()?;
        let newest_first = self.servers.values().flat_map(|versions| versions.iter().rev());
        let mut found: Vec<_> = newest_first.filter(|listing| self.answers(listing, query)).collect();
        if let Some((name, version)) = after {
            let is = |listing: &Listing| {
                listing.server.name.as_str() == name && listing.server.version.as_str() == version
            };
            let last = found.iter().position(|listing| is(listing)).map(|at| at.saturating_add(1));
            // What the last page ended with may be gone meanwhile; its name still has its place.
            let later = || found.iter().position(|listing| listing.server.name.as_str() > name);
            let from = last.or_else(later).unwrap_or(found.len());
            found.drain(..from);
        }
        Ok(self.write(found.into_iter(), limit))
    }

    /// Every version of a server, the newest first. `None`: there is no such server.
    pub fn versions(&self, name: &str, include_deleted: bool) -> Option<Value> {
        let query = Query { include_deleted, ..Query::default() };
        let versions = self.named(name)?.iter().rev().filter(|listing| self.answers(listing, &query));
        let versions: Vec<_> = versions.copied().collect();
        (!versions.is_empty()).then(|| self.write(versions.iter(), usize::MAX))
    }

    /// One version of a server, or the latest one.
    pub fn version(&self, name: &str, version: &str) -> Option<Value> {
        let mut versions = self.named(name)?.iter().rev();
        let found = versions.find(|listing| match version {
            LATEST => self.is_latest(listing),
            _ => listing.server.version.as_str() == version,
        });
        found.map(|listing| self.answer(listing))
    }

    fn named(&self, name: &str) -> Option<&Vec<&'a Listing>> {
        self.servers.iter().find(|(known, _)| known.as_str() == name).map(|(_, versions)| versions)
    }

    fn answers(&self, listing: &Listing, query: &Query) -> bool {
        let gone = listing.standing.status == Status::Deleted;
        let searched = query
            .search
            .as_deref()
            .is_none_or(|part| listing.server.name.as_str().to_lowercase().contains(&part.to_lowercase()));
        let of_version = match query.version.as_deref() {
            None => true,
            Some(LATEST) => self.is_latest(listing),
            Some(version) => listing.server.version.as_str() == version,
        };
        let changed = query.updated_since.is_none_or(|since| listing.updated_at >= since);
        searched && of_version && changed && (!gone || query.include_deleted || query.updated_since.is_some())
    }

    /// Whether it is the newest version that is not gone, or the newest if all are.
    fn is_latest(&self, listing: &Listing) -> bool {
        let Some(versions) = self.servers.get(&listing.server.name) else { return false };
        let there = versions.iter().rev().find(|other| other.standing.status != Status::Deleted);
        there.or(versions.last()).is_some_and(|latest| latest.server.version == listing.server.version)
    }

    fn write<'b>(&self, mut listings: impl Iterator<Item = &'b &'b Listing>, limit: usize) -> Value {
        let page: Vec<_> = listings.by_ref().take(limit).collect();
        let mut metadata = json!({"count": page.len()});
        if let (Some(last), Some(_), Some(fields)) = (page.last(), listings.next(), metadata.as_object_mut())
        {
            let cursor = format!("{}{CURSOR}{}", last.server.name.as_str(), last.server.version.as_str());
            fields.insert("nextCursor".into(), cursor.into());
        }
        let servers: Vec<_> = page.into_iter().map(|listing| self.answer(listing)).collect();
        json!({"servers": servers, "metadata": metadata})
    }

    fn answer(&self, listing: &Listing) -> Value {
        let Listing { server, standing, published_at, updated_at, .. } = listing;
        let mut official = json!({
            "status": standing.status,
            "statusChangedAt": standing.since.map_or_else(|| json!(published_at), |since| json!(since)),
            "publishedAt": published_at,
            "updatedAt": updated_at,
            "isLatest": self.is_latest(listing),
        });
        if let (Some(message), Some(fields)) = (&standing.message, official.as_object_mut()) {
            fields.insert("statusMessage".into(), message.as_str().into());
        }
        json!({"server": server, "_meta": {"io.modelcontextprotocol.registry/official": official}})
    }
}

/// The version that stands for the newest.
const LATEST: &str = "latest";

/// Between the name and the version of a cursor; neither has one.
const CURSOR: char = ':';

const DEFAULT_LIMIT: usize = 30;
const MAX_LIMIT: usize = 100;

#[cfg(test)]
mod tests;
