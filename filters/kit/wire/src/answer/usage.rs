//! The usage that an upstream tells, in OpenAI's words.

use serde_json::{Map, Value, json};

/// A usage with the members that OpenAI's has, taken from those that an upstream has in their place; `None` if it has them.
///
/// Sources: DeepSeek, "Context caching" (`prompt_cache_hit_tokens`); Moonshot, "Chat completion" (`cached_tokens`);
/// Perplexity and others (`reasoning_tokens` beside the rest).
pub(super) fn normal(usage: &Map<String, Value>) -> Option<Map<String, Value>> {
    let number = |name: &str| usage.get(name).and_then(Value::as_u64);
    let prompt = number("prompt_tokens")?;
    let mut more = Map::new();
    if usage.get("total_tokens").is_none_or(Value::is_null) {
        let total = prompt.saturating_add(number("completion_tokens").unwrap_or(0));
        more.insert("total_tokens".into(), total.into());
    }
    let cached = number("prompt_cache_hit_tokens").or(number("cached_tokens"));
    for (details, name, tokens) in [
        ("prompt_tokens_details", "cached_tokens", cached),
        ("completion_tokens_details", "reasoning_tokens", number("reasoning_tokens")),
    ] {
        let Some(tokens) = tokens else { continue };
        match usage.get(details) {
            Some(Value::Object(known)) if known.get(name).is_none_or(Value::is_null) => {
                let mut known = known.clone();
                known.insert(name.into(), tokens.into());
                more.insert(details.into(), known.into());
            }
            Some(Value::Object(_)) => {}
            Some(_) | None => {
                more.insert(details.into(), json!({name: tokens}));
            }
        }
    }
    if more.is_empty() {
        return None;
    }
    let mut usage = usage.clone();
    usage.extend(more);
    Some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_has_openais_members() {
        for (told, expected) in [
            (r#"{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}"#, None),
            (
                r#"{"prompt_tokens":7,"completion_tokens":5}"#,
                Some(r#"{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}"#),
            ),
            (
                r#"{"prompt_tokens":7,"total_tokens":7,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":3}"#,
                Some(
                    r#"{"prompt_tokens":7,"total_tokens":7,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}"#,
                ),
            ),
            (
                r#"{"prompt_tokens":7,"total_tokens":7,"cached_tokens":4,"prompt_tokens_details":{"cached_tokens":4}}"#,
                None,
            ),
            (
                r#"{"prompt_tokens":7,"total_tokens":7,"reasoning_tokens":2,"completion_tokens_details":null,"prompt_tokens_details":null}"#,
                Some(
                    r#"{"prompt_tokens":7,"total_tokens":7,"reasoning_tokens":2,"completion_tokens_details":{"reasoning_tokens":2},"prompt_tokens_details":null}"#,
                ),
            ),
            (r#"{"input_tokens":7,"output_tokens":5}"#, None),
        ] {
            let usage: Map<String, Value> = serde_json::from_str(told).unwrap();
            let made = normal(&usage).map(|usage| Value::from(usage).to_string());
            assert_eq!(made.as_deref(), expected, "{told}");
        }
    }
}
