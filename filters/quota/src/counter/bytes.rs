//! A counter as bytes, little-endian.

use super::slice::Slice;
use super::{Counter, Lease, Slot, Spent};

impl Counter {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ROOM);
        bytes.push(len(&self.minute));
        for Slot { second, requests, tokens } in &self.minute {
            bytes.extend_from_slice(&second.to_le_bytes());
            bytes.extend_from_slice(&requests.to_le_bytes());
            bytes.extend_from_slice(&tokens.to_le_bytes());
        }
        bytes.push(len(&self.leases));
        for Lease { until, held } in &self.leases {
            bytes.extend_from_slice(&until.to_le_bytes());
            bytes.extend_from_slice(&held.to_le_bytes());
        }
        for Spent { until, tokens, cost } in [&self.day, &self.month] {
            for number in [until, tokens, cost] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        if let Some(slice) = &self.slice {
            slice.write(&mut bytes);
        }
        bytes
    }

    /// A counter as it was written; `None` if it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let mut counter = Self::default();
        for _ in 0..reader.u8()? {
            let (second, requests, tokens) = (reader.u64()?, reader.u32()?, reader.u64()?);
            counter.minute.push(Slot { second, requests, tokens });
        }
        for _ in 0..reader.u8()? {
            counter.leases.push(Lease { until: reader.u64()?, held: reader.u32()? });
        }
        for spent in [&mut counter.day, &mut counter.month] {
            *spent = Spent { until: reader.u64()?, tokens: reader.u64()?, cost: reader.u64()? };
        }
        if !reader.0.is_empty() {
            counter.slice = Some(Box::new(Slice::read(&mut reader)?));
        }
        reader.0.is_empty().then_some(counter)
    }
}

/// What is left to be read.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn text(&mut self, len: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        str::from_utf8(text).ok()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// There are never more than 62 slots nor more than ten leases.
fn len<T>(items: &[T]) -> u8 {
    u8::try_from(items.len()).unwrap_or(u8::MAX)
}

const ROOM: usize = 256;
