//! The service a process speaks for, and the rules that name it.

use crate::trace::span::Resource;
use std::sync::Arc;

/// A service as metrics and spans name it. One per process; processes of one service share `name` and `namespace`.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `service.name`.
    pub name: Arc<str>,
    /// `service.namespace`, when known.
    pub namespace: Option<Arc<str>>,
    /// Everything that is known of the process: `service.name`, `process.pid`, `container.id`, …
    pub resource: Arc<Resource>,
}
