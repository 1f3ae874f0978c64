//! Devices of DRBD 8: `proc/drbd` (`drivers/block/drbd/drbd_proc.c`), words `KEY:VALUE` behind a word `NUMBER:` for each device.

use super::files::Kept;
use super::flags::Setup;
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "drbd",
    about: "devices of DRBD",
    default: false,
    make: |setup| Ok(Box::new(Drbd::new(setup))),
    ..Collector::BASE
};

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "", help, Kind::Counter)
}

/// Key, what a number of it counts for, and family. What is received is told in KiB though the name says bytes: node_exporter has
/// it so, and its users' dashboards with it.
static NUMBERS: [(&str, f64, Family); 12] = [
    (
        "ns",
        1024.0,
        counter("node_drbd_network_sent_bytes_total", "Bytes sent to the peer."),
    ),
    (
        "nr",
        1.0,
        counter("node_drbd_network_received_bytes_total", "KiB received from the peer."),
    ),
    (
        "dw",
        1024.0,
        counter("node_drbd_disk_written_bytes_total", "Bytes written to the disk."),
    ),
    (
        "dr",
        1024.0,
        counter("node_drbd_disk_read_bytes_total", "Bytes read from the disk."),
    ),
    (
        "al",
        1.0,
        counter("node_drbd_activitylog_writes_total", "Writes of the activity log."),
    ),
    (
        "bm",
        1.0,
        counter("node_drbd_bitmap_writes_total", "Writes of the bitmap."),
    ),
    (
        "lo",
        1.0,
        gauge("node_drbd_local_pending", "Requests that the disk has not answered."),
    ),
    (
        "pe",
        1.0,
        gauge("node_drbd_remote_pending", "Requests that the peer has not answered."),
    ),
    (
        "ua",
        1.0,
        gauge(
            "node_drbd_remote_unacknowledged",
            "Requests of the peer that were not answered.",
        ),
    ),
    (
        "ap",
        1.0,
        gauge(
            "node_drbd_application_pending",
            "Requests of programs that were not answered.",
        ),
    ),
    ("ep", 1.0, gauge("node_drbd_epochs", "Epochs on their way.")),
    (
        "oos",
        1024.0,
        gauge("node_drbd_out_of_sync_bytes", "Bytes that the peer has not yet."),
    ),
];

/// Key of a pair of words for here and there, the word that is good, and family.
static PAIRS: [(&str, &str, Family); 2] = [
    (
        "ro",
        "Primary",
        gauge("node_drbd_node_role_is_primary", "Whether a node may write."),
    ),
    (
        "ds",
        "UpToDate",
        gauge(
            "node_drbd_disk_state_is_up_to_date",
            "Whether the disk of a node is up to date.",
        ),
    ),
];

static CONNECTED: Family = gauge("node_drbd_connected", "Whether the peer is connected.");

struct Drbd(Kept);

impl Drbd {
    fn new(setup: &Setup<'_>) -> Drbd {
        Drbd(Kept::new(setup.host.proc.join("drbd")))
    }
}

/// A word of a device.
struct Word<'a> {
    device: String,
    key: &'a str,
    value: &'a str,
}

impl Collect for Drbd {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let path = self.0.path().to_owned();
        let words = words(self.0.text()?);
        let of = |wanted: &'static str| words.iter().filter(move |word| word.key == wanted);
        let mut result = Ok(());
        for (key, unit, family) in &NUMBERS {
            for (index, word) in of(key).enumerate() {
                match super::files::parsed::<f64>(&path, word.value) {
                    Ok(value) => {
                        if index == 0 {
                            out.family(family);
                        }
                        out.number(&[("device", &word.device)], value * unit);
                    }
                    Err(error) => result = Err(error),
                }
            }
        }
        for (key, good, family) in &PAIRS {
            for (index, word) in of(key).enumerate() {
                if index == 0 {
                    out.family(family);
                }
                for (node, state) in ["local", "remote"].into_iter().zip(word.value.split('/')) {
                    let value = f64::from(u8::from(state == *good));
                    out.number(&[("device", &word.device), ("node", node)], value);
                }
            }
        }
        for (index, word) in of("cs").enumerate() {
            if index == 0 {
                out.family(&CONNECTED);
            }
            out.number(
                &[("device", &word.device)],
                f64::from(u8::from(word.value == "Connected")),
            );
        }
        result
    }
}

/// Words behind the first device.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut device = None;
    let mut words = Vec::new();
    for word in text.split_ascii_whitespace() {
        let Some((key, value)) = word.split_once(':') else {
            continue;
        };
        match (key.parse::<u64>(), value) {
            (Ok(number), "") => device = Some(format!("drbd{number}")),
            _ => words.extend(device.clone().map(|device| Word { device, key, value })),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const TEXT: &str = "version: 8.4.3 (api:1/proto:86-101)\nsrcversion: 1A\n\n\
         0: cs:Connected ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----\n    ns:2 nr:3 lo:4 wo:d oos:5\n\
         1: cs:WFConnection ro:Secondary/Unknown ds:UpToDate/DUnknown\n    ns:6 nr:7\n";

    #[test]
    fn devices() {
        let text = Fixture::new(&[("proc/drbd", TEXT)]).text(&COLLECTOR);
        let begin = "node_drbd_network_sent_bytes_total{device=\"drbd0\"} 2048\n\
            node_drbd_network_sent_bytes_total{device=\"drbd1\"} 6144\n\
            node_drbd_network_received_bytes_total{device=\"drbd0\"} 3\n";
        assert!(text.starts_with(begin), "{text}");
        for line in [
            "node_drbd_out_of_sync_bytes{device=\"drbd0\"} 5120",
            "node_drbd_node_role_is_primary{device=\"drbd0\",node=\"local\"} 1",
            "node_drbd_node_role_is_primary{device=\"drbd0\",node=\"remote\"} 0",
            "node_drbd_disk_state_is_up_to_date{device=\"drbd1\",node=\"local\"} 1",
            "node_drbd_connected{device=\"drbd0\"} 1",
            "node_drbd_connected{device=\"drbd1\"} 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
    }

    #[test]
    fn no_drbd_and_odd_words() {
        let fixture = Fixture::new(&[("proc/", "")]);
        assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
        fixture.put(&[("proc/drbd", "0: ns:x nr:1 ro:Primary\n")]);
        let (text, result) = fixture.collect(&COLLECTOR);
        let expect = "node_drbd_network_received_bytes_total{device=\"drbd0\"} 1\n\
            node_drbd_node_role_is_primary{device=\"drbd0\",node=\"local\"} 1\n";
        assert_eq!(text, expect);
        assert!(result.unwrap_err().to_string().contains("drbd: \"x\": invalid float"));
    }
}
