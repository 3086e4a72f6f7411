//! Server-sent events, as HTML's "interpreting an event stream" (WHATWG HTML, section 9.2.6) reads them.

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests;

use core::{fmt, mem, str};

use memchr::{memchr, memchr2};

/// Cuts a stream of server-sent events into frames.
///
/// A frame ends with a blank line. It is handed over with its bytes as they came, so that a proxy can pass or
/// drop it whole: the bytes of all frames, then what is [pending](Self::pending), are the stream. Works on
/// bytes, so a chunk may end anywhere: inside a line ending or inside a UTF-8 character. A frame that lies in
/// one chunk is not copied.
///
/// ```
/// # use weir_wire::{SseFrame, SseFramer};
/// let mut framer = SseFramer::new(64 * 1024);
/// let mut data = Vec::new();
/// for chunk in ["data: {\"a\"", ":1}\n\n: still here\n\ndata: [DO", "NE]\r\n\r\n"] {
///     framer.feed(chunk.as_bytes(), |frame| match frame {
///         SseFrame::Event(event) => data.push(event.data.to_vec()),
///         SseFrame::Silence(_) => {}
///     })?;
/// }
/// assert_eq!(data, [&b"{\"a\":1}"[..], b"[DONE]"]);
/// # Ok::<(), weir_wire::EventTooLong>(())
/// ```
#[derive(Clone, Debug)]
pub struct SseFramer {
    limit: usize,
    /// The bytes of a frame that has not ended.
    held: Vec<u8>,
    /// Room for data of several lines.
    joined: Vec<u8>,
    /// Whether the last byte ended a line, or there was none.
    at_line_start: bool,
    /// Whether the last byte is a carriage return, which a line feed may still complete.
    after_cr: bool,
    /// Whether a frame has ended: only the first may begin with a byte order mark.
    begun: bool,
    failed: bool,
}

/// What a blank line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SseFrame<'a> {
    /// An event.
    Event(SseEvent<'a>),
    /// No event, since it has no data: the bytes of comments, of other fields, or of an empty line.
    Silence(&'a [u8]),
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The event's type; `message` if absent.
    pub event: Option<&'a [u8]>,
    /// Its data, several lines joined by line feeds.
    pub data: &'a [u8],
    /// The id it sets, which may be empty; without one the last id goes on.
    pub id: Option<&'a [u8]>,
    /// The time in milliseconds it asks clients to wait before they connect again.
    pub retry: Option<u64>,
    /// All bytes of its frame, blank line and comments included.
    pub raw: &'a [u8],
}

/// A frame is longer than the framer's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLong {
    /// How many bytes a frame may have.
    pub limit: usize,
}

