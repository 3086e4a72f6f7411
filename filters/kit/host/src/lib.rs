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
#[macro_export]
macro_rules! plugin {
    ($filter:ty) => {
        #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
        #[expect(unsafe_code, missing_docs, reason = "the names and signatures of the proxy-wasm ABI")]
        mod plugin {
            use $crate::{Action, Envoy, Vm};

            thread_local! {
                static VM: Vm<$filter, Envoy> = Vm::new(Envoy);
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

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_context_create(context: u32, root: u32) {
                VM.with(|vm| vm.on_context_create(context, root));
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_configure(root: u32, size: usize) -> bool {
                VM.with(|vm| vm.on_configure(root, size))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_tick(root: u32) {
                VM.with(|vm| vm.on_tick(root));
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_request_headers(context: u32, _: usize, end: bool) -> Action {
                VM.with(|vm| vm.on_request_head(context, end))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_request_body(context: u32, size: usize, end: bool) -> Action {
                VM.with(|vm| vm.on_request_body(context, size, end))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_request_trailers(context: u32, _: usize) -> Action {
                VM.with(|vm| vm.on_request_trailers(context))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_response_headers(context: u32, _: usize, end: bool) -> Action {
                VM.with(|vm| vm.on_response_head(context, end))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_response_body(context: u32, size: usize, end: bool) -> Action {
                VM.with(|vm| vm.on_response_body(context, size, end))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_response_trailers(context: u32, _: usize) -> Action {
                VM.with(|vm| vm.on_response_trailers(context))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_http_call_response(
                context: u32,
                token: u32,
                headers: usize,
                body: usize,
                _: usize,
            ) {
                VM.with(|vm| vm.on_call_done(context, token, headers, body));
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_log(context: u32) {
                VM.with(|vm| vm.on_end(context));
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_done(context: u32) -> bool {
                VM.with(|vm| vm.on_done(context))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn proxy_on_delete(context: u32) {
                VM.with(|vm| vm.on_delete(context));
            }
        }
    };
}
