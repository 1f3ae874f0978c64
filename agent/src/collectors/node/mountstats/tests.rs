use super::*;
use crate::collectors::node::testing::Fixture;

const STATS: &str = "no device mounted on /x with fstype tmpfs\n\
    device /dev/sda1 mounted on / with fstype ext4\n\
    device host:/a mounted on /mnt/a with fstype nfs4 statvers=1.1\n\
    \topts:\trw,vers=4.0\n\
    \tage:\t13968\n\
    \tevents:\t52 226 0 0 1 13 398 0 0 331 0 47 0 0 77 0 0 77 99 5 0 0 0 0 0 0 7\n\
    \tbytes:\t1207640230 0 0 0 1210214218 0 295483 8\n\
    \tRPC iostats version: 1.0  p/v: 100003/4 (nfs)\n\
    \txprt:\ttcp 832 3 1 0 11 6428 6429 0 12154 15 24 26 5726\n\
    \txprt:\ttcp 832 4 1 0 11 1 2 0 3 4 5 6 7\n\
    \tper-op statistics\n\
    \t        READ: 1298 1299 0 207680 1210292152 6 79386 79407\n\
    \t      ACCESS: 1 1 0 1 1 18446743919241604546 1 1 9\n\
    \n\
    device host:/a mounted on /mnt/b with fstype nfs4 statvers=1.1\n\
    \tage:\t13968\n\
    \txprt:\ttcp 832 3 1 0 11 6428 6429 0 12154 15 24 26 5726\n\
    \tper-op statistics\n\
    \t        READ: 1 1 0 1 1 6 1 1\n\
    device host:/a mounted on /mnt/c with fstype nfs statvers=1.1\n\
    \txprt:\tudp 832 2 6428 6429 1 12154 17 24 26 5726\n";

const MOUNTS: &str = "1 1 0:5 / /x rw - tmpfs none rw\n\
    2 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
    3 1 0:42 / /mnt/a rw - nfs4 host:/a rw,vers=4.0,clientaddr=10.0.0.1,addr=10.0.0.2\n\
    4 1 0:42 / /mnt/b rw - nfs4 host:/a rw,addr=10.0.0.2\n\
    5 1 0:43 / /mnt/c rw - nfs host:/a rw,mountaddr=10.0.0.9\n";

fn fixture(stats: &str) -> Fixture {
    Fixture::new(&[("proc/self/mountstats", stats), ("proc/self/mountinfo", MOUNTS)])
}

#[test]
fn mounts_of_nfs() {
    let text = fixture(STATS).text(&COLLECTOR);
    let tcp = "export=\"host:/a\",mountaddr=\"10.0.0.2\",protocol=\"tcp\"";
    let udp = "export=\"host:/a\",mountaddr=\"\",protocol=\"udp\"";
    let info = format!(
        "node_mountstats_nfs_mountpoint_info{{{tcp},mountpoint=\"/mnt/a\"}} 1\n\
        node_mountstats_nfs_mountpoint_info{{{tcp},mountpoint=\"/mnt/b\"}} 1\n\
        node_mountstats_nfs_mountpoint_info{{{udp},mountpoint=\"/mnt/c\"}} 1\n"
    );
    assert!(text.starts_with(&info), "{text}");
    for (name, labels, value) in [
        ("age_seconds_total", tcp.to_owned(), "13968"),
        ("read_bytes_total", tcp.to_owned(), "1.20764023e+09"),
        ("write_pages_total", tcp.to_owned(), "8"),
        ("event_inode_revalidate_total", tcp.to_owned(), "52"),
        ("event_truncation_total", tcp.to_owned(), "5"),
        ("event_pnfs_write_total", tcp.to_owned(), "7"),
        ("transport_bind_total", format!("{tcp},transport=\"0\""), "3"),
        ("transport_bind_total", format!("{tcp},transport=\"1\""), "4"),
        ("transport_idle_time_seconds", format!("{tcp},transport=\"0\""), "11"),
        ("transport_backlog_queue_total", format!("{tcp},transport=\"0\""), "15"),
        (
            "transport_pending_queue_total",
            format!("{tcp},transport=\"0\""),
            "5726",
        ),
        ("transport_bind_total", format!("{udp},transport=\"0\""), "2"),
        ("transport_sends_total", format!("{udp},transport=\"0\""), "6428"),
        ("transport_backlog_queue_total", format!("{udp},transport=\"0\""), "17"),
        (
            "operations_transmissions_total",
            format!("{tcp},operation=\"READ\""),
            "1299",
        ),
        (
            "operations_response_time_seconds_total",
            format!("{tcp},operation=\"READ\""),
            "79.386",
        ),
        (
            "operations_queue_time_seconds_total",
            format!("{tcp},operation=\"ACCESS\""),
            "9.007044786793922e+12",
        ),
    ] {
        let line = format!("node_mountstats_nfs_{name}{{{labels}}} {value}\n");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let line = format!("transport_connect_total{{{udp},transport=\"0\"}} 0\n");
    assert!(text.contains(&line), "there are no connections");
}

#[test]
fn a_host_without_nfs_says_nothing() {
    let fixture = Fixture::new(&[(
        "proc/self/mountstats",
        "device /dev/sda1 mounted on / with fstype ext4\n",
    )]);
    assert_eq!(fixture.text(&COLLECTOR), "");
    assert!(Fixture::new(&[]).collect(&COLLECTOR).1.unwrap_err().is_no_data());
}

#[test]
fn odd_lines_are_told_and_cost_themselves_alone() {
    for bad in [
        "age:",
        "age: x",
        "events: 1 x",
        "bytes: -1",
        "xprt:",
        "xprt: tcp x",
        "xprt: pigeon 1 2",
    ] {
        let text = STATS.replace("\topts:\trw,vers=4.0\n", &format!("\t{bad}\n"));
        let (text, result) = fixture(&text).collect(&COLLECTOR);
        assert!(text.contains("mountpoint=\"/mnt/a\""), "{bad}");
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("mountstats: line 4: ") && error.contains(bad.trim()),
            "{error}"
        );
    }
    let (_, result) = fixture(&STATS.replace("READ: 1298", "READ 1298")).collect(&COLLECTOR);
    assert!(result.unwrap_err().to_string().contains("line 12: "));
}

proptest::proptest! {
    #[test]
    fn no_text_is_a_panic(lines in proptest::collection::vec(proptest::sample::select(vec![
        "device a mounted on b with fstype nfs x", "device", "no device", "age: 1", "age:", "events: 1 2", "bytes:", "xprt: tcp 1",
        "xprt: udp", "per-op", "READ: 1 2 3 4 5 6 7 8", "READ:", "", ":",
    ]), 0..20)) {
        let text = lines.join("\n");
        parse(&text, &mut None);
    }
}
