//! Programs that do nothing, for the hooks that onlooker's own are attached to: what being there costs by itself.
//! An object of its own, loaded by `cargo xtask bench` alone.
#![no_std]
#![no_main]

#[path = "../kernel.rs"]
mod kernel;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// One program a tracepoint, of the tracepoint's name.
macro_rules! no_ops {
    ($($tracepoint:ident)*) => {$(
        /// Does nothing.
        #[btf_tracepoint]
        pub fn $tracepoint(_: BtfTracePointContext) -> i32 {
            0
        }
    )*};
}

no_ops! {
    sock_send_length
    sock_recv_length
    tcp_rcv_space_adjust
    sys_exit
    inet_sock_set_state
    tcp_destroy_sock
    sched_process_fork
    sched_process_exec
    sched_process_exit
}
