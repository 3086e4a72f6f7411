//! Errors that more than one filter answers, so that they read the same wherever a request is refused.

use std::borrow::Cow;

use super::{ApiError, ErrorKind};

impl ApiError {
    /// A client's error.
    pub const fn invalid_request(status: u16, code: &'static str, message: Cow<'static, str>) -> Self {
        Self { status, kind: ErrorKind::InvalidRequest, code: Some(code), message, param: None }
    }

    /// The same error about one member of the request.
    #[must_use]
    pub const fn about(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// The model does not exist, or the caller may not use it: one answer for both, so that it tells nobody
    /// which models there are.
    pub fn model_not_found(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self::invalid_request(404, "model_not_found", Cow::Owned(message)).about("model")
    }

    /// The request names no model.
    pub const fn missing_model() -> Self {
        const MESSAGE: Cow<'_, str> = Cow::Borrowed("You must provide a model parameter.");
        Self::invalid_request(400, "missing_required_parameter", MESSAGE).about("model")
    }

    /// The path is one of a provider, and the request does not say of which.
    pub const fn missing_provider() -> Self {
        const MESSAGE: Cow<'_, str> =
            Cow::Borrowed("This path names no model; name the provider in the header x-weir-provider.");
        Self::invalid_request(400, "missing_provider", MESSAGE)
    }

    /// The provider does not exist, or keeps nothing for the caller: one answer for both, so that it tells nobody
    /// which providers there are.
    pub fn provider_not_found() -> Self {
        const MESSAGE: Cow<'_, str> = Cow::Borrowed(
            "The provider does not exist, or you may not use its files, batches and stored responses.",
        );
        Self::invalid_request(404, "provider_not_found", MESSAGE)
    }

    /// The length of a body that is not read here has not been said.
    pub const fn missing_length() -> Self {
        const MESSAGE: Cow<'_, str> = Cow::Borrowed("This path needs a content-length.");
        Self::invalid_request(411, "length_required", MESSAGE)
    }

    /// The body is a form whose boundary cannot be read.
    pub const fn unreadable_form() -> Self {
        const MESSAGE: Cow<'_, str> =
            Cow::Borrowed("The form's content-type must be multipart/form-data with one plain boundary.");
        Self::invalid_request(415, "unsupported_media_type", MESSAGE)
    }

    /// More of the body came before its model than is held back for it.
    pub fn model_too_late(limit_bytes: u64) -> Self {
        let message = format!(
            "The first {limit_bytes} bytes of the request body name no model; put `model` before long values, and before the files of a form."
        );
        Self::invalid_request(413, "request_too_large", Cow::Owned(message)).about("model")
    }

    /// Whether a body can be read as JSON, by its `content-type` and `content-encoding`; if not, a 415.
    ///
    /// A missing or wrong media type is let pass, as many clients send none; the body itself decides. A charset
    /// other than UTF-8 or a coding would show an upstream another text than the one that is read here.
    pub fn unless_json(content_type: Option<&[u8]>, content_encoding: Option<&[u8]>) -> Result<(), Self> {
        let refused = |code, message| Err(Self::invalid_request(415, code, Cow::Borrowed(message)));
        if !content_encoding.is_none_or(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
            return refused(
                "unsupported_content_encoding",
                "The request body is compressed; send it without content-encoding.",
            );
        }
        let media_type = content_type.unwrap_or_default().to_ascii_lowercase();
        if media_type.starts_with(b"multipart/") {
            return refused("unsupported_media_type", "This endpoint reads a JSON body, not a form.");
        }
        let charset = media_type.split(|byte| *byte == b';').skip(1).find_map(|parameter| {
            parameter.trim_ascii().strip_prefix(b"charset=").map(|charset| charset.trim_ascii())
        });
        match charset {
            None | Some(b"utf-8" | b"\"utf-8\"" | b"utf8" | b"us-ascii") => Ok(()),
            Some(_) => refused("unsupported_media_type", "The request body must be JSON in UTF-8."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_an_upstream_may_read_as_another_text_is_refused() {
        for (content_type, content_encoding, refused) in [
            (None, None, None),
            (Some("application/json"), Some("identity"), None),
            (Some("application/json; charset=UTF-8"), None, None),
            (Some("application/json;charset=\"utf-8\""), None, None),
            (Some("application/x-www-form-urlencoded"), None, None),
            (Some("application/json; charset=utf-7"), None, Some("unsupported_media_type")),
            (Some("application/json; v=1; charset=utf-16le"), None, Some("unsupported_media_type")),
            (Some("multipart/form-data; boundary=x"), None, Some("unsupported_media_type")),
            (Some("application/json"), Some("gzip"), Some("unsupported_content_encoding")),
            (Some("application/json"), Some(""), Some("unsupported_content_encoding")),
        ] {
            let answer =
                ApiError::unless_json(content_type.map(str::as_bytes), content_encoding.map(str::as_bytes));
            let code = answer.err().map(|error| (error.status, error.code));
            assert_eq!(code, refused.map(|code| (415, Some(code))), "{content_type:?} {content_encoding:?}");
        }
    }
}
