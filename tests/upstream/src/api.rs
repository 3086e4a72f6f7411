//! The model API: a request in, a reply out, without any IO.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::shapes::{self, Embeddings, Generated, Generation, Kind, Thought, Usage};
use crate::{answer, dialects};

/// What the API serves and to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Api {
    /// Path before every endpoint.
    pub(crate) base_path: String,
    /// The models served; none named means all.
    pub(crate) models: Vec<String>,
    /// The bearer token that is needed.
    pub(crate) key: Option<String>,
    /// What is said to messages that have a text in them: the text, and the answer.
    pub(crate) answers: Vec<(String, String)>,
}

/// A request that was received whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The number of the request, for the answer's id.
    pub(crate) number: u64,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// One JSON object.
    Whole { status: StatusCode, body: Value, usage: Usage },
    /// Server-sent events.
    Stream { events: Vec<Bytes>, usage: Usage },
}

impl Reply {
    /// A reply that cost no tokens.
    pub(crate) fn plain(status: StatusCode, body: Value) -> Self {
        Self::Whole { status, body, usage: Usage::default() }
    }

    /// A refusal of what the client sent.
    pub(crate) fn invalid(status: StatusCode, message: &str, param: Option<&str>) -> Self {
        Self::plain(status, shapes::error(message, "invalid_request_error", param, None))
    }
}

impl Api {
    /// Answers a call.
    pub(crate) fn answer(&self, call: Call<'_>) -> Reply {
        self.try_answer(call).unwrap_or_else(|refusal| refusal)
    }

