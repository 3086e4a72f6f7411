//! Runs a [`weir_core::Filter`] in Envoy: the only crate that knows proxy-wasm.
//!
//! It speaks the proxy-wasm ABI 0.2.1 itself, since the SDK answers every unexpected status with a panic, and a
//! panic kills the VM with every stream in it. What it guarantees, so that no filter has to remember it:
//!
//! - *Wait means wait.* After [`weir_core::Flow::Wait`] bodies and trailers are held as well, until the verdict.
//! - *Only what is asked for is fetched.* A body that nobody reads is never copied into the module.
//! - *Nothing panics.* Unexpected statuses, absent buffers, values that are not text, streams that are gone and
//!   failed calls are values; a request that meets a fault is answered 503.
//! - *Configuration swaps whole.* A refused configuration leaves the running one; streams keep the one they
//!   began with.
//!
//! A plugin sets `allow_on_headers_stop_iteration: true`, for without it Envoy shows no body to a filter that
//! holds the head.

mod abi;
mod map;
mod perform;
mod session;
mod vm;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod envoy;

#[cfg(test)]
mod recorder;

pub use abi::{Abi, BufferKind, MapKind, Status, StreamSide};
pub use vm::{Action, Vm};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use envoy::{Envoy, allocate, report_panics};

/// Makes a wasm module of a filter: `weir_host::plugin!(crate::Auth);`. Elsewhere than in a module it is nothing.
///
/// Each callback that a module exports costs every request a crossing into the VM. So a filter that reads responses,
/// or has to settle before the access log is written, says so: `weir_host::plugin!(crate::Quota, response);`. For
/// others [`weir_core::Stream::on_end`] comes with `proxy_on_done`, and asking to read a response is a fault.
#[macro_export]
macro_rules! plugin {
    ($filter:ty) => {
        $crate::plugin!(@module $filter, false, {
            // The count must be published before the access log is written.
            #[cfg(weir_count_host_calls)]
            $crate::plugin!(@export proxy_on_log(context: u32) => on_end(context));
        });
    };
    ($filter:ty, response) => {
        $crate::plugin!(@module $filter, true, {
            $crate::plugin!(@export proxy_on_response_headers(context: u32, _count: usize, end: bool) -> Action
                => on_response_head(context, end));
            $crate::plugin!(@export proxy_on_response_body(context: u32, size: usize, end: bool) -> Action
                => on_response_body(context, size, end));
            $crate::plugin!(@export proxy_on_response_trailers(context: u32, _count: usize) -> Action
                => on_response_trailers(context));
            $crate::plugin!(@export proxy_on_log(context: u32) => on_end(context));
        });
    };
    (@module $filter:ty, $reads_response:literal, { $($more:item)* }) => {
        #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
        #[expect(unsafe_code, missing_docs, reason = "the names and signatures of the proxy-wasm ABI")]
        mod plugin {
            use $crate::{Action, Envoy, Vm};

            thread_local! {
                static VM: Vm<$filter, Envoy> = Vm::new(Envoy, $reads_response);
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_abi_version_0_2_1() {}

            #[unsafe(no_mangle)]
            pub extern "C" fn _initialize() {
                $crate::report_panics();
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
                $crate::allocate(size)
            }

            $crate::plugin!(@export proxy_on_context_create(context: u32, root: u32)
                => on_context_create(context, root));
            $crate::plugin!(@export proxy_on_configure(root: u32, size: usize) -> bool
                => on_configure(root, size));
            $crate::plugin!(@export proxy_on_tick(root: u32) => on_tick(root));
            $crate::plugin!(@export proxy_on_request_headers(context: u32, _count: usize, end: bool) -> Action
                => on_request_head(context, end));
            $crate::plugin!(@export proxy_on_request_body(context: u32, size: usize, end: bool) -> Action
                => on_request_body(context, size, end));
            $crate::plugin!(@export proxy_on_request_trailers(context: u32, _count: usize) -> Action
                => on_request_trailers(context));
            $crate::plugin!(@export proxy_on_http_call_response(
                    _context: u32, token: u32, fields: usize, size: usize, _trailers: usize)
                => on_call_done(token, fields, size));
            $crate::plugin!(@export proxy_on_done(context: u32) -> bool => on_done(context));
            $crate::plugin!(@export proxy_on_delete(context: u32) => on_delete(context));

            $($more)*
        }
    };
    (@export $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? => $event:ident($($pass:ident),*)) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($arg: $type),*) $(-> $result)? {
            VM.with(|vm| vm.$event($($pass),*))
        }
    };
}
