//! Who is it? Processes, containers, connections, and the service they speak for.

pub mod connection;
pub mod container;
pub mod kubernetes;
pub mod names;
pub mod process;
pub mod service;
