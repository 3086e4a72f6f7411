//! A request's body while it streams, whichever form it has.

use core::ops::Range;

use crate::openai::{ApiError, Endpoint, RequestBody};
use crate::{FormScan, Member, Rename, RequestScan};

/// Reads a request's body as it comes, for its model.
#[derive(Clone, Debug)]
pub enum BodyScan {
    /// A JSON object.
    Json(RequestScan),
    /// A multipart form.
    Form(Box<FormScan>),
}

impl BodyScan {
    /// The scan of a body that is sent to `endpoint`, by its `content-type` and `content-encoding`. Where it cannot be
    /// read, or could be read as something else, that is a 415.
    pub fn of(
        endpoint: Option<&Endpoint>,
        content_type: Option<&[u8]>,
        content_encoding: Option<&[u8]>,
    ) -> Result<Self, ApiError> {
        let takes_forms = endpoint.is_some_and(|endpoint| endpoint.request_body() == RequestBody::Form);
        if !takes_forms || !is_form(content_type) {
            ApiError::unless_json(content_type, content_encoding)?;
            return Ok(Self::Json(RequestScan::new()));
        }
        ApiError::unless_json(None, content_encoding)?;
        let scan = FormScan::new(content_type.unwrap_or_default()).ok_or_else(ApiError::unreadable_form)?;
        Ok(Self::Form(Box::new(scan)))
    }

    /// Feeds the next bytes. After an error the scan stays failed.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        match self {
            Self::Json(scan) => scan.feed(chunk).map_err(ApiError::from),
            Self::Form(scan) => scan.feed(chunk).map_err(ApiError::from),
        }
    }

    /// Says that the body has ended: an error if it is not whole.
    pub fn finish(&mut self) -> Result<(), ApiError> {
        match self {
            Self::Json(scan) => scan.finish().map_err(ApiError::from),
            Self::Form(scan) => scan.finish().map_err(ApiError::from),
        }
    }

    /// The model, once it has wholly been read.
    pub fn model(&self) -> Option<&Member<String>> {
        match self {
            Self::Json(scan) => scan.model(),
            Self::Form(scan) => scan.model(),
        }
    }

    /// How many bytes have been read.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Json(scan) => scan.bytes(),
            Self::Form(scan) => scan.bytes(),
        }
    }

    /// Where the model's name stands, once it has been read; else where a JSON object has room for one.
    pub fn place(&self) -> Option<Range<u64>> {
        let room = || match self {
            Self::Json(scan) => scan.before_members().map(|at| at..at),
            Self::Form(_) => None,
        };
        self.model().map(|model| model.span.clone()).or_else(room)
    }

    /// What writes `name` in the [place](Self::place) of the model's.
    pub fn rename(&self, name: &str) -> Option<Rename> {
        let form = match self {
            Self::Json(_) => None,
            Self::Form(_) => Some(MULTIPART),
        };
        self.place().map(|place| Rename::in_body(form, place, name))
    }
}

impl Default for BodyScan {
    fn default() -> Self {
        Self::Json(RequestScan::new())
    }
}

/// Whether a body of this `content-type` is a form.
pub(crate) fn is_form(content_type: Option<&[u8]>) -> bool {
    let start = content_type.and_then(|media| media.trim_ascii_start().get(..MULTIPART.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(MULTIPART))
}

const MULTIPART: &[u8] = b"multipart/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_where_one_is_taken() {
        let media = Some(&b"multipart/form-data; boundary=x"[..]);
        let of = |endpoint: Endpoint, media, coding| {
            let scan = BodyScan::of(Some(&endpoint), media, coding);
            scan.map(|scan| matches!(scan, BodyScan::Form(_))).map_err(|error| error.code)
        };
        assert_eq!(of(Endpoint::Transcriptions, media, None), Ok(true));
        assert_eq!(of(Endpoint::ImageEdits, Some(b"application/json"), None), Ok(false));
        assert_eq!(of(Endpoint::ChatCompletions, media, None), Err(Some("unsupported_media_type")));
        let unbounded = Some(&b"multipart/form-data"[..]);
        assert_eq!(of(Endpoint::Transcriptions, unbounded, None), Err(Some("unsupported_media_type")));
        let zipped = of(Endpoint::Transcriptions, media, Some(b"gzip"));
        assert_eq!(zipped, Err(Some("unsupported_content_encoding")));
    }

    #[test]
    fn a_model_is_replaced_as_its_body_writes_it() {
        let form = b"--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na\r\n--x--\r\n";
        let media = Some(&b"multipart/form-data; boundary=x"[..]);
        for (endpoint, media, body, replaced) in [
            (Endpoint::Transcriptions, media, &form[..], "bcd"),
            (Endpoint::Embeddings, None, br#"{"model":"a"}"#, "\"bcd\""),
        ] {
            let mut scan = BodyScan::of(Some(&endpoint), media, None).unwrap();
            scan.feed(body).unwrap();
            scan.finish().unwrap();
            assert_eq!(scan.rename("bcd").unwrap().literal(), replaced);
        }
    }
}
