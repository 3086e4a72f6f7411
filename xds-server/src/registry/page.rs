//! Lists in pieces.

use std::{collections::BTreeMap, ops::Bound};

use super::{Entry, View};
use crate::object::ObjectKind;

/// Which objects are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Their kind.
    pub kind: ObjectKind,
    /// The name after which they begin.
    pub after: Option<String>,
    /// How many there may be.
    pub limit: usize,
    /// Labels that they have.
    pub labels: Vec<(String, String)>,
}

/// Some objects, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub views: Vec<View>,
    /// The name after which the next ones begin; none if these are the last.
    pub next: Option<String>,
}

impl Query {
    pub(super) fn page(&self, all: &BTreeMap<String, Entry<'_>>) -> Page {
        let start = self.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let matching = all.range::<String, _>((start, Bound::Unbounded)).map(|(_, entry)| entry.view());
        let matching = matching.filter(|view| self.labels.iter().all(|label| has(view, label)));
        let mut views: Vec<View> = matching.take(self.limit.saturating_add(1)).collect();
        let more = views.len() > self.limit;
        views.truncate(self.limit);
        let next = views.last().filter(|_| more).map(|view| view.id.name.clone());
        Page { views, next }
    }
}

fn has(view: &View, (label, value): &(String, String)) -> bool {
    view.spec.get("labels").and_then(|labels| labels.get(label)).is_some_and(|known| known == value)
}
