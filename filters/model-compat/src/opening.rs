//! The opening of an answer, which decides whether it is one.

use weir_wire::openai::ConcealedError;
use weir_wire::{SseFrame, SseFramer, answer, walk};

/// The opening of an answer with status 200, held until it is clear whether it is an error in disguise.
#[derive(Debug)]
pub(crate) struct Opening {
    format: Format,
    /// What has come.
    held: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    /// One JSON value, which is held whole to be read.
    Json,
    /// Server-sent events.
    Events(SseFramer),
}

/// What the opening shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not enough has come.
    Unclear,
    /// It is a whole answer.
    Whole,
    /// It is a stream of events.
    Stream,
    /// It is too long to be held.
    Long,
    /// It is an error.
    Error(ConcealedError),
}

impl Opening {
    /// The opening of an answer of this media type; `None` if none that could be an error.
    pub(crate) fn of(content_type: Option<&str>) -> Option<Self> {
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let format = if media_type.eq_ignore_ascii_case("text/event-stream") {
            Format::Events(SseFramer::new(LONGEST_ERROR))
        } else if media_type.eq_ignore_ascii_case("application/json") {
            Format::Json
        } else {
            return None;
        };
        Some(Self { format, held: Vec::new() })
    }

    /// What has come.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, chunk: &[u8], end: bool) -> Verdict {
        self.held.extend_from_slice(chunk);
        match &mut self.format {
            Format::Json if self.held.len() > LONGEST_BODY => Verdict::Long,
            Format::Json if end && walk::first(&self.held).is_none() => incomplete(),
            // The end is not always told: trailers may follow.
            Format::Json if end || ends(chunk) && walk::whole(&self.held).is_some() => {
                error(&self.held).unwrap_or(Verdict::Whole)
            }
            Format::Json => Verdict::Unclear,
            Format::Events(framer) => {
                let mut first = None;
                let read = framer.feed(chunk, |frame| {
                    if let SseFrame::Event(event) = frame {
                        first.get_or_insert_with(|| error(event.data).unwrap_or(Verdict::Stream));
                    }
                });
                match first {
                    Some(verdict) => verdict,
                    None if read.is_err() => Verdict::Stream,
                    None if !end => Verdict::Unclear,
                    // Its last line may lack its end.
                    None => match framer.last() {
                        Some(SseFrame::Event(event)) if walk::whole(event.data).is_some() => {
                            error(event.data).unwrap_or(Verdict::Stream)
                        }
                        Some(_) | None => incomplete(),
                    },
                }
            }
        }
    }
}

/// Whether a value may end where `chunk` does.
pub(crate) fn ends(chunk: &[u8]) -> bool {
    chunk.trim_ascii_end().last().is_some_and(|byte| b"}]".contains(byte))
}

/// What has ended before anything of it could be told the client.
fn incomplete() -> Verdict {
    Verdict::Error(ConcealedError { status: 502, body: answer::broken().to_string().into_bytes() })
}

fn error(json: &[u8]) -> Option<Verdict> {
    if json.len() > LONGEST_ERROR {
        return None;
    }
    ConcealedError::read(json).map(Verdict::Error)
}

/// No error is longer, in bytes.
const LONGEST_ERROR: usize = 16 * 1024;
/// The longest body that is held, in bytes: well below what Envoy buffers.
const LONGEST_BODY: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &str = r#"{"error":{"message":"x","code":503}}"#;

    fn read(content_type: &str, chunks: &[&str]) -> Vec<Option<u16>> {
        let mut opening = Opening::of(Some(content_type)).unwrap();
        let last = chunks.len().saturating_sub(1);
        let told = chunks.iter().enumerate().map(|(at, chunk)| opening.feed(chunk.as_bytes(), at == last));
        let told = told.map(|verdict| match verdict {
            Verdict::Unclear => None,
            Verdict::Whole | Verdict::Stream => Some(200),
            Verdict::Long => Some(0),
            Verdict::Error(error) => Some(error.status),
        });
        told.collect()
    }

    #[test]
    fn a_whole_body_is_judged_at_its_end() {
        let (start, end) = ERROR.split_at(9);
        assert_eq!(read("application/json", &[start, end]), [None, Some(503)]);
        assert_eq!(read("application/json", &[ERROR, " "]).first(), Some(&Some(503)));
        assert_eq!(read("application/json; charset=utf-8", &[r#"{"choices":[]}"#]), [Some(200)]);
        assert_eq!(read("application/json", &[r#"{"a":{}"#, "}"]), [None, Some(200)]);
        for cut in ["", " ", "{\"a\":[{}]", "7"] {
            assert_eq!(read("application/json", &[cut]), [Some(if cut == "7" { 200 } else { 502 })], "{cut}");
        }
        let long = format!(r#"{{"error":{{"message":"{}"}}"#, "y".repeat(LONGEST_ERROR));
        assert_eq!(read("application/json", &[&long, "}"]), [None, Some(200)]);
        let longer = "y".repeat(LONGEST_BODY);
        assert_eq!(read("application/json", &[&longer, "}"]), [None, Some(0)]);
    }

    #[test]
    fn a_stream_is_judged_by_its_first_event() {
        let event = format!("data: {ERROR}\n\n");
        let answer = "data: {\"choices\":[]}\n\n";
        let sse = "text/event-stream";
        assert_eq!(read(sse, &[": processing\n\n", &event]), [None, Some(503)]);
        assert_eq!(read(sse, &[answer, &event]).first(), Some(&Some(200)));
        assert_eq!(read(sse, &[&format!("{answer}{event}")]), [Some(200)]);
        assert_eq!(read(sse, &["data: {\"choices\":[]}"]), [Some(200)]);
        assert_eq!(read(sse, &[event.trim_end()]), [Some(503)]);
        for nothing in ["", "data: {\"cho"] {
            assert_eq!(read(sse, &[": processing\n\n", nothing]), [None, Some(502)]);
        }
        for cut in 1..event.len() {
            let (start, end) = event.split_at(cut);
            assert_eq!(read(sse, &[start, end]).last(), Some(&Some(503)), "{cut}");
        }
    }

    #[test]
    fn other_media_types_hold_no_error() {
        assert!(Opening::of(Some("audio/mpeg")).is_none() && Opening::of(None).is_none());
    }
}
