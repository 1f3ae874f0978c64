//! Any bytes in the files of `/sys`, and of `/etc`, that collectors read. Input: see `host::run`; seeds name their case by its
//! place here.
#![no_main]

#[path = "../host.rs"]
mod host;

use host::Case;
use libfuzzer_sys::fuzz_target;

const CASES: &[Case] = &[
    Case {
        collector: "bcache",
        files: &[
            "sys/fs/bcache/0a-1b/tree_depth",
            "sys/fs/bcache/0a-1b/stats_total/cache_hits",
            "sys/fs/bcache/0a-1b/bdev0/dirty_data",
            "sys/fs/bcache/0a-1b/bdev0/writeback_rate_debug",
            "sys/fs/bcache/0a-1b/cache0/written",
            "sys/fs/bcache/0a-1b/cache0/priority_stats",
        ],
    },
    Case {
        collector: "bcachefs",
        files: &[
            "sys/fs/bcachefs/0a-1b/btree_cache_size",
            "sys/fs/bcachefs/0a-1b/compression_stats",
            "sys/fs/bcachefs/0a-1b/errors",
            "sys/fs/bcachefs/0a-1b/btree_write_stats",
            "sys/fs/bcachefs/0a-1b/counters/data-read",
            "sys/fs/bcachefs/0a-1b/dev-0/io_done",
            "sys/fs/bcachefs/0a-1b/dev-0/io_errors",
        ],
    },
    Case {
        collector: "bonding",
        files: &[
            "sys/class/net/bonding_masters",
            "sys/class/net/bond0/bonding/slaves",
            "sys/class/net/bond0/lower_eth0/bonding_slave/mii_status",
        ],
    },
    Case {
        collector: "btrfs",
        files: &[
            "sys/fs/btrfs/0a-1b/label",
            "sys/fs/btrfs/0a-1b/commit_stats",
            "sys/fs/btrfs/0a-1b/allocation/data/raid5/used_bytes",
            "sys/fs/btrfs/0a-1b/devices/sda/size",
            "sys/fs/btrfs/0a-1b/devinfo/1/error_stats",
        ],
    },
    Case {
        collector: "cpu_vulnerabilities",
        files: &["sys/devices/system/cpu/vulnerabilities/mds"],
    },
    Case {
        collector: "cpufreq",
        files: &[
            "sys/devices/system/cpu/offline",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors",
        ],
    },
    Case {
        collector: "dmi",
        files: &["sys/class/dmi/id/sys_vendor"],
    },
    Case {
        collector: "dmmultipath",
        files: &[
            "sys/block/dm-1/dm/uuid",
            "sys/block/dm-1/dm/name",
            "sys/block/dm-1/size",
            "sys/block/dm-1/slaves/sda/dev",
            "sys/block/sda/device/state",
        ],
    },
    Case {
        collector: "drm",
        files: &[
            "sys/class/drm/card0/device/uevent",
            "sys/class/drm/card0/device/gpu_busy_percent",
        ],
    },
    Case {
        collector: "edac",
        files: &[
            "sys/devices/system/edac/mc/mc0/ce_count",
            "sys/devices/system/edac/mc/mc0/csrow0/ch0_ce_count",
            "sys/devices/system/edac/mc/mc0/csrow0/ch0_dimm_label",
        ],
    },
    Case {
        collector: "fibrechannel",
        files: &[
            "sys/class/fc_host/host0/speed",
            "sys/class/fc_host/host0/port_id",
            "sys/class/fc_host/host0/statistics/rx_frames",
        ],
    },
    Case {
        collector: "hwmon",
        files: &[
            "sys/class/hwmon/hwmon0/name",
            "sys/class/hwmon/hwmon0/temp1_input",
            "sys/class/hwmon/hwmon0/temp1_label",
            "sys/class/hwmon/hwmon0/freq1_label",
            "sys/class/hwmon/hwmon0/freq1_input",
            "sys/class/hwmon/hwmon0/fan1_pulses",
        ],
    },
    Case {
        collector: "infiniband",
        files: &[
            "sys/class/infiniband/mlx5_0/ports/1/state",
            "sys/class/infiniband/mlx5_0/ports/1/rate",
            "sys/class/infiniband/mlx5_0/ports/1/counters/symbol_error",
        ],
    },
    Case {
        collector: "ksmd",
        files: &["sys/kernel/mm/ksm/run", "sys/kernel/mm/ksm/sleep_millisecs"],
    },
    Case {
        collector: "meminfo_numa",
        files: &[
            "sys/devices/system/node/node0/meminfo",
            "sys/devices/system/node/node0/numastat",
        ],
    },
    Case {
        collector: "netclass",
        files: &[
            "sys/class/net/eth0/address",
            "sys/class/net/eth0/speed",
            "sys/class/net/eth0/flags",
            "sys/class/net/eth0/ifalias",
        ],
    },
    Case {
        collector: "nvme",
        files: &[
            "sys/class/nvme/nvme0/model",
            "sys/class/nvme/nvme0/nvme0n1/size",
            "sys/class/nvme/nvme0/nvme0n1/queue/logical_block_size",
            "sys/class/nvme/nvme0/nvme0n1/nuse",
        ],
    },
    Case {
        collector: "os",
        files: &["root/etc/os-release"],
    },
    Case {
        collector: "pcidevice",
        files: &[
            "sys/bus/pci/devices/0000:01:00.0/class",
            "sys/bus/pci/devices/0000:01:00.0/vendor",
            "sys/bus/pci/devices/0000:01:00.0/max_link_speed",
            "sys/bus/pci/devices/0000:01:00.0/numa_node",
        ],
    },
    Case {
        collector: "powersupplyclass",
        files: &[
            "sys/class/power_supply/BAT0/voltage_now",
            "sys/class/power_supply/BAT0/status",
            "sys/class/power_supply/BAT0/temp",
        ],
    },
    Case {
        collector: "rapl",
        files: &[
            "sys/class/powercap/intel-rapl:0/name",
            "sys/class/powercap/intel-rapl:0/energy_uj",
        ],
    },
    Case {
        collector: "selinux",
        files: &[
            "sys/fs/selinux/enforce",
            "sys/fs/selinux/avc/cache_stats",
            "sys/fs/selinux/avc/hash_stats",
            "root/etc/selinux/config",
        ],
    },
    Case {
        collector: "tapestats",
        files: &[
            "sys/class/scsi_tape/st0/stats/read_ns",
            "sys/class/scsi_tape/st0/stats/in_flight",
        ],
    },
    Case {
        collector: "thermal_zone",
        files: &[
            "sys/class/thermal/thermal_zone0/type",
            "sys/class/thermal/thermal_zone0/temp",
            "sys/class/thermal/cooling_device0/type",
            "sys/class/thermal/cooling_device0/cur_state",
            "sys/class/thermal/cooling_device0/max_state",
        ],
    },
    Case {
        collector: "watchdog",
        files: &[
            "sys/class/watchdog/watchdog0/timeout",
            "sys/class/watchdog/watchdog0/identity",
        ],
    },
    Case {
        collector: "xfs",
        files: &["sys/fs/xfs/sda1/stats/stats"],
    },
];

fuzz_target!(|data: &[u8]| host::run(CASES, data));
