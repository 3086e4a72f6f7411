//! A request's body on its way to the upstream.

use core::mem;

use weir_core::{Cx, Flow, Part, Reply, Side};
use weir_schema::compat::StreamUsage;
use weir_wire::translate::{self, Asked, Protocol, Translated};
use weir_wire::{Rename, RequestScan, walk};

use crate::attempt::Attempt;
use crate::body::{self, ASK, Edited};
use crate::filter::{ModelCompat, REFUSED};
use crate::reply;
use crate::speech::Speech;

/// What a request has shown of the answer to it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Whether the usage of the stream that may answer is nothing the client has asked for.
    pub(crate) hide_usage: bool,
    /// What it was translated from, if it was.
    pub(crate) asked: Option<Asked>,
}

/// What is left to do with a body.
///
/// ```text
/// Held ──► Asking ──► Done
///    └───────────────►
/// ```
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// The head is held, and the body so far.
    Held { attempt: Box<Attempt>, body: Vec<u8>, scan: Box<RequestScan>, json: bool, limit: usize },
    /// The body flows, with room for the question for a stream's usage; where its JSON ends, the question is put, if it is
    /// one for a stream.
    Asking { scan: Box<RequestScan>, room: bool },
    /// It flows.
    Done,
}

impl Outgoing {
    /// A body of an attempt whose head is held; at most `limit` bytes of it are held too. What says that it is longer, and
    /// would have to be held whole, is answered at once.
    pub(crate) fn held(cx: &mut Cx<'_>, attempt: Attempt, json: bool, limit: u32) -> (Self, Flow) {
        let long = attempt.content_length.is_some_and(|length| length > u64::from(limit));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if json && long && attempt.is_edited_whole() {
            return (Self::Done, too_large(cx, &attempt, limit));
        }
        let (attempt, body, scan) = (Box::new(attempt), Vec::new(), Box::default());
        (Self::Held { attempt, body, scan, json, limit }, Flow::Wait)
    }

    /// Reads on. Gives what is known of the answer, once it is.
    pub(crate) fn feed(
        &mut self,
        cx: &mut Cx<'_>,
        filter: &ModelCompat,
        chunk: &[u8],
        end: bool,
    ) -> (Flow, Option<Known>) {
        match self {
            Self::Held { body, .. } if body.is_empty() && end => self.send(cx, filter, chunk),
            Self::Held { body, scan, .. } => {
                body.extend_from_slice(chunk);
                // The end is not always told: trailers may follow, or nothing. What is not JSON the router refuses.
                let whole = end || scan.feed(chunk).is_ok() && scan.is_complete();
                let held = mem::take(body);
                let (flow, known) =
                    if whole { self.send(cx, filter, &held) } else { (self.wait(cx, &held), None) };
                if let Self::Held { body, .. } = self {
                    *body = held;
                }
                (flow, known)
            }
            Self::Asking { scan, room } => {
                let put = ask(cx, scan, chunk, *room);
                if put.is_some() || end {
                    cx.skip(Part::RequestBody);
                    *self = Self::Done;
                }
                (Flow::Continue, put.map(|hide_usage| Known { hide_usage, asked: None }))
            }
            Self::Done => (Flow::Continue, None),
        }
    }

    /// Sends a body that is whole.
    fn send(&mut self, cx: &mut Cx<'_>, filter: &ModelCompat, body: &[u8]) -> (Flow, Option<Known>) {
        let Self::Held { attempt, json, .. } = self else { return (Flow::Continue, None) };
        if body.len() < attempt.rename.range().end {
            return (Flow::Reply(Reply::fault()), None);
        }
        cx.skip(Part::RequestBody);
        let known = if *json {
            let (edited, known) = match edited(cx, filter, attempt, body) {
                Ok(edited) => edited,
                Err(reply) => {
                    if reply.status != 200 {
                        cx.count(REFUSED);
                    }
                    return (Flow::Reply(attempt.worded(*reply)), None);
                }
            };
            if let Some(length) = attempt.content_length {
                // Blanks may follow.
                let after = length.saturating_sub(body.len() as u64);
                let length = after.saturating_add(edited.as_ref().map_or(body.len(), Vec::len) as u64);
                cx.set_request_header("content-length", length.to_string());
            }
            if let Some(edited) = edited {
                cx.replace_body(Side::Request, 0..body.len(), edited);
            }
            known
        } else {
            rename(cx, attempt, 0);
            Known::default()
        };
        *self = Self::Done;
        (Flow::Continue, Some(known))
    }

