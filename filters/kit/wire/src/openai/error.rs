use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{FormError, ScanError};

/// An error as OpenAI answers it. Clients decide by its status, then by its code.
///
/// ```
/// # use std::borrow::Cow;
/// # use weir_wire::openai::{ApiError, ErrorKind};
/// const NO_MODEL: ApiError = ApiError {
///     status: 404,
///     kind: ErrorKind::InvalidRequest,
///     code: Some("model_not_found"),
///     message: Cow::Borrowed("The model does not exist or you do not have access to it."),
///     param: Some("model"),
/// };
/// assert_eq!(
///     String::from_utf8(NO_MODEL.to_body())?,
///     r#"{"error":{"message":"The model does not exist or you do not have access to it.","#.to_owned()
///         + r#""type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
/// );
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The body's `type`.
    pub kind: ErrorKind,
    /// A stable word for programs.
    pub code: Option<&'static str>,
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// Which member of the request is wrong.
    pub param: Option<&'static str>,
}

/// Who erred, by the types that OpenAI uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong, or its key, or its model is unknown or forbidden: 400, 401, 403, 404, 405, 413.
    InvalidRequest,
    /// The budget is spent: 429, with the code `insufficient_quota`.
    InsufficientQuota,
    /// Too many requests in a while: 429, with the code `rate_limit_exceeded`.
    Requests,
    /// Too many tokens in a while: 429, with the code `rate_limit_exceeded`.
    Tokens,
    /// The server or its upstream fails: 500 and above.
    Server,
}

impl ApiError {
    /// The error as JSON.
    pub fn to_body(&self) -> Vec<u8> {
        let error =
            Detail { message: &self.message, kind: self.kind.as_str(), param: self.param, code: self.code };
        // Keys and values are strings, so nothing here can fail.
        serde_json::to_vec(&Body { error }).unwrap_or_default()
    }
}

impl ErrorKind {
    /// The word in the body's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::InsufficientQuota => "insufficient_quota",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Server => "server_error",
        }
    }
}

/// A body that was refused is a 400.
impl From<ScanError> for ApiError {
    fn from(error: ScanError) -> Self {
        let param = match error {
            ScanError::DuplicateModel { .. } | ScanError::ModelNotString | ScanError::ModelTooLong { .. } => {
                Some("model")
            }
            ScanError::NotJson { .. }
            | ScanError::NotObject
            | ScanError::TooDeep { .. }
            | ScanError::Incomplete => None,
        };
        let message = Cow::Owned(format!("The request is refused: {error}."));
        Self { status: 400, kind: ErrorKind::InvalidRequest, code: None, message, param }
    }
}

/// A form that was refused is a 400.
impl From<FormError> for ApiError {
    fn from(error: FormError) -> Self {
        let param = match error {
            FormError::DuplicateModel { .. } | FormError::ModelNotText | FormError::ModelTooLong { .. } => {
                Some("model")
            }
            FormError::NotForm { .. }
            | FormError::Boundary { .. }
            | FormError::Header { .. }
            | FormError::Incomplete => None,
        };
        let message = Cow::Owned(format!("The request is refused: {error}."));
        Self { status: 400, kind: ErrorKind::InvalidRequest, code: None, message, param }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

/// An error's body as an upstream sends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
    /// Every other member.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What an upstream says of an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A sentence for people.
    pub message: String,
    /// The other members; the types of `type`, `param` and `code` differ between upstreams.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
