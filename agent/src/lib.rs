//! onlooker: watches a Linux host from the kernel. See `ARCHITECTURE.md`; the modules stand in pipeline order.

pub mod kernel;
pub mod probes;

pub mod signal;

pub mod attribute;
pub mod protocol;

pub mod aggregate;
pub mod collectors;
pub mod logs;
pub mod metric;
pub mod trace;

pub mod export;
pub mod tui;
pub mod web;

pub mod agent;
pub mod budget;
pub mod cli;
pub mod config;
pub mod cost;
pub mod doctor;
pub mod health;
pub mod host;
pub mod logging;
pub mod pipeline;
pub mod privilege;
mod recent;
pub mod reference;
