//! One step of an answer's way.

use core::{fmt, ops::Range};

use crate::sse::SseEvent;

/// Makes other events, or another body, of those that an upstream or the step before has sent. Pure: what comes of an
/// answer depends on nothing but what came before it.
pub trait Step: fmt::Debug {
    /// An event has come: hands on to `next` what takes its place, in order, which may be nothing or the event itself.
    fn event(&mut self, event: &SseEvent<'_>, next: &mut dyn FnMut(&SseEvent<'_>));

    /// The stream has ended: hands on what is left.
    fn end(&mut self, _next: &mut dyn FnMut(&SseEvent<'_>)) {}

    /// What takes the place of a whole body of JSON; `None` if it stays.
    fn body(&mut self, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The bytes of an event that a step has made.
///
/// ```
/// # use weir_wire::answer::Frame;
/// let frame = Frame::of(Some("ping"), b"{}");
/// assert_eq!(frame.event().raw, b"event: ping\ndata: {}\n\n");
/// assert_eq!(frame.event().data, b"{}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    name: Option<Vec<u8>>,
    raw: Vec<u8>,
    data: Range<usize>,
}

impl Frame {
    /// An event of this type, if it is not `message`. Of JSON that was laid out in several lines it makes one.
    pub fn of(name: Option<&str>, data: &[u8]) -> Self {
        let mut raw =
            Vec::with_capacity(data.len().saturating_add(name.map_or(0, str::len)).saturating_add(16));
        if let Some(name) = name {
            raw.extend_from_slice(b"event: ");
            raw.extend_from_slice(name.as_bytes());
            raw.push(b'\n');
        }
        raw.extend_from_slice(b"data: ");
        let start = raw.len();
        raw.extend(data.iter().map(|byte| if b"\r\n".contains(byte) { b' ' } else { *byte }));
        let data = start..raw.len();
        raw.extend_from_slice(b"\n\n");
        Self { name: name.map(|name| name.as_bytes().to_vec()), raw, data }
    }

    /// The frame of `event` with other data, which has no line ending in it; all other bytes stay.
    pub fn with_data(event: &SseEvent<'_>, data: &[u8]) -> Self {
        let (raw, old) = (event.raw, event.data);
        // Data of one line is a part of the frame's bytes.
        let start = old.as_ptr().addr().wrapping_sub(raw.as_ptr().addr());
        let end = start.saturating_add(old.len());
        let (Some(head), Some(tail)) = (raw.get(..start), raw.get(end..)) else {
            return Self::of(event.event.and_then(|name| str::from_utf8(name).ok()), data);
        };
        let name = event.event.map(<[u8]>::to_vec);
        Self { name, raw: [head, data, tail].concat(), data: start..start.saturating_add(data.len()) }
    }

    /// The event.
    pub fn event(&self) -> SseEvent<'_> {
        let data = self.raw.get(self.data.clone()).unwrap_or_default();
        SseEvent { event: self.name.as_deref(), data, id: None, retry: None, raw: &self.raw }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::{SseFrame, SseFramer};

    fn changed(frame: &str) -> String {
        let mut written = Vec::new();
        let read = SseFramer::new(1000).feed(frame.as_bytes(), |frame| {
            let SseFrame::Event(event) = frame else { panic!("no event") };
            written = Frame::with_data(&event, b"[1]").raw;
        });
        assert_eq!(read, Ok(()));
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn other_data_leaves_the_rest_of_a_frame() {
        let frame = ": note\r\nid: 7\r\ndata:{}\r\nevent: x\r\n\r\n";
        assert_eq!(changed(frame), frame.replace("{}", "[1]"));
        assert_eq!(changed("event: x\ndata: {\ndata: }\n\n"), "event: x\ndata: [1]\n\n");
    }
}
