//! Where members of kernel structs lie. Resolved by the user side from the running kernel's BTF and handed to the kernel
//! side as the read-only global `LAYOUT`, an array of byte offsets in the order of [`FIELDS`].

/// One member that some probe reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Struct to start from.
    pub of: &'static str,
    /// Paths through embedded structs, the first that exists wins (renamed members as alternatives).
    pub paths: &'static [&'static str],
    /// Bytes that the kernel side reads; a member of another size is refused. 0: an array, of any size.
    pub size: u32,
}

macro_rules! fields {
    ($($name:ident = $of:literal [$($path:literal),+] $size:literal;)*) => {
        fields!(@index 0usize; $($name)*);
        /// Every member, in index order.
        pub const FIELDS: &[Field] = &[$(Field { of: $of, paths: &[$($path),+], size: $size }),*];
        /// Names of the members for messages, in index order.
        pub const NAMES: &[&str] = &[$(concat!($of, ".", fields!(@first $($path),+))),*];
    };
    (@first $p:literal $(, $rest:literal)*) => { $p };
    (@index $n:expr; $name:ident $($rest:ident)*) => {
        #[doc = concat!("Index of `", stringify!($name), "` in [`FIELDS`].")]
        pub const $name: usize = $n;
        fields!(@index $n + 1; $($rest)*);
    };
    (@index $n:expr;) => {
        /// Number of members.
        pub const COUNT: usize = $n;
    };
}

