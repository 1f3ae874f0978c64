//! Names by rule: of families that no table names, of units, and of attributes.
//!
//! - `_total` and the unit are no part of a metric's name.
//! - A family of the agent (`onlooker_tcp_accept_queue_limit`) is `onlooker`, its field, and the rest as one word:
//!   `onlooker.tcp.accept_queue.limit`. A last word that says what kind of number it is ([`LAST`]) stands by itself.
//! - Other families that the agent makes have the names of the semantic conventions with each dot as `_`: they get the dots back.
//! - Families of collectors (`node_netstat_Tcp_InSegs`) are `node`, the collector's word, and the rest in small letters:
//!   `node.netstat.tcp_insegs`.
//! - What the agent itself uses (`process_open_fds`) is `onlooker.agent.open_fds`, what groups of processes do
//!   (`namedprocess_namegroup_states`) `onlooker.process.states`.
//! - Names of others (textfile) stay as they are: they do not come here.

use crate::metric::Family;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Units of Prometheus, as the end of a name, in the words of UCUM (<https://ucum.org/ucum>).
const UNITS: [(&str, &str); 13] = [
    ("seconds", "s"),
    ("bytes", "By"),
    ("ratio", "1"),
    ("celsius", "Cel"),
    ("hertz", "Hz"),
    ("volts", "V"),
    ("amperes", "A"),
    ("joules", "J"),
    ("watts", "W"),
    ("grams", "g"),
    ("meters", "m"),
    ("percent", "%"),
    ("rpm", "rpm"),
];

/// Fields of the agent's families that have more than one word.
const FIELDS: [&str; 8] = [
    "block_io",
    "file_sync",
    "http_client",
    "http_server",
    "memory_reclaim",
    "page_fault",
    "trace_thread",
    "export_queue",
];

/// Last words that say what kind of number it is.
const LAST: [&str; 4] = ["duration", "size", "limit", "usage"];

/// Attributes of the semantic conventions that are labels in Prometheus' form, and those that are whole numbers.
const ATTRIBUTES: &[(&str, bool)] = &[
    ("client.address", false),
    ("client.port", true),
    ("container.id", false),
    ("container.name", false),
    ("cpu.logical_number", true),
    ("cpu.mode", false),
    ("db.collection.name", false),
    ("db.namespace", false),
    ("db.operation.name", false),
    ("db.response.status_code", false),
    ("db.system.name", false),
    ("disk.io.direction", false),
    ("dns.question.name", false),
    ("dns.question.type", false),
    ("dns.response.code", false),
    ("error.type", false),
    ("http.request.method", false),
    ("http.response.status_code", true),
    ("http.route", false),
    ("messaging.destination.name", false),
    ("messaging.operation.name", false),
    ("messaging.operation.type", false),
    ("messaging.system", false),
    ("network.interface.name", false),
    ("network.io.direction", false),
    ("network.local.address", false),
    ("network.local.port", true),
    ("network.peer.address", false),
    ("network.peer.port", true),
    ("network.protocol.name", false),
    ("network.protocol.version", false),
    ("network.transport", false),
    ("network.type", false),
    ("process.executable.name", false),
    ("rpc.method", false),
    ("rpc.response.status_code", false),
    ("rpc.service", false),
    ("rpc.system.name", false),
    ("server.address", false),
    ("server.port", true),
    ("url.scheme", false),
];

/// Labels whose attribute is called otherwise.
const RENAMED: [(&str, &str); 3] = [
    // Renamed in version 1.39 of the conventions.
    ("peer_service", "service.peer.name"),
    ("rpc_grpc_status_code", "rpc.response.status_code"),
    ("device", "system.device"),
];

/// Name of a label as an attribute.
pub(super) fn attribute(label: &str) -> Cow<'_, str> {
    static KNOWN: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        let dotted = ATTRIBUTES.iter().map(|(name, _)| (name.replace('.', "_"), *name));
        let renamed = RENAMED.iter().map(|(label, name)| ((*label).to_owned(), *name));
        dotted.chain(renamed).collect()
    });
    if let Some(known) = KNOWN.get(label) {
        return Cow::Borrowed(known);
    }
    match label.strip_prefix("onlooker_") {
        Some(rest) => format!("onlooker.{rest}").into(),
        None => label.into(),
    }
}

/// Are values of this attribute whole numbers?
pub(super) fn is_whole(attribute: &str) -> bool {
    static WHOLE: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        ATTRIBUTES
            .iter()
            .filter(|(_, whole)| *whole)
            .map(|(name, _)| *name)
            .collect()
    });
    WHOLE.contains(&attribute)
}

