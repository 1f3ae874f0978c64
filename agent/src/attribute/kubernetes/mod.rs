//! Pods of this node as the Kubernetes API tells them: names, owners, containers and annotations.
//!
//! One task lists the node's pods and then watches them ([`watch`]); everybody else asks [`Pods`], a bounded table that says nothing
//! while the API is off or was never reached. What files of the node tell ([`super::container::kubernetes`]) stands until the API knows
//! better, and whenever it does not.
//!
//! API: <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>. Names:
//! <https://opentelemetry.io/docs/specs/semconv/resource/k8s/> and
//! <https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/>.

mod client;
mod counts;
mod image;
mod lines;
mod object;
mod owner;
mod pod;
mod pods;
mod settings;
mod trial;
mod watch;

pub use counts::{Counts, EVENTS, Reason};
pub use pod::{Container, Pod};
pub use pods::{Found, Pods};
pub use settings::{ACCOUNT, Api, Asked, Settings, SettingsError, Timing};
pub use trial::has_pods;
pub use watch::watch;

#[cfg(test)]
mod tests;
