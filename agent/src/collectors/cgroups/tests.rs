use super::*;
use crate::collectors::node::testing::Fixture;

#[test]
fn version_2_is_told_whole() {
    let fixture = Fixture::new(&[
        ("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n"),
        ("sys/fs/cgroup/system.slice/pids.current", "7\n"),
        ("sys/fs/cgroup/system.slice/web.service/cpu.max", "50000 100000\n"),
        (
            "sys/fs/cgroup/system.slice/web.service/cpu.stat",
            "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 5\nnr_throttled 3\nthrottled_usec 1500000\n",
        ),
        ("sys/fs/cgroup/system.slice/web.service/memory.current", "4096\n"),
        ("sys/fs/cgroup/system.slice/web.service/memory.max", "max\n"),
        (
            "sys/fs/cgroup/system.slice/web.service/memory.stat",
            "anon 100\nfile 200\nother 3\n",
        ),
        (
            "sys/fs/cgroup/system.slice/web.service/memory.events",
            "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n",
        ),
        (
            "sys/fs/cgroup/system.slice/web.service/io.stat",
            "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n9:1 \n7:0 rbytes=5 wbytes=x\n",
        ),
        ("sys/dev/block/8:0", "-> ../../devices/x/block/sda"),
        ("sys/fs/cgroup/system.slice/web.service/pids.max", "12\n"),
        (
            "sys/fs/cgroup/system.slice/web.service/cpu.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=0\nodd\n",
        ),
    ]);
    let of = |name: &str, more: &str| {
        format!("onlooker_cgroup_{name}{{cgroup=\"/system.slice/web.service\",systemd_unit=\"web.service\"{more}}} ")
    };
    let text = fixture.text(&COLLECTOR);
    let expect = [
        of("cpu_periods_total", "") + "5",
        of("cpu_throttled_periods_total", "") + "3",
        of("cpu_throttled_seconds_total", "") + "1.5",
        of("memory_bytes", "") + "4096",
        "onlooker_cgroup_tasks{cgroup=\"/system.slice\",systemd_unit=\"system.slice\"} 7".to_owned(),
        of("tasks_limit", "") + "12",
        of("cpu_seconds_total", ",mode=\"user\"") + "2",
        of("cpu_seconds_total", ",mode=\"system\"") + "1",
        of("memory_kind_bytes", ",kind=\"anon\"") + "100",
        of("memory_kind_bytes", ",kind=\"file\"") + "200",
        of("memory_events_total", ",event=\"low\"") + "0",
        of("memory_events_total", ",event=\"high\"") + "1",
        of("memory_events_total", ",event=\"max\"") + "2",
        of("memory_events_total", ",event=\"oom\"") + "3",
        of("memory_events_total", ",event=\"oom_kill\"") + "4",
        of("io_bytes_total", ",device=\"sda\",direction=\"read\"") + "1",
        of("io_bytes_total", ",device=\"sda\",direction=\"write\"") + "2",
        of("io_bytes_total", ",device=\"7:0\",direction=\"read\"") + "5",
        of("io_operations_total", ",device=\"sda\",direction=\"read\"") + "3",
        of("io_operations_total", ",device=\"sda\",direction=\"write\"") + "4",
        of("pressure_seconds_total", ",resource=\"cpu\",stall=\"some\"") + "2.5",
        of("pressure_seconds_total", ",resource=\"cpu\",stall=\"full\"") + "0",
        "onlooker_cgroups_left_out 0".to_owned(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expect);
}

#[test]
fn version_1_is_told_from_its_hierarchies() {
    let fixture = Fixture::new(&[
        ("sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 0\n"),
        ("sys/fs/cgroup/cpu,cpuacct/cpuacct.stat", "user 0\n"),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "20000\n"),
        (
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.stat",
            "nr_periods 5\nnr_throttled 3\nthrottled_time 1500000000\n",
        ),
        ("sys/fs/cgroup/cpu,cpuacct/a/cpuacct.stat", "user 250\nsystem 50\n"),
        ("sys/fs/cgroup/memory/memory.stat", "cache 1\n"),
        (
            "sys/fs/cgroup/memory/a/memory.stat",
            "cache 1\ntotal_cache 2\ntotal_rss 3\n",
        ),
        ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/a/memory.failcnt", "6\n"),
        (
            "sys/fs/cgroup/memory/a/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n",
        ),
        ("sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes", "Total 0\n"),
        (
            "sys/fs/cgroup/blkio/b/blkio.throttle.io_service_bytes",
            "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
        ),
    ]);
    let text = fixture.text(&COLLECTOR);
    for line in [
        "cpu_throttled_seconds_total{cgroup=\"/a\"} 1.5",
        "cpu_seconds_total{cgroup=\"/a\",mode=\"user\"} 2.5",
        "memory_kind_bytes{cgroup=\"/a\",kind=\"anon\"} 3",
        "memory_kind_bytes{cgroup=\"/a\",kind=\"file\"} 2",
        "memory_events_total{cgroup=\"/a\",event=\"max\"} 6",
        "memory_events_total{cgroup=\"/a\",event=\"oom_kill\"} 7",
        "io_bytes_total{cgroup=\"/b\",device=\"8:0\",direction=\"read\"} 10",
        "io_bytes_total{cgroup=\"/b\",device=\"8:0\",direction=\"write\"} 20",
    ] {
        assert!(text.contains(&format!("onlooker_cgroup_{line}\n")), "{line} in {text}");
    }
    assert!(!text.contains("limit_bytes"), "none has a limit: {text}");
}

#[test]
fn there_are_no_more_than_the_limit_and_the_rest_is_counted() {
    let fixture = Fixture::new(&[
        ("sys/fs/cgroup/cgroup.controllers", ""),
        ("sys/fs/cgroup/a/pids.current", "1"),
        ("sys/fs/cgroup/a/deep/pids.current", "2"),
        ("sys/fs/cgroup/b/pids.current", "3"),
    ]);
    let text = fixture.set("collector.cgroup.limit", "2").text(&COLLECTOR);
    let expect =
        "onlooker_cgroup_tasks{cgroup=\"/a\"} 1\nonlooker_cgroup_tasks{cgroup=\"/b\"} 3\nonlooker_cgroups_left_out 1\n";
    assert_eq!(text, expect);
    let none = Fixture::new(&[("sys/fs/", "")]);
    assert!(none.error(&COLLECTOR).contains("no hierarchy of cgroups"));
}
