//! Bytes that wait in UDP sockets: `proc/net/udp` and `proc/net/udp6` (`net/ipv4/udp.c`), a line per socket.

use super::files::Kept;
use super::flags::Setup;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family, Kind};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "udp_queues",
    about: "bytes that wait in UDP sockets",
    make: |setup| Ok(Box::new(UdpQueues::new(setup))),
    ..Collector::BASE
};

static QUEUES: Family = Family::new(
    "node_udp_queues",
    "",
    "Bytes that wait in all UDP sockets, to be sent (tx) or to be read (rx).",
    Kind::Gauge,
);

/// Bytes of a line at most (`udp4_format_sock`, `ip6_dgram_sock_seq_show`): 128, 180.
const LINE: usize = 256;

struct UdpQueues([(&'static str, Kept); 2]);

impl UdpQueues {
    fn new(setup: &Setup<'_>) -> UdpQueues {
        let net = setup.host.proc.join("net");
        UdpQueues([("v4", "udp"), ("v6", "udp6")].map(|(version, file)| (version, Kept::records(net.join(file), LINE))))
    }
}

impl Collect for UdpQueues {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut nothing = None;
        let mut any = false;
        for (ip, file) in &mut self.0 {
            let path = file.path().to_owned();
            let text = match file.text() {
                Err(error) if error.is_no_data() => {
                    nothing = Some(error);
                    continue;
                }
                text => text?,
            };
            let (sent, received) = sums(text).map_err(|what| CollectError::malformed(&path, what))?;
            if !any {
                out.family(&QUEUES);
            }
            any = true;
            out.number(&[("ip", ip), ("queue", "tx")], sent as f64);
            out.number(&[("ip", ip), ("queue", "rx")], received as f64);
        }
        match nothing {
            Some(error) if !any => Err(error),
            _ => Ok(()),
        }
    }
}

/// Bytes to be sent and to be read, of all sockets.
fn sums(text: &str) -> Result<(u64, u64), String> {
    let mut sums = (0u64, 0u64);
    for (index, line) in text.lines().enumerate().skip(1) {
        let queues = line.split_ascii_whitespace().nth(4).and_then(|word| {
            let (sent, received) = word.split_once(':')?;
            Some((
                u64::from_str_radix(sent, 16).ok()?,
                u64::from_str_radix(received, 16).ok()?,
            ))
        });
        let (sent, received) = queues.ok_or_else(|| format!("line {}: {line:?} has no queues", index + 1))?;
        sums = (sums.0.wrapping_add(sent), sums.1.wrapping_add(received));
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    #[test]
    fn queues_of_all_sockets_are_added() {
        let line = "   0: 00000000:0016 00000000:0000 0A 00000015:00000002 00:00000000 00000000     0        0 2740\n";
        let fixture = Fixture::new(&[("proc/net/udp", &format!("{HEAD}{line}{line}"))]);
        let expect = "node_udp_queues{ip=\"v4\",queue=\"tx\"} 42\nnode_udp_queues{ip=\"v4\",queue=\"rx\"} 4\n";
        assert_eq!(fixture.text(&COLLECTOR), expect);
        fixture.put(&[("proc/net/udp6", HEAD)]);
        let text = fixture.text(&COLLECTOR);
        assert!(
            text.ends_with("node_udp_queues{ip=\"v6\",queue=\"tx\"} 0\nnode_udp_queues{ip=\"v6\",queue=\"rx\"} 0\n")
        );
    }

    #[test]
    fn no_udp_and_odd_lines() {
        let fixture = Fixture::new(&[("proc/net/", "")]);
        assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
        for bad in ["0:", "0: a b c 12", "0: a b c x:y"] {
            fixture.put(&[("proc/net/udp", &format!("{HEAD}{bad}\n"))]);
            assert!(fixture.error(&COLLECTOR).contains("udp: line 2: "), "{bad}");
        }
    }
}
