use super::*;
use crate::collectors::node::flags::Settings;
use crate::collectors::node::testing::Fixture;

const MOUNTS: &str = "1 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
    2 1 0:16 / /sys rw - sysfs sysfs rw\n\
    3 1 0:17 / /with\\040space ro - tmpfs tmpfs rw\n\
    4 1 0:18 / /gone rw - fuse me@there: rw\n";

fn fixture(mounts: &str) -> Fixture {
    Fixture::new(&[("proc/1/mountinfo", mounts), ("root/with space/", "")])
}

#[test]
fn each_mount_is_asked() {
    let fixture = fixture(MOUNTS);
    let text = fixture.text(&COLLECTOR);
    let lines = |begin: &str| text.lines().filter(|line| line.starts_with(begin)).count();
    let error = "node_filesystem_device_error{device=\"/dev/sda1\",device_error=\"\",fstype=\"ext4\",mountpoint=\"/\"} 0\n\
        node_filesystem_device_error{device=\"tmpfs\",device_error=\"\",fstype=\"tmpfs\",mountpoint=\"/with space\"} 0\n\
        node_filesystem_device_error{device=\"me@there:\",device_error=\"no such file or directory\",fstype=\"fuse\",\
        mountpoint=\"/gone\"} 1\n";
    assert!(text.starts_with(error), "{text}");
    assert_eq!(lines("node_filesystem_readonly"), 3);
    assert!(text.contains("mountpoint=\"/with space\"} 1\n"));
    for name in [
        "size_bytes",
        "free_bytes",
        "avail_bytes",
        "files",
        "files_free",
        "purgeable_bytes",
        "mount_info",
    ] {
        assert_eq!(lines(&format!("node_filesystem_{name}{{")), 2, "{name}");
    }
    assert!(
        text.contains("node_filesystem_mount_info{device=\"/dev/sda1\",major=\"8\",minor=\"1\",mountpoint=\"/\"} 1\n")
    );
}

#[test]
fn patterns_choose() {
    let names = |fixture: Fixture| {
        let text = fixture.text(&COLLECTOR);
        let lines = text
            .lines()
            .filter(|line| line.starts_with("node_filesystem_device_error"));
        lines
            .map(|line| line.split('"').nth(7).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(fixture(MOUNTS)), ["/", "/with space", "/gone"]);
    assert_eq!(
        names(fixture(MOUNTS).set(MOUNT_POINTS_EXCLUDE.name, "^/g")),
        ["/", "/with space"]
    );
    assert_eq!(
        names(fixture(MOUNTS).set(MOUNT_POINTS_INCLUDE.name, "^/(g|s)")),
        ["/gone"]
    );
    assert_eq!(
        names(fixture(MOUNTS).set(FS_TYPES_EXCLUDE.name, "fuse")),
        ["/", "/with space"]
    );
    assert_eq!(
        names(fixture(MOUNTS).set(FS_TYPES_INCLUDE.name, "^(sysfs|fuse)$")),
        ["/gone"]
    );
    let mut settings = Settings::default();
    settings.given.insert(FS_TYPES_INCLUDE.name, vec!["a".to_owned()]);
    settings.given.insert(FS_TYPES_EXCLUDE.name, vec!["b".to_owned()]);
    let setup = Setup {
        host: &fixture("").host(),
        settings: &settings,
    };
    assert!(FileSystem::new(&setup).err().unwrap().contains("exclude each other"));
}

#[test]
fn the_same_mount_twice_is_told_once() {
    let twice = "1 1 0:20 / /with\\040space rw - tmpfs tmpfs rw\n2 1 0:21 / /with\\040space rw - tmpfs tmpfs rw\n";
    let text = fixture(twice).text(&COLLECTOR);
    assert_eq!(text.lines().filter(|line| line.contains("size_bytes")).count(), 1);
}

#[test]
fn bad_lines_are_told_and_cost_nothing_else() {
    let (text, result) = fixture(&format!("what is this\n{MOUNTS}")).collect(&COLLECTOR);
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("node_filesystem_device_error"))
            .count(),
        3
    );
    let error = result.unwrap_err().to_string();
    assert!(error.contains("1/mountinfo: line 1: \"what is this\""), "{error}");
}

#[test]
fn without_the_first_process_the_own_mounts_are_told() {
    let fixture = Fixture::new(&[("proc/self/mountinfo", MOUNTS), ("root/", "")]);
    assert!(fixture.text(&COLLECTOR).contains("/dev/sda1"));
    let fixture = Fixture::new(&[("proc/", "")]);
    assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
}

#[test]
fn a_host_mounted_here_is_told_as_it_sees_itself() {
    let fixture = Fixture::new(&[("root/data/", "")]);
    let root = fixture.host().root;
    let root = root.to_str().unwrap();
    fixture.put(&[(
        "proc/1/mountinfo",
        &format!("1 1 8:1 / {root} rw - ext4 /dev/a rw\n2 1 8:2 / {root}/data rw - ext4 /dev/b rw\n"),
    )]);
    let text = fixture.text(&COLLECTOR);
    for place in ["/", "/data"] {
        assert!(
            text.contains(&format!("fstype=\"ext4\",mountpoint=\"{place}\"}} 0\n")),
            "{text}"
        );
    }
}

#[test]
fn errors_are_told_in_the_words_of_go() {
    assert_eq!(words(Errno::STALE), "stale file handle");
    assert_eq!(words(Errno::NOSYS), "function not implemented");
    assert_eq!(decapitalized("RPC failed (os error 1)"), "RPC failed");
    assert_eq!(decapitalized(""), "");
}

#[test]
fn names_that_are_no_utf_8_are_told() {
    let fixture = fixture("");
    let line = b"1 1 8:1 / /caf\xe9 rw - ext4 /dev/a rw\n";
    std::fs::write(fixture.host().proc.join("1/mountinfo"), line).unwrap();
    assert!(fixture.text(&COLLECTOR).contains("mountpoint=\"/caf\u{fffd}\"} 1\n"));
}

#[test]
fn what_may_hang_is_not_asked_here() {
    let at_or_below = |path: &str, other: &str| is_at_or_below(path.as_bytes(), other.as_bytes());
    assert!(at_or_below("/mnt/nfs", "/mnt/nfs") && at_or_below("/mnt/nfs/disk", "/mnt/nfs"));
    assert!(!at_or_below("/mnt/nfs2", "/mnt/nfs") && !at_or_below("/mnt", "/mnt/nfs"));
    assert!(
        at_or_below("/", "/") && at_or_below("/mnt", "/"),
        "an overlay as the root"
    );
    // Both ways to the numbers, in the order of the lines.
    let lines = "1 1 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /n rw - nfs4 b: rw\n3 1 8:3 / /n/c rw - ext4 /dev/c rw\n\
        4 1 8:4 / /d rw - xfs /dev/d rw\n";
    let fixture = Fixture::new(&[("proc/1/mountinfo", lines), ("root/n/", ""), ("root/d/", "")]);
    let text = fixture.text(&COLLECTOR);
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("node_filesystem_device_error"))
        .collect();
    let expected = [
        ("/dev/a", "", 0),
        ("b:", "", 0),
        ("/dev/c", "no such file or directory", 1),
        ("/dev/d", "", 0),
    ];
    assert_eq!(errors.len(), expected.len());
    for (line, (device, error, value)) in errors.iter().zip(expected) {
        let start = format!("node_filesystem_device_error{{device=\"{device}\",device_error=\"{error}\",");
        assert!(
            line.starts_with(&start) && line.ends_with(&format!(" {value}")),
            "{line}"
        );
    }
}
