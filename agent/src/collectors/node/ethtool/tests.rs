use super::*;
use crate::collectors::node::noise::noise;
use crate::collectors::node::testing::Fixture;
use crate::export::prometheus::{Format, PrometheusEncoder};
use proptest::prelude::*;

fn told_of(devices: &[Device]) -> String {
    let mut encoder = PrometheusEncoder::new(Format::Text, Vec::new());
    write(devices, None, &mut encoder);
    assert_eq!(encoder.refused(), Default::default());
    String::from_utf8(encoder.finish().unwrap()).unwrap()
}

#[test]
fn names_of_statistics() {
    for (statistic, family) in [
        ("rx_bytes", "node_ethtool_received_bytes_total"),
        ("lan.rx_errors", "node_ethtool_lan_received_errors"),
        ("Ring[7] Drops", "node_ethtool_ring_7_drops"),
        ("TX idle  count", "node_ethtool_transmitted_idle_count"),
        ("rx", "node_ethtool_received"),
        ("rx_rx_rx", "node_ethtool_received_rx_received"),
        ("(5)_: tx_frames", "node_ethtool_5__transmitted_frames"),
        ("\t  late", "node_ethtool_late"),
        ("a_._.b", "node_ethtool_a__b"),
        ("prx_ctx", "node_ethtool_prx_ctx"),
    ] {
        assert_eq!(family_of(&plain(statistic)), family, "{statistic}");
    }
}

#[test]
fn a_device_is_told_as_far_as_it_is_known() {
    let statistics = [("rx_packets", 7), ("q0.tx", 8), ("q0 tx", 9), ("a", 1), ("b c", 2)];
    let card = Device {
        name: "eth0".to_owned(),
        link: Some(Link {
            supported: 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 13 | 1 << 15 | 1 << 31,
            advertised: 1 << 5,
            autonegotiates: 1,
        }),
        driver: Some(Driver {
            name: "e1000e".to_owned(),
            bus: "0000:00:1f.6".to_owned(),
            ..Driver::default()
        }),
        statistics: statistics.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    };
    let plain = Device {
        name: "lo".to_owned(),
        ..Device::default()
    };
    let text = told_of(&[card, plain]);
    let samples: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let expect = "node_network_supported_speed_bytes{device=\"eth0\",duplex=\"half\",mode=\"10baseT\"} 1.25e+06\n\
        node_network_supported_speed_bytes{device=\"eth0\",duplex=\"full\",mode=\"1000baseT\"} 1.25e+08\n\
        node_network_supported_speed_bytes{device=\"eth0\",duplex=\"full\",mode=\"25000baseCR\"} 3.125e+09\n\
        node_network_advertised_speed_bytes{device=\"eth0\",duplex=\"full\",mode=\"1000baseT\"} 1.25e+08\n\
        node_network_supported_port_info{device=\"eth0\",type=\"TP\"} 1\n\
        node_network_autonegotiate_supported{device=\"eth0\"} 1\n\
        node_network_autonegotiate_advertised{device=\"eth0\"} 0\n\
        node_network_pause_supported{device=\"eth0\"} 1\n\
        node_network_pause_advertised{device=\"eth0\"} 0\n\
        node_network_asymmetricpause_supported{device=\"eth0\"} 0\n\
        node_network_asymmetricpause_advertised{device=\"eth0\"} 0\n\
        node_network_autonegotiate{device=\"eth0\"} 1\n\
        node_ethtool_info{bus_info=\"0000:00:1f.6\",device=\"eth0\",driver=\"e1000e\",expansion_rom_version=\"\",\
        firmware_version=\"\",version=\"\"} 1\n\
        node_ethtool_a{device=\"eth0\"} 1\nnode_ethtool_b_c{device=\"eth0\"} 2\n\
        node_ethtool_received_packets_total{device=\"eth0\"} 7\n";
    assert_eq!(samples, expect);
    assert!(text.contains("# TYPE node_ethtool_a untyped\n"), "{text}");
}

#[test]
fn statistics_are_chosen_by_their_plain_names() {
    let statistics = [("a.b".to_owned(), 1), ("c".to_owned(), 2)];
    let chosen = chosen(&statistics, Some(&Pattern::new("^a_b$").unwrap()));
    assert_eq!(chosen.into_keys().collect::<Vec<_>>(), ["node_ethtool_a_b"]);
}

#[test]
fn devices_that_are_not_there_are_left_out() {
    let fixture = Fixture::new(&[("sys/class/net/bonding_masters", "\n"), ("sys/class/net/gone-dev/", "")]);
    assert_eq!(fixture.text(&COLLECTOR), "");
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    let host = fixture.set(EXCLUDE.name, "^gone");
    assert_eq!(host.text(&COLLECTOR), "");
}

proptest! {
    #[test]
    fn names_of_all_sorts(name in noise(&["rx", "tx", "_", ".", "[0]", " "])) {
        let family = family_of(&plain(&name));
        prop_assert!(family.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'), "{}", family);
    }
}