    /// More will come: waits for it, or sends what is there.
    fn wait(&mut self, cx: &mut Cx<'_>, body: &[u8]) -> Flow {
        let Self::Held { attempt, scan, json, limit, .. } = self else { return Flow::Continue };
        if *json && attempt.is_edited_whole() {
            return if body.len() > *limit { too_large(cx, attempt, *limit) } else { Flow::Wait };
        }
        if body.len() < attempt.rename.range().end {
            return Flow::Wait;
        }
        if !*json || !attempt.may_tell_usage() || attempt.rules.stream_usage() != StreamUsage::Ask {
            rename(cx, attempt, 0);
            cx.skip(Part::RequestBody);
            *self = Self::Done;
            return Flow::Continue;
        }
        let room = attempt.content_length.is_some();
        rename(cx, attempt, if room { ROOM } else { 0 });
        *self = Self::Asking { scan: mem::take(scan), room };
        Flow::Continue
    }
}

/// Refuses a body of which more would have to be held.
fn too_large(cx: &mut Cx<'_>, attempt: &Attempt, limit: usize) -> Flow {
    cx.count(REFUSED);
    Flow::Reply(attempt.worded(reply::too_large(limit)))
}

/// What a whole body becomes, if it becomes another, and what it has shown. `Err` is the answer to it.
fn edited(
    cx: &mut Cx<'_>,
    filter: &ModelCompat,
    attempt: &Attempt,
    body: &[u8],
) -> Result<(Option<Vec<u8>>, Known), Box<Reply>> {
    let (client, upstream) = match attempt.speech {
        Speech::Native => {
            let edited = body::edit(body, &attempt.rename, &attempt.rules, attempt.may_tell_usage());
            let Edited { body, hide_usage } = edited.map_err(|refused| Box::new(reply::refused(&refused)))?;
            return Ok((body, Known { hide_usage, asked: None }));
        }
        Speech::Counted => return Err(Box::new(reply::counted(body))),
        Speech::Foreign { client, upstream } => (client, upstream),
    };
    let translated = translate::request(client, upstream, &attempt.model, body);
    let Translated { mut body, path, asked } = translated.map_err(|error| Box::new(reply::error(&error)))?;
    if let Some(path) = filter.path(&format!("/v1{path}"), &attempt.model) {
        cx.set_request_header(":path", path);
    }
    if upstream == Protocol::Chat {
        let edited = body::edit(&body, &renamed(&body, &attempt.model), &attempt.rules, false);
        let edited = edited.map_err(|refused| Box::new(reply::refused(&refused)))?;
        body = edited.body.unwrap_or(body);
    }
    Ok((Some(body), Known { hide_usage: asked.hide_usage(), asked: Some(asked) }))
}

/// What leaves the model's name in a body as it is.
fn renamed(body: &[u8], model: &str) -> Rename {
    let place = walk::member(body, 0..body.len(), b"model").map(|place| place.value).unwrap_or_default();
    Rename::new(place.start as u64..place.end as u64, model)
}

/// Replaces the model's name in the held body, which grows by `more` bytes yet.
fn rename(cx: &mut Cx<'_>, attempt: &Attempt, more: u64) {
    if let Some(length) = attempt.content_length {
        let length = attempt.rename.content_length(length).saturating_add(more);
        cx.set_request_header("content-length", length.to_string());
    }
    cx.replace_body(Side::Request, attempt.rename.range(), attempt.rename.literal());
}

/// Puts the question for the usage where the body's JSON ends, if that is in `chunk`; or blanks where there is no question
/// and `room` has to be filled. Gives whether the question is ours.
fn ask(cx: &mut Cx<'_>, scan: &mut RequestScan, chunk: &[u8], room: bool) -> Option<bool> {
    // What is not JSON the router has refused, or will.
    if scan.feed(chunk).is_err() || !scan.is_complete() {
        return None;
    }
    let end = chunk.iter().rposition(|byte| *byte == b'}')?;
    let ours = scan.stream() == Some(true) && !scan.has_stream_options();
    let text = match (ours, room) {
        (true, _) => format!(",{ASK}"),
        (false, true) => " ".repeat(usize::try_from(ROOM).unwrap_or(0)),
        (false, false) => return Some(false),
    };
    cx.replace_body(Side::Request, end..end, text);
    Some(ours)
}

/// The length of the question, with its comma.
const ROOM: u64 = ASK.len() as u64 + 1;
