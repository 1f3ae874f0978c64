use super::*;
use crate::collectors::node::flags::Settings;
use crate::collectors::node::testing::Fixture;
use crate::export::prometheus::{Format, PrometheusEncoder};
use crate::host::Host;

fn host(speed: &str) -> Fixture {
    Fixture::new(&[
        ("sys/class/net/bonding_masters", "bond0\n"),
        ("sys/class/net/eth0/", ""),
        ("sys/class/net/eth0/address", "02:00:00:00:00:01\n"),
        ("sys/class/net/eth0/operstate", "up\n"),
        ("sys/class/net/eth0/flags", "0x1003\n"),
        ("sys/class/net/eth0/dev_id", "0x0\n"),
        ("sys/class/net/eth0/mtu", "1500\n"),
        ("sys/class/net/eth0/speed", speed),
        ("sys/class/net/eth0/ifalias", "to the core\n"),
        ("sys/class/net/tun0/", ""),
    ])
}

#[test]
fn a_device_is_told_as_far_as_it_is_known() {
    let told = "node_network_up{device=\"eth0\"} 1\nnode_network_up{device=\"tun0\"} 0\n\
        node_network_info{device=\"eth0\",address=\"02:00:00:00:00:01\",broadcast=\"\",duplex=\"\",operstate=\"up\",\
        ifalias=\"to the core\",adminstate=\"up\"} 1\n\
        node_network_info{device=\"tun0\",address=\"\",broadcast=\"\",duplex=\"\",operstate=\"\",\
        ifalias=\"\",adminstate=\"unknown\"} 1\n\
        node_network_device_id{device=\"eth0\"} 0\nnode_network_flags{device=\"eth0\"} 4099\n\
        node_network_mtu_bytes{device=\"eth0\"} 1500\nnode_network_speed_bytes{device=\"eth0\"} 1.25e+08\n";
    assert_eq!(host("1000\n").text(&COLLECTOR), told);
}

#[test]
fn a_speed_nobody_knows_is_told_unless_asked_not_to() {
    assert!(
        host("-1\n")
            .text(&COLLECTOR)
            .contains("node_network_speed_bytes{device=\"eth0\"} -125000\n")
    );
    assert!(
        !host("-1\n")
            .set(NO_INVALID_SPEED.name, "true")
            .text(&COLLECTOR)
            .contains("speed")
    );
    assert!(
        !host("1000\n")
            .set(IGNORED.name, "^eth")
            .text(&COLLECTOR)
            .contains("eth0")
    );
}

#[test]
fn garbage_costs_its_number_and_is_told() {
    let (text, result) = host("fast\n").collect(&COLLECTOR);
    assert!(
        text.contains("node_network_mtu_bytes{device=\"eth0\"} 1500\n"),
        "{text}"
    );
    let error = result.unwrap_err().to_string();
    assert!(
        error.ends_with("eth0/speed: \"fast\": invalid digit found in string"),
        "{error}"
    );
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
}

#[test]
fn netlink_tells_this_host() {
    let text = host("1000\n")
        .set(NETLINK.name, "true")
        .set(WITH_STATS.name, "true")
        .text(&COLLECTOR);
    for line in [
        "node_network_protocol_type{device=\"lo\"} 772\n",
        "node_network_iface_link{device=\"lo\"} 1\n",
        "node_network_receive_crc_errors_total{device=\"lo\"} 0\n",
        "node_network_info{device=\"lo\",address=\"00:00:00:00:00:00\",",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn the_flags_have_their_place() {
    assert_eq!(NUMBERS[FLAGS].0, "flags");
    assert_eq!(NUMBERS[INDEX].0, "ifindex");
}

/// Where files and the kernel's list are of one network namespace, and only there, what is known stands in for files.
#[test]
fn what_did_not_change_is_not_read_again() {
    let fixture = host("1000\n");
    let setup = |host: &Host| {
        let settings = Settings::default();
        NetClass::new(&Setup {
            host,
            settings: &settings,
        })
        .unwrap()
    };
    let text = |collector: &mut NetClass| {
        let mut out = PrometheusEncoder::new(Format::Text, Vec::new());
        // Devices of this host may have files that say nothing known.
        let _ = collector.collect(&mut out);
        String::from_utf8(out.finish().unwrap()).unwrap()
    };
    let mut other = setup(&fixture.host());
    text(&mut other);
    assert!(other.known.read.is_none(), "no link of this host");
    fixture.put(&[("sys/class/net/eth0/mtu", "9000\n")]);
    assert!(text(&mut other).contains("mtu_bytes{device=\"eth0\"} 9000"));
    let own = Host::default();
    if !own.sys.join("class/net/lo").exists() {
        return;
    }
    let mut own = setup(&own);
    let first = text(&mut own);
    assert!(own.known.read.is_some(), "files of this network namespace:\n{first}");
    let loopback = |device: &&Device| device.name == "lo";
    assert_eq!(own.known.devices.iter().filter(loopback).count(), 1);
    // Tests beside this one make no links.
    own.known.devices.retain(|device| device.name == "lo");
    let known = text(&mut own);
    assert!(known.contains("node_network_mtu_bytes{device=\"lo\"}"));
    if own.known.devices.len() == 1 {
        own.known.read = Some(Instant::now() - AGAIN);
        assert_eq!(text(&mut own), first, "after a while all is read again");
    }
}
