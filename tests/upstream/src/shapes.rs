//! OpenAI's JSON: requests read, answers, events and errors written; without any IO.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{self, Answer};

/// What a request for a chat or a completion may say; the rest is ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct Generation {
    pub(crate) model: String,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    prompt: Value,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    pub(crate) stream: bool,
    #[serde(default)]
    stream_options: StreamOptions,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// What a request for embeddings may say.
#[derive(Debug, Deserialize)]
pub(crate) struct Embeddings {
    pub(crate) model: String,
    input: Value,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<usize>,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: usize,
    pub(crate) completion: usize,
}

impl Usage {
    fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt.saturating_add(self.completion),
        })
    }
}

/// The two endpoints that generate text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Completion,
}

/// One generation: the answer in both of the forms a client may ask for.
#[derive(Debug)]
pub(crate) struct Generated {
    kind: Kind,
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
    answer: Answer,
    thought: Option<Thought>,
    pub(crate) usage: Usage,
}

/// How an answer shows what the model has thought before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thought {
    /// Between tags in the content, which come in pieces.
    Tags,
    /// In `reasoning`.
    Reasoning,
}

impl Thought {
    /// The way of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "tags" => Some(Self::Tags),
            "reasoning" => Some(Self::Reasoning),
            _ => None,
        }
    }

    /// The deltas that come before the answer's.
    fn deltas(self) -> Vec<Value> {
        match self {
            Self::Tags => TAGGED.iter().map(|piece| json!({"content": piece})).collect(),
            Self::Reasoning => THOUGHT.iter().map(|piece| json!({"reasoning": piece})).collect(),
        }
    }
}

const THOUGHT: [&str; 3] = ["let", " me", " see"];
const TAGGED: [&str; 6] = ["<th", "ink>\nlet", " me", " see</", "think", ">\n\n"];

impl Generated {
    /// Answers `request` as the `number`th request of this server, at `created` seconds since 1970.
    ///
    /// The first of `answers` whose key the last message has is said; without one the message is repeated.
    pub(crate) fn new(
        kind: Kind,
        request: &Generation,
        answers: &[(String, String)],
        number: u64,
        created: u64,
    ) -> Self {
        let (prompt, said) = match kind {
            Kind::Chat => {
                let texts: Vec<String> =
                    request.messages.iter().map(|m| answer::text_of(&m.content)).collect();
                let last = request.messages.iter().zip(&texts).rfind(|(message, _)| message.role == "user");
                let said = last.map(|(_, text)| text.clone()).unwrap_or_default();
                (texts.iter().map(|text| answer::tokens(text)).fold(0, usize::saturating_add), said)
            }
            Kind::Completion => {
                let text = answer::text_of(&request.prompt);
                (answer::tokens(&text), text)
            }
        };
        let most = request.max_completion_tokens.or(request.max_tokens);
        let scripted = answers.iter().find(|(part, _)| said.contains(part));
        let answer =
            scripted.map_or_else(|| Answer::to(&said, most), |(_, text)| Answer::scripted(text, most));
        Self {
            kind,
            id: match kind {
                Kind::Chat => format!("chatcmpl-sim-{number}"),
                Kind::Completion => format!("cmpl-sim-{number}"),
            },
            created,
            model: request.model.clone(),
            include_usage: request.stream_options.include_usage,
            usage: Usage { prompt, completion: answer.words.len() },
            answer,
            thought: None,
        }
    }

    /// The same answer with a thought before it.
    pub(crate) fn thinking(self, thought: Option<Thought>) -> Self {
        Self { thought, ..self }
    }

    /// The answer as one JSON object.
    pub(crate) fn whole(&self) -> Value {
        let choice = match self.kind {
            Kind::Chat => json!({
                "index": 0,
                "message": self.message(),
                "logprobs": null,
                "finish_reason": self.answer.finish_reason,
            }),
            Kind::Completion => json!({
                "index": 0, "text": self.answer.text(), "logprobs": null, "finish_reason": self.answer.finish_reason,
            }),
        };
        let object = match self.kind {
            Kind::Chat => "chat.completion",
            Kind::Completion => "text_completion",
        };
        self.envelope(object, vec![choice], &self.usage.json())
    }

