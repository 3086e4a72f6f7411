//! One of the answers that a response has, and where its client finds what the model has thought.

use core::ops::Range;

use super::think::{CLOSING, OPENING, ThinkSplit};
use crate::walk::{self, Place};

/// Where a client finds what a model has thought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Think {
    /// Where the upstream has it.
    #[default]
    Keep,
    /// In `reasoning_content`.
    Apart,
    /// Nowhere.
    Strip,
    /// Between `<think>` and `</think>` at the start of the content.
    Tags,
}

/// What has come of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    split: ThinkSplit,
    /// A tag has been written to the client and not yet its end.
    open: bool,
}

/// The members of a delta or a message that matter here.
#[derive(Debug, Default)]
struct Parts {
    content: Option<Place>,
    reasoning_content: Option<Place>,
    reasoning: Option<Place>,
    /// Thoughts in a form of their own.
    details: Option<Place>,
    has_more: bool,
}

/// Replacements in a delta, in no order.
pub(super) type Edits = Vec<(Range<usize>, Vec<u8>)>;

impl Thread {
    /// Whether the client has not yet been told all that has come.
    pub(super) fn is_pending(&self) -> bool {
        self.open || self.split.is_holding()
    }

    /// What puts the thoughts of a delta, or of a whole message, where they belong. `last`: nothing comes after it. Also
    /// whether the delta then says nothing.
    pub(super) fn edits(
        &mut self,
        json: &[u8],
        object: Range<usize>,
        think: Think,
        last: bool,
    ) -> (Edits, bool) {
        let parts = Parts::of(json, object.clone());
        let mut edits = Edits::new();
        let silent = match think {
            Think::Keep => return (edits, false),
            Think::Apart => self.apart(json, &parts, last, &mut edits),
            Think::Strip => self.strip(json, &parts, last, &mut edits),
            Think::Tags => {
                self.tags(json, &parts, last, &mut edits);
                false
            }
        };
        if parts.content.is_none() && last && self.is_pending() {
            let start = object.start.saturating_add(1);
            let comma = if walk::members(json, object).next().is_some() { "," } else { "" };
            edits.push((start..start, format!("{}{comma}", self.finish(think)).into_bytes()));
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        (edits, silent && !parts.has_more)
    }

    /// What is left at the end, as the members of a delta.
    pub(super) fn finish(&mut self, think: Think) -> String {
        let (mut thought, mut said) = (String::new(), String::new());
        self.split.finish(&mut thought, &mut said);
        if core::mem::take(&mut self.open) {
            said.insert_str(0, CLOSING);
        }
        members(think, &thought, &said)
    }

    fn apart(&mut self, json: &[u8], parts: &Parts, last: bool, edits: &mut Edits) -> bool {
        if let (Some(reasoning), None) = (&parts.reasoning, &parts.reasoning_content) {
            edits.push((reasoning.name.clone(), REASONING_CONTENT.into()));
        }
        if parts.thoughts().any(|place| !text(json, place).is_empty()) {
            // Whoever parts them already means every tag.
            self.split = ThinkSplit::saying();
            return false;
        }
        self.content(json, parts, Think::Apart, last, edits)
    }

    fn strip(&mut self, json: &[u8], parts: &Parts, last: bool, edits: &mut Edits) -> bool {
        edits.extend(parts.thoughts().chain(&parts.details).filter_map(|place| nothing(json, place)));
        let apart = !edits.is_empty();
        if apart {
            self.split = ThinkSplit::saying();
        }
        let silent = self.content(json, parts, Think::Strip, last, edits);
        silent || apart && parts.content.as_ref().is_none_or(|place| text(json, place).is_empty())
    }

    /// Takes the thoughts out of the content; whether nothing is left of it.
    fn content(&mut self, json: &[u8], parts: &Parts, think: Think, last: bool, edits: &mut Edits) -> bool {
        let Some(content) = &parts.content else { return false };
        let Some(literal) = json.get(content.value.clone()).filter(|value| value.starts_with(b"\"")) else {
            return false;
        };
        if self.split.is_saying() {
            return false;
        }
        if self.split.is_thinking() && !last && !has_tag(literal) {
            match think {
                Think::Strip => edits.push((content.value.clone(), EMPTY.into())),
                Think::Keep | Think::Apart | Think::Tags => {
                    edits.push((content.name.clone(), REASONING_CONTENT.into()));
                }
            }
            return think == Think::Strip;
        }
        let Ok(text) = serde_json::from_slice::<String>(literal) else { return false };
        let (mut thought, mut said) = (String::new(), String::new());
        self.split.feed(&text, &mut thought, &mut said);
        if last {
            self.split.finish(&mut thought, &mut said);
        }
        if said == text {
            return false;
        }
        let silent = said.is_empty() && (thought.is_empty() || think == Think::Strip);
        let all = content.name.start..content.value.end;
        // A whole message has a content in any case.
        let both = last && !thought.is_empty() && said.is_empty() && think == Think::Apart;
        let mut written = members(think, &thought, &said);
        if both {
            written.push_str(r#","content":"""#);
        }
        edits.push((all, written.into_bytes()));
        silent
    }

    /// Puts the thoughts before the content, between tags.
    fn tags(&mut self, json: &[u8], parts: &Parts, last: bool, edits: &mut Edits) {
        let reasoning = parts.reasoning_content.as_ref().or(parts.reasoning.as_ref());
        let reasoning = reasoning.filter(|place| !text(json, place).is_empty());
        let thought = reasoning.map_or(&b""[..], |place| text(json, place));
        let said = parts.content.as_ref().map_or(&b""[..], |place| text(json, place));
        let opens = !thought.is_empty() && !self.open;
        let closes = (self.open || opens) && (last || !said.is_empty());
        if thought.is_empty() && !closes {
            return;
        }
        let tag = |wanted, tag: &'static str| if wanted { tag.as_bytes() } else { b"" };
        let parted = [b"\"", tag(opens, OPENING), thought, tag(closes, CLOSING), said, b"\""].concat();
        match (&parts.content, reasoning) {
            (Some(content), _) => edits.push((content.value.clone(), parted)),
            (None, Some(place)) => {
                let member = [&br#""content":"#[..], &parted].concat();
                edits.push((place.name.start..place.value.end, member));
            }
            // There is no place for it, and it stays pending.
            (None, None) => return,
        }
        self.open = (self.open || opens) && !closes;
        let replaced = reasoning.filter(|_| parts.content.is_none());
        edits.extend(
            parts
                .thoughts()
                .filter(|place| Some(*place) != replaced)
                .filter_map(|place| nothing(json, place)),
        );
    }
}

impl Parts {
    /// The members that are thoughts.
    fn thoughts(&self) -> impl Iterator<Item = &Place> {
        [&self.reasoning, &self.reasoning_content].into_iter().flatten()
    }

    fn of(json: &[u8], object: Range<usize>) -> Self {
        let mut parts = Self::default();
        for place in walk::members(json, object) {
            match walk::name_of(json, &place) {
                b"content" => parts.content = Some(place),
                b"reasoning_content" => parts.reasoning_content = Some(place),
                b"reasoning" => parts.reasoning = Some(place),
                b"reasoning_details" => parts.details = Some(place),
                _ => parts.has_more |= json.get(place.value) != Some(b"null"),
            }
        }
        parts
    }
}

/// The edit that leaves nothing of a member that has something.
fn nothing(json: &[u8], place: &Place) -> Option<(Range<usize>, Vec<u8>)> {
    let empty =
        json.get(place.value.clone()).is_none_or(|value| [&b"null"[..], EMPTY.as_bytes()].contains(&value));
    (!empty).then(|| (place.value.clone(), b"null".into()))
}

/// The members of a delta with these texts.
fn members(think: Think, thought: &str, said: &str) -> String {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let shown = if think == Think::Apart { thought } else { "" };
    match (shown, said) {
        ("", said) => format!(r#""content":{}"#, json(said)),
        (thought, "") => format!(r#""reasoning_content":{}"#, json(thought)),
        (thought, said) => format!(r#""reasoning_content":{},"content":{}"#, json(thought), json(said)),
    }
}

/// A string as it is written; nothing if it is none.
fn text<'a>(json: &'a [u8], place: &Place) -> &'a [u8] {
    json.get(place.value.clone()).and_then(walk::inside).unwrap_or_default()
}

/// Whether a tag can begin in a string: with `<`, as it is or as an escape.
fn has_tag(literal: &[u8]) -> bool {
    memchr::memchr(b'<', literal).is_some() || memchr::memmem::find(literal, br"\u003").is_some()
}

const REASONING_CONTENT: &str = r#""reasoning_content""#;
const EMPTY: &str = r#""""#;
