//! From exchanges to spans: whose child an exchange is, whether it is sampled, what the span says.

mod build;
pub mod clock;
pub mod context;
mod lines;
mod links;
pub mod peer;
pub mod sampler;
pub mod span;
mod tables;
mod tracer;

pub use lines::{Of, SpanIds};
pub use links::LinkCounts;
pub use tracer::{Traced, Tracer, TracerConfig, TracerCounts};
