//! Harness of the integration tests: real programs on the real kernel, and the agent beside them.
//!
//! Ground truth never comes from the agent: it is the access log that a program wrote, or what the driver sent, received
//! and timed. Every program that a test starts has a service name of its own, so that tests may run side by side although
//! the agent sees the whole host.

pub mod agent;
pub mod alertmanager;
pub mod bpf;
pub mod case;
pub mod cgroup;
pub mod collector;
pub mod disk;
pub mod failing;
pub mod http;
pub mod hung;
pub mod ledger;
pub mod load;
pub mod metrics;
pub mod netns;
pub mod node_exporter;
pub mod otlp;
pub mod outcome;
pub mod probes;
pub mod process;
pub mod prometheus;
pub mod require;
pub mod servers;
pub mod skipped;
pub mod sleeper;
pub mod snmp;
pub mod span;
pub mod steps;
pub mod talk;
pub mod tcp;
pub mod trace;
pub mod truth;
pub mod tuns;
pub mod wait;
pub mod ways;
pub mod wrk;
