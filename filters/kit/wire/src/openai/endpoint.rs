/// What a request asks for, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/messages`, which is Anthropic's
    Messages,
    /// `POST /v1/messages/count_tokens`, which is Anthropic's
    CountTokens,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1/rerank`, as Cohere, Jina and vLLM have it
    Rerank,
    /// `POST /v1/moderations`
    Moderations,
    /// `POST /v1/images/generations`
    ImageGenerations,
    /// `POST /v1/images/edits`
    ImageEdits,
    /// `POST /v1/images/variations`
    ImageVariations,
    /// `POST /v1/audio/speech`
    Speech,
    /// `POST /v1/audio/transcriptions`
    Transcriptions,
    /// `POST /v1/audio/translations`
    Translations,
    /// What a provider keeps: `/v1/files`, `/v1/uploads`, `/v1/batches`, `/v1/messages/batches`, and what lies below
    /// them or below `/v1/responses`. Such a request names no model.
    Stored,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`, the id percent-decoded. It may have slashes.
    Model(String),
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// None that matters.
    None,
    /// JSON that names a model.
    Json,
    /// A form that names a model, or JSON.
    Form,
    /// Whatever the provider reads.
    Opaque,
}

impl Endpoint {
    /// The endpoint at `path`, which may carry a query, if it is asked by one of its methods.
    ///
    /// ```
    /// # use weir_wire::openai::Endpoint;
    /// let model = Endpoint::Model("meta/llama-3".to_owned());
    /// assert_eq!(Endpoint::of("GET", "/v1/models/meta%2Fllama-3?x=1"), Some(model));
    /// assert_eq!(Endpoint::of("GET", "/v1/embeddings"), None);
    /// assert_eq!(Endpoint::at("/v1/embeddings").map(|known| known.methods()), Some("POST"));
    /// ```
    pub fn of(method: &str, path: &str) -> Option<Self> {
        Self::at(path).filter(|endpoint| endpoint.methods().split(", ").any(|allowed| allowed == method))
    }

    /// The endpoint at `path`, whatever the method. Where [`Self::of`] finds none, this one tells a wrong
    /// method (405) from a wrong path (404).
    pub fn at(path: &str) -> Option<Self> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let path = path.strip_prefix("/v1/")?;
        if let Some((_, endpoint)) = FIXED.iter().find(|(fixed, _)| *fixed == path) {
            return Some(endpoint.clone());
        }
        let below = |kept: &&str| path.strip_prefix(*kept).is_some_and(|rest| rest.starts_with('/'));
        if STORES.contains(&path) || STORES.iter().chain(&["responses"]).any(below) {
            return Some(Self::Stored);
        }
        path.strip_prefix("models/").and_then(percent_decode).map(Self::Model)
    }

    /// The methods of the endpoint, as `allow` lists them.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Models | Self::Model(_) => "GET",
            Self::Stored => "GET, POST, DELETE",
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::Messages
            | Self::CountTokens
            | Self::Embeddings
            | Self::Rerank
            | Self::Moderations
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Transcriptions
            | Self::Translations => "POST",
        }
    }

    /// What the body of a request is.
    pub fn request_body(&self) -> RequestBody {
        match self {
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::Messages
            | Self::CountTokens
            | Self::Embeddings
            | Self::Rerank
            | Self::Moderations
            | Self::ImageGenerations
            | Self::Speech => RequestBody::Json,
            Self::ImageEdits | Self::ImageVariations | Self::Transcriptions | Self::Translations => {
                RequestBody::Form
            }
            Self::Stored => RequestBody::Opaque,
            Self::Models | Self::Model(_) => RequestBody::None,
        }
    }

    /// Whether a model writes the answer, token by token.
    pub fn is_generated(&self) -> bool {
        match self {
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::Messages
            | Self::Transcriptions
            | Self::Translations => true,
            Self::CountTokens
            | Self::Embeddings
            | Self::Rerank
            | Self::Moderations
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::ImageVariations
            | Self::Speech
            | Self::Stored
            | Self::Models
            | Self::Model(_) => false,
        }
    }
}

/// Paths below `/v1/` that are one endpoint each.
const FIXED: [(&str, Endpoint); 15] = [
    ("chat/completions", Endpoint::ChatCompletions),
    ("completions", Endpoint::Completions),
    ("responses", Endpoint::Responses),
    ("messages", Endpoint::Messages),
    ("messages/count_tokens", Endpoint::CountTokens),
    ("embeddings", Endpoint::Embeddings),
    ("rerank", Endpoint::Rerank),
    ("moderations", Endpoint::Moderations),
    ("images/generations", Endpoint::ImageGenerations),
    ("images/edits", Endpoint::ImageEdits),
    ("images/variations", Endpoint::ImageVariations),
    ("audio/speech", Endpoint::Speech),
    ("audio/transcriptions", Endpoint::Transcriptions),
    ("audio/translations", Endpoint::Translations),
    ("models", Endpoint::Models),
];

/// Paths below `/v1/` at which, and below which, are things that a provider keeps.
const STORES: [&str; 4] = ["files", "uploads", "batches", "messages/batches"];

/// The text that `path` encodes, unless it is empty, not UTF-8, or has a `%` without two digits.
fn percent_decode(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            _ => byte,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok().filter(|text| !text.is_empty())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
