use super::*;
use crate::collectors::node::testing::Fixture;

const LABELS: &str = "segment=\"0000\",bus=\"01\",device=\"00\",function=\"0\"";

fn host() -> Fixture {
    let fixture = Fixture::new(&[
        (
            "sys/bus/pci/devices/0000:01:00.0",
            "-> ../../../devices/pci0000:00/0000:00:02.1/0000:01:00.0",
        ),
        (
            "sys/bus/pci/devices/0000:09:00.0",
            "-> ../../../devices/gone/0000:09:00.0",
        ),
    ]);
    for (file, text) in [
        ("class", "0x010802\n"),
        ("vendor", "0x1af4\n"),
        ("device", "0x1041\n"),
        ("subsystem_vendor", "0x1af4\n"),
        ("subsystem_device", "0x0001\n"),
        ("revision", "0x01\n"),
        ("numa_node", "-1\n"),
        ("max_link_speed", "2.5 GT/s PCIe\n"),
        ("current_link_speed", "Unknown\n"),
        ("sriov_numvfs", "4\n"),
        ("d3cold_allowed", "4\n"),
        ("power_state", "D3hot\n"),
    ] {
        fixture.put(&[(
            &format!("sys/devices/pci0000:00/0000:00:02.1/0000:01:00.0/{file}"),
            text,
        )]);
    }
    fixture
}

#[test]
fn a_device_is_told() {
    let text = host().text(&COLLECTOR);
    for line in [
        format!(
            "node_pcidevice_info{{{LABELS},parent_segment=\"0000\",parent_bus=\"00\",parent_device=\"02\",parent_function=\"1\",\
             class_id=\"0x010802\",vendor_id=\"0x1af4\",device_id=\"0x1041\",subsystem_vendor_id=\"0x1af4\",\
             subsystem_device_id=\"0x0001\",revision=\"0x01\"}} 1\n"
        ),
        format!("node_pcidevice_max_link_transfers_per_second{{{LABELS}}} 2.5e+09\n"),
        format!("node_pcidevice_current_link_transfers_per_second{{{LABELS}}} -1\n"),
        format!("node_pcidevice_max_link_width{{{LABELS}}} -1\n"),
        format!("node_pcidevice_sriov_numvfs{{{LABELS}}} 4\n"),
        format!("node_pcidevice_d3cold_allowed{{{LABELS}}} 1\n"),
        format!("node_pcidevice_sriov_totalvfs{{{LABELS}}} 0\n"),
        format!("node_pcidevice_power_state{{{LABELS},state=\"D3hot\"}} 1\n"),
        format!("node_pcidevice_power_state{{{LABELS},state=\"D0\"}} 0\n"),
    ] {
        assert!(text.contains(&line), "{line} in\n{text}");
    }
    assert!(!text.contains("numa_node"), "{text}");
}

#[test]
fn names_are_told_when_asked_for() {
    let fixture = host();
    fixture.put(&[(
        "pci.ids",
        "1af4  Red Hat, Inc.\n\t1041  Virtio network device\nC 01  Mass storage\n\t08  Memory\n",
    )]);
    let file = fixture.host().proc.parent().unwrap().join("pci.ids");
    let fixture = fixture.set(NAMES.name, "true").set(FILE.name, file.to_str().unwrap());
    let text = fixture.text(&COLLECTOR);
    let names = "vendor_name=\"Red Hat, Inc.\",device_name=\"Virtio network device\",subsystem_vendor_name=\"Red Hat, Inc.\",\
                 subsystem_device_name=\"0001\",class_name=\"Memory\"} 1\n";
    assert!(text.contains(names), "{text}");
    let text = host().set(NAMES.name, "true").set(FILE.name, "none").text(&COLLECTOR);
    assert!(text.contains("vendor_name=\"1af4\",device_name=\"1041\","), "{text}");
    assert!(text.contains("class_name=\"Unknown class (010802)\"} 1\n"), "{text}");
}

#[test]
fn garbage_is_told() {
    let fixture = host();
    fixture.put(&[(
        "sys/devices/pci0000:00/0000:00:02.1/0000:01:00.0/sriov_numvfs",
        "many\n",
    )]);
    let error = fixture.error(&COLLECTOR);
    assert!(
        error.ends_with("sriov_numvfs: \"many\": invalid float literal"),
        "{error}"
    );
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
}

#[test]
fn places() {
    assert_eq!(place("0000:0a:1f.7").unwrap(), ["0000", "0a", "1f", "7"]);
    assert_eq!(place("10000:00:00.0").unwrap()[0], "10000");
    for text in ["pci0000:00", "0000:00:00", "x:00:00.0", ""] {
        assert_eq!(place(text), None, "{text}");
    }
}
