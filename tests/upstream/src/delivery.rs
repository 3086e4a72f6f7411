//! How a reply goes out: at which pace, held, compressed, cut off.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, watch};

use crate::api::Reply;
use crate::body::{Piece, ResponseBody, Tracked};
use crate::controls::{Controls, ExtraHeader};
use crate::shapes::{self, Usage};

/// Names that were released.
#[derive(Debug, Default)]
pub(crate) struct Releases(watch::Sender<HashSet<String>>);

impl Releases {
    /// Lets everything go that holds under this name, now and later.
    pub(crate) fn release(&self, name: &str) {
        self.0.send_modify(|names| {
            names.insert(name.to_owned());
        });
    }

    /// Subscribes a delivery.
    pub(crate) fn subscribe(&self) -> Door {
        Door(self.0.subscribe())
    }
}

/// What a delivery waits at while it is held.
#[derive(Debug)]
pub(crate) struct Door(watch::Receiver<HashSet<String>>);

impl Door {
    async fn wait(&mut self, name: Option<&String>) {
        if let Some(name) = name {
            // An error means that the server is gone, and the delivery with it.
            drop(self.0.wait_for(|names| names.contains(name)).await);
        }
    }
}

/// How fast tokens are read and written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speed {
    pub(crate) prefill_per_second: u32,
    pub(crate) decode_per_second: u32,
}

/// A reply that is ready to go.
#[derive(Debug)]
pub(crate) struct Delivery {
    status: StatusCode,
    content_type: &'static str,
    /// The body; more than one piece only in a stream.
    pieces: Vec<Bytes>,
    streamed: bool,
    /// Tokens read and written.
    pub(crate) usage: Usage,
    controls: Controls,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    first: Duration,
    further: Duration,
}

impl Delivery {
    /// Bends `reply` to what the request asked for.
    pub(crate) fn new(reply: Reply, controls: Controls, speed: Speed) -> Self {
        let (status, streamed, usage, mut pieces) = match bend(reply, &controls) {
            Reply::Whole { status, body, usage } => {
                (status, false, usage, vec![Bytes::from(body.to_string())])
            }
            Reply::Stream { events, usage } => (StatusCode::OK, true, usage, events),
        };
        if controls.gzip {
            pieces = gzip(&pieces);
        }
        let pace = Pace {
            first: controls.first_token_delay.unwrap_or(duration(usage.prompt, speed.prefill_per_second)),
            further: controls.token_delay.unwrap_or(duration(1, speed.decode_per_second)),
        };
        let content_type = if streamed { "text/event-stream; charset=utf-8" } else { "application/json" };
        Self { status, content_type, pieces, streamed, usage, controls, pace }
    }

    /// Sends it: a whole body when it is due, a stream from a task of its own.
    pub(crate) async fn send(mut self, mut door: Door, tracked: Tracked) -> Response<ResponseBody> {
        if !self.streamed {
            let tokens = u32::try_from(self.usage.completion).unwrap_or(u32::MAX);
            tokio::time::sleep(self.pace.first.saturating_add(self.pace.further.saturating_mul(tokens)))
                .await;
            door.wait(self.controls.hold.take().as_ref()).await;
            self.pace = Pace { first: Duration::ZERO, further: Duration::ZERO };
        }
        tracked.exchange.started(self.status.as_u16());
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.controls.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(seconds) = self.controls.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(ExtraHeader(name, value)) = self.controls.header.take() {
            headers.insert(name, value);
        }
        let Controls { reset_after_chunks, end_after_chunks, .. } = self.controls;
        let body = if self.streamed || reset_after_chunks.or(end_after_chunks).is_some() {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(async move {
                tokio::select! {
                    () = sender.closed() => {}
                    () = self.produce(&sender, door) => {}
                }
            });
            ResponseBody::pieces(receiver, tracked)
        } else {
            ResponseBody::whole(self.pieces.concat().into(), Some(tracked))
        };
        response.map(|()| body)
    }

    async fn produce(&self, sender: &mpsc::Sender<Piece>, mut door: Door) {
        let Controls { reset_after_chunks, end_after_chunks, stall_after_chunks, .. } = self.controls;
        let kept = [reset_after_chunks, end_after_chunks, stall_after_chunks].into_iter().flatten().min();
        let data = self.pieces.iter().cloned().map(Piece::Data).take(kept.unwrap_or(usize::MAX));
        let pieces: Vec<Piece> = data.chain(reset_after_chunks.map(|_| Piece::Reset)).collect();
        for (at, piece) in pieces.into_iter().enumerate() {
            tokio::time::sleep(if at == 0 { self.pace.first } else { self.pace.further }).await;
            if at == 1 {
                door.wait(self.controls.hold.as_ref()).await;
            }
            if sender.send(piece).await.is_err() {
                return;
            }
        }
        if stall_after_chunks.is_some() {
            sender.closed().await;
        }
    }
}