/// Name and unit of a family that no table names.
pub(super) fn by_rule(family: &Family) -> (String, String) {
    let name = family.name.strip_suffix("_total").unwrap_or(&family.name);
    let ending = |(word, _): &&(&str, &str)| {
        let rest = name.strip_suffix(word);
        rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('_'))
    };
    let (name, unit) = match UNITS.iter().find(ending) {
        Some((word, unit)) => (&name[..name.len() - word.len() - 1], Some(*unit)),
        None => (name, None),
    };
    let dotted = match name.split_once('_') {
        Some(("onlooker", rest)) => format!("onlooker.{}", own(rest)),
        Some(("process", rest)) => format!("onlooker.agent.{rest}"),
        Some(("namedprocess", rest)) => {
            let rest = rest.strip_prefix("namegroup_").unwrap_or(rest);
            format!("onlooker.process.{rest}")
        }
        Some(("node", rest)) => match rest.split_once('_') {
            Some((field, rest)) => format!("node.{field}.{rest}").to_lowercase(),
            None => format!("node.{rest}").to_lowercase(),
        },
        _ => name.replace('_', "."),
    };
    let unit = match unit {
        Some(unit) => unit.to_owned(),
        None => things(name),
    };
    (dotted, unit)
}

/// The agent's own, behind `onlooker_`.
fn own(rest: &str) -> String {
    let field = FIELDS.iter().find(|field| {
        let behind = rest.strip_prefix(**field);
        behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('_'))
    });
    let at = field.map(|field| field.len()).or_else(|| rest.find('_'));
    let Some((field, behind)) = at.and_then(|at| Some((&rest[..at], rest.get(at + 1..)?))) else {
        return rest.to_owned();
    };
    let field = field.replace("http_", "http.");
    let field = &field;
    match behind.rsplit_once('_') {
        Some((begin, last)) if LAST.contains(&last) => format!("{field}.{begin}.{last}"),
        _ => format!("{field}.{behind}"),
    }
}

/// The unit of what is counted, an annotation of UCUM: `{retransmit}` for names that end with `retransmits`, `1` for others.
fn things(name: &str) -> String {
    let last = name.rsplit('_').next().unwrap_or_default();
    let one = match last {
        // One and many of them are called the same.
        "series" => last,
        _ if last.ends_with("ss") || last.ends_with("us") => "",
        _ if last.ends_with("sses") || last.ends_with("ches") || last.ends_with("xes") => &last[..last.len() - 2],
        _ if last.ends_with("ies") => return format!("{{{}y}}", last[..last.len() - 3].to_lowercase()),
        _ => last.strip_suffix('s').unwrap_or_default(),
    };
    match one {
        "" => "1".to_owned(),
        one => format!("{{{}}}", one.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Kind;

    #[test]
    fn names_and_units() {
        for (family, name, unit) in [
            (
                "http_server_request_duration_seconds",
                "http.server.request.duration",
                "s",
            ),
            (
                "http_client_response_body_size_bytes",
                "http.client.response.body.size",
                "By",
            ),
            ("dns_lookup_duration_seconds", "dns.lookup.duration", "s"),
            (
                "onlooker_tcp_connect_duration_seconds",
                "onlooker.tcp.connect.duration",
                "s",
            ),
            (
                "onlooker_tcp_accept_queue_limit",
                "onlooker.tcp.accept_queue.limit",
                "1",
            ),
            (
                "onlooker_tcp_retransmits_total",
                "onlooker.tcp.retransmits",
                "{retransmit}",
            ),
            (
                "onlooker_tcp_out_of_order_segments_total",
                "onlooker.tcp.out_of_order_segments",
                "{segment}",
            ),
            ("onlooker_block_io_bytes_total", "onlooker.block_io", "By"),
            ("onlooker_block_io_duration_seconds", "onlooker.block_io.duration", "s"),
            (
                "onlooker_http_server_time_to_first_byte_seconds",
                "onlooker.http.server.time_to_first_byte",
                "s",
            ),
            ("process_resident_memory_bytes", "onlooker.agent.resident_memory", "By"),
            ("namedprocess_namegroup_states", "onlooker.process.states", "{state}"),
            ("onlooker_series", "onlooker.series", "{series}"),
            ("onlooker_overhead_ratio", "onlooker.overhead", "1"),
            ("onlooker_processes", "onlooker.processes", "{process}"),
            (
                "onlooker_attribution_entries",
                "onlooker.attribution.entries",
                "{entry}",
            ),
            ("node_netstat_Tcp_InSegs", "node.netstat.tcp_insegs", "{inseg}"),
            ("node_load1", "node.load1", "1"),
            ("node_entropy_available_bits", "node.entropy.available_bits", "{bit}"),
        ] {
            let family = Family::new(family, "", "", Kind::Gauge);
            assert_eq!(by_rule(&family), (name.to_owned(), unit.to_owned()));
        }
    }

    #[test]
    fn labels_become_attributes() {
        for (label, name) in [
            ("http_response_status_code", "http.response.status_code"),
            ("network_protocol_version", "network.protocol.version"),
            ("error_type", "error.type"),
            ("peer_service", "service.peer.name"),
            ("onlooker_peer_class", "onlooker.peer_class"),
            ("device", "system.device"),
            ("errno", "errno"),
        ] {
            assert_eq!(attribute(label), name);
        }
        assert!(is_whole("server.port") && !is_whole("server.address"));
    }

    /// Two names that are one label could not be told apart.
    #[test]
    fn no_two_attributes_are_one_label() {
        let mut labels: Vec<String> = ATTRIBUTES.iter().map(|(name, _)| name.replace('.', "_")).collect();
        labels.extend(RENAMED.iter().map(|(label, _)| (*label).to_owned()));
        let all = labels.len();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), all);
    }
}
