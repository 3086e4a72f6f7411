/// What a request asks for, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`, the id percent-decoded. It may have slashes.
    Model(String),
}

impl Endpoint {
    /// The endpoint at `path`, which may carry a query, if it is asked by its method.
    ///
    /// ```
    /// # use weir_wire::openai::Endpoint;
    /// let model = Endpoint::Model("meta/llama-3".to_owned());
    /// assert_eq!(Endpoint::of("GET", "/v1/models/meta%2Fllama-3?x=1"), Some(model));
    /// assert_eq!(Endpoint::of("GET", "/v1/embeddings"), None);
    /// assert_eq!(Endpoint::at("/v1/embeddings").map(|known| known.method()), Some("POST"));
    /// ```
    pub fn of(method: &str, path: &str) -> Option<Self> {
        Self::at(path).filter(|endpoint| endpoint.method() == method)
    }

    /// The endpoint at `path`, whatever the method. Where [`Self::of`] finds none, this one tells a wrong
    /// method (405) from a wrong path (404).
    pub fn at(path: &str) -> Option<Self> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        match path.strip_prefix("/v1/")? {
            "chat/completions" => Some(Self::ChatCompletions),
            "completions" => Some(Self::Completions),
            "embeddings" => Some(Self::Embeddings),
            "models" => Some(Self::Models),
            path => path.strip_prefix("models/").and_then(percent_decode).map(Self::Model),
        }
    }

    /// The one method of the endpoint, as `allow` lists it.
    pub fn method(&self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Embeddings => "POST",
            Self::Models | Self::Model(_) => "GET",
        }
    }
}

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