fields! {
    TASK_FILES = "task_struct" ["files"] 8;
    TASK_TGID = "task_struct" ["tgid"] 4;
    TASK_PID = "task_struct" ["pid"] 4;
    TASK_START = "task_struct" ["start_boottime", "real_start_time"] 8;
    TASK_LEADER = "task_struct" ["group_leader"] 8;
    TASK_PARENT = "task_struct" ["real_parent"] 8;
    TASK_SIGNAL = "task_struct" ["signal"] 8;
    TASK_EXIT_CODE = "task_struct" ["exit_code"] 4;
    TASK_MM = "task_struct" ["mm"] 8;
    TASK_STATUS = "task_struct" ["thread_info.status"] 4;
    SIGNAL_LIVE = "signal_struct" ["live.counter"] 4;
    SIGNAL_EXIT_CODE = "signal_struct" ["group_exit_code"] 4;
    MM_ARG_START = "mm_struct" ["arg_start"] 8;
    MM_ARG_END = "mm_struct" ["arg_end"] 8;
    MM_ENV_START = "mm_struct" ["env_start"] 8;
    MM_ENV_END = "mm_struct" ["env_end"] 8;
    BPRM_FILENAME = "linux_binprm" ["filename"] 8;
    FILES_FDT = "files_struct" ["fdt"] 8;
    FDT_FD = "fdtable" ["fd"] 8;
    FDT_MAX = "fdtable" ["max_fds"] 4;
    FILE_PRIVATE = "file" ["private_data"] 8;
    FILE_INODE = "file" ["f_inode"] 8;
    INODE_MODE = "inode" ["i_mode"] 2;
    SOCKET_SK = "socket" ["sk"] 8;
    SOCKET_INO = "socket_alloc" ["vfs_inode.i_ino"] 8;
    SK_FAMILY = "sock" ["__sk_common.skc_family"] 2;
    SK_STATE = "sock" ["__sk_common.skc_state"] 1;
    SK_NUM = "sock" ["__sk_common.skc_num"] 2;
    SK_DPORT = "sock" ["__sk_common.skc_dport"] 2;
    SK_DADDR = "sock" ["__sk_common.skc_daddr"] 4;
    SK_RCV_SADDR = "sock" ["__sk_common.skc_rcv_saddr"] 4;
    SK_V6_DADDR = "sock" ["__sk_common.skc_v6_daddr"] 16;
    SK_V6_RCV_SADDR = "sock" ["__sk_common.skc_v6_rcv_saddr"] 16;
    SK_NET = "sock" ["__sk_common.skc_net.net"] 8;
    SK_PROTOCOL = "sock" ["sk_protocol"] 2;
    SK_TYPE = "sock" ["sk_type"] 2;
    SK_ERR = "sock" ["sk_err"] 4;
    SK_SOCKET = "sock" ["sk_socket"] 8;
    NET_INUM = "net" ["ns.inum"] 4;
    TCP_WRITE_SEQ = "tcp_sock" ["write_seq"] 4;
    TCP_COPIED_SEQ = "tcp_sock" ["copied_seq"] 4;
    TCP_SRTT = "tcp_sock" ["srtt_us"] 4;
    TCP_RCV_NXT = "tcp_sock" ["rcv_nxt"] 4;
    TCP_SND_UNA = "tcp_sock" ["snd_una"] 4;
    TCP_BYTES_RECEIVED = "tcp_sock" ["bytes_received"] 8;
    TCP_BYTES_ACKED = "tcp_sock" ["bytes_acked"] 8;
    TCP_BYTES_SENT = "tcp_sock" ["bytes_sent"] 8;
    TCP_BYTES_RETRANS = "tcp_sock" ["bytes_retrans"] 8;
    TCP_ULP = "tcp_sock" ["inet_conn.icsk_ulp_ops"] 8;
    LENGTH_SOCK = "trace_event_raw_sock_msg_length" ["sk"] 8;
    LENGTH_RET = "trace_event_raw_sock_msg_length" ["ret"] 4;
    LENGTH_FLAGS = "trace_event_raw_sock_msg_length" ["flags"] 4;
    TCP_EVENT_SOCK = "trace_event_raw_tcp_event_sk" ["skaddr"] 8;
    STATE_SOCK = "trace_event_raw_inet_sock_set_state" ["skaddr"] 8;
    STATE_OLD = "trace_event_raw_inet_sock_set_state" ["oldstate"] 4;
    STATE_NEW = "trace_event_raw_inet_sock_set_state" ["newstate"] 4;
    EXIT_RET = "trace_event_raw_sys_exit" ["ret"] 8;
    UNIX_PEER = "unix_sock" ["peer"] 8;
    REQUEST_QUEUE = "request" ["q"] 8;
    REQUEST_FLAGS = "request" ["cmd_flags"] 4;
    REQUEST_BYTES = "request" ["__data_len"] 4;
    REQUEST_START = "request" ["start_time_ns"] 8;
    REQUEST_DISK = "request" ["rq_disk"] 8;
    QUEUE_DISK = "request_queue" ["disk"] 8;
    DISK_MAJOR = "gendisk" ["major"] 4;
    DISK_MINOR = "gendisk" ["first_minor"] 4;
    TASK_RUN_DELAY = "task_struct" ["sched_info.run_delay"] 8;
    TASK_FLAGS = "task_struct" ["flags"] 4;
    TASK_RUNS = "task_struct" ["sched_info.pcount"] 8;
    SIGNAL_RUNTIME = "signal_struct" ["sum_sched_runtime"] 8;
    SIGNAL_UTIME = "signal_struct" ["utime"] 8;
    SIGNAL_STIME = "signal_struct" ["stime"] 8;
    SIGNAL_MIN_FLT = "signal_struct" ["min_flt"] 8;
    SIGNAL_MAJ_FLT = "signal_struct" ["maj_flt"] 8;
    SIGNAL_NVCSW = "signal_struct" ["nvcsw"] 8;
    SIGNAL_NIVCSW = "signal_struct" ["nivcsw"] 8;
    SIGNAL_READ_BYTES = "signal_struct" ["ioac.read_bytes"] 8;
    SIGNAL_WRITE_BYTES = "signal_struct" ["ioac.write_bytes"] 8;
    SIGNAL_MAXRSS = "signal_struct" ["maxrss"] 8;
    SK_FLAGS = "sock" ["__sk_common.skc_flags"] 8;
    SK_SHUTDOWN = "sock" ["sk_shutdown"] 1;
    SK_BACKLOG = "sock" ["sk_ack_backlog"] 4;
    SK_MAX_BACKLOG = "sock" ["sk_max_ack_backlog"] 4;
    SK_DROPS = "sock" ["sk_drops.counter"] 4;
    TCP_SEGS_OUT = "tcp_sock" ["segs_out"] 4;
    TCP_SEGS_IN = "tcp_sock" ["segs_in"] 4;
    TCP_RETRANS = "tcp_sock" ["total_retrans"] 4;
    TCP_OUT_OF_ORDER = "tcp_sock" ["rcv_ooopack"] 4;
    TCP_MDEV = "tcp_sock" ["mdev_us"] 4;
    TCP_SND_WND = "tcp_sock" ["snd_wnd"] 4;
    TASK_CGROUPS = "task_struct" ["cgroups"] 8;
    CSS_SET_SUBSYS = "css_set" ["subsys"] 0;
    CSS_CGROUP = "cgroup_subsys_state" ["cgroup"] 8;
    CSS_SUBSYS = "cgroup_subsys_state" ["ss"] 8;
    SUBSYS_NAME = "cgroup_subsys" ["name"] 8;
    CGROUP_NODE = "cgroup" ["kn"] 8;
    NODE_PARENT = "kernfs_node" ["parent", "__parent"] 8;
    NODE_NAME = "kernfs_node" ["name"] 8;
    TASK_STATE = "task_struct" ["__state"] 4;
    TASK_STATE_LONG = "task_struct" ["state"] 8;
}

/// Offset of a member that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Structs that pointers are cast to, in the order of the read-only global `TYPES`, which holds their BTF ids.
pub const TYPES: &[&str] = &["list_head", "file", "socket", "tcp_sock", "sock"];
/// Index of a struct that begins with a pointer, in [`TYPES`].
pub const TYPE_POINTER: usize = 0;
/// Index of `struct file`.
pub const TYPE_FILE: usize = 1;
/// Index of `struct socket`.
pub const TYPE_SOCKET: usize = 2;
/// Index of `struct tcp_sock`.
pub const TYPE_TCP_SOCK: usize = 3;
/// Index of `struct sock`.
pub const TYPE_SOCK: usize = 4;
