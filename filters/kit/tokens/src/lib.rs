//! How many tokens a prompt is, exactly: by the tables of OpenAI's models.
//!
//! The tables are megabytes of a module, and once they are used tens of megabytes of its memory, so a filter has them only
//! in a module of its own. A worker does nothing else while it encodes; so no more than [`CAP`] bytes are.
//!
//! ```
//! # use weir_schema::quota::Encoding;
//! let body = br#"{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello world"}]}"#;
//! assert_eq!(weir_tokens::of_body(Encoding::O200k, body, body.len() as u64), Some(9));
//! ```

mod cut;
mod prompt;

use tiktoken_rs::{cl100k_base_singleton, o200k_base_singleton};
use weir_schema::quota::Encoding;

/// How many tokens a text is. The table is unfolded when it is first used.
pub fn of_text(encoding: Encoding, text: &str) -> u64 {
    let table = match encoding {
        Encoding::O200k => o200k_base_singleton(),
        Encoding::Cl100k => cl100k_base_singleton(),
    };
    u64::try_from(table.count_ordinary(text)).unwrap_or(u64::MAX)
}

/// How many tokens the prompt is that a request's JSON body has, by its beginning and its length. What lies behind [`CAP`],
/// or is not there, is taken to go on alike. `None`: no JSON.
pub fn of_body(encoding: Encoding, start: &[u8], length: u64) -> Option<u64> {
    let start = start.get(..CAP).unwrap_or(start);
    let seen = u64::try_from(start.len()).unwrap_or(u64::MAX);
    let body = if length > seen { cut::read(start)? } else { serde_json::from_slice(start).ok()? };
    let tokens = u128::from(prompt::tokens(&body, &|text| of_text(encoding, text)));
    let all = tokens.saturating_mul(length.max(seen).into()).checked_div(seen.into())?;
    Some(u64::try_from(all).unwrap_or(u64::MAX))
}

/// How many bytes of a prompt are written as tokens.
pub const CAP: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_many_tokens_as_openai_says() {
        for (text, cl100k, o200k) in PAIRS {
            let counted = (of_text(Encoding::Cl100k, text), of_text(Encoding::O200k, text));
            assert_eq!(counted, (cl100k, o200k), "{text:?}");
        }
    }

    #[test]
    fn a_chat_is_as_many_tokens_as_openais_api_counts() {
        let counted = |encoding| of_body(encoding, COOKBOOK.as_bytes(), COOKBOOK.len() as u64);
        assert_eq!((counted(Encoding::Cl100k), counted(Encoding::O200k)), (Some(129), Some(124)));
    }

    #[test]
    fn what_lies_behind_the_cap_is_taken_to_go_on_alike() {
        let body = |words: usize| {
            format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "word ".repeat(words))
        };
        let (short, long) = (body(1000), body(100_000));
        let of = |text: &str, length| of_body(Encoding::O200k, text.as_bytes(), length);
        assert_eq!(of(&short, short.len() as u64), Some(1008));
        let whole = of(&long, long.len() as u64).unwrap();
        assert!((99_900..100_100).contains(&whole), "{whole}");
        // The rest has not come yet.
        assert_eq!(of(&long[..CAP], long.len() as u64), Some(whole));
        assert_eq!(of("no JSON", 7), None);
        assert_eq!(of("", 0), None);
    }

    #[test]
    fn no_run_of_one_character_is_too_much() {
        for run in ["a", " ", "\n", "-", "\u{3000}", "水", "🦀", "\r\n ", "'", "e\u{301}", "9", "\0", " \t"]
        {
            let text: String = run.repeat(CAP / run.len());
            assert!(of_text(Encoding::O200k, &text) > 0 && of_text(Encoding::Cl100k, &text) > 0, "{run:?}");
        }
    }

    /// Counts of the Python library `tiktoken` 0.14, with which OpenAI says to count; the first four stand in its cookbook.
    const PAIRS: [(&str, u64, u64); 17] = [
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
        ("", 0, 0),
        ("hello world", 2, 2),
        ("The quick brown fox jumps over the lazy dog.", 10, 10),
        ("水到渠成，功到自然成。今天天气很好，我们去公园散步吧。", 32, 22),
        ("🦀🚀 emoji 👩‍👩‍👧‍👦 and flags 🇨🇳🇺🇸", 38, 27),
        ("fn main() {\n    println!(\"Hello, {}!\", name);\n}\n\n\n", 14, 14),
        ("Привет, мир! Καλημέρα κόσμε", 21, 11),
        ("한국어 텍스트도 셉니다", 12, 9),
        ("   \t\n  spaces  and\r\n\r\nlines   ", 9, 9),
        ("0123456789 3.14159265 1,000,000", 16, 16),
        ("Don't we'll I'VE they're", 9, 5),
        ("مرحبا بالعالم", 10, 4),
        ("<|endoftext|> is no token here", 11, 11),
    ];

    /// The example of OpenAI's cookbook, "How to count tokens with tiktoken": its API counted 129 tokens of this prompt with
    /// `gpt-4`, and 124 with `gpt-4o`.
    const COOKBOOK: &str = r#"{"model":"gpt-4o","messages":[
        {"role":"system","content":"You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
        {"role":"system","name":"example_user","content":"New synergies will help drive top-line growth."},
        {"role":"system","name":"example_assistant","content":"Things working well together will increase revenue."},
        {"role":"system","name":"example_user","content":"Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
        {"role":"system","name":"example_assistant","content":"Let's talk later when we're less busy about how to do better."},
        {"role":"user","content":"This late pivot means we don't have time to boil the ocean for the client deliverable."}]}"#;
}
