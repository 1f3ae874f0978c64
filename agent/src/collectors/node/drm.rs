//! Graphics cards of AMD: `sys/class/drm/cardN/device` (`Documentation/gpu/amdgpu`).

use super::files::{First, names, parsed, text_if_any};
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "drm",
    about: "graphics cards of AMD",
    default: false,
    make: |setup| Ok(Box::new(Drm::new(setup))),
    ..Collector::BASE
};

static INFO: Family = Family::new("node_drm_card_info", "", "Identity and setting of a card.", Kind::Gauge);

const fn bytes(name: &'static str, help: &'static str) -> Family {
    Family::new(name, "bytes", help, Kind::Gauge)
}

/// Files that hold a number, and what it is.
static NUMBERS: [(&str, Family); 7] = [
    (
        "gpu_busy_percent",
        Family::new(
            "node_drm_gpu_busy_percent",
            "",
            "How busy a card is, percent.",
            Kind::Gauge,
        ),
    ),
    (
        "mem_info_gtt_total",
        bytes(
            "node_drm_memory_gtt_size_bytes",
            "Bytes of the host's memory that a card may use.",
        ),
    ),
    (
        "mem_info_gtt_used",
        bytes(
            "node_drm_memory_gtt_used_bytes",
            "Bytes of the host's memory that a card uses.",
        ),
    ),
    (
        "mem_info_vis_vram_total",
        bytes(
            "node_drm_memory_vis_vram_size_bytes",
            "Bytes of a card that the host can see.",
        ),
    ),
    (
        "mem_info_vis_vram_used",
        bytes(
            "node_drm_memory_vis_vram_used_bytes",
            "Used ones of the bytes that the host can see.",
        ),
    ),
    (
        "mem_info_vram_total",
        bytes("node_drm_memory_vram_size_bytes", "Bytes of a card."),
    ),
    (
        "mem_info_vram_used",
        bytes("node_drm_memory_vram_used_bytes", "Used bytes of a card."),
    ),
];
/// Files that become labels, and the labels.
const LABELS: [(&str, &str); 3] = [
    ("mem_info_vram_vendor", "memory_vendor"),
    ("power_dpm_force_performance_level", "power_performance_level"),
    ("unique_id", "unique_id"),
];

struct Drm(PathBuf);

/// A card. What it does not say is `None`, or empty.
struct Card {
    name: String,
    labels: [String; LABELS.len()],
    numbers: [Option<u64>; NUMBERS.len()],
}

impl Drm {
    fn new(setup: &Setup<'_>) -> Drm {
        Drm(setup.host.sys.join("class/drm"))
    }
}

impl Collect for Drm {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut first = First::default();
        let names = match names(&self.0) {
            // No graphics at all: node_exporter does not mind.
            Err(error) if error.is_no_data() => Vec::new(),
            names => names?,
        };
        let names = names.into_iter().filter(|name| is_card(name));
        let cards: Vec<Card> = names
            .filter_map(|name| Card::read(&self.0.join(&name), name, &mut first))
            .collect();
        out.family(&INFO);
        for card in &cards {
            let mut labels = vec![("card", card.name.as_str()), ("vendor", "amd")];
            labels.extend(
                LABELS
                    .iter()
                    .zip(&card.labels)
                    .map(|((_, label), text)| (*label, text.as_str())),
            );
            out.number(&labels, 1.0);
        }
        for (place, (_, family)) in NUMBERS.iter().enumerate() {
            out.family(family);
            for card in &cards {
                if let Some(number) = card.numbers.get(place).copied().flatten() {
                    out.number(&[("card", &card.name)], number as f64);
                }
            }
        }
        first.result()
    }
}

/// `card0` to `card9`, as node_exporter looks for them; `card0-DP-1` is an output of one.
fn is_card(name: &str) -> bool {
    let digit = name.strip_prefix("card").map(str::as_bytes);
    matches!(digit, Some([b'0'..=b'9']))
}

impl Card {
    /// Reads a card; none when it is not AMD's.
    fn read(folder: &Path, name: String, first: &mut First) -> Option<Card> {
        let folder = folder.join("device");
        let event = text_if_any(&folder.join("uevent"))?;
        if !event.contains("DRIVER=amdgpu") {
            return None;
        }
        let mut numbers = [None; NUMBERS.len()];
        for ((file, _), number) in NUMBERS.iter().zip(&mut numbers) {
            let path = folder.join(file);
            *number = text_if_any(&path).and_then(|text| first.ok(parsed(&path, &text)));
        }
        Some(Card {
            name,
            labels: LABELS.map(|(file, _)| text_if_any(&folder.join(file)).unwrap_or_default()),
            numbers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    fn host(busy: &str) -> Fixture {
        Fixture::new(&[
            ("sys/class/drm/card0/device/uevent", "DRIVER=amdgpu\nPCI_CLASS=30000\n"),
            ("sys/class/drm/card0/device/gpu_busy_percent", busy),
            ("sys/class/drm/card0/device/mem_info_vram_total", "8573157376\n"),
            ("sys/class/drm/card0/device/unique_id", "0123456789abcdef\n"),
            ("sys/class/drm/card0-DP-1/device/uevent", "DRIVER=amdgpu\n"),
            ("sys/class/drm/card1/device/uevent", "DRIVER=i915\n"),
        ])
    }

    #[test]
    fn a_card_is_told_as_far_as_it_is_known() {
        let told = "node_drm_card_info{card=\"card0\",vendor=\"amd\",memory_vendor=\"\",power_performance_level=\"\",\
                    unique_id=\"0123456789abcdef\"} 1\nnode_drm_gpu_busy_percent{card=\"card0\"} 4\n\
                    node_drm_memory_vram_size_bytes{card=\"card0\"} 8.573157376e+09\n";
        assert_eq!(host("4\n").text(&COLLECTOR), told);
        assert_eq!(Fixture::new(&[]).text(&COLLECTOR), "");
    }

    #[test]
    fn garbage_costs_its_number_and_is_told() {
        let (text, result) = host("very\n").collect(&COLLECTOR);
        assert!(text.contains("vram_size_bytes") && !text.contains("busy"), "{text}");
        let error = result.unwrap_err().to_string();
        assert!(
            error.ends_with("gpu_busy_percent: \"very\": invalid digit found in string"),
            "{error}"
        );
    }
}
