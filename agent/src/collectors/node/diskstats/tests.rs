use super::*;
use crate::collectors::node::noise::noise;
use crate::collectors::node::testing::Fixture;
use proptest::prelude::*;

const SDA: &str = "   8       0 sda 10 20 30 40 50 60 70 80 90 100 110\n";

fn lines<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(name)).collect()
}

#[test]
fn numbers_as_far_as_the_kernel_has_them() {
    let fixture = Fixture::new(&[(
        "proc/diskstats",
        " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n\
         8 16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n\
         8 32 sdc 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n\
         8 33 sdc1 1 2 3 4\n\
         7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n",
    )]);
    let text = fixture.text(&COLLECTOR);
    assert_eq!(
        lines(&text, "node_disk_read_bytes_total{device=\"sda\"}"),
        ["node_disk_read_bytes_total{device=\"sda\"} 1536"]
    );
    assert_eq!(lines(&text, "node_disk_io_now").len(), 3);
    assert_eq!(
        lines(&text, "node_disk_discard_time_seconds_total"),
        [
            "node_disk_discard_time_seconds_total{device=\"sdb\"} 0.015",
            "node_disk_discard_time_seconds_total{device=\"sdc\"} 0.015"
        ]
    );
    assert_eq!(
        lines(&text, "node_disk_flush_requests_time_seconds_total"),
        ["node_disk_flush_requests_time_seconds_total{device=\"sdc\"} 0.017"]
    );
    assert_eq!(
        lines(&text, "node_disk_info{device=\"sda\""),
        [
            "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",path=\"\",wwn=\"\",model=\"\",serial=\"\",revision=\"\",rotational=\"0\"} 1"
        ]
    );
}

#[test]
fn what_udev_knows() {
    let fixture = Fixture::new(&[
        (
            "proc/diskstats",
            "8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n254 1 dm-1 0 0 0 0 0 0 0 0 0 0 0\n",
        ),
        (
            "udev/b8:0",
            "S:disk/by-id/x\nE:ID_ATA=1\nE:ID_ATA_WRITE_CACHE=1\nE:ID_ATA_ROTATION_RATE_RPM=fast\nE:ID_MODEL=Box \"9\"\n\
             E:ID_SERIAL=long\nE:ID_SERIAL_SHORT=short\nE:ID_FS_TYPE=\nE:broken\n",
        ),
        (
            "udev/b254:1",
            "E:DM_NAME=vg-root\nE:DM_VG_NAME=vg\nE:ID_FS_TYPE=xfs\nE:ID_FS_USAGE=filesystem\n",
        ),
        ("sys/block/sda/queue/rotational", "1\n"),
    ]);
    let text = fixture.text(&COLLECTOR);
    assert_eq!(
        text.lines().take(5).collect::<Vec<_>>(),
        [
            "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",path=\"\",wwn=\"\",model=\"Box \\\"9\\\"\",serial=\"short\",revision=\"\",rotational=\"1\"} 1",
            "node_disk_info{device=\"dm-1\",major=\"254\",minor=\"1\",path=\"\",wwn=\"\",model=\"\",serial=\"\",revision=\"\",rotational=\"0\"} 1",
            "node_disk_filesystem_info{device=\"dm-1\",type=\"xfs\",usage=\"filesystem\",uuid=\"\",version=\"\"} 1",
            "node_disk_device_mapper_info{device=\"dm-1\",name=\"vg-root\",uuid=\"\",vg_name=\"vg\",lv_name=\"\",lv_layer=\"\"} 1",
            "node_disk_ata_write_cache{device=\"sda\"} 1",
        ]
    );
    assert!(!text.contains("rotation_rate"), "no number, no series");
}

#[test]
fn names_with_a_slash_are_found() {
    let fixture = Fixture::new(&[
        ("proc/diskstats", "104 0 cciss/c0d0 0 0 0 0 0 0 0 0 0 0 0\n"),
        ("sys/block/cciss!c0d0/queue/rotational", "1\n"),
    ]);
    assert!(fixture.text(&COLLECTOR).contains("device=\"cciss/c0d0\",major=\"104\",minor=\"0\",path=\"\",wwn=\"\",model=\"\",serial=\"\",revision=\"\",rotational=\"1\""));
}

#[test]
fn devices_are_chosen() {
    let file = "8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n8 1 sda1 0 0 0 0 0 0 0 0 0 0 0\n7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n";
    let files = [("proc/diskstats", file)];
    let told = |fixture: Fixture| {
        let text = fixture.text(&COLLECTOR);
        let now = lines(&text, "node_disk_io_now").into_iter();
        now.map(|line| line.split('"').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(Fixture::new(&files)), ["sda"]);
    assert_eq!(told(Fixture::new(&files).set(INCLUDE.name, "^sda")), ["sda", "sda1"]);
    assert_eq!(told(Fixture::new(&files).set(EXCLUDE.name, "^loop")), ["sda", "sda1"]);
}

#[test]
fn what_is_no_number_is_told_with_its_line() {
    let fixture = Fixture::new(&[(
        "proc/diskstats",
        format!("{SDA}8 1 sdb 1 2 x 4 5 6 7 8 9 10 11\n{SDA}").as_str(),
    )]);
    let (text, result) = fixture.collect(&COLLECTOR);
    assert!(text.contains("node_disk_io_now{device=\"sda\"} 90"), "{text}");
    let error = result.unwrap_err().to_string();
    assert!(
        error.ends_with("diskstats: line 2: \"x\": invalid digit found in string"),
        "{error}"
    );
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
    assert_eq!(Fixture::new(&[("proc/diskstats", "\n")]).text(&COLLECTOR), "");
}

proptest! {
    #[test]
    fn lines_of_all_sorts(text in noise(&["8 0 sda ", "1 2 3 4 5 ", "\n", "18446744073709551616 "])) {
        for line in text.lines() {
            if let Ok(Some(disk)) = Disk::parse(line) {
                prop_assert!((LEAST..=MOST).contains(&disk.numbers.len()));
            }
        }
    }

    #[test]
    fn properties_of_all_sorts(text in noise(&["E:", "=", "\n", "ID_SERIAL", "ID_SERIAL_SHORT", "DM_NAME"])) {
        let udev = Properties::parse(&text);
        prop_assert!(text.contains(udev.get("ID_SERIAL")));
        prop_assert!(text.contains(udev.serial()));
    }
}
