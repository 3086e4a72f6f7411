//! Many objects in one change.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Owner, Refusal, Registry, State};
use crate::{
    object::{Object, ObjectId},
    store::Change,
};

/// What has become of an object, or would become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Which object.
    pub id: ObjectId,
    /// What has become of it.
    pub outcome: Outcome,
}

/// What can become of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Created,
    /// It is another one; these of its fields are.
    Changed(Vec<String>),
    /// It is as it was.
    Unchanged,
    /// It is gone.
    Deleted,
}

impl Registry {
    /// Writes all of the objects or none and, with `prune`, removes those of the API that are not among them. With
    /// `dry_run` the change is checked and not made.
    pub fn apply(&self, objects: Vec<Object>, prune: bool, dry_run: bool) -> Result<Vec<Applied>, Refusal> {
        self.change(|writer| {
            let (applied, changes) = writer.state.differences(&objects, prune)?;
            if dry_run {
                writer.state.candidate(&changes)?;
            } else if !changes.is_empty() {
                writer.write(&changes)?;
            }
            Ok(applied)
        })
    }
}

impl State {
    /// What would become of each object, and the changes that make it so.
    fn differences(&self, objects: &[Object], prune: bool) -> Result<(Vec<Applied>, Vec<Change>), Refusal> {
        self.store()?;
        let (mut named, mut applied, mut changes) = (BTreeSet::new(), Vec::new(), Vec::new());
        for object in objects {
            let id = object.id();
            if !named.insert(id.clone()) {
                return Err(Refusal::of_repetition(id));
            }
            let outcome = match self.changeable(&id)? {
                None => Outcome::Created,
                Some(before) if before.spec == object.spec() => Outcome::Unchanged,
                Some(before) => Outcome::Changed(differences(&before.spec, &object.spec())),
            };
            if outcome != Outcome::Unchanged {
                changes.push(Change::Put(object.clone()));
            }
            applied.push(Applied { id, outcome });
        }
        for id in self.contents.objects.keys().filter(|id| prune && !named.contains(id)) {
            debug_assert!(self.view(id).is_some_and(|view| view.owner == Owner::Api));
            changes.push(Change::Delete(id.clone()));
            applied.push(Applied { id: id.clone(), outcome: Outcome::Deleted });
        }
        Ok((applied, changes))
    }
}

/// The paths of the fields that are not the same: `targets[0].weight`.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of =
                    |fields: &serde_json::Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                compare(&at, &of(old), &of(new), found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (nth, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{path}[{nth}]"), old, new, found);
            }
        }
        _ if before == after => {}
        _ => found.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_is_named_by_its_path() {
        let before =
            json!({"name": "index", "targets": [{"provider": "a", "weight": 1}], "timeouts": {"idle": "5m"}});
        let after = json!({"name": "index", "targets": [{"provider": "a", "weight": 2}], "timeouts": {"total": "5m"}});
        assert_eq!(differences(&before, &after), ["targets[0].weight", "timeouts.idle", "timeouts.total"]);
        let more = json!({"name": "index", "targets": [], "timeouts": {"idle": "5m"}});
        assert_eq!(differences(&before, &more), ["targets"]);
        assert!(differences(&before, &before).is_empty());
    }
}
