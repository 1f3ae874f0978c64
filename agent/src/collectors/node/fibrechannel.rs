//! Ports of Fibre Channel: the folders of `sys/class/fc_host` (`drivers/scsi/scsi_transport_fc.c`).

use super::files::{First, integer, names, text_if_any};
use super::flags::Setup;
use super::rows::counter;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "fibrechannel",
    about: "ports of Fibre Channel",
    make: |setup| Ok(Box::new(FibreChannel::new(setup))),
    ..Collector::BASE
};

static INFO: Family = Family::new(
    "node_fibrechannel_info",
    "",
    "Names and state of a port of Fibre Channel.",
    Kind::Gauge,
);

/// Files that become labels of the same name.
const LABELS: [&str; 10] = [
    "speed",
    "port_state",
    "port_type",
    "port_id",
    "port_name",
    "fabric_name",
    "symbolic_name",
    "supported_classes",
    "supported_speeds",
    "dev_loss_tmo",
];
/// Those of them that are numbers, and told without their `0x`.
const NUMBERS: [&str; 3] = ["port_id", "port_name", "fabric_name"];

/// Files of counters.
static COUNTERS: [(&str, Family); 14] = [
    (
        "dumped_frames",
        counter(
            "node_fibrechannel_dumped_frames_total",
            "Frames thrown away for want of resources.",
        ),
    ),
    (
        "error_frames",
        counter("node_fibrechannel_error_frames_total", "Frames received with an error."),
    ),
    (
        "fcp_packet_aborts",
        counter(
            "node_fibrechannel_fcp_packet_aborts_total",
            "Packets of SCSI that were aborted.",
        ),
    ),
    (
        "invalid_crc_count",
        counter(
            "node_fibrechannel_invalid_crc_total",
            "Frames received with a bad checksum.",
        ),
    ),
    (
        "invalid_tx_word_count",
        counter(
            "node_fibrechannel_invalid_tx_words_total",
            "Words received that are no words.",
        ),
    ),
    (
        "link_failure_count",
        counter("node_fibrechannel_link_failure_total", "Failures of the link."),
    ),
    (
        "loss_of_signal_count",
        counter("node_fibrechannel_loss_of_signal_total", "Losses of the signal."),
    ),
    (
        "loss_of_sync_count",
        counter("node_fibrechannel_loss_of_sync_total", "Losses of the synchronisation."),
    ),
    (
        "nos_count",
        counter(
            "node_fibrechannel_nos_total",
            "Times that the peer said it is not operational.",
        ),
    ),
    (
        "rx_frames",
        counter("node_fibrechannel_rx_frames_total", "Frames received."),
    ),
    (
        "rx_words",
        counter("node_fibrechannel_rx_words_total", "Words received."),
    ),
    (
        "seconds_since_last_reset",
        counter(
            "node_fibrechannel_seconds_since_last_reset_total",
            "Seconds since the counters were reset.",
        ),
    ),
    (
        "tx_frames",
        counter("node_fibrechannel_tx_frames_total", "Frames sent."),
    ),
    ("tx_words", counter("node_fibrechannel_tx_words_total", "Words sent.")),
];

/// What a port says that does not count a thing.
const NOT_COUNTED: i128 = u64::MAX as i128;

struct FibreChannel(PathBuf);

struct Port {
    name: String,
    labels: [String; LABELS.len()],
    counters: [Option<i128>; COUNTERS.len()],
}

impl FibreChannel {
    fn new(setup: &Setup<'_>) -> FibreChannel {
        FibreChannel(setup.host.sys.join("class/fc_host"))
    }
}

impl Collect for FibreChannel {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut first = First::default();
        let names = names(&self.0)?.into_iter();
        let ports: Vec<Port> = names
            .map(|name| Port::read(&self.0.join(&name), name, &mut first))
            .collect();
        out.family(&INFO);
        for port in &ports {
            let mut labels = vec![("fc_host", port.name.as_str())];
            labels.extend(LABELS.into_iter().zip(port.labels.iter().map(String::as_str)));
            out.number(&labels, 1.0);
        }
        for (place, (_, family)) in COUNTERS.iter().enumerate() {
            out.family(family);
            for port in &ports {
                if let Some(count) = port.counters.get(place).copied().flatten() {
                    out.number(&[("fc_host", &port.name)], count as f64);
                }
            }
        }
        first.result()
    }
}

impl Port {
    fn read(folder: &Path, name: String, first: &mut First) -> Port {
        let labels = LABELS.map(|label| {
            let text = text_if_any(&folder.join(label)).unwrap_or_default();
            match text.strip_prefix("0x") {
                Some(digits) if NUMBERS.contains(&label) => digits.to_owned(),
                _ => text,
            }
        });
        let mut counters = [None; COUNTERS.len()];
        for ((file, _), count) in COUNTERS.iter().zip(&mut counters) {
            let path = folder.join("statistics").join(file);
            let number = text_if_any(&path).and_then(|text| first.ok(integer(&path, &text)));
            *count = number.filter(|number| *number != NOT_COUNTED);
        }
        Port { name, labels, counters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    fn host(words: &str) -> Fixture {
        Fixture::new(&[
            ("sys/class/fc_host/host3/speed", "16 Gbit\n"),
            ("sys/class/fc_host/host3/port_id", "0x0000ef\n"),
            ("sys/class/fc_host/host3/symbolic_name", "0x is no number here\n"),
            ("sys/class/fc_host/host3/statistics/rx_frames", "0x1f\n"),
            ("sys/class/fc_host/host3/statistics/rx_words", words),
            ("sys/class/fc_host/host3/statistics/tx_frames", "0xffffffffffffffff\n"),
        ])
    }

    #[test]
    fn a_port_is_told_as_far_as_it_is_known() {
        let told = "node_fibrechannel_info{fc_host=\"host3\",speed=\"16 Gbit\",port_state=\"\",port_type=\"\",\
            port_id=\"0000ef\",port_name=\"\",fabric_name=\"\",symbolic_name=\"0x is no number here\",supported_classes=\"\",\
            supported_speeds=\"\",dev_loss_tmo=\"\"} 1\n\
            node_fibrechannel_rx_frames_total{fc_host=\"host3\"} 31\nnode_fibrechannel_rx_words_total{fc_host=\"host3\"} 7\n";
        assert_eq!(host("7\n").text(&COLLECTOR), told);
    }

    #[test]
    fn garbage_costs_its_counter_and_is_told() {
        let (text, result) = host("0xzz\n").collect(&COLLECTOR);
        assert!(text.contains("rx_frames_total{fc_host=\"host3\"} 31\n"), "{text}");
        let error = result.unwrap_err().to_string();
        assert!(
            error.ends_with("statistics/rx_words: \"0xzz\": invalid digit found in string"),
            "{error}"
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }
}
