//! Neighbours by ARP: netlink's `RTM_GETNEIGH` (`include/uapi/linux/neighbour.h`), or `proc/net/arp` (`net/ipv4/arp.c`).

use super::files::Kept;
use super::filter::Filter;
use super::flags::{Flag, Form, Setup};
use super::netlink::{Socket, u16_at, u32_at};
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};
use std::collections::BTreeMap;
use std::path::Path;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "arp",
    about: "neighbours that ARP knows",
    flags: &[&INCLUDE, &EXCLUDE, &NETLINK],
    make: |setup| Ok(Box::new(Arp::new(setup)?)),
    ..Collector::BASE
};

static INCLUDE: Flag = Flag {
    name: "collector.arp.device-include",
    form: Form::Regex,
    help: "Only network devices whose name matches; not together with device-exclude.",
    ..Flag::BASE
};
static EXCLUDE: Flag = Flag {
    name: "collector.arp.device-exclude",
    form: Form::Regex,
    help: "No network devices whose name matches; not together with device-include.",
    ..Flag::BASE
};
static NETLINK: Flag = Flag {
    name: "collector.arp.netlink",
    form: Form::Switch,
    help: "Ask the kernel by netlink rather than read net/arp.",
    default: &["true"],
    ..Flag::BASE
};

static ENTRIES: Family = Family::new(
    "node_arp_entries",
    "",
    "Neighbours that ARP knows behind a device.",
    Kind::Gauge,
);

/// Bytes of `struct ndmsg`, and what it says: neighbours of IPv4.
const REQUEST: [u8; 12] = [libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Words of a line of the file; the device is the last.
const WORDS: usize = 6;

struct Arp {
    /// `None`: the file is not read.
    file: Option<Kept>,
    socket: Socket,
    filter: Filter,
}

impl Arp {
    fn new(setup: &Setup<'_>) -> Result<Arp, String> {
        Ok(Arp {
            file: (!setup.is_on(&NETLINK)).then(|| Kept::new(setup.host.proc.join("net/arp"))),
            socket: Socket::route(),
            filter: setup.filter(&INCLUDE, &EXCLUDE)?,
        })
    }

    fn count(&mut self) -> Result<BTreeMap<String, u64>, CollectError> {
        if let Some(file) = &mut self.file {
            let path = file.path().to_owned();
            return parse(&path, file.text()?);
        }
        let by_index = self.socket.dump(
            libc::RTM_GETNEIGH,
            &REQUEST,
            |found: &mut BTreeMap<u32, u64>, _, body| {
                if let Some(index) = neighbour(body) {
                    *found.entry(index).or_default() += 1;
                }
            },
        )?;
        // One that is gone has no name any more.
        let named = by_index
            .into_iter()
            .map(|(index, count)| Some((self.socket.device(index)?, count)));
        Ok(named.flatten().collect())
    }
}

impl Collect for Arp {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let counts = self.count()?;
        out.family(&ENTRIES);
        for (device, count) in counts.iter().filter(|(device, _)| self.filter.takes(device)) {
            out.number(&[("device", device)], *count as f64);
        }
        Ok(())
    }
}

/// Index of the device of a neighbour (`struct ndmsg`). One that needs no ARP is none.
fn neighbour(body: &[u8]) -> Option<u32> {
    let (family, index, state) = (*body.first()?, u32_at(body, 4)?, u16_at(body, 8)?);
    (i32::from(family) == libc::AF_INET && state & libc::NUD_NOARP == 0).then_some(index)
}

/// Lines by their device. The first line is heads.
fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, u64>, CollectError> {
    let mut counts = BTreeMap::new();
    for (line, text) in text.lines().enumerate().skip(1) {
        let Some(device) = text.split_ascii_whitespace().nth(WORDS - 1) else {
            return Err(CollectError::malformed(
                path,
                format!("line {}: less than {WORDS} words", line + 1),
            ));
        };
        match counts.get_mut(device) {
            Some(count) => *count += 1,
            None => drop(counts.insert(device.to_owned(), 1)),
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const HEADS: &str = "IP address       HW type     Flags       HW address            Mask     Device\n";

    fn host(lines: &str) -> Fixture {
        Fixture::new(&[("proc/net/arp", &format!("{HEADS}{lines}"))]).set(NETLINK.name, "false")
    }

    #[test]
    fn lines_are_counted_by_device() {
        let line =
            |device| format!("10.0.0.2         0x1         0x2         02:00:00:00:00:01     *        {device}\n");
        let lines = ["eth0", "br-1", "eth0"].map(line).concat();
        let told = "node_arp_entries{device=\"br-1\"} 1\nnode_arp_entries{device=\"eth0\"} 2\n";
        assert_eq!(host(&lines).text(&COLLECTOR), told);
        let told = "node_arp_entries{device=\"eth0\"} 2\n";
        assert_eq!(host(&lines).set(EXCLUDE.name, "^br").text(&COLLECTOR), told);
        assert_eq!(host(&lines).set(INCLUDE.name, "^e").text(&COLLECTOR), told);
        assert_eq!(host("").text(&COLLECTOR), "");
    }

    #[test]
    fn a_short_line_is_told() {
        let error = host("10.0.0.2 0x1 0x2 02:00:00:00:00:01 *\n").error(&COLLECTOR);
        assert!(error.ends_with("net/arp: line 2: less than 6 words"), "{error}");
    }

    #[test]
    fn neighbours_of_netlink() {
        let body = |family: u8, state: u8| [family, 0, 0, 0, 7, 0, 0, 0, state, 0, 0, 0];
        assert_eq!(neighbour(&body(2, 2)), Some(7));
        assert_eq!(neighbour(&body(2, 0x40)), None, "without ARP");
        assert_eq!(neighbour(&body(10, 2)), None, "of IPv6");
        assert_eq!(neighbour(&body(2, 2)[..9]), None, "short");
        let (_, result) = Fixture::new(&[]).collect(&COLLECTOR);
        result.unwrap();
    }
}
