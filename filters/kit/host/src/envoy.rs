//! The proxy-wasm ABI 0.2.1 as imported from Envoy.
#![expect(unsafe_code, reason = "host functions take pointers; each call passes those of live slices")]

use std::alloc::{Layout, alloc};
use std::panic;
use std::ptr::{null, null_mut};

#[cfg(weir_count_host_calls)]
use std::sync::atomic::{AtomicU64, Ordering};

use weir_core::{Level, MetricKind};

use crate::abi::{Abi, BufferKind, MapKind, Status, StreamSide};

/// Envoy, around this module.
#[derive(Clone, Copy, Debug)]
pub struct Envoy;

mod import {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub(super) fn proxy_log(level: u32, line: *const u8, len: usize) -> u32;
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, len: *mut usize) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_len: usize,
            value: *const u8,
            value_len: usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, name_len: usize) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            max: usize,
            data: *mut *mut u8,
            len: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_buffer_bytes(
            buffer: u32,
            start: usize,
            replaced: usize,
            data: *const u8,
            len: usize,
        ) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_len: usize,
            data: *mut *mut u8,
            len: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_property(
            path: *const u8,
            path_len: usize,
            data: *const u8,
            len: usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            key_len: usize,
            data: *mut *mut u8,
            len: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            key_len: usize,
            data: *const u8,
            len: usize,
            cas: u32,
        ) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, len: usize, metric: *mut u32) -> u32;
        pub(super) fn proxy_increment_metric(metric: u32, by: i64) -> u32;
        pub(super) fn proxy_record_metric(metric: u32, value: u64) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
        pub(super) fn proxy_http_call(
            cluster: *const u8,
            cluster_len: usize,
            headers: *const u8,
            headers_len: usize,
            body: *const u8,
            body_len: usize,
            trailers: *const u8,
            trailers_len: usize,
            timeout_ms: u32,
            token: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_effective_context(context: u32) -> u32;
        pub(super) fn proxy_continue_stream(side: u32) -> u32;
        pub(super) fn proxy_close_stream(side: u32) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_len: usize,
            body: *const u8,
            body_len: usize,
            headers: *const u8,
            headers_len: usize,
            grpc_status: i32,
        ) -> u32;
    }
}

impl Abi for Envoy {
    fn now(&self) -> u64 {
        let mut nanos = 0;
        // A clock that does not answer is 1970, when every expiry lies ahead and no cached entry is fresh.
        match check(unsafe { import::proxy_get_current_time_nanoseconds(&raw mut nanos) }) {
            Ok(()) => nanos,
            Err(_) => 0,
        }
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        match check(unsafe { import::proxy_log(level, line.as_ptr(), line.len()) }) {
            // There is nobody to tell that a line could not be logged.
            Ok(()) | Err(_) => {}
        }
    }

    fn map(&self, kind: MapKind) -> Result<Vec<u8>, Status> {
        fetch(|data, len| unsafe { import::proxy_get_header_map_pairs(kind as u32, data, len) })
    }

