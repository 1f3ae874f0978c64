//! onlooker's kernel side: decides whether a call on a socket is interesting, notes time and byte counts, hands over what
//! a parser needs. One file a probe below `probes`, each with its user-side namesake.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "maps take keys and values by reference: by value they would be copied on a stack of 512 bytes"
)]

mod again;
mod calls;
mod capture;
mod emit;
mod exchange;
mod fill;
mod globals;
mod kernel;
mod look;
mod maps;
mod message;
mod moved;
mod probes;
mod read;
mod sock;
mod stall;
mod syscalls;
mod tables;
mod task;
mod tcp;
mod udp;
mod undivided;
