//! What the proxy-wasm ABI 0.2.1 offers a module, as values instead of pointers.

use weir_core::{Level, MetricKind};

/// The host functions of the proxy that filters need.
///
/// Source: proxy-wasm specification, `abi-versions/v0.2.1`.
pub trait Abi {
    /// Nanoseconds since 1970.
    fn now(&self) -> u64;
    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);
    /// All fields of a map, serialised.
    fn map(&self, kind: MapKind) -> Result<Vec<u8>, Status>;
    /// Sets a field in place of any of its name.
    fn set_field(&self, kind: MapKind, name: &str, value: &str) -> Result<(), Status>;
    /// Removes every field of a name.
    fn remove_field(&self, kind: MapKind, name: &str) -> Result<(), Status>;
    /// Up to `len` bytes of a buffer, from `start` on.
    fn buffer(&self, kind: BufferKind, start: usize, len: usize) -> Result<Vec<u8>, Status>;
    /// Replaces the first `len` bytes of a buffer.
    fn replace_buffer_start(&self, kind: BufferKind, len: usize, with: &[u8]) -> Result<(), Status>;
    /// A property; `None` if there is none.
    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, Status>;
    /// Sets a property: filter state of the name `wasm.{name}`.
    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), Status>;
    /// A shared-data entry with its compare-and-swap number; `None` if there is none.
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Status>;
    /// Writes a shared-data entry; a `cas` of 0 writes always.
    fn set_shared(&self, key: &str, value: &[u8], cas: u32) -> Result<(), Status>;
    /// Defines a metric and gives its number.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<u32, Status>;
    /// Adds to a counter.
    fn increment_metric(&self, metric: u32, by: i64) -> Result<(), Status>;
    /// Sets a gauge or adds a sample to a histogram.
    fn record_metric(&self, metric: u32, value: u64) -> Result<(), Status>;
    /// Asks for ticks to the effective root context.
    fn set_tick_period(&self, millis: u32) -> Result<(), Status>;
    /// Calls a cluster and gives the call's token. `headers` is a serialised map.
    fn call(&self, cluster: &str, headers: &[u8], body: &[u8], timeout_ms: u32) -> Result<u32, Status>;
    /// Makes another context the one that host functions act on.
    fn set_effective_context(&self, context: u32) -> Result<(), Status>;
    /// Lets a held message of the effective context flow on.
    fn resume(&self, side: StreamSide) -> Result<(), Status>;
    /// Answers the request of the effective context. `headers` is a serialised map.
    fn reply(&self, status: u32, details: &str, headers: &[u8], body: &[u8]) -> Result<(), Status>;
    /// Breaks a stream of the effective context off, when it cannot even be answered.
    fn close(&self, side: StreamSide) -> Result<(), Status>;
    /// How often the proxy was called by this module, where that is counted.
    fn calls(&self) -> Option<u64> {
        None
    }
}

/// A map of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum MapKind {
    /// Header fields of the request.
    RequestHead = 0,
    /// Trailers of the request.
    RequestTrailers = 1,
    /// Header fields of the response.
    ResponseHead = 2,
    /// Trailers of the response.
    ResponseTrailers = 3,
    /// Header fields of the answer to a call.
    CallHead = 6,
}

/// A buffer of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum BufferKind {
    /// What is held of the request's body, this chunk included.
    RequestBody = 0,
    /// What is held of the response's body, this chunk included.
    ResponseBody = 1,
    /// The body of the answer to a call.
    CallBody = 4,
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum StreamSide {
    /// The request.
    Request = 0,
    /// The response.
    Response = 1,
}

/// An answer of the proxy other than OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is no such thing.
    NotFound,
    /// An argument was not accepted, or nothing is there to act on.
    BadArgument,
    /// Another worker wrote first.
    CasMismatch,
    /// Anything else, by its number in the ABI.
    Other(u32),
}