impl SseFramer {
    /// A framer of frames with at most `limit` bytes, at the start of a stream.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Vec::new(),
            joined: Vec::new(),
            at_line_start: true,
            after_cr: false,
            begun: false,
            failed: false,
        }
    }

    /// Feeds the next bytes and hands over each frame that they end.
    ///
    /// A carriage return ends a line at once. If the line feed that belongs to the last one of a frame comes
    /// in a later chunk, it is a silence of its own. After an error the framer stays failed and reads no more.
    pub fn feed(&mut self, chunk: &[u8], mut on_frame: impl FnMut(SseFrame<'_>)) -> Result<(), EventTooLong> {
        if self.failed {
            return Err(EventTooLong { limit: self.limit });
        }
        let mut rest = chunk;
        // A line feed that comes while nothing is held belongs to the last frame's carriage return.
        if self.after_cr
            && self.held.is_empty()
            && let Some((feed, tail)) = rest.split_at_checked(1).filter(|(byte, _)| byte == b"\n")
        {
            self.after_cr = false;
            on_frame(SseFrame::Silence(feed));
            rest = tail;
        }
        while let Some(end) = self.frame_end(rest) {
            let (head, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            // The line feed does not count, since it may as well come later.
            let counted = head.len().saturating_sub(usize::from(head.ends_with(b"\r\n")));
            self.admit(counted, rest)?;
            let first = !mem::replace(&mut self.begun, true);
            if self.held.is_empty() {
                on_frame(read(head, first, &mut self.joined));
            } else {
                self.held.extend_from_slice(head);
                on_frame(read(&self.held, first, &mut self.joined));
                self.held.clear();
            }
            rest = tail;
        }
        self.admit(rest.len(), rest)?;
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// The bytes that belong to no frame yet. At the end of a stream they are not an event. After an error
    /// they are all that was fed and not handed over, up to the end of the chunk that met it.
    pub fn pending(&self) -> &[u8] {
        &self.held
    }

    /// What is [pending](Self::pending) at the end of a stream, read as if a blank line had ended it; `None` if nothing is.
    /// Not an event by the standard, and often meant as one: some servers leave out the last line.
    pub fn last(&mut self) -> Option<SseFrame<'_>> {
        let first = !self.begun;
        (!self.held.is_empty()).then(|| read(&self.held, first, &mut self.joined))
    }

    /// Fails, and holds `rest`, if the frame has too many bytes with the next `len`.
    fn admit(&mut self, len: usize, rest: &[u8]) -> Result<(), EventTooLong> {
        if self.held.len().saturating_add(len) <= self.limit {
            return Ok(());
        }
        self.failed = true;
        self.held.extend_from_slice(rest);
        Err(EventTooLong { limit: self.limit })
    }

    /// Where the frame ends that goes on with `bytes`.
    fn frame_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = usize::from(self.after_cr && bytes.first() == Some(&b'\n'));
        if !bytes.is_empty() {
            self.after_cr = false;
        }
        loop {
            let rest = bytes.get(at..)?;
            let Some(len) = memchr2(b'\r', b'\n', rest) else {
                self.at_line_start &= rest.is_empty();
                return None;
            };
            let blank = len == 0 && self.at_line_start;
            let ending = ending_len(rest.get(len..)?);
            at = at.saturating_add(len).saturating_add(ending);
            self.at_line_start = true;
            self.after_cr = bytes.get(..at)?.ends_with(b"\r") && at == bytes.len();
            if blank {
                return Some(at);
            }
        }
    }
}

impl SseFrame<'_> {
    /// All bytes of the frame.
    pub fn raw(&self) -> &[u8] {
        match self {
            Self::Event(event) => event.raw,
            Self::Silence(raw) => raw,
        }
    }
}

impl fmt::Display for EventTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is longer than {} bytes", self.limit)
    }
}

impl core::error::Error for EventTooLong {}

/// Reads the fields of a frame.
fn read<'a>(raw: &'a [u8], first: bool, joined: &'a mut Vec<u8>) -> SseFrame<'a> {
    let mut event = SseEvent { event: None, data: &[], id: None, retry: None, raw };
    let mut lines_of_data: usize = 0;
    let mut rest = raw.strip_prefix(BYTE_ORDER_MARK).filter(|_| first).unwrap_or(raw);
    while !rest.is_empty() {
        let (line, tail) = split_line(rest);
        rest = tail;
        let (name, value) = split_field(line);
        match name {
            b"data" => {
                match lines_of_data {
                    0 => event.data = value,
                    1 => {
                        joined.clear();
                        joined.extend_from_slice(event.data);
                    }
                    _ => {}
                }
                if lines_of_data > 0 {
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
                lines_of_data = lines_of_data.saturating_add(1);
            }
            b"event" => event.event = Some(value).filter(|value| !value.is_empty()),
            b"id" if memchr(0, value).is_none() => event.id = Some(value),
            b"retry" => event.retry = milliseconds(value).or(event.retry),
            _ => {}
        }
    }
    match lines_of_data {
        0 => SseFrame::Silence(raw),
        1 => SseFrame::Event(event),
        _ => SseFrame::Event(SseEvent { data: joined, ..event }),
    }
}

/// Cuts the first line off `bytes`, without its ending.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
    (line, rest.get(ending_len(rest)..).unwrap_or_default())
}

/// The length of the line ending that `bytes` begin with.
fn ending_len(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { usize::from(!bytes.is_empty()) }
}

/// A line's name, empty for a comment, and its value without the one space that may lead it.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else {
        return (line, &[]);
    };
    let value = value.strip_prefix(b":").unwrap_or(value);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

/// A value that has digits only, unless they are too many.
fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