    fn try_answer(&self, call: Call<'_>) -> Result<Reply, Reply> {
        let Some(endpoint) = call.path.strip_prefix(self.base_path.trim_end_matches('/')) else {
            return Err(not_found(call.path));
        };
        self.authorize(call.headers, endpoint)?;
        match (call.method, endpoint) {
            (&Method::POST, "/chat/completions") => self.generate(Kind::Chat, call),
            (&Method::POST, "/completions") => self.generate(Kind::Completion, call),
            (&Method::POST, "/embeddings") => {
                let request: Embeddings = parse(call.body)?;
                self.known(&request.model)?;
                let (body, usage) = request.answer();
                Ok(Reply::Whole { status: StatusCode::OK, body, usage })
            }
            (&Method::POST, "/messages") => self.speak(call, dialects::messages),
            (&Method::POST, "/messages/count_tokens") => {
                self.speak(call, |request, _| dialects::count_tokens(request))
            }
            (&Method::POST, "/responses") => self.speak(call, dialects::responses),
            (&Method::POST, path) if path.contains(":generateContent") => self.gemini(call, path, false),
            (&Method::POST, path) if path.contains(":streamGenerateContent") => self.gemini(call, path, true),
            (&Method::POST, "/audio/transcriptions") => {
                Ok(Reply::plain(StatusCode::OK, json!({"text": "What was said."})))
            }
            (&Method::POST, "/rerank") => {
                let results = json!([{"index": 0, "relevance_score": 0.9}]);
                Ok(Reply::plain(StatusCode::OK, json!({"results": results, "usage": {"total_tokens": 9}})))
            }
            (_, path) if path.starts_with("/files") => {
                Ok(Reply::plain(StatusCode::OK, json!({"object": "list", "data": [{"id": "file-sim"}]})))
            }
            (&Method::GET, "/models") => {
                let models: Vec<Value> = self.models.iter().map(|name| shapes::model(name)).collect();
                Ok(Reply::plain(StatusCode::OK, json!({"object": "list", "data": models})))
            }
            (_, "/chat/completions" | "/completions" | "/embeddings" | "/models") => {
                Err(Reply::invalid(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here.", None))
            }
            _ => Err(not_found(call.path)),
        }
    }

    /// Answers in another interface than that of chat completions.
    fn speak(&self, call: Call<'_>, answer: impl Fn(&Value, u64) -> Reply) -> Result<Reply, Reply> {
        let request: Value = parse(call.body)?;
        self.known(dialects::model_of(&request))?;
        Ok(answer(&request, call.number))
    }

    fn gemini(&self, call: Call<'_>, path: &str, stream: bool) -> Result<Reply, Reply> {
        let model = path.trim_start_matches("/models/").split(':').next().unwrap_or_default();
        self.known(model)?;
        Ok(dialects::gemini(model, stream, &parse(call.body)?, call.number))
    }

    fn generate(&self, kind: Kind, call: Call<'_>) -> Result<Reply, Reply> {
        let asked: Value = parse(call.body)?;
        let messages = asked.get("messages").and_then(Value::as_array);
        let last = messages.and_then(|messages| messages.last()?.get("content"));
        let said = last.map(answer::text_of).unwrap_or_default();
        let scripted = self.answers.iter().any(|(part, _)| said.contains(part));
        if kind == Kind::Chat && dialects::is_special(&asked) && !scripted {
            self.known(dialects::model_of(&asked))?;
            return Ok(dialects::chat(&asked, call.number, call.created));
        }
        let request: Generation = parse(call.body)?;
        self.known(&request.model)?;
        let thought = call.headers.get("sim-think").and_then(|name| name.to_str().ok());
        let generated = Generated::new(kind, &request, &self.answers, call.number, call.created)
            .thinking(thought.and_then(Thought::named));
        let usage = generated.usage;
        Ok(if request.stream {
            Reply::Stream { events: generated.events(), usage }
        } else {
            Reply::Whole { status: StatusCode::OK, body: generated.whole(), usage }
        })
    }

    fn authorize(&self, headers: &HeaderMap, endpoint: &str) -> Result<(), Reply> {
        let Some(key) = &self.key else { return Ok(()) };
        let sent = |name: &str| headers.get(name).map(|value| value.as_bytes());
        // Each interface looks in its own header, and Azure in another one.
        let (name, expected) = match endpoint {
            path if path.starts_with("/messages") => ("x-api-key", key.clone()),
            path if path.contains(":") => ("x-goog-api-key", key.clone()),
            _ => (AUTHORIZATION.as_str(), format!("Bearer {key}")),
        };
        if sent(name) == Some(expected.as_bytes()) || sent("api-key") == Some(key.as_bytes()) {
            return Ok(());
        }
        let message = "The model server does not know this key.";
        let body = shapes::error(message, "invalid_request_error", None, Some("invalid_api_key"));
        Err(Reply::plain(StatusCode::UNAUTHORIZED, body))
    }

    fn known(&self, model: &str) -> Result<(), Reply> {
        if self.models.is_empty() || self.models.iter().any(|name| name == model) {
            return Ok(());
        }
        let message = format!("The model server has no model `{model}`.");
        let body = shapes::error(&message, "invalid_request_error", Some("model"), Some("model_not_found"));
        Err(Reply::plain(StatusCode::NOT_FOUND, body))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body).map_err(|error| {
        Reply::invalid(
            StatusCode::BAD_REQUEST,
            &format!("The model server cannot read the body: {error}"),
            None,
        )
    })
}

fn not_found(path: &str) -> Reply {
    Reply::invalid(StatusCode::NOT_FOUND, &format!("The model server has nothing at {path}."), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(api: &Api, method: &Method, path: &str, authorization: Option<&str>, body: &str) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        let call = Call { method, path, headers: &headers, body: body.as_bytes(), number: 0, created: 0 };
        match api.answer(call) {
            Reply::Whole { status, .. } => status.as_u16(),
            Reply::Stream { .. } => 200,
        }
    }

    #[test]
    fn every_endpoint_lives_under_the_base_path() {
        let api = Api { base_path: "/openai/v1".into(), ..Api::default() };
        let chat = r#"{"model": "m", "messages": []}"#;
        for (method, path, expected) in [
            (Method::POST, "/openai/v1/chat/completions", 200),
            (Method::POST, "/openai/v1/completions", 200),
            (Method::POST, "/openai/v1/embeddings", 400),
            (Method::GET, "/openai/v1/models", 200),
            (Method::GET, "/openai/v1/chat/completions", 405),
            (Method::POST, "/v1/chat/completions", 404),
            (Method::POST, "/openai/v1/other", 404),
        ] {
            assert_eq!(status(&api, &method, path, None, chat), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_key_is_asked_for_where_one_is_set() {
        let api = Api { key: Some("k".into()), ..Api::default() };
        for (authorization, expected) in [(Some("Bearer k"), 200), (Some("Bearer other"), 401), (None, 401)] {
            assert_eq!(status(&api, &Method::GET, "/models", authorization, ""), expected);
        }
    }

    #[test]
    fn a_model_that_is_not_served_is_not_found() {
        let api = Api { models: vec!["here".into()], ..Api::default() };
        for (model, expected) in [("here", 200), ("elsewhere", 404)] {
            let body = json!({"model": model, "messages": []}).to_string();
            assert_eq!(status(&api, &Method::POST, "/chat/completions", None, &body), expected);
        }
    }
}
