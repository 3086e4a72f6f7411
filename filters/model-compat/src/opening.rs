//! The opening of an answer, which decides whether it is one.

use weir_wire::openai::ConcealedError;
use weir_wire::{SseFrame, SseFramer};

/// The opening of an answer with status 200, read until it is clear whether it is an error in disguise.
#[derive(Debug)]
pub(crate) struct Opening {
    format: Format,
    /// How many bytes have come.
    come: usize,
}

#[derive(Debug)]
enum Format {
    /// One JSON value.
    Json(Vec<u8>),
    /// Server-sent events.
    Events(SseFramer),
}

/// What the opening shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not enough has come.
    Unclear,
    /// It is an answer, or too long for an error.
    Sound,
    /// It is an error.
    Error(ConcealedError),
}

impl Opening {
    /// The opening of an answer of this media type; `None` if none that could be an error.
    pub(crate) fn of(content_type: Option<&str>) -> Option<Self> {
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let format = if media_type.eq_ignore_ascii_case("text/event-stream") {
            Format::Events(SseFramer::new(LONGEST))
        } else if media_type.eq_ignore_ascii_case("application/json") {
            Format::Json(Vec::new())
        } else {
            return None;
        };
        Some(Self { format, come: 0 })
    }

    /// How many bytes have come.
    pub(crate) fn come(&self) -> usize {
        self.come
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, chunk: &[u8], end: bool) -> Verdict {
        self.come = self.come.saturating_add(chunk.len());
        let verdict = match &mut self.format {
            Format::Json(body) => {
                if self.come > LONGEST {
                    return Verdict::Sound;
                }
                body.extend_from_slice(chunk);
                if end { verdict(body) } else { Verdict::Unclear }
            }
            Format::Events(framer) => {
                let mut first = None;
                let read = framer.feed(chunk, |frame| {
                    if let SseFrame::Event(event) = frame {
                        first.get_or_insert_with(|| verdict(event.data));
                    }
                });
                first.unwrap_or(if read.is_ok() { Verdict::Unclear } else { Verdict::Sound })
            }
        };
        if end && verdict == Verdict::Unclear { Verdict::Sound } else { verdict }
    }
}

fn verdict(json: &[u8]) -> Verdict {
    ConcealedError::read(json).map_or(Verdict::Sound, Verdict::Error)
}

/// No error is longer, in bytes.
const LONGEST: usize = 16 * 1024;

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
            Verdict::Sound => Some(200),
            Verdict::Error(error) => Some(error.status),
        });
        told.collect()
    }

    #[test]
    fn a_whole_body_is_judged_at_its_end() {
        let (start, end) = ERROR.split_at(9);
        assert_eq!(read("application/json", &[start, end]), [None, Some(503)]);
        assert_eq!(read("application/json; charset=utf-8", &[r#"{"choices":[]}"#]), [Some(200)]);
        assert_eq!(read("application/json", &[""]), [Some(200)]);
        let long = format!("{{\"x\":\"{}\"", "y".repeat(LONGEST));
        assert_eq!(read("application/json", &[&long, "}"]), [Some(200), Some(200)]);
    }

    #[test]
    fn a_stream_is_judged_by_its_first_event() {
        let event = format!("data: {ERROR}\n\n");
        let answer = "data: {\"choices\":[]}\n\n";
        let sse = "text/event-stream";
        assert_eq!(read(sse, &[": processing\n\n", &event]), [None, Some(503)]);
        assert_eq!(read(sse, &[answer, &event]).first(), Some(&Some(200)));
        assert_eq!(read(sse, &[&format!("{answer}{event}")]), [Some(200)]);
        assert_eq!(read(sse, &[": processing\n\n", ""]), [None, Some(200)]);
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
