//! The running kernel: its types, where their members lie, what it offers, and the one place that loads programs.

mod attach;
mod batch;
pub mod btf;
pub mod clock;
pub mod dry;
pub mod fill;
pub mod iterator;
pub(crate) mod kfuncs;
pub mod layout;
pub mod loader;
pub(crate) mod lockdown;
mod mapping;
pub mod maps;
pub mod mark;
mod refusals;
pub mod ring;
mod spare;
pub mod stats;
pub mod tables;
pub(crate) mod tracefs;
