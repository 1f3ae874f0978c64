//! NVMe controllers and their namespaces: `sys/class/nvme/nvme<n>` (`drivers/nvme/host/sysfs.c`).

use super::files;
use super::flags::Setup;
use super::rows::{Rows, gauge};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "nvme",
    about: "NVMe controllers and the size of their namespaces",
    make: |setup| Ok(Box::new(Nvme::new(setup))),
    ..Collector::BASE
};

static INFO: Family = gauge("node_nvme_info", "What an NVMe controller is.");
static NAMESPACE_INFO: Family = gauge(
    "node_nvme_namespace_info",
    "How a namespace is reached through its controller.",
);

/// A number of a namespace.
type Column = (Family, fn(&Namespace) -> Option<u64>);

static COLUMNS: [Column; 4] = [
    (
        gauge("node_nvme_namespace_capacity_bytes", "Bytes that a namespace may hold."),
        |namespace| namespace.bytes(namespace.size),
    ),
    (
        gauge("node_nvme_namespace_size_bytes", "Bytes that a namespace is large."),
        |namespace| namespace.bytes(namespace.size),
    ),
    (
        gauge("node_nvme_namespace_used_bytes", "Bytes that a namespace has in use."),
        |namespace| namespace.bytes(namespace.used),
    ),
    (
        gauge(
            "node_nvme_namespace_logical_block_size_bytes",
            "Bytes of a logical block of a namespace.",
        ),
        |namespace| namespace.block,
    ),
];

struct Nvme(PathBuf);

impl Nvme {
    fn new(setup: &Setup<'_>) -> Nvme {
        Nvme(setup.host.sys.join("class/nvme"))
    }
}

impl Collect for Nvme {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let names = files::names(&self.0)?;
        let controllers: Vec<Controller<'_>> = names
            .iter()
            .filter_map(|name| Controller::read(&self.0, name))
            .collect();
        let mut rows = Rows::new(out, &INFO);
        for controller in &controllers {
            let labels = [
                ("device", controller.name),
                ("firmware_revision", &controller.firmware),
                ("model", &controller.model),
                ("serial", &controller.serial),
                ("state", &controller.state),
                ("cntlid", &controller.id),
            ];
            rows.number(&labels, 1.0);
        }
        let namespaces = || {
            controllers
                .iter()
                .flat_map(|controller| controller.namespaces.iter().map(|it| (controller.name, it)))
        };
        let mut rows = Rows::new(out, &NAMESPACE_INFO);
        for (device, namespace) in namespaces() {
            let labels = [
                ("device", device),
                ("nsid", &*namespace.id),
                ("ana_state", &namespace.state),
            ];
            rows.number(&labels, 1.0);
        }
        for (family, value) in &COLUMNS {
            let mut rows = Rows::new(out, family);
            for (device, namespace) in namespaces() {
                if let Some(value) = value(namespace) {
                    rows.number(&[("device", device), ("nsid", &namespace.id)], value as f64);
                }
            }
        }
        Ok(())
    }
}

struct Controller<'a> {
    name: &'a str,
    firmware: String,
    model: String,
    serial: String,
    state: String,
    id: String,
    namespaces: Vec<Namespace>,
}

impl Controller<'_> {
    /// `None`: it is gone.
    fn read<'a>(class: &Path, name: &'a str) -> Option<Controller<'a>> {
        let folder = class.join(name);
        let text = |file: &str| files::text_if_any(&folder.join(file));
        let namespaces = files::names(&folder).ok()?;
        Some(Controller {
            name,
            firmware: text("firmware_rev").unwrap_or_default(),
            model: text("model")?,
            serial: text("serial").unwrap_or_default(),
            state: text("state").unwrap_or_default(),
            id: text("cntlid").unwrap_or_default(),
            namespaces: namespaces
                .iter()
                .filter_map(|name| Some(Namespace::read(&folder.join(name), namespace_id(name)?)))
                .collect(),
        })
    }
}

