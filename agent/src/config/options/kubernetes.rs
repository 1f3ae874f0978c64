//! Options of asking the Kubernetes API.

use super::{BASE, Opt, Set};
use crate::attribute::kubernetes::Api;
use crate::collectors::node::flags;
use crate::config::value::count;

pub(super) static KUBERNETES: &[Opt] = &[
    Opt {
        name: "kubernetes.api",
        value: "WHERE",
        help: "Where the Kubernetes API is asked for the pods of this node: auto (in a pod with a token, where Kubernetes says), off, \
               or a URL.",
        default: &["auto"],
        set: checked!(Api::from_text, kubernetes.api),
        ..BASE
    },
    Opt {
        name: "kubernetes.node",
        value: "NAME",
        help: "Name of this node in Kubernetes; the host's name where none is given.",
        env: Some("NODE_NAME"),
        // Others use the same variable for other things: it is looked at when the API is asked.
        set: Set::Field(|config, value| {
            config.kubernetes.node = value.into();
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "kubernetes.token-file",
        value: "FILE",
        help: "Token that the Kubernetes API is shown, read anew whenever it is asked; the service account's where none is given.",
        set: Set::Field(|config, value| {
            config.kubernetes.token_file = value.into();
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "kubernetes.ca-file",
        value: "FILE",
        help: "Certificates that the Kubernetes API's must be signed by; the service account's where none are given.",
        set: Set::Field(|config, value| {
            config.kubernetes.ca_file = value.into();
            Ok(())
        }),
        ..BASE
    },
    Opt {
        name: "kubernetes.service-labels",
        value: "BOOL",
        help: "Name services of pods by app.kubernetes.io/instance and app.kubernetes.io/name before their workload's name.",
        default: &["false"],
        switch: true,
        set: checked!(flags::boolean, kubernetes.service_labels),
        ..BASE
    },
    Opt {
        name: "limits.pods",
        value: "N",
        help: "Pods of this node known at the same time; further ones are named by files of the node alone.",
        default: &["1024"],
        set: checked!(|value| count(value, 1, 1 << 16), kubernetes.pods),
        ..BASE
    },
];
