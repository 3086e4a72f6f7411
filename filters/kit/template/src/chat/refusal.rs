use core::fmt;

/// Why a caller gets no answer of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Which variable it is about: `reply_list[3]`.
    pub param: Option<String>,
}

impl Refusal {
    /// The request is too large, or what is made of it.
    #[must_use]
    pub fn too_large(what: &str, limit_bytes: u64) -> Self {
        let message = format!("{what} is larger than {limit_bytes} bytes.");
        Self { status: 413, code: "payload_too_large", message, param: None }
    }

    pub(super) fn not_json(message: impl Into<String>) -> Self {
        Self { status: 400, code: "invalid_json", message: message.into(), param: None }
    }

    pub(super) fn variables(message: impl Into<String>, param: Option<String>) -> Self {
        Self { status: 400, code: "invalid_variables", message: message.into(), param }
    }

    pub(super) fn output(message: impl Into<String>) -> Self {
        Self { status: 502, code: "invalid_model_output", message: message.into(), param: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl core::error::Error for Refusal {}
