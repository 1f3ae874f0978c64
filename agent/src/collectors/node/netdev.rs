//! Traffic of network devices: netlink's `RTM_GETLINK` (`include/uapi/linux/if_link.h`), or `proc/net/dev` (`net/core/net-procfs.c`).
//!
//! Netlink is the default, as node_exporter has it: it alone tells packets nobody handled, and it tells each kind of error by
//! itself. The plain names add these up the way the file does.

mod columns;

use super::files::{Kept, parsed, text_if_any};
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::netlink::link::{STATS, links};
use super::netlink::{Socket, address, attributes, u32_at};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use columns::{Column, FILE, columns};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "netdev",
    about: "traffic of network devices",
    flags: &[&INCLUDE, &EXCLUDE, &ADDRESSES, &DETAILED, &NETLINK, &ALIAS],
    make: |setup| Ok(Box::new(NetDev::new(setup)?)),
    ..Collector::BASE
};

static INCLUDE: Flag = Flag {
    name: "collector.netdev.device-include",
    form: Form::Regex,
    help: "Only network devices whose name matches; not together with device-exclude.",
    also: &["collector.netdev.device-whitelist"],
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.netdev.device-exclude",
    form: Form::Regex,
    help: "No network devices whose name matches; not together with device-include.",
    also: &["collector.netdev.device-blacklist"],
    ..Flag::BASE
};
static ADDRESSES: Flag = Flag {
    name: "collector.netdev.address-info",
    form: Form::Switch,
    help: "Tell the IP addresses of every device too.",
    default: &["false"],
    ..Flag::BASE
};
static DETAILED: Flag = Flag {
    name: "collector.netdev.enable-detailed-metrics",
    form: Form::Switch,
    help: "Tell every kind of error by itself, under other names than without it.",
    default: &["false"],
    ..Flag::BASE
};
static NETLINK: Flag = Flag {
    name: "collector.netdev.netlink",
    form: Form::Switch,
    help: "Ask the kernel by netlink rather than read net/dev.",
    default: &["true"],
    ..Flag::BASE
};
static ALIAS: Flag = Flag {
    name: "collector.netdev.label-ifalias",
    form: Form::Switch,
    help: "Add the label ifalias, the alias of the device.",
    default: &["false"],
    ..Flag::BASE
};

static ADDRESS: Family = Family::new(
    "node_network_address_info",
    "",
    "IP addresses of a network device.",
    Kind::Gauge,
);

struct NetDev {
    /// `None`: the file is not read.
    file: Option<Kept>,
    socket: Socket,
    columns: Vec<&'static Column>,
    filter: Filter,
    /// Where aliases are, when they are told.
    aliases: Option<PathBuf>,
    addresses: bool,
}

/// A device: its name, its numbers, its alias.
struct Row {
    name: String,
    numbers: [u64; STATS],
    alias: Option<String>,
}

impl NetDev {
    fn new(setup: &Setup<'_>) -> Result<NetDev, String> {
        Ok(NetDev {
            file: (!setup.is_on(&NETLINK)).then(|| Kept::new(setup.host.proc.join("net/dev"))),
            socket: Socket::route(),
            columns: columns(setup.is_on(&NETLINK), setup.is_on(&DETAILED)),
            filter: setup.filter(&INCLUDE, &EXCLUDE)?,
            aliases: setup.is_on(&ALIAS).then(|| setup.host.sys.join("class/net")),
            addresses: setup.is_on(&ADDRESSES),
        })
    }

    fn rows(&mut self) -> Result<Vec<Row>, CollectError> {
        let named = |name: &str| self.filter.takes(name);
        let mut rows = match &mut self.file {
            None => links(&mut self.socket)?
                .into_iter()
                .filter(|link| named(&link.name))
                .filter_map(|link| Some(Row::new(link.name, link.stats?)))
                .collect(),
            Some(file) => {
                let path = file.path().to_owned();
                rows(&path, file.text()?, &named)?
            }
        };
        if let Some(folder) = &self.aliases {
            for row in &mut rows {
                row.alias = text_if_any(&folder.join(&row.name).join("ifalias"));
            }
        }
        Ok(rows)
    }
}