    fn set_field(&self, kind: MapKind, name: &str, value: &str) -> Result<(), Status> {
        check(unsafe {
            import::proxy_replace_header_map_value(
                kind as u32,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn remove_field(&self, kind: MapKind, name: &str) -> Result<(), Status> {
        check(unsafe { import::proxy_remove_header_map_value(kind as u32, name.as_ptr(), name.len()) })
    }

    fn buffer(&self, kind: BufferKind, start: usize, len: usize) -> Result<Vec<u8>, Status> {
        fetch(|data, got| unsafe { import::proxy_get_buffer_bytes(kind as u32, start, len, data, got) })
    }

    fn replace_buffer_start(&self, kind: BufferKind, len: usize, with: &[u8]) -> Result<(), Status> {
        check(unsafe { import::proxy_set_buffer_bytes(kind as u32, 0, len, with.as_ptr(), with.len()) })
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, Status> {
        let path = path.join("\0");
        let value =
            fetch(|data, len| unsafe { import::proxy_get_property(path.as_ptr(), path.len(), data, len) });
        optional(value)
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), Status> {
        check(unsafe { import::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
    }

    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Status> {
        let mut cas = 0;
        let value = fetch(|data, len| unsafe {
            import::proxy_get_shared_data(key.as_ptr(), key.len(), data, len, &raw mut cas)
        });
        Ok(optional(value)?.map(|value| (value, cas)))
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: u32) -> Result<(), Status> {
        check(unsafe {
            import::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
        })
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<u32, Status> {
        let kind = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
            MetricKind::Histogram => 2,
        };
        let mut metric = 0;
        check(unsafe { import::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut metric) })?;
        Ok(metric)
    }

    fn increment_metric(&self, metric: u32, by: i64) -> Result<(), Status> {
        check(unsafe { import::proxy_increment_metric(metric, by) })
    }

    fn record_metric(&self, metric: u32, value: u64) -> Result<(), Status> {
        check(unsafe { import::proxy_record_metric(metric, value) })
    }

    fn set_tick_period(&self, millis: u32) -> Result<(), Status> {
        check(unsafe { import::proxy_set_tick_period_milliseconds(millis) })
    }

    fn call(&self, cluster: &str, headers: &[u8], body: &[u8], timeout_ms: u32) -> Result<u32, Status> {
        let mut token = 0;
        check(unsafe {
            import::proxy_http_call(
                cluster.as_ptr(),
                cluster.len(),
                headers.as_ptr(),
                headers.len(),
                body.as_ptr(),
                body.len(),
                null(),
                0,
                timeout_ms,
                &raw mut token,
            )
        })?;
        Ok(token)
    }

    fn set_effective_context(&self, context: u32) -> Result<(), Status> {
        check(unsafe { import::proxy_set_effective_context(context) })
    }

    fn resume(&self, side: StreamSide) -> Result<(), Status> {
        check(unsafe { import::proxy_continue_stream(side as u32) })
    }

    fn reply(&self, status: u32, details: &str, headers: &[u8], body: &[u8]) -> Result<(), Status> {
        check(unsafe {
            import::proxy_send_local_response(
                status,
                details.as_ptr(),
                details.len(),
                body.as_ptr(),
                body.len(),
                headers.as_ptr(),
                headers.len(),
                NO_GRPC_STATUS,
            )
        })
    }

    fn close(&self, side: StreamSide) -> Result<(), Status> {
        check(unsafe { import::proxy_close_stream(side as u32) })
    }

    #[cfg(weir_count_host_calls)]
    fn calls(&self) -> Option<u64> {
        Some(CALLS.load(Ordering::Relaxed))
    }
}

/// Memory for what the proxy hands over; null if there is none.
pub fn allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        Ok(_) | Err(_) => null_mut(),
    }
}

/// Has panics logged before they trap; the message is all that is left of the VM.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| Envoy.log(Level::Error, &info.to_string())));
}

/// Runs a host function that hands over memory of [`allocate`].
fn fetch(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let (mut data, mut len) = (null_mut(), 0);
    check(call(&raw mut data, &raw mut len))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // The proxy filled exactly the block of `len` bytes it had from `allocate`.
    Ok(unsafe { Vec::from_raw_parts(data, len, len) })
}

fn optional(value: Result<Vec<u8>, Status>) -> Result<Option<Vec<u8>>, Status> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(Status::NotFound) => Ok(None),
        Err(status @ (Status::BadArgument | Status::CasMismatch | Status::Other(_))) => Err(status),
    }
}

fn check(status: u32) -> Result<(), Status> {
    #[cfg(weir_count_host_calls)]
    CALLS.fetch_add(1, Ordering::Relaxed);
    match status {
        0 => Ok(()),
        1 => Err(Status::NotFound),
        2 => Err(Status::BadArgument),
        8 => Err(Status::CasMismatch),
        other => Err(Status::Other(other)),
    }
}

const NO_GRPC_STATUS: i32 = -1;

#[cfg(weir_count_host_calls)]
static CALLS: AtomicU64 = AtomicU64::new(0);
