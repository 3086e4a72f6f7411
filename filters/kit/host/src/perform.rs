//! Effects, done; and the proxy as filters question it.

use std::borrow::Cow;
use std::ops::Range;

use weir_core::{
    Cas, Effect, Entry, Level, Metric, MetricKind, Proxy, Reply, SharedStore, Side, StoreError, UnixTime,
};

use crate::abi::{Abi, BufferKind, MapKind, Status, StreamSide};
use crate::map;

/// The proxy as filters question it.
pub(crate) struct Questions<'a, A>(pub(crate) &'a A);

impl<A: Abi> Proxy for Questions<'_, A> {
    fn now(&self) -> UnixTime {
        UnixTime::from_nanos(self.0.now())
    }

    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.0.property(&[key]).ok().flatten()
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.0.property(path).ok().flatten()
    }

    fn store(&self) -> &dyn SharedStore {
        self
    }
}

impl<A: Abi> SharedStore for Questions<'_, A> {
    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let entry = self.0.shared(key).map_err(store_error)?;
        Ok(entry.map(|(value, cas)| Entry { value, cas: Cas(cas) }))
    }

    fn set(&self, key: &str, value: &[u8], expected: Option<Cas>) -> Result<(), StoreError> {
        self.0.set_shared(key, value, expected.map_or(0, |cas| cas.0)).map_err(store_error)
    }
}

fn store_error(status: Status) -> StoreError {
    match status {
        Status::CasMismatch => StoreError::Stale,
        Status::NotFound | Status::BadArgument | Status::Other(_) => StoreError::Unavailable,
    }
}

/// Does one effect that is only a host call.
///
/// The effects that change the VM's own state (`Read`, `Skip`, `Call`, `Wake`) and replacements of a body, which
/// are done together, are the caller's.
pub(crate) fn perform<A: Abi>(abi: &A, known: (&[Metric], &[u32]), effect: &Effect) -> Result<(), Status> {
    match effect {
        Effect::SetHeader(side, name, value) => abi.set_field(head_of(*side), name, value),
        Effect::RemoveHeader(side, name) => abi.remove_field(head_of(*side), name),
        Effect::Publish(key, value) => abi.set_property(key, value.as_bytes()),
        Effect::Count(metric, value) | Effect::Record(metric, value) => {
            // A metric that cannot be counted is no reason to refuse a request.
            if let Err(status) = count(abi, known, *metric, *value) {
                abi.log(Level::Debug, &format!("{}: not counted: {status:?}", metric.name));
            }
            Ok(())
        }
        Effect::Log(level, line) => {
            abi.log(*level, line);
            Ok(())
        }
        Effect::ReplaceBody(..) | Effect::Read(_) | Effect::Skip(_) | Effect::Call(_) | Effect::Wake(_) => {
            Ok(())
        }
    }
}

fn count<A: Abi>(abi: &A, known: (&[Metric], &[u32]), metric: Metric, value: u64) -> Result<(), Status> {
    let defined = known.0.iter().zip(known.1).find(|(known, _)| **known == metric);
    let (_, number) = defined.ok_or(Status::NotFound)?;
    match metric.kind {
        MetricKind::Counter => abi.increment_metric(*number, i64::try_from(value).unwrap_or(i64::MAX)),
        MetricKind::Gauge | MetricKind::Histogram => abi.record_metric(*number, value),
    }
}

/// A body that the proxy holds.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) len: usize,
    /// As much of it, from its start, as is here already.
    pub(crate) start: &'a [u8],
}

impl Held<'_> {
    pub(crate) const NOTHING: Self = Self { len: 0, start: &[] };
}

/// Replaces ranges of the held body of `side` and gives the body's new length.
pub(crate) fn replace_body<A: Abi>(
    abi: &A,
    side: Side,
    held: Held<'_>,
    mut parts: Vec<(Range<usize>, Vec<u8>)>,
) -> Result<usize, Status> {
    parts.sort_by_key(|(range, _)| range.start);
    let Some(end) = parts.iter().map(|(range, _)| range.end).max() else { return Ok(held.len) };
    let kept = held.len.checked_sub(end).ok_or(Status::BadArgument)?;
    let all_new = matches!(parts.as_slice(), [(range, _)] if range.start == 0);
    let old = match held.start.get(..end) {
        Some(start) => Cow::Borrowed(start),
        None if all_new => Cow::Borrowed(&[][..]),
        None => Cow::Owned(abi.buffer(buffer_of(side), 0, end)?),
    };
    let mut new = Vec::with_capacity(end);
    let mut at = 0;
    for (range, with) in parts {
        if range.start > at {
            new.extend_from_slice(old.get(at..range.start).ok_or(Status::BadArgument)?);
        }
        if range.start < at || range.end < range.start {
            return Err(Status::BadArgument);
        }
        new.extend_from_slice(&with);
        at = range.end;
    }
    abi.replace_buffer_start(buffer_of(side), end, &new)?;
    Ok(kept.saturating_add(new.len()))
}

/// Answers the request of the effective context; breaks it off if that is not possible.
pub(crate) fn reply<A: Abi>(abi: &A, reply: &Reply) {
    let fields = reply.headers.iter().map(|(name, value)| (*name, value.as_ref()));
    let sent = match map::encode(fields) {
        Some(headers) => abi.reply(u32::from(reply.status), &reply.details, &headers, &reply.body),
        None => Err(Status::BadArgument),
    };
    if let Err(status) = sent {
        abi.log(Level::Error, &format!("a reply was not sent ({status:?}); the stream is closed"));
        if let Err(status) = abi.close(StreamSide::Request) {
            abi.log(Level::Error, &format!("a stream was not closed: {status:?}"));
        }
    }
}

pub(crate) fn head_of(side: Side) -> MapKind {
    match side {
        Side::Request => MapKind::RequestHead,
        Side::Response => MapKind::ResponseHead,
    }
}

pub(crate) fn trailers_of(side: Side) -> MapKind {
    match side {
        Side::Request => MapKind::RequestTrailers,
        Side::Response => MapKind::ResponseTrailers,
    }
}

pub(crate) fn buffer_of(side: Side) -> BufferKind {
    match side {
        Side::Request => BufferKind::RequestBody,
        Side::Response => BufferKind::ResponseBody,
    }
}

pub(crate) fn stream_of(side: Side) -> StreamSide {
    match side {
        Side::Request => StreamSide::Request,
        Side::Response => StreamSide::Response,
    }
}