    fn message(&self) -> Value {
        let text = self.answer.text();
        match self.thought {
            None => json!({"role": "assistant", "content": text, "refusal": null}),
            Some(Thought::Tags) => json!({"role": "assistant", "content": TAGGED.concat() + &text}),
            Some(Thought::Reasoning) => {
                json!({"role": "assistant", "content": text, "reasoning": THOUGHT.concat()})
            }
        }
    }

    /// The answer as server-sent events: the role, one event a token, the reason it ended, the usage where it
    /// was asked for, and `[DONE]`.
    pub(crate) fn events(&self) -> Vec<Bytes> {
        let role = (self.kind == Kind::Chat)
            .then(|| self.chunk(&json!({"role": "assistant", "content": ""}), "", None));
        let tokens = self.answer.pieces().map(|piece| self.chunk(&json!({"content": piece}), &piece, None));
        let last = self.chunk(&json!({}), "", Some(self.answer.finish_reason));
        let usage =
            self.include_usage.then(|| self.envelope(self.chunk_object(), vec![], &self.usage.json()));
        let thoughts = self.thought.map(Thought::deltas).unwrap_or_default();
        role.into_iter()
            .chain(thoughts.iter().map(|delta| self.chunk(delta, "", None)))
            .chain(tokens)
            .chain([last])
            .chain(usage)
            .map(|chunk| event(&chunk.to_string()))
            .chain([event("[DONE]")])
            .collect()
    }

    fn chunk(&self, delta: &Value, text: &str, finish_reason: Option<&str>) -> Value {
        let choice = match self.kind {
            Kind::Chat => {
                json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason})
            }
            Kind::Completion => {
                json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason})
            }
        };
        self.envelope(self.chunk_object(), vec![choice], &Value::Null)
    }

    fn chunk_object(&self) -> &'static str {
        match self.kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Completion => "text_completion",
        }
    }

    fn envelope(&self, object: &str, choices: Vec<Value>, usage: &Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "choices": choices, "usage": usage,
        })
    }
}

impl Embeddings {
    /// One vector for each input, and the tokens read.
    pub(crate) fn answer(&self) -> (Value, Usage) {
        let inputs = match &self.input {
            Value::Array(items) if !items.iter().all(Value::is_number) => {
                items.iter().map(answer::text_of).collect()
            }
            one => vec![answer::text_of(one)],
        };
        let as_base64 = self.encoding_format.as_deref() == Some("base64");
        let data: Vec<Value> = inputs
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let vector = answer::embedding(text, self.dimensions.unwrap_or(DIMENSIONS));
                let embedding = if as_base64 {
                    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                    Value::String(BASE64.encode(bytes))
                } else {
                    json!(vector)
                };
                json!({"object": "embedding", "index": index, "embedding": embedding})
            })
            .collect();
        let prompt = inputs.iter().map(|text| answer::tokens(text)).fold(0, usize::saturating_add);
        let body = json!({
            "object": "list", "model": self.model, "data": data,
            "usage": {"prompt_tokens": prompt, "total_tokens": prompt},
        });
        (body, Usage { prompt, completion: 0 })
    }
}

/// A model as `GET /models` lists it.
pub(crate) fn model(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "sim"})
}

/// OpenAI's error body.
pub(crate) fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

