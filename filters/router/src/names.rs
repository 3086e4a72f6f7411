//! Which model a name means, among those of one owner.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use weir_schema::ModelName;
use weir_schema::router::Model;

/// The names of some models. Finding one takes as long with a thousand of them as with ten.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<String, usize>,
    aliases: HashMap<String, usize>,
    wildcards: Wildcards,
}

/// Names with a `*`: by the length of what comes before it, the longest first, then by that text.
#[derive(Debug, Default)]
struct Wildcards(BTreeMap<Reverse<usize>, HashMap<String, Vec<Tail>>>);

/// What comes after the `*`, and whose name it is.
#[derive(Debug)]
struct Tail {
    text: String,
    model: usize,
}

/// A model that a name means because of its `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match<'a> {
    pub(crate) model: usize,
    /// What the `*` stands for.
    pub(crate) star: &'a str,
}

impl Names {
    /// Takes up a model's names. `Err` is the field with one that another model has.
    pub(crate) fn add(&mut self, model: &Model, at: usize) -> Result<(), &'static str> {
        let name = model.name.as_str();
        let is_free = match name.split_once('*') {
            Some((head, tail)) => self.wildcards.add(head, tail, at),
            None => self.exact.insert(name.to_owned(), at).is_none(),
        };
        if !is_free {
            return Err("name");
        }
        let mut aliases = model.aliases.iter().map(ModelName::to_string);
        let is_free = aliases.all(|alias| self.aliases.insert(alias, at).is_none());
        if is_free { Ok(()) } else { Err("aliases") }
    }

    /// The model of this name.
    pub(crate) fn exact(&self, name: &str) -> Option<usize> {
        self.exact.get(name).copied()
    }

    /// The model that has this as another name.
    pub(crate) fn alias(&self, name: &str) -> Option<usize> {
        self.aliases.get(name).copied()
    }

    /// The model with the longest name that is `name` but for its `*`, and how long that is without it.
    pub(crate) fn wildcard<'a>(&self, name: &'a str) -> Option<(Match<'a>, (usize, usize))> {
        self.wildcards.find(name)
    }
}

impl Wildcards {
    fn add(&mut self, head: &str, tail: &str, model: usize) -> bool {
        let heads = self.0.entry(Reverse(head.len())).or_default();
        let tails = heads.entry(head.to_owned()).or_default();
        if tails.iter().any(|other| other.text == tail) {
            return false;
        }
        let at = tails.partition_point(|other| other.text.len() >= tail.len());
        tails.insert(at, Tail { text: tail.to_owned(), model });
        true
    }

    fn find<'a>(&self, name: &'a str) -> Option<(Match<'a>, (usize, usize))> {
        self.0.iter().find_map(|(Reverse(len), heads)| {
            let (head, rest) = name.split_at_checked(*len)?;
            heads.get(head)?.iter().find_map(|tail| {
                let star = rest.strip_suffix(tail.text.as_str()).filter(|star| !star.is_empty())?;
                Some((Match { model: tail.model, star }, (*len, tail.text.len())))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(models: &[&str]) -> Names {
        let mut names = Names::default();
        for (at, name) in models.iter().enumerate() {
            let model = serde_json::from_value(serde_json::json!({"name": name, "route": "r"})).unwrap();
            names.add(&model, at).unwrap();
        }
        names
    }

    #[test]
    fn the_wildcard_with_the_most_before_its_star_is_meant_then_the_one_with_the_most_after_it() {
        let names = names(&["*", "openai/*", "openai/gpt-*", "openai/gpt-*-mini", "*-mini", "openai/*-mini"]);
        for (name, expected) in [
            ("other", Some((0, "other"))),
            ("other-mini", Some((4, "other"))),
            ("openai/o3", Some((1, "o3"))),
            ("openai/o3-mini", Some((5, "o3"))),
            ("openai/gpt-4o", Some((2, "4o"))),
            ("openai/gpt-4o-mini", Some((3, "4o"))),
            ("openai/gpt--mini", Some((2, "-mini"))),
            ("openai/gpt-", Some((1, "gpt-"))),
            ("openai/", Some((0, "openai/"))),
            ("é", Some((0, "é"))),
            ("", None),
        ] {
            let found = names.wildcard(name).map(|(found, _)| (found.model, found.star));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_wildcard_never_cuts_a_character_in_two() {
        assert_eq!(names(&["a*", "xyz*"]).wildcard("aéé").map(|(found, _)| found.star), Some("éé"));
        assert_eq!(names(&["ab*"]).wildcard("aé"), None);
    }
}
