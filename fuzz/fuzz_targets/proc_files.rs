//! Any bytes in the files of `/proc` that collectors read. Input: see `host::run`; seeds name their case by its place here.
#![no_main]

#[path = "../host.rs"]
mod host;

use host::Case;
use libfuzzer_sys::fuzz_target;

const CASES: &[Case] = &[
    Case {
        collector: "arp",
        files: &["proc/net/arp"],
    },
    Case {
        collector: "buddyinfo",
        files: &["proc/buddyinfo"],
    },
    Case {
        collector: "cgroups",
        files: &["proc/cgroups"],
    },
    Case {
        collector: "conntrack",
        files: &[
            "proc/sys/net/netfilter/nf_conntrack_count",
            "proc/net/stat/nf_conntrack",
        ],
    },
    Case {
        collector: "cpu",
        files: &["proc/stat", "proc/cpuinfo"],
    },
    Case {
        collector: "diskstats",
        files: &["proc/diskstats", "udev/b8:0", "sys/block/sda/queue/rotational"],
    },
    Case {
        collector: "drbd",
        files: &["proc/drbd"],
    },
    Case {
        collector: "filefd",
        files: &["proc/sys/fs/file-nr"],
    },
    Case {
        collector: "interrupts",
        files: &["proc/interrupts"],
    },
    Case {
        collector: "ipvs",
        files: &["proc/net/ip_vs", "proc/net/ip_vs_stats"],
    },
    Case {
        collector: "lnstat",
        files: &["proc/net/stat/arp_cache"],
    },
    Case {
        collector: "loadavg",
        files: &["proc/loadavg"],
    },
    Case {
        collector: "mdadm",
        files: &["proc/mdstat", "sys/block/md0/md/level", "sys/block/md0/md/raid_disks"],
    },
    Case {
        collector: "meminfo",
        files: &["proc/meminfo"],
    },
    Case {
        collector: "mountstats",
        files: &["proc/self/mountstats", "proc/self/mountinfo"],
    },
    Case {
        collector: "netdev",
        files: &["proc/net/dev", "sys/class/net/eth0/ifalias"],
    },
    Case {
        collector: "netstat",
        files: &["proc/net/netstat", "proc/net/snmp", "proc/net/snmp6"],
    },
    Case {
        collector: "nfs",
        files: &["proc/net/rpc/nfs"],
    },
    Case {
        collector: "nfsd",
        files: &["proc/net/rpc/nfsd"],
    },
    Case {
        collector: "pressure",
        files: &["proc/pressure/cpu", "proc/pressure/io", "proc/pressure/irq"],
    },
    Case {
        collector: "processes",
        files: &[
            "proc/1/stat",
            "proc/1/task/1/stat",
            "proc/sys/kernel/pid_max",
            "proc/sys/kernel/threads-max",
        ],
    },
    Case {
        collector: "schedstat",
        files: &["proc/schedstat"],
    },
    Case {
        collector: "slabinfo",
        files: &["proc/slabinfo"],
    },
    Case {
        collector: "sockstat",
        files: &["proc/net/sockstat", "proc/net/sockstat6"],
    },
    Case {
        collector: "softirqs",
        files: &["proc/softirqs"],
    },
    Case {
        collector: "softnet",
        files: &["proc/net/softnet_stat"],
    },
    Case {
        collector: "stat",
        files: &["proc/stat"],
    },
    Case {
        collector: "swap",
        files: &["proc/swaps"],
    },
    Case {
        collector: "udp_queues",
        files: &["proc/net/udp", "proc/net/udp6"],
    },
    Case {
        collector: "vmstat",
        files: &["proc/vmstat"],
    },
    Case {
        collector: "xfrm",
        files: &["proc/net/xfrm_stat"],
    },
    Case {
        collector: "zfs",
        files: &[
            "proc/spl/kstat/zfs/arcstats",
            "proc/spl/kstat/zfs/tank/io",
            "proc/spl/kstat/zfs/tank/state",
            "proc/spl/kstat/zfs/tank/objset-0x1",
        ],
    },
    Case {
        collector: "zoneinfo",
        files: &["proc/zoneinfo"],
    },
];

fuzz_target!(|data: &[u8]| host::run(CASES, data));
