//! The framer of server-sent events: whole and in chunks it finds the same events, and no byte is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_wire::{EventTooLong, SseEvent, SseFrame, SseFramer};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (limit, size, stream) = input;
    let whole = events(limit, [stream]);
    assert_eq!(events(limit, stream.chunks(usize::from(size).max(1))), whole);
});

type Event = (Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>, Option<u64>);

fn events<'a>(
    limit: u8,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Result<(), EventTooLong>) {
    let mut framer = SseFramer::new(usize::from(limit));
    let (mut events, mut raw, mut fed) = (Vec::new(), Vec::new(), Vec::new());
    let end = chunks.into_iter().try_for_each(|chunk| {
        fed.extend_from_slice(chunk);
        framer.feed(chunk, |frame| {
            raw.extend_from_slice(frame.raw());
            if let SseFrame::Event(SseEvent { event, data, id, retry, raw: _ }) = frame {
                events.push((event.map(Into::into), data.into(), id.map(Into::into), retry));
            }
        })
    });
    raw.extend_from_slice(framer.pending());
    assert_eq!(raw, fed);
    (events, end)
}
