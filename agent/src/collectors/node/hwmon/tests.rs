use super::*;
use crate::collectors::node::noise::noise;
use crate::collectors::node::testing::Fixture;
use proptest::prelude::*;

#[test]
fn names_of_files() {
    assert_eq!(parse("temp1_input"), Some(("temp", 1, "input")));
    assert_eq!(parse("in0"), Some(("in", 0, "")));
    assert_eq!(parse("pwm1_auto_point2_temp"), Some(("pwm", 1, "auto_point2_temp")));
    assert_eq!(parse("update_interval"), Some(("update_interval", 0, "")));
    for other in [
        "name",
        "power_state",
        "temp1_",
        "temp1input",
        "1temp",
        "temp99999999999999999999_input",
        "",
        "_",
        "uevent",
    ] {
        assert_eq!(parse(other), None, "{other}");
    }
}

#[test]
fn units() {
    let fixture = Fixture::new(&[
        ("sys/class/hwmon/hwmon0/name", "Test-Chip\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "45500\n"),
        ("sys/class/hwmon/hwmon0/temp1_crit_alarm", "0\n"),
        ("sys/class/hwmon/hwmon0/temp1_type", "4\n"),
        ("sys/class/hwmon/hwmon0/temp1_label", "CPU die\n"),
        ("sys/class/hwmon/hwmon0/fan2_input", "1200\n"),
        ("sys/class/hwmon/hwmon0/fan2_fault", "1\n"),
        ("sys/class/hwmon/hwmon0/fan2_beep", "1\n"),
        ("sys/class/hwmon/hwmon0/fan2_pulses", "2\n"),
        ("sys/class/hwmon/hwmon0/in1_input", "broken\n"),
        ("sys/class/hwmon/hwmon0/curr1_input", "1500\n"),
        ("sys/class/hwmon/hwmon0/energy1_input", "2500000\n"),
        ("sys/class/hwmon/hwmon0/power1_average", "3500000\n"),
        ("sys/class/hwmon/hwmon0/power1_average_interval", "300\n"),
        ("sys/class/hwmon/hwmon0/power1_accuracy", "900000\n"),
        ("sys/class/hwmon/hwmon0/humidity1_input", "420000\n"),
        ("sys/class/hwmon/hwmon0/pwm1", "128\n"),
        ("sys/class/hwmon/hwmon0/pwm1_enable", "2\n"),
        ("sys/class/hwmon/hwmon0/beep_enable", "1\n"),
        ("sys/class/hwmon/hwmon0/update_interval", "2000\n"),
        ("sys/class/hwmon/hwmon0/vrm", "85\n"),
        ("sys/class/hwmon/hwmon0/freq1_input", "300000000\n"),
        ("sys/class/hwmon/hwmon0/freq1_label", "sclk\n"),
        ("sys/class/hwmon/hwmon0/freq2_input", "1\n"),
        ("sys/class/hwmon/hwmon0/power/", ""),
    ]);
    assert_eq!(
        fixture.text(&COLLECTOR).replace("chip=\"test_chip\"", "…"),
        "node_hwmon_beep_enabled{…,sensor=\"beep_enable0\"} 1\n\
         node_hwmon_chip_names{…,chip_name=\"test_chip\"} 1\n\
         node_hwmon_curr_amps{…,sensor=\"curr1\"} 1.5\n\
         node_hwmon_energy_joule_total{…,sensor=\"energy1\"} 2.5\n\
         node_hwmon_fan_beep_enabled{…,sensor=\"fan2\"} 1\n\
         node_hwmon_fan_fault{…,sensor=\"fan2\"} 1\n\
         node_hwmon_fan_pulses{…,sensor=\"fan2\"} 2\n\
         node_hwmon_fan_rpm{…,sensor=\"fan2\"} 1200\n\
         node_hwmon_freq_freq_mhz{…,sensor=\"sclk\"} 300\n\
         node_hwmon_humidity{…,sensor=\"humidity1\"} 0.42\n\
         node_hwmon_power_accuracy{…,sensor=\"power1\"} 0.9\n\
         node_hwmon_power_average_interval_seconds{…,sensor=\"power1\"} 0.3\n\
         node_hwmon_power_average_watt{…,sensor=\"power1\"} 3.5\n\
         node_hwmon_pwm{…,sensor=\"pwm1\"} 128\n\
         node_hwmon_pwm_enable{…,sensor=\"pwm1\"} 2\n\
         node_hwmon_sensor_label{…,sensor=\"freq1\",label=\"sclk\"} 1\n\
         node_hwmon_sensor_label{…,sensor=\"temp1\",label=\"CPU die\"} 1\n\
         node_hwmon_temp_celsius{…,sensor=\"temp1\"} 45.5\n\
         node_hwmon_temp_crit_alarm_celsius{…,sensor=\"temp1\"} 0\n\
         node_hwmon_temp_type{…,sensor=\"temp1\"} 4\n\
         node_hwmon_update_interval_seconds{…,sensor=\"update_interval0\"} 2\n\
         node_hwmon_voltage_regulator_version{…,sensor=\"vrm0\"} 85\n"
    );
}

/// Labels of the chips of a host where chips of the given names are those of one device.
fn labels(names: &[&str]) -> Vec<String> {
    let fixture = Fixture::new(&[("sys/devices/platform/box.1/uevent", "")]);
    for (index, name) in names.iter().enumerate() {
        let chip = format!("sys/devices/platform/box.1/hwmon/hwmon{index}");
        fixture.put(&[
            (&format!("{chip}/name"), name),
            (&format!("{chip}/temp1_input"), "1000"),
            (&format!("{chip}/device"), "-> ../../../box.1"),
            (
                &format!("sys/class/hwmon/hwmon{index}"),
                &format!("-> ../../devices/platform/box.1/hwmon/hwmon{index}"),
            ),
        ]);
    }
    let text = fixture.text(&COLLECTOR);
    let told = text.lines().filter(|line| line.starts_with("node_hwmon_temp_celsius"));
    told.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn chips_are_told_apart() {
    assert_eq!(labels(&["a"]), ["platform_box_1"]);
    assert_eq!(labels(&["a", "b"]), ["platform_box_1_a", "platform_box_1_b"]);
    assert_eq!(
        labels(&["a", "a", "b", ""]),
        [
            "platform_box_1_hwmon0",
            "platform_box_1_hwmon1",
            "platform_box_1_b",
            "platform_box_1_hwmon3"
        ]
    );
}

#[test]
fn old_drivers_have_their_files_in_the_device() {
    let fixture = Fixture::new(&[
        ("sys/devices/platform/smc.768/fan1_input", "900\n"),
        ("sys/class/hwmon/hwmon2/device", "-> ../../../devices/platform/smc.768"),
        ("sys/class/hwmon/stray", "no folder"),
    ]);
    let text = fixture.text(&COLLECTOR);
    assert_eq!(
        text,
        "node_hwmon_fan_rpm{chip=\"platform_smc_768\",sensor=\"fan1\"} 900\n"
    );
}

#[test]
fn chips_and_sensors_are_chosen() {
    let files = [
        ("sys/class/hwmon/hwmon0/temp1_input", "1000"),
        ("sys/class/hwmon/hwmon1/temp1_input", "2000"),
        ("sys/class/hwmon/hwmon1/temp2_input", "3000"),
    ];
    let told = |flag: &'static Flag, value| {
        let text = Fixture::new(&files).set(flag.name, value).text(&COLLECTOR);
        text.lines()
            .map(|line| line.split_once("} ").unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&CHIP_INCLUDE, "hwmon1"), ["2", "3"]);
    assert_eq!(told(&CHIP_EXCLUDE, "hwmon1"), ["1"]);
    assert_eq!(told(&SENSOR_INCLUDE, "^hwmon1;temp2$"), ["3"]);
    assert_eq!(told(&SENSOR_EXCLUDE, "^hwmon1;temp2$"), ["1", "2"]);
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
}

proptest! {
    #[test]
    fn names_of_all_sorts(name in noise(&["temp", "in", "fan", "0", "12", "_", "_input", "update_interval"])) {
        if let Some((kind, _, property)) = parse(&name) {
            prop_assert!(name.starts_with(kind) && name.ends_with(property));
            prop_assert!(Meaning::of(kind, property, true).is_none_or(|it| it.family.starts_with("node_hwmon_")));
        }
        let cleaned = clean(&name);
        prop_assert!(cleaned.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b":_".contains(&c)));
        prop_assert!(!cleaned.starts_with('_') && !cleaned.ends_with('_'));
    }
}
