//! Collectors: sources of series that are read when asked. One file a collector and one line here.

pub mod cgroups;
pub mod node;
pub mod own;
