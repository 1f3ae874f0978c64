use super::columns::{EACH, PLAIN};
use super::*;
use crate::collectors::node::netlink::attribute;
use crate::collectors::node::testing::Fixture;

const HEADS: &str = "Inter-|   Receive                                                |  Transmit\n \
    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";

fn host() -> Fixture {
    let lines = "    lo:   10  1 0 0 0 0 0 0   10  1 0 0 0 0 0 0\n\
                 eth0:1: 18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
    Fixture::new(&[
        ("proc/net/dev", &format!("{HEADS}{lines}")),
        ("sys/class/net/eth0:1/ifalias", "to the core\n"),
    ])
    .set(NETLINK.name, "false")
}

#[test]
fn the_file_is_told_by_its_columns() {
    let text = host().set(EXCLUDE.name, "^lo$").text(&COLLECTOR);
    assert_eq!(text.lines().count(), FILE.len());
    for line in [
        "node_network_receive_bytes_total{device=\"eth0:1\"} 1.8446744073709552e+19",
        "node_network_receive_errs_total{device=\"eth0:1\"} 3",
        "node_network_receive_drop_total{device=\"eth0:1\"} 4",
        "node_network_receive_multicast_total{device=\"eth0:1\"} 8",
        "node_network_transmit_bytes_total{device=\"eth0:1\"} 9",
        "node_network_transmit_colls_total{device=\"eth0:1\"} 14",
        "node_network_transmit_compressed_total{device=\"eth0:1\"} 16",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
}

#[test]
fn details_and_aliases_are_told_when_asked_for() {
    let text = host()
        .set(DETAILED.name, "true")
        .set(ALIAS.name, "true")
        .text(&COLLECTOR);
    assert!(
        text.contains("node_network_receive_errors_total{device=\"eth0:1\",ifalias=\"to the core\"} 3\n"),
        "{text}"
    );
    assert!(
        text.contains("node_network_receive_errors_total{device=\"lo\"} 0\n"),
        "{text}"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let error = |lines: &str| {
        let fixture = Fixture::new(&[("proc/net/dev", &format!("{HEADS}{lines}"))]);
        fixture.set(NETLINK.name, "false").error(&COLLECTOR)
    };
    assert!(
        error("lo: 1 2\n").ends_with("net/dev: line 3: less than 16 numbers"),
        "{}",
        error("lo: 1 2\n")
    );
    assert!(error("lo\n").ends_with("line 3: no colon behind a name"));
    assert!(error("lo: 1 x\n").contains("\"x\": invalid digit"));
    let none = Fixture::new(&[]).set(NETLINK.name, "false");
    assert!(none.error(&COLLECTOR).starts_with("there is nothing of the kind here"));
}

#[test]
fn netlink_tells_this_host() {
    let text = Fixture::new(&[]).set(INCLUDE.name, "^lo$").text(&COLLECTOR);
    assert_eq!(text.lines().count(), PLAIN.len(), "{text}");
    assert!(
        text.contains("node_network_receive_nohandler_total{device=\"lo\"} "),
        "{text}"
    );
    let text = Fixture::new(&[])
        .set(INCLUDE.name, "^lo$")
        .set(DETAILED.name, "true")
        .text(&COLLECTOR);
    assert_eq!(text.lines().count(), EACH.len(), "{text}");
    let text = Fixture::new(&[]).set(ADDRESSES.name, "true").text(&COLLECTOR);
    let line = "node_network_address_info{device=\"lo\",address=\"127.0.0.1\",netmask=\"8\",scope=\"link-local\"} 1\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn every_number_of_netlink_is_told_once() {
    for columns in [&PLAIN[..], &EACH[..]] {
        let mut places: Vec<usize> = columns.iter().flat_map(|Column(_, of)| of.iter().copied()).collect();
        places.sort_unstable();
        assert_eq!(places, (0..STATS).collect::<Vec<_>>());
    }
}

#[test]
fn the_local_address_comes_before_the_peers() {
    let mut body = vec![2, 24, 0, 0, 7, 0, 0, 0];
    assert_eq!(parse_address(&body), None);
    attribute(&mut body, libc::IFA_ADDRESS, &[10, 0, 0, 2]);
    assert_eq!(parse_address(&body), Some((7, [10, 0, 0, 2].into(), 24)));
    attribute(&mut body, libc::IFA_LOCAL, &[10, 0, 0, 1]);
    assert_eq!(parse_address(&body), Some((7, [10, 0, 0, 1].into(), 24)));
    assert_eq!(parse_address(&body[..5]), None);
}

#[test]
fn scopes() {
    let of = |text: &str| scope(text.parse().unwrap());
    assert_eq!(
        ["127.0.0.1", "169.254.1.1", "224.0.0.5", "fe80::1", "ff02::1", "::1"].map(of),
        ["link-local"; 6]
    );
    assert_eq!(of("ff01::1"), "interface-local");
    assert_eq!(
        ["10.0.0.1", "192.0.2.2", "fd00::2", "2001:db8::1"].map(of),
        ["global"; 4]
    );
    assert_eq!(
        ["0.0.0.0", "::", "255.255.255.255", "239.1.1.1", "ff05::2"].map(of),
        [""; 5]
    );
}
