//! What the model "says": words and token counts, without any IO.

use serde_json::Value;

/// The words of one answer and why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// One word is one token.
    pub(crate) words: Vec<String>,
    /// `stop`, or `length` when `max_tokens` was given.
    pub(crate) finish_reason: &'static str,
}

impl Answer {
    /// Repeats `said`; with `max_tokens`, cuts or fills the answer with numbered words to that length.
    pub(crate) fn to(said: &str, max_tokens: Option<usize>) -> Self {
        let spoken = ["You", "said:"].into_iter().chain(said.split_whitespace()).map(str::to_owned);
        match max_tokens {
            None => Self { words: spoken.collect(), finish_reason: "stop" },
            Some(limit) => {
                let filler = (1_u32..).map(|number| format!("word{number}"));
                Self { words: spoken.chain(filler).take(limit).collect(), finish_reason: "length" }
            }
        }
    }

    /// Says `text`; with `max_tokens`, no more than so many words of it.
    pub(crate) fn scripted(text: &str, max_tokens: Option<usize>) -> Self {
        let limit = max_tokens.unwrap_or(usize::MAX);
        let mut words = text.split(' ').map(str::to_owned);
        let said = words.by_ref().take(limit).collect();
        let finish_reason = if words.next().is_some() { "length" } else { "stop" };
        Self { words: said, finish_reason }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }

    /// The text token by token; joined, the pieces are [`Self::text`].
    pub(crate) fn pieces(&self) -> impl Iterator<Item = String> + '_ {
        self.words
            .iter()
            .enumerate()
            .map(|(at, word)| if at == 0 { word.clone() } else { format!(" {word}") })
    }
}

/// How many tokens a text has: its words.
pub(crate) fn tokens(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The text of a message's `content`, of a `prompt` or of an `input`: a string, or a list of strings or of
/// parts with a `text`. A list of token numbers is text of as many words.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(token) => token.to_string(),
        Value::Array(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join(" "),
        Value::Object(part) => part.get("text").map(text_of).unwrap_or_default(),
        Value::Null | Value::Bool(_) => String::new(),
    }
}

/// A vector of unit length that depends on the text alone.
pub(crate) fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    // FNV-1a to seed, then a xorshift step for each dimension.
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let raw: Vec<f32> = (0..dimensions)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from(i16::from_ne_bytes([state.to_le_bytes()[0], state.to_le_bytes()[1]]))
        })
        .collect();
    let length = raw.iter().fold(0.0_f32, |sum, value| value.mul_add(*value, sum)).sqrt().max(1.0);
    raw.into_iter().map(|value| value / length).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_repeats_what_was_said_and_stops() {
        let answer = Answer::to("hello  there", None);
        assert_eq!((answer.text().as_str(), answer.finish_reason), ("You said: hello there", "stop"));
    }

    #[test]
    fn max_tokens_is_met_exactly_by_filling_or_cutting() {
        for (limit, text) in [(0, ""), (2, "You said:"), (3, "You said: hi"), (5, "You said: hi word1 word2")]
        {
            let answer = Answer::to("hi", Some(limit));
            assert_eq!((answer.text().as_str(), answer.finish_reason), (text, "length"));
            assert_eq!(answer.words.len(), limit);
        }
    }

    #[test]
    fn the_pieces_of_an_answer_are_its_text() {
        let answer = Answer::to("a b", Some(9));
        assert_eq!(answer.pieces().collect::<String>(), answer.text());
    }

    #[test]
    fn content_may_be_a_string_or_parts() {
        assert_eq!(text_of(&json!("a b")), "a b");
        assert_eq!(text_of(&json!([{"type": "text", "text": "a"}, {"type": "image_url"}, "b"])), "a  b");
        assert_eq!(tokens(&text_of(&json!([1, 2, 3]))), 3);
    }

    #[test]
    fn an_embedding_depends_on_its_text_and_has_unit_length() {
        let one = embedding("one", 64);
        assert_eq!(one, embedding("one", 64));
        assert_ne!(one, embedding("two", 64));
        let length: f32 = one.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-3, "{length}");
    }
}
