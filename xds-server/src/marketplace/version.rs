//! Which of several versions is the latest.

use std::cmp::Ordering;

/// The order of versions: by semantic versioning (2.0.0, section 11) where both are of it, which comes after what is not.
/// `Equal` where it does not tell; then the time of publication does.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    match (Semantic::parse(one), Semantic::parse(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => Ordering::Equal,
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Semantic<'a> {
    core: [u64; 3],
    before: Before<'a>,
}

/// What a version comes before: one without this is later.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Before<'a> {
    Release(Vec<Part<'a>>),
    Nothing,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(u64),
    Word(&'a str),
}

impl<'a> Semantic<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
        let mut numbers = core.split('.').map(number);
        let core = [numbers.next()??, numbers.next()??, numbers.next()??];
        let part = |text| number(text).map_or(Part::Word(text), Part::Number);
        let before =
            before.map_or(Before::Nothing, |before| Before::Release(before.split('.').map(part).collect()));
        numbers.next().is_none().then_some(Self { core, before })
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_semantic_versioning_says() {
        let ordered = [
            "nightly",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2.0",
            "1.10.0",
        ];
        for (nth, one) in ordered.iter().enumerate() {
            for (other_nth, other) in ordered.iter().enumerate() {
                assert_eq!(compare(one, other), nth.cmp(&other_nth), "{one} {other}");
            }
        }
        assert_eq!(compare("1.0.0+1", "1.0.0+2"), Ordering::Equal);
        assert_eq!(compare("2026.11", "v1.0"), Ordering::Equal);
    }
}