/// Number of a namespace by the name of its folder: `nvme0n1`, or `nvme0c1n1` where several controllers lead to it.
fn namespace_id(name: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (controller, id) = name.strip_prefix("nvme")?.split_once('n')?;
    let (first, second) = controller.split_once('c').unwrap_or((controller, "0"));
    (digits(first) && digits(second) && digits(id)).then_some(id)
}

#[derive(Debug)]
struct Namespace {
    id: String,
    state: String,
    size: Option<u64>,
    used: Option<u64>,
    block: Option<u64>,
}

impl Namespace {
    fn read(folder: &Path, id: &str) -> Namespace {
        let number = |file: &str| files::number(&folder.join(file)).ok();
        Namespace {
            id: id.to_owned(),
            state: files::text_if_any(&folder.join("ana_state")).unwrap_or_else(|| "unknown".to_owned()),
            size: number("size"),
            used: number("nuse"),
            block: number("queue/logical_block_size"),
        }
    }

    /// Of so many blocks. The kernel counts the size in sectors of 512 bytes; that it is taken for blocks is node_exporter's
    /// reading of it.
    fn bytes(&self, blocks: Option<u64>) -> Option<u64> {
        blocks?.checked_mul(self.block?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::noise::noise;
    use crate::collectors::node::testing::Fixture;
    use proptest::prelude::*;

    #[test]
    fn names_of_namespaces() {
        assert_eq!(namespace_id("nvme0n1"), Some("1"));
        assert_eq!(namespace_id("nvme10c3n27"), Some("27"));
        for other in [
            "nvme0",
            "nvme0n1p1",
            "ng0n1",
            "nvmen1",
            "nvme0c1",
            "nvme0cn1",
            "hwmon3",
            "power",
            "",
        ] {
            assert_eq!(namespace_id(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_there_is_told() {
        let fixture = Fixture::new(&[
            ("sys/class/nvme/nvme0/model", "Box 1   \n"),
            ("sys/class/nvme/nvme0/serial", "S1\n"),
            ("sys/class/nvme/nvme0/firmware_rev", "F1\n"),
            ("sys/class/nvme/nvme0/state", "live\n"),
            ("sys/class/nvme/nvme0/cntlid", "4\n"),
            ("sys/class/nvme/nvme0/nvme0n1/size", "1000\n"),
            ("sys/class/nvme/nvme0/nvme0n1/queue/logical_block_size", "512\n"),
            ("sys/class/nvme/nvme0/nvme0c0n2/size", "many\n"),
            ("sys/class/nvme/nvme0/nvme0c0n2/ana_state", "optimized\n"),
            ("sys/class/nvme/nvme1/state", "no model any more\n"),
        ]);
        assert_eq!(
            fixture.text(&COLLECTOR),
            "node_nvme_info{device=\"nvme0\",firmware_revision=\"F1\",model=\"Box 1\",serial=\"S1\",state=\"live\",cntlid=\"4\"} 1\n\
             node_nvme_namespace_info{device=\"nvme0\",nsid=\"2\",ana_state=\"optimized\"} 1\n\
             node_nvme_namespace_info{device=\"nvme0\",nsid=\"1\",ana_state=\"unknown\"} 1\n\
             node_nvme_namespace_capacity_bytes{device=\"nvme0\",nsid=\"1\"} 512000\n\
             node_nvme_namespace_size_bytes{device=\"nvme0\",nsid=\"1\"} 512000\n\
             node_nvme_namespace_logical_block_size_bytes{device=\"nvme0\",nsid=\"1\"} 512\n"
        );
        assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }

    proptest! {
        #[test]
        fn names_of_all_sorts(name in noise(&["nvme", "0", "n", "c", "1", "p"])) {
            let id = namespace_id(&name);
            prop_assert!(id.is_none_or(|id| name.ends_with(id) && id.bytes().all(|c| c.is_ascii_digit())));
        }
    }
}
