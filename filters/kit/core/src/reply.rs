//! An answer given by a filter.

use std::borrow::Cow;

/// An answer to the client that comes from a filter and not from an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Why, in one token: the response code details of an access log (`weir_invalid_api_key`).
    pub details: Cow<'static, str>,
    /// Header fields beside the status and the length.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Cow<'static, [u8]>,
}

impl Reply {
    /// A JSON answer.
    pub fn json(
        status: u16,
        details: impl Into<Cow<'static, str>>,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let headers = vec![("content-type", Cow::Borrowed("application/json"))];
        Self { status, details: details.into(), headers, body: body.into() }
    }

    /// The same answer with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer to a request that met a fault of ours: 503, so that clients may try again.
    pub fn fault() -> Self {
        Self::json(503, "weir_fault", FAULT)
    }
}

const FAULT: &[u8] = br#"{"error":{"message":"The gateway could not handle this request. Try again.","type":"server_error","param":null,"code":"gateway_fault"}}"#;
