//! From exchanges to spans: whose child an exchange is, whether it is sampled, what the span says.

pub mod context;
pub mod span;
