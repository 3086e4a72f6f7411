//! How long a prompt is, token by token. Only the module `quota-exact` can tell; another one refuses a configuration that
//! asks for it.

use weir_schema::quota::Config;

use crate::rule::Caller;

/// The beginning of a prompt that is to be counted.
#[cfg(feature = "exact")]
#[derive(Debug)]
pub(crate) struct Exact {
    encoding: weir_schema::quota::Encoding,
    start: Vec<u8>,
}

/// Nothing is counted by a module that has no tables.
#[cfg(not(feature = "exact"))]
#[derive(Debug)]
pub(crate) enum Exact {}

#[cfg(feature = "exact")]
impl Exact {
    pub(crate) fn of(config: &Config, caller: &Caller) -> Option<Self> {
        Some(Self { encoding: crate::rule::encoding(config, caller), start: Vec::new() })
    }

    /// Keeps as much of the body as is counted.
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        let room = weir_tokens::CAP.saturating_sub(self.start.len());
        self.start.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
    }

    /// How many tokens a prompt of this many bytes is. `None`: its body is no JSON.
    pub(crate) fn tokens(&self, length: u64) -> Option<u64> {
        weir_tokens::of_body(self.encoding, &self.start, length)
    }
}

#[cfg(not(feature = "exact"))]
impl Exact {
    pub(crate) fn of(_: &Config, _: &Caller) -> Option<Self> {
        None
    }

    pub(crate) fn add(&mut self, _: &[u8]) {
        match *self {}
    }

    pub(crate) fn tokens(&self, _: u64) -> Option<u64> {
        match *self {}
    }
}