/// One server-sent event.
pub(crate) fn event(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

const DIMENSIONS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(kind: Kind, request: Value) -> Generated {
        Generated::new(
            kind,
            &serde_json::from_value(request).unwrap(),
            &[("weather".into(), "It rains. ".into())],
            7,
            42,
        )
    }

    fn events(generated: &Generated) -> Vec<Value> {
        let events = generated.events();
        let (done, chunks) = events.split_last().unwrap();
        assert_eq!(done, "data: [DONE]\n\n");
        let data = chunks.iter().map(|event| {
            let text = std::str::from_utf8(event).unwrap();
            text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).unwrap()
        });
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    #[test]
    fn a_chat_is_answered_to_its_last_user_message() {
        let chat = generated(
            Kind::Chat,
            json!({"model": "m", "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two three"},
                {"role": "user", "content": [{"type": "text", "text": "four five"}]},
                {"role": "tool", "content": "six"},
            ]}),
        );
        assert_eq!(
            chat.whole(),
            json!({
                "id": "chatcmpl-sim-7", "object": "chat.completion", "created": 42, "model": "m",
                "choices": [{
                    "index": 0, "logprobs": null, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "You said: four five", "refusal": null},
                }],
                "usage": {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12},
            })
        );
    }

    #[test]
    fn a_chat_stream_is_role_then_tokens_then_reason_then_usage_then_done() {
        let chat = generated(
            Kind::Chat,
            json!({
                "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 3,
                "messages": [{"role": "user", "content": "hi"}],
            }),
        );
        let events = events(&chat);
        let deltas: Vec<&Value> =
            events.iter().filter_map(|event| event.pointer("/choices/0/delta")).collect();
        assert_eq!(
            deltas,
            [
                &json!({"role": "assistant", "content": ""}),
                &json!({"content": "You"}),
                &json!({"content": " said:"}),
                &json!({"content": " hi"}),
                &json!({}),
            ]
        );
        let [.., last, usage] = events.as_slice() else { panic!("too few events") };
        assert_eq!(last["choices"][0]["finish_reason"], "length");
        assert_eq!(usage["choices"], json!([]));
        assert_eq!(usage["usage"], json!({"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}));
    }

    #[test]
    fn usage_is_streamed_only_where_it_was_asked_for() {
        let chat = generated(Kind::Chat, json!({"model": "m", "messages": [], "stream": true}));
        assert!(events(&chat).iter().all(|event| event["usage"].is_null() && event["choices"] != json!([])));
    }

    #[test]
    fn a_completion_streams_text() {
        let completion =
            generated(Kind::Completion, json!({"model": "m", "prompt": "a", "max_completion_tokens": 4}));
        let text: String =
            events(&completion).iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
        assert_eq!(text, "You said: a word1");
        assert_eq!(completion.whole()["object"], "text_completion");
    }

    #[test]
    fn a_message_with_an_answer_is_given_it_up_to_so_many_words() {
        let said = |max_tokens: Value| {
            let messages = json!([{"role": "user", "content": "the weather?"}]);
            let whole =
                generated(Kind::Chat, json!({"model": "m", "messages": messages, "max_tokens": max_tokens}));
            let choice = whole.whole()["choices"][0].clone();
            (choice["message"]["content"].clone(), choice["finish_reason"].clone())
        };
        assert_eq!(said(json!(null)), (json!("It rains. "), json!("stop")));
        assert_eq!(said(json!(1)), (json!("It"), json!("length")));
    }

    #[test]
    fn embeddings_are_numbers_or_base64_of_the_same_numbers() {
        let ask = |request: Value| serde_json::from_value::<Embeddings>(request).unwrap().answer();
        let (numbers, usage) = ask(json!({"model": "m", "input": ["a b", "c"], "dimensions": 2}));
        let (text, _) =
            ask(json!({"model": "m", "input": "a b", "dimensions": 2, "encoding_format": "base64"}));
        assert_eq!(usage, Usage { prompt: 3, completion: 0 });
        assert_eq!(numbers["data"].as_array().map(Vec::len), Some(2));
        let bytes = BASE64.decode(text["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let (words, _) = bytes.as_chunks::<4>();
        let vector: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        assert_eq!(json!(vector), numbers["data"][0]["embedding"]);
    }
}
