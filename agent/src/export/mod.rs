//! Exporters: encoders of series and sinks of spans. They know neither probes nor protocols.

pub mod otlp;
pub mod prometheus;
pub mod stdout;
