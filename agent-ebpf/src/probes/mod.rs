//! Programs, one file a probe; the user side has a file of the same name that says how each attaches.

mod process;
mod socket;
pub(crate) mod syscall;
mod tcp_state;