/// Replaces the reply, or a part of it, by the error that was asked for.
fn bend(reply: Reply, controls: &Controls) -> Reply {
    let error = shapes::error("The simulated model server fails, as asked.", "server_error", None, None);
    match (controls.status, controls.error_in_200, reply) {
        (Some(status), _, _) => Reply::plain(status, error),
        (None, Some(_), Reply::Whole { .. }) | (None, Some(0), Reply::Stream { .. }) => {
            Reply::plain(StatusCode::OK, error)
        }
        (None, Some(nth), Reply::Stream { mut events, usage }) => {
            events.truncate(nth.saturating_sub(1));
            events.push(shapes::event(&error.to_string()));
            Reply::Stream { events, usage }
        }
        (None, None, reply) => reply,
    }
}

/// Compresses the pieces so that each can be decompressed as soon as it arrives.
fn gzip(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut compressed: Vec<Bytes> = pieces
        .iter()
        .map(|piece| {
            // Writing into a vector does not fail.
            drop(encoder.write_all(piece).and_then(|()| encoder.flush()));
            std::mem::take(encoder.get_mut()).into()
        })
        .collect();
    compressed.extend(encoder.finish().map(Bytes::from));
    compressed
}

fn duration(tokens: usize, per_second: u32) -> Duration {
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    Duration::from_secs(1).checked_div(per_second).unwrap_or_default().saturating_mul(tokens)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::json;

    use super::*;

    fn stream() -> Reply {
        Reply::Stream {
            events: ["a", "b", "c"].map(shapes::event).to_vec(),
            usage: Usage { prompt: 4, completion: 3 },
        }
    }

    #[test]
    fn a_status_replaces_the_reply() {
        let controls =
            Controls { status: Some(StatusCode::BAD_GATEWAY), error_in_200: Some(1), ..Controls::default() };
        let delivery = Delivery::new(stream(), controls, Speed::default());
        assert_eq!(
            (delivery.status, delivery.streamed, delivery.pieces.len()),
            (StatusCode::BAD_GATEWAY, false, 1)
        );
    }

    #[test]
    fn an_error_in_a_stream_is_the_event_that_was_asked_for_and_the_last() {
        let controls = Controls { error_in_200: Some(3), ..Controls::default() };
        let delivery = Delivery::new(stream(), controls, Speed::default());
        let [a, b, error] = delivery.pieces.as_slice() else { panic!("three events") };
        assert_eq!((a.as_ref(), b.as_ref()), (b"data: a\n\n".as_ref(), b"data: b\n\n".as_ref()));
        assert!(error.starts_with(b"data: {\"error\""));
    }

    #[test]
    fn each_compressed_piece_can_be_read_when_it_arrives() {
        let pieces = gzip(&[Bytes::from("hello "), Bytes::from("there")]);
        let mut first = [0; 6];
        GzDecoder::new(pieces[0].as_ref()).read_exact(&mut first).unwrap();
        let mut all = String::new();
        GzDecoder::new(pieces.concat().as_slice()).read_to_string(&mut all).unwrap();
        assert_eq!((first.as_slice(), all.as_str()), (b"hello ".as_slice(), "hello there"));
    }

    #[test]
    fn a_request_may_set_its_own_pace() {
        let speed = Speed { prefill_per_second: 8, decode_per_second: 100 };
        let ours = Delivery::new(stream(), Controls::default(), speed).pace;
        assert_eq!(ours, Pace { first: Duration::from_millis(500), further: Duration::from_millis(10) });
        let wish = Controls { first_token_delay: Some(Duration::ZERO), ..Controls::default() };
        let theirs = Delivery::new(stream(), wish, speed).pace;
        assert_eq!(theirs, Pace { first: Duration::ZERO, further: Duration::from_millis(10) });
        let none =
            Delivery::new(Reply::plain(StatusCode::OK, json!({})), Controls::default(), Speed::default())
                .pace;
        assert_eq!(none, Pace { first: Duration::ZERO, further: Duration::ZERO });
    }
}
