//! Everything that somebody is shown of a marketplace, and the pages of it.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weir_schema::Name;

use super::{document::Document, version::compare};

/// A document that was published over the API, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The document.
    pub document: Document,
    /// The tenant that has published it, for itself. Absent: it is for everyone.
    pub domain: Option<Name>,
    /// Whether it is to be used.
    pub status: Lifecycle,
    /// Why, or what to use in its place.
    pub status_message: Option<String>,
    /// When that was said last.
    pub status_changed_at: Timestamp,
    /// When it was published first.
    pub published_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// Whether a server is to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// It is.
    #[default]
    Active,
    /// Better not.
    Deprecated,
    /// It is gone; those who keep a copy of the list are told so.
    Deleted,
}

/// Who is shown what, at one time: one entry for each version of each server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Market {
    entries: Vec<Entry>,
}

/// A version of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    server: Map<String, Value>,
    status: Lifecycle,
    status_message: Option<String>,
    status_changed_at: Timestamp,
    published_at: Timestamp,
    updated_at: Timestamp,
    is_latest: bool,
}

/// Which entries are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The name and version after which they begin.
    pub after: Option<(String, String)>,
    /// How many there may be.
    pub limit: usize,
    /// A part of their name.
    pub search: Option<String>,
    /// Changed since then.
    pub updated_since: Option<Timestamp>,
    /// `latest`, or one version.
    pub version: Option<String>,
    /// Those too that are gone.
    pub include_deleted: bool,
}

impl Lifecycle {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Active, Self::Deprecated, Self::Deleted];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Deleted => "deleted",
        }
    }

    /// The one that is written so.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl Market {
    /// What the configuration offers, each with when it was first and last written, and what was published. An offer
    /// stands before what was published under its name.
    pub fn new<'a>(
        offers: impl IntoIterator<Item = (Map<String, Value>, (Timestamp, Timestamp))>,
        published: impl IntoIterator<Item = &'a Published>,
    ) -> Self {
        let offered = offers.into_iter().map(|(server, (published_at, updated_at))| Entry {
            server,
            status: Lifecycle::Active,
            status_message: None,
            status_changed_at: published_at,
            published_at,
            updated_at,
            is_latest: false,
        });
        let mut entries: Vec<_> = offered.collect();
        // Two offers whose names can be told apart in the configuration only: the first one stands.
        entries.sort_by(|one, other| one.place().cmp(&other.place()));
        entries.dedup_by(|later, first| later.name() == first.name());
        let names: BTreeSet<_> = entries.iter().map(|entry| entry.name().to_owned()).collect();
        let published = published.into_iter().filter(|published| !names.contains(published.document.name()));
        entries.extend(published.map(Entry::of));
        entries.sort_by(|one, other| one.place().cmp(&other.place()));
        for versions in entries.chunk_by_mut(|one, other| one.name() == other.name()) {
            if let Some(latest) = versions.iter_mut().max_by(|one, other| one.precedence(other)) {
                latest.is_latest = true;
            }
        }
        Self { entries }
    }

    /// One page: `ServerList`.
    pub fn page(&self, query: &Query) -> Value {
        let search = query.search.as_ref().map(|text| text.to_lowercase());
        let after = query.after.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
        let with_deleted = query.include_deleted || query.updated_since.is_some();
        let found = self.entries.iter().filter(|entry| {
            after.is_none_or(|after| entry.place() > after)
                && search.as_ref().is_none_or(|text| entry.name().to_lowercase().contains(text))
                && query.updated_since.is_none_or(|since| entry.updated_at >= since)
                && entry.is_shown(with_deleted)
                && match query.version.as_deref() {
                    None => true,
                    Some(LATEST) => entry.is_latest,
                    Some(version) => entry.version() == version,
                }
        });
        let mut page: Vec<_> = found.take(query.limit.saturating_add(1)).collect();
        let more = page.len() > query.limit;
        page.truncate(query.limit);
        list(&page, page.last().filter(|_| more).map(|last| cursor(last.name(), last.version())))
    }

    /// All versions of a server, the newest first: `ServerList`. `None`: there is no such server.
    pub fn versions(&self, name: &str, with_deleted: bool) -> Option<Value> {
        let found = self.entries.iter().filter(|entry| entry.name() == name && entry.is_shown(with_deleted));
        let mut found: Vec<_> = found.collect();
        found.sort_by(|one, other| {
            other.published_at.cmp(&one.published_at).then_with(|| other.precedence(one))
        });
        (!found.is_empty()).then(|| list(&found, None))
    }

    /// One version of a server, or the latest: `ServerResponse`.
    pub fn version(&self, name: &str, version: &str, with_deleted: bool) -> Option<Value> {
        let is_it = |entry: &&Entry| match version {
            LATEST => entry.is_latest,
            version => entry.version() == version,
        };
        let mut of_name = self.entries.iter().filter(|entry| entry.name() == name);
        of_name.find(is_it).filter(|entry| entry.is_shown(with_deleted)).map(Entry::shown)
    }
}

impl Entry {
    fn of(published: &Published) -> Self {
        let Published {
            document, status, status_message, status_changed_at, published_at, updated_at, ..
        } = published.clone();
        let server = document.fields().clone();
        Self { server, status, status_message, status_changed_at, published_at, updated_at, is_latest: false }
    }

    fn name(&self) -> &str {
        self.server.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    fn version(&self) -> &str {
        self.server.get("version").and_then(Value::as_str).unwrap_or_default()
    }

    fn place(&self) -> (&str, &str) {
        (self.name(), self.version())
    }

    fn is_shown(&self, with_deleted: bool) -> bool {
        with_deleted || self.status != Lifecycle::Deleted
    }

    /// Which of two versions of a server is later. What is gone is before what is there.
    fn precedence(&self, other: &Self) -> std::cmp::Ordering {
        let is_there = |entry: &Self| entry.status != Lifecycle::Deleted;
        is_there(self)
            .cmp(&is_there(other))
            .then_with(|| compare(self.version(), other.version()))
            .then_with(|| self.published_at.cmp(&other.published_at))
    }

    fn shown(&self) -> Value {
        let mut about = json!({
            "status": self.status,
            "statusChangedAt": self.status_changed_at,
            "publishedAt": self.published_at,
            "updatedAt": self.updated_at,
            "isLatest": self.is_latest,
        });
        if let (Some(message), Some(fields)) = (&self.status_message, about.as_object_mut()) {
            fields.insert("statusMessage".into(), message.as_str().into());
        }
        json!({"server": self.server, "_meta": {OFFICIAL: about}})
    }
}

fn list(entries: &[&Entry], next: Option<String>) -> Value {
    let servers: Vec<_> = entries.iter().map(|entry| entry.shown()).collect();
    let mut metadata = json!({"count": servers.len()});
    if let (Some(next), Some(fields)) = (next, metadata.as_object_mut()) {
        fields.insert("nextCursor".into(), next.into());
    }
    json!({"servers": servers, "metadata": metadata})
}

/// The text that stands for all entries after this one.
fn cursor(name: &str, version: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{name}\n{version}"))
}

/// What a cursor stands for.
pub(super) fn after(cursor: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.split_once('\n').map(|(name, version)| (name.to_owned(), version.to_owned()))
}

const LATEST: &str = "latest";
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";
