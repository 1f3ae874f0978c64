//! Links: network devices as `RTM_GETLINK` tells them (`include/uapi/linux/if_link.h`).

use super::{Socket, attributes, text, u16_at, u32_at, u64_at};
use crate::collectors::node::CollectError;

/// Bytes of `struct ifinfomsg`.
const HEAD: usize = 16;
/// Numbers of `struct rtnl_link_stats64` that are told.
pub(crate) const STATS: usize = 24;

/// A network device. What the kernel does not tell is `None`, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// `ARPHRD_…`.
    pub(crate) kind: u16,
    pub(crate) index: u32,
    pub(crate) flags: u32,
    pub(crate) name: String,
    pub(crate) other_names: Vec<String>,
    pub(crate) alias: String,
    pub(crate) address: Vec<u8>,
    pub(crate) broadcast: Vec<u8>,
    /// `IF_OPER_…`.
    pub(crate) state: Option<u8>,
    pub(crate) mode: Option<u8>,
    pub(crate) carrier: Option<u8>,
    pub(crate) carrier_changes: Option<u32>,
    pub(crate) carrier_ups: Option<u32>,
    pub(crate) carrier_downs: Option<u32>,
    /// The device below.
    pub(crate) below: Option<u32>,
    pub(crate) mtu: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) queue: Option<u32>,
    /// In the order of the kernel's structure.
    pub(crate) stats: Option<[u64; STATS]>,
}

/// All devices of the network namespace.
///
/// # Errors
/// The kernel cannot be asked.
pub(crate) fn links(socket: &mut Socket) -> Result<Vec<Link>, CollectError> {
    let each = |found: &mut Vec<Link>, _: u16, body: &[u8]| found.extend(parse(body));
    socket.dump(libc::RTM_GETLINK, &[0; HEAD], each)
}

/// A device, when it has a name.
fn parse(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        kind: u16_at(body, 2)?,
        index: u32_at(body, 4)?,
        flags: u32_at(body, 8)?,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(HEAD..)?) {
        let byte = value.first().copied();
        let number = u32_at(value, 0);
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_IFALIAS => link.alias = text(value),
            libc::IFLA_ADDRESS => link.address = value.to_vec(),
            libc::IFLA_BROADCAST => link.broadcast = value.to_vec(),
            libc::IFLA_OPERSTATE => link.state = byte,
            libc::IFLA_LINKMODE => link.mode = byte,
            libc::IFLA_CARRIER => link.carrier = byte,
            libc::IFLA_CARRIER_CHANGES => link.carrier_changes = number,
            libc::IFLA_CARRIER_UP_COUNT => link.carrier_ups = number,
            libc::IFLA_CARRIER_DOWN_COUNT => link.carrier_downs = number,
            libc::IFLA_LINK => link.below = number,
            libc::IFLA_MTU => link.mtu = number,
            libc::IFLA_GROUP => link.group = number,
            libc::IFLA_TXQLEN => link.queue = number,
            libc::IFLA_STATS64 => link.stats = stats(value),
            libc::IFLA_PROP_LIST => {
                let names = attributes(value).filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME);
                link.other_names.extend(names.map(|(_, value)| text(value)));
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn stats(value: &[u8]) -> Option<[u64; STATS]> {
    let mut stats = [0; STATS];
    for (place, number) in stats.iter_mut().enumerate() {
        *number = u64_at(value, place * 8)?;
    }
    Some(stats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::netlink::attribute;

    #[test]
    fn a_link_is_told_as_far_as_it_is_known() {
        let mut body = vec![0; HEAD];
        body[2] = 1;
        body[4] = 2;
        body[8] = 0x43;
        assert_eq!(parse(&body), None, "without a name");
        attribute(&mut body, libc::IFLA_IFNAME, b"eth0\0");
        attribute(&mut body, libc::IFLA_MTU, &1500u32.to_ne_bytes());
        attribute(&mut body, libc::IFLA_GROUP, &[1, 0]);
        let numbers: Vec<u8> = (0..25u64).flat_map(u64::to_ne_bytes).collect();
        attribute(&mut body, libc::IFLA_STATS64, &numbers);
        let mut names = vec![];
        attribute(&mut names, libc::IFLA_ALT_IFNAME, b"enp0s3\0");
        attribute(&mut body, libc::IFLA_PROP_LIST | 0x8000, &names);
        let link = parse(&body).unwrap();
        assert_eq!((link.kind, link.index, link.flags), (1, 2, 0x43));
        assert_eq!((link.name.as_str(), link.mtu, link.group), ("eth0", Some(1500), None));
        assert_eq!(link.other_names, ["enp0s3"]);
        assert_eq!(link.stats.unwrap()[23], 23);
        assert_eq!(stats(&numbers[..24 * 8 - 1]), None);
    }

    #[test]
    fn this_host_has_a_loopback() {
        let found = links(&mut Socket::route()).unwrap();
        let lo = found.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(lo.kind, libc::ARPHRD_LOOPBACK);
        assert!(lo.stats.is_some() && lo.mtu.is_some() && lo.state.is_some());
    }
}
