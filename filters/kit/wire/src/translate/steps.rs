//! What the steps of all interfaces do alike.

use serde_json::Value;

use crate::answer::{Frame, broken};
use crate::openai::DONE;
use crate::sse::SseEvent;

use super::failure::Failure;

/// Where a step hands on its events.
type Next<'a> = &'a mut dyn FnMut(&SseEvent<'_>);

/// Writes the events of an interface from the chunks of a chat completion.
pub(super) trait WriteEvents {
    /// Whether nothing more may be written.
    fn has_ended(&self) -> bool;

    /// A chunk has come.
    fn chunk(&mut self, chunk: &Value, frames: &mut Vec<Frame>);

    /// The answer has failed.
    fn fail(&mut self, failure: &Failure, frames: &mut Vec<Frame>);

    /// The chunks have ended; false if they have not said why.
    fn finish(&mut self, frames: &mut Vec<Frame>) -> bool;
}

/// Writes what becomes of an event of chunks.
pub(super) fn write(writer: &mut impl WriteEvents, event: &SseEvent<'_>, next: Next<'_>) {
    if event.data == DONE {
        return finish(writer, next);
    }
    let Ok(chunk) = serde_json::from_slice::<Value>(event.data) else { return };
    if writer.has_ended() {
        return;
    }
    let mut frames = Vec::new();
    match chunk.get("error").filter(|error| !error.is_null()) {
        Some(_) => writer.fail(&Failure::in_stream(event.data), &mut frames),
        None => writer.chunk(&chunk, &mut frames),
    }
    hand_on(&frames, next);
}

/// Writes the end, or that there is none.
pub(super) fn finish(writer: &mut impl WriteEvents, next: Next<'_>) {
    let mut frames = Vec::new();
    if !writer.has_ended() && !writer.finish(&mut frames) {
        writer.fail(&Failure::in_stream(broken().to_string().as_bytes()), &mut frames);
    }
    hand_on(&frames, next);
}

/// Hands on the chunks that take an event's place.
pub(super) fn read(event: &SseEvent<'_>, next: Next<'_>, frames: impl FnOnce(&Value) -> Vec<Frame>) {
    if let Ok(data) = serde_json::from_slice(event.data) {
        hand_on(&frames(&data), next);
    }
}

/// Hands on that an answer has broken off.
pub(super) fn break_off(next: Next<'_>) {
    next(&Frame::of(None, broken().to_string().as_bytes()).event());
}

fn hand_on(frames: &[Frame], next: Next<'_>) {
    for frame in frames {
        next(&frame.event());
    }
}
