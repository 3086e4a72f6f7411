//! The body of a response, and what is recorded as it goes out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::metrics::Running;
use crate::record::{Event, Exchange};
use crate::shapes::Usage;

/// A response's body: whole, or piece by piece from a task.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    tracked: Option<Tracked>,
}

/// What ends with the body.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) exchange: Exchange,
    pub(crate) running: Option<(Running, Usage)>,
}

/// What a task sends.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A part of the body.
    Data(Bytes),
    /// No more, and not cleanly.
    Reset,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Pieces(mpsc::Receiver<Piece>),
    Resetting,
    Over,
}

impl ResponseBody {
    /// A body that is known already.
    pub(crate) fn whole(bytes: Bytes, tracked: Option<Tracked>) -> Self {
        Self { source: Source::Whole(bytes), tracked }
    }

    /// A body that a task will send.
    pub(crate) fn pieces(pieces: mpsc::Receiver<Piece>, tracked: Tracked) -> Self {
        Self { source: Source::Pieces(pieces), tracked: Some(tracked) }
    }

    fn sent(&self, bytes: usize) {
        if let Some(tracked) = &self.tracked {
            tracked.exchange.sent(bytes);
        }
    }

    fn end(&mut self, event: Event) {
        self.source = Source::Over;
        let Some(mut tracked) = self.tracked.take() else { return };
        if let (Some((running, usage)), Event::ResponseComplete) = (&tracked.running, event) {
            running.succeeded(*usage);
        }
        tracked.exchange.ended(event);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResetAsked;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResetAsked>>> {
        match &mut self.source {
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.sent(bytes.len());
                self.end(Event::ResponseComplete);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Pieces(pieces) => match ready!(pieces.poll_recv(cx)) {
                Some(Piece::Data(bytes)) => {
                    self.sent(bytes.len());
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Some(Piece::Reset) => {
                    // Pending once, so that what was sent before is flushed first.
                    self.source = Source::Resetting;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                None => {
                    self.end(Event::ResponseComplete);
                    Poll::Ready(None)
                }
            },
            Source::Resetting => {
                self.end(Event::Reset);
                Poll::Ready(Some(Err(ResetAsked)))
            }
            Source::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Source::Over => SizeHint::with_exact(0),
            Source::Pieces(_) | Source::Resetting => SizeHint::default(),
        }
    }
}

/// The response was to be cut off here.
#[derive(Debug)]
pub(crate) struct ResetAsked;

impl fmt::Display for ResetAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request asked for a reset here")
    }
}

impl std::error::Error for ResetAsked {}
