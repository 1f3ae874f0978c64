//! Prometheus: reads series from [`crate::metric::Source`]s and makes the text format 0.0.4 or OpenMetrics 1.0, one sample
//! after the other, without a registry and without a tree of families in between.

pub mod negotiate;

mod float;
mod text;

pub use negotiate::{Format, accepts_gzip, negotiate};
pub use text::{PrometheusEncoder, Refused};

#[cfg(test)]
pub(crate) mod checker;
#[cfg(test)]
mod tests;
