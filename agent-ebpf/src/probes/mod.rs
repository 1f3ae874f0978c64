//! Programs, one file a probe; the user side has a file of the same name that says how each attaches.

mod block;
mod dns;
mod errors;
mod faults;
mod latency;
mod offcpu;
mod oom;
mod process;
mod reclaim;
mod runqueue;
mod socket;
mod sync;
pub(crate) mod syscall;
mod tcp;
mod tcp_accept;
mod tcp_open;
mod tcp_state;
mod udp_drops;
mod usage;
mod writes;
