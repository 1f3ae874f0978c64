use super::*;
use crate::collectors::node::testing::Fixture;

fn host(device: &str, rate: &str) -> Fixture {
    let fixture = Fixture::new(&[]);
    for (file, text) in [
        ("board_id", "MT_0000000001\n"),
        ("fw_ver", "16.28.1002\n"),
        ("ports/1/state", "4: ACTIVE\n"),
        ("ports/1/phys_state", "5: LinkUp\n"),
        ("ports/1/rate", rate),
        ("ports/1/counters/port_rcv_data", "25\n"),
        ("ports/1/counters/symbol_error", "3\n"),
        ("ports/1/counters/port_rcv_errors", "N/A (no PMA)\n"),
        ("ports/1/counters_ext/port_xmit_data_64", "2\n"),
        ("ports/1/hw_counters/out_of_buffer", "9\n"),
        ("ports/1/hw_counters/lifespan", "10\n"),
    ] {
        fixture.put(&[(&format!("sys/class/infiniband/{device}/{file}"), text)]);
    }
    fixture
}

#[test]
fn a_port_is_told_as_far_as_it_is_known() {
    let text = host("mlx5_0", "2.5 Gb/sec (1X SDR)\n").text(&COLLECTOR);
    let labels = "{device=\"mlx5_0\",port=\"1\"}";
    let told = [
        "node_infiniband_info{device=\"mlx5_0\",board_id=\"MT_0000000001\",firmware_version=\"16.28.1002\",hca_type=\"\"} 1\n",
        &format!("node_infiniband_state_id{labels} 4\n"),
        &format!("node_infiniband_physical_state_id{labels} 5\n"),
        &format!("node_infiniband_rate_bytes_per_second{labels} 3.125e+08\n"),
        &format!("node_infiniband_lifespan_seconds{labels} 0\n"),
        &format!("node_infiniband_legacy_data_transmitted_bytes_total{labels} 8\n"),
        &format!("node_infiniband_port_data_received_bytes_total{labels} 100\n"),
        &format!("node_infiniband_symbol_error_total{labels} 3\n"),
        &format!("node_infiniband_out_of_buffer_drops_total{labels} 9\n"),
    ];
    assert_eq!(text, told.concat());
}

#[test]
fn counters_of_hardware_that_is_not_known_are_left_out() {
    let text = host("hfi1_0", "100 Gb/sec (4X EDR)\n").text(&COLLECTOR);
    assert!(!text.contains("out_of_buffer") && !text.contains("lifespan"), "{text}");
    let text = host("hfi1_0", "100 Gb/sec (4X EDR)\n")
        .set(EXCLUDE.name, "^hfi")
        .text(&COLLECTOR);
    assert_eq!(text, "");
}

#[test]
fn garbage_costs_its_number_and_is_told() {
    let fixture = host("mlx5_0", "fast\n");
    fixture.put(&[("sys/class/infiniband/mlx5_0/ports/1/counters/link_downed", "never\n")]);
    let (text, result) = fixture.collect(&COLLECTOR);
    assert!(
        text.contains("symbol_error_total") && !text.contains("rate") && !text.contains("downed"),
        "{text}"
    );
    let error = result.unwrap_err().to_string();
    assert!(
        error.ends_with("ports/1/rate: \"fast\": invalid float literal"),
        "{error}"
    );
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
}
