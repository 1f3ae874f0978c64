//! What the kernel side and the user side of onlooker agree on: records of the ring buffer,
//! keys and values of maps, read-only globals, limits. `no_std`, no dependency.
//!
//! Everything here is `repr(C)`, without implicit padding, valid for every bit pattern, and its layout is
//! proved by the constant assertions beside each type: both sides may be compiled by different compilers.
#![cfg_attr(not(feature = "user"), no_std)]

pub mod config;
pub mod count;
pub mod dns;
pub mod errors;
pub mod fallback;
pub mod histogram;
pub mod kfunc;
pub mod latency;
pub mod layout;
pub mod limits;
pub mod method;
pub mod record;
pub mod socket;
pub mod stall;
pub mod tcp;
pub mod usage;
pub mod writes;
