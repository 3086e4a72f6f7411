//! What a request's `sim-*` headers ask for.

use std::str::FromStr;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// The wishes of one request; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Controls {
    /// Answer an error with this status.
    pub(crate) status: Option<StatusCode>,
    /// Add this `retry-after`.
    pub(crate) retry_after: Option<u64>,
    /// Answer 200 with an error as the body, or as this event of a stream, counted from 1; 0 is the body of a stream too.
    pub(crate) error_in_200: Option<usize>,
    /// Add this header field.
    pub(crate) header: Option<ExtraHeader>,
    /// Wait before the first token.
    pub(crate) first_token_delay: Option<Duration>,
    /// Wait before every further token.
    pub(crate) token_delay: Option<Duration>,
    /// Reset after so many chunks.
    pub(crate) reset_after_chunks: Option<usize>,
    /// End after so many chunks, as if that were all.
    pub(crate) end_after_chunks: Option<usize>,
    /// Say nothing more after so many chunks.
    pub(crate) stall_after_chunks: Option<usize>,
    /// Wait until this name is released.
    pub(crate) hold: Option<String>,
    /// Compress the answer.
    pub(crate) gzip: bool,
}

/// A header field that is added to an answer: `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtraHeader(pub(crate) HeaderName, pub(crate) HeaderValue);

impl FromStr for ExtraHeader {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, value) = text.split_once('=').ok_or(())?;
        Ok(Self(name.parse().map_err(|_| ())?, value.parse().map_err(|_| ())?))
    }
}

impl Controls {
    /// Reads the headers; the error is the one that cannot be read.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, HeaderName> {
        let millis = |name| value::<u64>(headers, name).map(|value| value.map(Duration::from_millis));
        Ok(Self {
            status: value(headers, "sim-status")?,
            retry_after: value(headers, "sim-retry-after")?,
            error_in_200: value(headers, "sim-error-in-200")?,
            header: value(headers, "sim-header")?,
            first_token_delay: millis("sim-first-token-delay-ms")?,
            token_delay: millis("sim-token-delay-ms")?,
            reset_after_chunks: value(headers, "sim-reset-after-chunks")?,
            end_after_chunks: value(headers, "sim-end-after-chunks")?,
            stall_after_chunks: value(headers, "sim-stall-after-chunks")?,
            hold: value(headers, "sim-hold")?,
            gzip: flag(headers, "sim-gzip")?,
        })
    }
}

fn value<T: FromStr>(headers: &HeaderMap, name: &'static str) -> Result<Option<T>, HeaderName> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or(HeaderName::from_static(name))
}

fn flag(headers: &HeaderMap, name: &'static str) -> Result<bool, HeaderName> {
    match value::<u8>(headers, name)? {
        None | Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) => Err(HeaderName::from_static(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls(pairs: &[(&'static str, &'static str)]) -> Result<Controls, HeaderName> {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Controls::from_headers(&pairs.collect())
    }

    #[test]
    fn headers_become_wishes() {
        assert_eq!(controls(&[("content-type", "text/plain")]), Ok(Controls::default()));
        assert_eq!(
            controls(&[
                ("sim-status", "429"),
                ("sim-hold", "door"),
                ("sim-token-delay-ms", "5"),
                ("sim-gzip", "1"),
                ("sim-header", "x-a=b=c")
            ]),
            Ok(Controls {
                status: Some(StatusCode::TOO_MANY_REQUESTS),
                hold: Some("door".into()),
                token_delay: Some(Duration::from_millis(5)),
                gzip: true,
                header: Some(ExtraHeader(HeaderName::from_static("x-a"), HeaderValue::from_static("b=c"))),
                ..Controls::default()
            })
        );
    }

    #[test]
    fn a_wish_that_cannot_be_read_is_named() {
        for (name, text) in
            [("sim-status", "1"), ("sim-gzip", "yes"), ("sim-retry-after", "soon"), ("sim-header", "x")]
        {
            assert_eq!(controls(&[(name, text)]), Err(HeaderName::from_static(name)));
        }
    }
}