impl Row {
    fn new(name: String, numbers: [u64; STATS]) -> Row {
        Row {
            name,
            numbers,
            alias: None,
        }
    }
}

impl Collect for NetDev {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let rows = self.rows()?;
        for Column(family, of) in &self.columns {
            out.family(family);
            for row in &rows {
                let sum = of.iter().filter_map(|place| row.numbers.get(*place));
                let sum = sum.fold(0, |sum: u64, number| sum.wrapping_add(*number)) as f64;
                match &row.alias {
                    None => out.number(&[("device", &row.name)], sum),
                    Some(alias) => out.number(&[("device", &row.name), ("ifalias", alias)], sum),
                }
            }
        }
        if self.addresses {
            let found = addresses(&mut self.socket)?;
            out.family(&ADDRESS);
            for (index, address, length) in found {
                if let Some(device) = self.socket.device(index) {
                    let address = address.to_canonical();
                    let labels = [
                        ("device", device.as_str()),
                        ("address", &address.to_string()),
                        ("netmask", &length.to_string()),
                        ("scope", scope(address)),
                    ];
                    out.number(&labels, 1.0);
                }
            }
        }
        Ok(())
    }
}

/// Writes each of netlink's numbers of devices: as gauges, which is how node_exporter's collector netclass tells them.
pub(super) fn write_each<'a>(
    devices: impl Iterator<Item = (&'a str, &'a [u64; STATS])> + Clone,
    out: &mut dyn Encoder,
) {
    for Column(family, of) in columns(true, true) {
        out.family(&Family {
            kind: Kind::Gauge,
            ..family.clone()
        });
        for (name, numbers) in devices.clone() {
            if let Some(number) = of.first().and_then(|place| numbers.get(*place)) {
                out.number(&[("device", name)], *number as f64);
            }
        }
    }
}

/// Devices of the file that are wanted.
fn rows(path: &Path, text: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Row>, CollectError> {
    let mut rows = Vec::new();
    // Two lines of heads. A name may have colons.
    for (line, text) in text.lines().enumerate().skip(2) {
        let what = |what: &str| CollectError::malformed(path, format!("line {}: {what}", line + 1));
        let (name, rest) = text.rsplit_once(':').ok_or_else(|| what("no colon behind a name"))?;
        let name = name.trim();
        if !wanted(name) {
            continue;
        }
        let mut numbers = [0; STATS];
        let mut words = rest.split_ascii_whitespace();
        for place in FILE {
            let word = words.next().ok_or_else(|| what("less than 16 numbers"))?;
            if let Some(number) = numbers.get_mut(place) {
                *number = parsed(path, word)?;
            }
        }
        rows.push(Row::new(name.to_owned(), numbers));
    }
    Ok(rows)
}

/// Addresses with the index of their device and the length of their prefix (`struct ifaddrmsg`).
fn addresses(socket: &mut Socket) -> Result<Vec<(u32, IpAddr, u8)>, CollectError> {
    socket.dump(libc::RTM_GETADDR, &[0; 8], |found: &mut Vec<_>, _, body| {
        found.extend(parse_address(body))
    })
}

/// On a link between two points the local address is the device's, the other its peer's.
fn parse_address(body: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let (length, index) = (*body.get(1)?, u32_at(body, 4)?);
    let (mut local, mut other) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            libc::IFA_LOCAL => local = address(value),
            libc::IFA_ADDRESS => other = address(value),
            _ => {}
        }
    }
    Some((index, local.or(other)?, length))
}

/// How far an address reaches, in node_exporter's words.
fn scope(address: IpAddr) -> &'static str {
    let (near, device) = match address {
        IpAddr::V4(v4) => (v4.is_link_local() || v4.octets().starts_with(&[224, 0, 0]), false),
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            (
                v6.is_unicast_link_local() || first & 0xff0f == 0xff02,
                first & 0xff0f == 0xff01,
            )
        }
    };
    let nowhere = address.is_unspecified() || address.is_multicast() || address == IpAddr::from([255; 4]);
    match (address.is_loopback() || near, device, nowhere) {
        (true, _, _) => "link-local",
        (_, true, _) => "interface-local",
        (_, _, true) => "",
        _ => "global",
    }
}

#[cfg(test)]
mod tests;
