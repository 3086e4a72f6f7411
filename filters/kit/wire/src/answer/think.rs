//! What a model thinks aloud, told from what it says.

/// Parts a text that comes in pieces into what its model has thought and what it says.
///
/// Only what stands between `<think>` and `</think>` at the start of the text is thought: a model that explains these tags later
/// means the words. Blanks around the tags belong to them; without a closing tag all is thought.
///
/// ```
/// # use weir_wire::answer::ThinkSplit;
/// let (mut split, mut thought, mut said) = (ThinkSplit::default(), String::new(), String::new());
/// for piece in ["<th", "ink>\nhm</thi", "nk>\n\nFour, as </think>", " says."] {
///     split.feed(piece, &mut thought, &mut said);
/// }
/// split.finish(&mut thought, &mut said);
/// assert_eq!((thought.as_str(), said.as_str()), ("hm", "Four, as </think> says."));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThinkSplit {
    at: At,
    /// What is known only with what comes next.
    held: String,
}

/// Where in the text it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At blanks, or in the opening tag.
    #[default]
    Start,
    /// At blanks after the opening tag.
    Opened,
    Thinking,
    /// At blanks after the closing tag.
    Closed,
    Saying,
}

impl ThinkSplit {
    /// The split of a text of which nothing is thought.
    pub(super) fn saying() -> Self {
        Self { at: At::Saying, held: String::new() }
    }

    /// Whether all that comes is said.
    pub(super) fn is_saying(&self) -> bool {
        self.at == At::Saying
    }

    /// Whether all that comes before the next `<` is thought.
    pub(super) fn is_thinking(&self) -> bool {
        self.at == At::Thinking && self.held.is_empty()
    }

    /// Whether something is held back.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Reads on.
    pub fn feed(&mut self, text: &str, thought: &mut String, said: &mut String) {
        let mut rest = text;
        while !rest.is_empty() {
            rest = match self.at {
                At::Start => self.start(rest, said),
                At::Opened => self.blanks(rest, At::Thinking),
                At::Thinking => self.think(rest, thought),
                At::Closed => self.blanks(rest, At::Saying),
                At::Saying => {
                    said.push_str(rest);
                    ""
                }
            };
        }
    }

    /// Says that the text has ended.
    pub fn finish(&mut self, thought: &mut String, said: &mut String) {
        let to = if self.at == At::Thinking { thought } else { said };
        to.push_str(&core::mem::take(&mut self.held));
        self.at = At::Saying;
    }

    fn start<'a>(&mut self, text: &'a str, said: &mut String) -> &'a str {
        let before = self.held.len();
        self.held.push_str(text);
        let tag = self.held.trim_start_matches(BLANK);
        let blanks = self.held.len().saturating_sub(tag.len());
        if blanks > MOST_BLANKS || !(tag.starts_with(OPENING) || OPENING.starts_with(tag)) {
            said.push_str(&core::mem::take(&mut self.held));
            self.at = At::Saying;
            return "";
        }
        if !tag.starts_with(OPENING) {
            return "";
        }
        let used = blanks.saturating_add(OPENING.len()).saturating_sub(before);
        self.held.clear();
        self.at = At::Opened;
        text.get(used..).unwrap_or_default()
    }

    fn blanks<'a>(&mut self, text: &'a str, next: At) -> &'a str {
        let rest = text.trim_start_matches(BLANK);
        if !rest.is_empty() {
            self.at = next;
        }
        rest
    }

    fn think<'a>(&mut self, text: &'a str, thought: &mut String) -> &'a str {
        let before = self.held.len();
        self.held.push_str(text);
        if let Some(at) = self.held.find(CLOSING) {
            thought.push_str(self.held.get(..at).unwrap_or_default());
            let used = at.saturating_add(CLOSING.len()).saturating_sub(before);
            self.held.clear();
            self.at = At::Closed;
            return text.get(used..).unwrap_or_default();
        }
        let start = |len: &usize| CLOSING.get(..*len).is_some_and(|start| self.held.ends_with(start));
        let kept = (1..CLOSING.len()).rev().find(start).unwrap_or(0);
        thought.extend(self.held.drain(..self.held.len().saturating_sub(kept)));
        ""
    }
}

pub(super) const OPENING: &str = "<think>";
pub(super) const CLOSING: &str = "</think>";
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];
/// How many blanks may stand before the opening tag.
const MOST_BLANKS: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&str]) -> (String, String) {
        let (mut split, mut thought, mut said) = (ThinkSplit::default(), String::new(), String::new());
        for piece in pieces {
            split.feed(piece, &mut thought, &mut said);
        }
        split.finish(&mut thought, &mut said);
        (thought, said)
    }

    /// What the whole text means, by another way than the one that is tested.
    #[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
    fn expected(text: &str) -> (String, String) {
        let trimmed = text.trim_start_matches([' ', '\t', '\r', '\n']);
        let inside = trimmed.strip_prefix("<think>").filter(|_| text.len() - trimmed.len() <= 256);
        let Some(inside) = inside else { return (String::new(), text.to_owned()) };
        let (thought, said) = inside.split_once("</think>").unwrap_or((inside, ""));
        let trimmed = |text: &str| text.trim_start_matches([' ', '\t', '\r', '\n']).to_owned();
        (trimmed(thought), trimmed(said))
    }

    #[test]
    fn only_a_block_at_the_start_is_thought() {
        for (text, thought, said) in [
            ("<think>a</think>b", "a", "b"),
            (" \n<think>\n a \n</think>\n\n b ", "a \n", "b "),
            ("<think></think>b", "", "b"),
            ("<think>a", "a", ""),
            ("<think>a</thi", "a</thi", ""),
            ("<thin", "", "<thin"),
            ("  ", "", "  "),
            ("", "", ""),
            ("b <think>a</think>", "", "b <think>a</think>"),
            ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
            ("</think>b", "", "</think>b"),
            ("<think><think>a</think>b</think>", "<think>a", "b</think>"),
        ] {
            assert_eq!(split(&[text]), (thought.to_owned(), said.to_owned()), "{text}");
            assert_eq!(expected(text), (thought.to_owned(), said.to_owned()), "{text}");
        }
        let blanks = " ".repeat(257);
        assert_eq!(split(&[&blanks, "<think>a"]).0, "");
    }

    fn boundary(text: &str, at: usize) -> usize {
        (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap()
    }

    proptest! {
        #[test]
        fn any_text_in_any_pieces_is_split_like_the_whole(
            text in "( |\n)?(<think>)?(<think>|</think>|<|/|th|ink>|[ \n]|水|[a-z<>]){0,12}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| boundary(&text, cut.index(text.len().max(1)))).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(split(&pieces), expected(&text));
        }
    }
}
