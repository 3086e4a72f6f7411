//! The texts of a request that a model is given, and what its interface puts around them.

use serde_json::Value;
use weir_wire::prompt::DATA;

/// How many tokens the prompt of a request is, where `of_text` says it of a text.
///
/// A message is framed by three tokens, a name by one more, and three begin the answer: as OpenAI's cookbook has it, "How to
/// count tokens with tiktoken". How a model is shown tools is not published; their JSON is counted as it stands.
pub(crate) fn tokens(body: &Value, of_text: &dyn Fn(&str) -> u64) -> u64 {
    let count = Count { of_text };
    let of = |name: &str, tokens: &dyn Fn(&Value) -> u64| body.get(name).map_or(0, tokens);
    let asked = [
        of("messages", &|messages| count.messages(messages).saturating_add(REPLY)),
        of("input", &|input| {
            let is_chat = input.as_array().is_some_and(|items| items.iter().any(Value::is_object));
            count.messages(input).saturating_add(if is_chat { REPLY } else { 0 })
        }),
        of("system", &|system| count.content(system).saturating_add(FRAME)),
        of("instructions", &|text| count.content(text).saturating_add(FRAME)),
    ];
    let texts = ["prompt", "query", "documents"].map(|name| of(name, &|text| count.content(text)));
    let shapes = SHAPES.map(|name| of(name, &|shape| count.json(shape)));
    sum(asked.into_iter().chain(texts).chain(shapes))
}

struct Count<'a> {
    of_text: &'a dyn Fn(&str) -> u64,
}

impl Count<'_> {
    /// Messages, or a text, or texts.
    fn messages(&self, value: &Value) -> u64 {
        let one = |item: &Value| match item {
            Value::Object(message) if message.contains_key("role") => self.message(item),
            _ => self.content(item),
        };
        value.as_array().map_or_else(|| self.content(value), |items| sum(items.iter().map(one)))
    }

    fn message(&self, message: &Value) -> u64 {
        let of = |name: &str| message.get(name);
        let name = of("name").map_or(0, |name| self.content(name).saturating_add(1));
        let calls = of("tool_calls").and_then(Value::as_array).into_iter().flatten();
        let calls = calls.map(|call| call.get("function").map_or(0, |function| self.called(function)));
        let text = [of("role"), of("content")].into_iter().flatten().map(|text| self.content(text));
        sum([FRAME, name].into_iter().chain(text).chain(calls))
    }

    /// A text, or parts of several kinds. A number is a token already.
    fn content(&self, value: &Value) -> u64 {
        match value {
            Value::String(text) => (self.of_text)(text),
            Value::Number(_) => 1,
            Value::Array(parts) => sum(parts.iter().map(|part| self.content(part))),
            Value::Object(part) => {
                let inner = ["text", "content", "output"].into_iter().find_map(|name| part.get(name));
                match inner {
                    Some(inner) => self.content(inner),
                    None if part.contains_key("name") => self.called(value),
                    // An image, a sound or a file.
                    None => DATA,
                }
            }
            Value::Null | Value::Bool(_) => 0,
        }
    }

    /// The call of a function, by its name and its arguments.
    fn called(&self, function: &Value) -> u64 {
        let arguments = ["arguments", "input"].into_iter().find_map(|name| function.get(name));
        let arguments = arguments.map_or(0, |given| match given {
            Value::String(text) => (self.of_text)(text),
            other => self.json(other),
        });
        function.get("name").map_or(0, |name| self.content(name)).saturating_add(arguments)
    }

    fn json(&self, value: &Value) -> u64 {
        (self.of_text)(&value.to_string())
    }
}

fn sum(tokens: impl Iterator<Item = u64>) -> u64 {
    tokens.fold(0, u64::saturating_add)
}

const FRAME: u64 = 3;
const REPLY: u64 = 3;
/// What a model is shown as JSON, or as something that is made of it.
const SHAPES: [&str; 3] = ["tools", "functions", "response_format"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A token a word.
    fn counted(body: &Value) -> u64 {
        tokens(body, &|text| text.split_whitespace().count() as u64)
    }

    #[test]
    fn each_interface_has_its_prompt_counted() {
        for (body, expected) in [
            (json!({"messages": [{"role": "user", "content": "a b"}]}), 3 + 1 + 2 + 3),
            (json!({"messages": [{"role": "user", "name": "x", "content": "a"}]}), 3 + 1 + 2 + 1 + 3),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a b"}]}]}),
                3 + 1 + 2 + 3,
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}),
                3 + 1 + DATA + 3,
            ),
            (
                json!({"messages": [{"role": "assistant", "content": null,
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{} x"}}]}]}),
                3 + 1 + 1 + 2 + 3,
            ),
            (json!({"system": "a b", "messages": [{"role": "user", "content": "c"}]}), 3 + 2 + 3 + 1 + 1 + 3),
            (
                json!({"messages": [{"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": "a b"},
                    {"type": "tool_use", "id": "2", "name": "f", "input": {}}]}]}),
                3 + 1 + 2 + 2 + 3,
            ),
            (json!({"prompt": "a b c"}), 3),
            (json!({"prompt": ["a b", "c"]}), 3),
            (json!({"prompt": [1, 2, 3]}), 3),
            (json!({"prompt": [[1, 2], [3]]}), 3),
            (json!({"input": "a b"}), 2),
            (json!({"input": ["a b", "c"]}), 3),
            (
                json!({"instructions": "a", "input": [{"role": "user", "content": "b"}]}),
                3 + 1 + 3 + 1 + 1 + 3,
            ),
            (json!({"input": [{"type": "function_call_output", "call_id": "1", "output": "a b"}]}), 2 + 3),
            (json!({"query": "a", "documents": ["b c", {"text": "d"}]}), 4),
            (json!({"messages": [], "tools": [{"type": "function"}]}), 3 + 1),
            (json!({"model": "m", "temperature": 1, "user": "a b c"}), 0),
            (json!([1]), 0),
        ] {
            assert_eq!(counted(&body), expected, "{body}");
        }
    }
}
