//! A request's body on its way to the upstream.

use core::mem;

use weir_core::{Cx, Flow, Part, Reply, Side};
use weir_schema::compat::StreamUsage;
use weir_wire::RequestScan;

use crate::attempt::Attempt;
use crate::body::{self, ASK, Edited};
use crate::filter::REFUSED;
use crate::reply;

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
    /// A body of an attempt whose head is held; at most `limit` bytes of it are held too.
    pub(crate) fn held(attempt: Attempt, json: bool, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self::Held { attempt: Box::new(attempt), body: Vec::new(), scan: Box::default(), json, limit }
    }

    /// Reads on. Gives what is known of the stream that may answer: whether its usage is nothing the client has asked for.
    pub(crate) fn feed(&mut self, cx: &mut Cx<'_>, chunk: &[u8], end: bool) -> (Flow, Option<bool>) {
        match self {
            Self::Held { body, .. } if body.is_empty() && end => self.send(cx, chunk),
            Self::Held { body, scan, .. } => {
                body.extend_from_slice(chunk);
                // The end is not always told: trailers may follow, or nothing. What is not JSON the router refuses.
                let whole = end || scan.feed(chunk).is_ok() && scan.is_complete();
                let held = mem::take(body);
                let (flow, known) = if whole { self.send(cx, &held) } else { self.wait(cx, &held) };
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
                (Flow::Continue, put)
            }
            Self::Done => (Flow::Continue, None),
        }
    }

    /// Sends a body that is whole.
    fn send(&mut self, cx: &mut Cx<'_>, body: &[u8]) -> (Flow, Option<bool>) {
        let Self::Held { attempt, json, .. } = self else { return (Flow::Continue, None) };
        if body.len() < attempt.rename.range().end {
            return (Flow::Reply(Reply::fault()), None);
        }
        cx.skip(Part::RequestBody);
        let hide_usage = if *json {
            let edited = body::edit(body, &attempt.rename, &attempt.rules, attempt.may_tell_usage());
            let Edited { body: edited, hide_usage } = match edited {
                Ok(edited) => edited,
                Err(refused) => {
                    cx.count(REFUSED);
                    return (Flow::Reply(reply::refused(&refused)), None);
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
            hide_usage
        } else {
            rename(cx, attempt, 0);
            false
        };
        *self = Self::Done;
        (Flow::Continue, Some(hide_usage))
    }

    /// More will come: waits for it, or sends what is there.
    fn wait(&mut self, cx: &mut Cx<'_>, body: &[u8]) -> (Flow, Option<bool>) {
        let Self::Held { attempt, scan, json, limit, .. } = self else { return (Flow::Continue, None) };
        if *json && attempt.rules.edit_requests() {
            if body.len() > *limit {
                cx.count(REFUSED);
                return (Flow::Reply(reply::too_large(*limit)), None);
            }
            return (Flow::Wait, None);
        }
        if body.len() < attempt.rename.range().end {
            return (Flow::Wait, None);
        }
        if !*json || !attempt.may_tell_usage() || attempt.rules.stream_usage != StreamUsage::Ask {
            rename(cx, attempt, 0);
            cx.skip(Part::RequestBody);
            *self = Self::Done;
            return (Flow::Continue, None);
        }
        let room = attempt.content_length.is_some();
        rename(cx, attempt, if room { ROOM } else { 0 });
        *self = Self::Asking { scan: mem::take(scan), room };
        (Flow::Continue, None)
    }
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
