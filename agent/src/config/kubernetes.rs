//! Settings of asking the Kubernetes API for the pods of this node.

use crate::attribute::kubernetes::Api;
use std::path::PathBuf;

/// How pods are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// Where the API is.
    pub api: Api,
    /// Name of this node; empty: the host's.
    pub node: String,
    /// Token of the service account; empty: the one that every pod has.
    pub token_file: PathBuf,
    /// Certificates of the API's authority; empty: those that every pod has.
    pub ca_file: PathBuf,
    /// Well-known labels may name services.
    pub service_labels: bool,
    /// Pods known at the same time.
    pub pods: usize,
}
