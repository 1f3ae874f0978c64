//! What the agent is expected to attach: its probes and their alternatives in the order in which they are tried, written
//! down a second time, so that a test fails when one is gone.

/// Probes that replace each other, in the order in which they are tried: each with an alternative and what that one loses.
#[derive(Debug)]
pub struct Chain {
    /// Probe, alternative, loss.
    pub links: &'static [(&'static str, &'static str, &'static str)],
    /// What is lost without any of them.
    pub loses: &'static str,
}

/// Capture of requests and responses.
pub const CAPTURE: Chain = Chain {
    links: &[
        (
            "socket",
            "tp/sock_send_length+sock_recv_length+tcp_rcv_space_adjust",
            "",
        ),
        (
            "socket",
            "tp_btf/sock_send_length+sock_recv_length+tcp_rcv_space_adjust",
            "",
        ),
        ("socket", "tp_btf/sock_send_length+sock_recv_length", "reads by splice"),
        ("syscall", "tp/sys_exit", ""),
        ("syscall", "tp_btf+cast/sys_exit", ""),
        ("syscall", "tp_btf/sys_exit", ""),
        ("syscall", "raw_tp/sys_exit", ""),
    ],
    loses: "requests and responses of every program",
};
/// The end of connections.
pub const TCP_STATE: Chain = Chain {
    links: &[
        ("tcp_state", "tp_btf/inet_sock_set_state+tcp_destroy_sock", ""),
        ("tcp_state", "raw_tp/inet_sock_set_state+tcp_destroy_sock", ""),
    ],
    loses: "the end of connections: responses that end with the connection, aborted requests",
};
/// The begin and end of processes.
pub const PROCESS: Chain = Chain {
    links: &[
        ("process", "tp_btf/sched_process_fork+exec+exit", ""),
        ("process", "raw_tp/sched_process_fork+exec+exit", ""),
    ],
    loses: "lives of processes, which a signal ended, and names of those that end before they are looked at",
};

/// Errors of system calls.
pub const ERRORS: Chain = Chain {
    links: &[
        ("errors", "tp/sys_exit", ""),
        ("errors", "tp_btf/sys_exit", ""),
        ("errors", "raw_tp/sys_exit", ""),
    ],
    loses: "errors of system calls",
};

/// Durations of system calls.
pub const LATENCY: Chain = Chain {
    links: &[
        ("latency", "tp/sys_enter+sys_exit", ""),
        ("latency", "tp_btf/sys_enter+sys_exit", ""),
        ("latency", "raw_tp/sys_enter+sys_exit", ""),
    ],
    loses: "durations of system calls",
};

/// Lookups of names, and UDP.
pub const DNS: Chain = Chain {
    links: &[
        ("dns", "tp/sock_recv_length+sock_send_length", ""),
        ("dns", "tp_btf/sock_recv_length+sock_send_length", ""),
        ("dns", "tp_btf/sys_exit", ""),
        ("dns", "raw_tp/sys_exit", ""),
    ],
    loses: "DNS lookups; bytes, datagrams and errors of UDP",
};

/// Datagrams that found no room.
pub const UDP_DROPS: Chain = Chain {
    links: &[
        ("udp_drops", "tp_btf/udp_fail_queue_rcv_skb", ""),
        ("udp_drops", "raw_tp/udp_fail_queue_rcv_skb", ""),
    ],
    loses: "datagrams that found no room in the queue of their socket",
};

/// Block IO.
pub const BLOCK: Chain = Chain {
    links: &[
        ("block", "tp_btf/block_rq_insert+issue+complete", ""),
        ("block", "raw_tp/block_rq_insert+issue+complete", ""),
    ],
    loses: "how long block devices take, and for whom",
};
/// Reclaim of memory.
pub const RECLAIM: Chain = Chain {
    links: &[
        (
            "reclaim",
            "tp_btf/mm_vmscan_direct_reclaim+memcg_reclaim+compaction",
            "",
        ),
        (
            "reclaim",
            "raw_tp/mm_vmscan_direct_reclaim+memcg_reclaim+compaction",
            "",
        ),
    ],
    loses: "how long processes wait for memory",
};
/// Syncs of files.
pub const SYNC: Chain = Chain {
    links: &[
        ("sync", "tp_btf/sys_enter+sys_exit", ""),
        ("sync", "raw_tp/sys_enter+sys_exit", ""),
    ],
    loses: "how long calls of fsync and its kin take",
};
/// Waits for a CPU.
pub const RUNQUEUE: Chain = Chain {
    links: &[
        ("runqueue", "tp_btf/sched_switch+sched_process_free", ""),
        ("runqueue", "raw_tp/sched_switch+sched_process_free", ""),
    ],
    loses: "how long tasks wait for a CPU",
};
/// Page faults that wait.
pub const FAULTS: Chain = Chain {
    links: &[
        ("faults", "tp_btf/page_fault_user+kernel+major-faults", ""),
        ("faults", "raw_tp/page_fault_user+kernel+major-faults", ""),
    ],
    loses: "how long page faults wait for storage",
};
/// Times off the CPU.
pub const OFFCPU: Chain = Chain {
    links: &[
        ("offcpu", "tp_btf/sched_switch", ""),
        (
            "offcpu",
            "tp_btf+state/sched_switch",
            "why a thread left the CPU that another one woke in that moment",
        ),
        ("offcpu", "raw_tp/sched_switch", ""),
        (
            "offcpu",
            "raw_tp+state/sched_switch",
            "why a thread left the CPU that another one woke in that moment",
        ),
    ],
    loses: "how long threads are off the CPU, and why",
};

/// What processes use.
pub const USAGE: Chain = Chain {
    links: &[
        ("usage", "tp_btf/sched_process_free", ""),
        ("usage", "raw_tp/sched_process_free", ""),
    ],
    loses: "what processes use by group, and the largest memory of those that ended",
};
/// Processes that are ended for want of memory.
pub const OOM: Chain = Chain {
    links: &[("oom", "raw_tp/mark_victim", "")],
    loses: "processes that were ended for want of memory",
};

/// TCP connections while they are open.
pub const TCP_OPEN: Chain = Chain {
    links: &[("tcp_open", "iter/bpf_map_elem+task_file", "")],
    loses: "TCP connections while they are open, and those from before the agent; queues of listening sockets",
};
/// TCP connections.
pub const TCP: Chain = Chain {
    links: &[
        ("tcp", "tp/inet_sock_set_state+tcp_destroy_sock+resets", ""),
        ("tcp", "tp_btf/inet_sock_set_state+tcp_destroy_sock+resets", ""),
        ("tcp", "raw_tp/inet_sock_set_state+tcp_destroy_sock+resets", ""),
    ],
    loses: "TCP connections: attempts and failures, what they move, how long they take",
};
/// Accepts.
pub const TCP_ACCEPT: Chain = Chain {
    links: &[
        ("tcp_accept", "tp_btf/sys_exit", ""),
        ("tcp_accept", "raw_tp/sys_exit", ""),
    ],
    loses: "how long TCP connections wait to be accepted",
};

/// What programs write to their standard output and error.
pub const WRITES: Chain = Chain {
    links: &[
        ("writes", "tp/sys_exit", ""),
        ("writes", "tp_btf/sys_exit", ""),
        ("writes", "raw_tp/sys_exit", ""),
    ],
    loses: "what programs write to terminals, pipes and /dev/null",
};

/// What the best alternatives of [`CAPTURE`] do not lose on kernels that preempt programs, and the others do.
pub const DIVIDED: &str = "now and then a call of a task that runs while another is preempted in a program";

/// All that are attached by default.
pub const ALL: &[&Chain] = &[
    &CAPTURE, &TCP_STATE, &PROCESS, &ERRORS, &DNS, &UDP_DROPS, &BLOCK, &RECLAIM, &USAGE, &OOM, &TCP_OPEN, &TCP,
];

/// Those that are attached when they are asked for (`--probes.enable`).
pub const OPTIONAL: &[&Chain] = &[&LATENCY, &SYNC, &FAULTS, &RUNQUEUE, &OFFCPU, &TCP_ACCEPT, &WRITES];

/// How the names of programs begin that have no second copy on kernels that preempt programs: they run where nothing is preempted, but
/// for those of `dns` at `sys_exit`, which such kernels do not need.
pub const WITHOUT_COPIES: &[&str] = &[
    "dns_exit_",
    "udp_",
    "block_complete_",
    "fault_",
    "runqueue_",
    "offcpu_",
    "usage_",
    "oom_",
    "tcp_open_",
];

/// Does a program have a second copy there?
pub fn has_copy(program: &str) -> bool {
    preempts_programs() && !program.ends_with("_raw") && !WITHOUT_COPIES.iter().any(|begin| program.starts_with(begin))
}

/// Does this kernel skip programs of a way now and then, and nothing deals with what they were skipped for? It has better ways,
/// and `/readyz` says so of this one. Of the typed way of `tcp` both copies were skipped 34 to 88 times in a storm of connections.
pub fn misses_calls(probe: &str, way: &str) -> bool {
    preempts_programs()
        && (way.starts_with("raw_tp/") && probe != "offcpu"
            || probe == "dns" && way == "tp_btf/sys_exit"
            || probe == "tcp" && way.starts_with("tp_btf/"))
}

/// Arguments that enable the optional ones.
pub fn enabling() -> Vec<String> {
    let links = OPTIONAL.iter().filter_map(|chain| chain.links.first());
    links.map(|(probe, ..)| format!("--probes.enable={probe}")).collect()
}

/// Arguments that disable those that are attached by default, but for these, and lives of processes and ends of connections.
pub fn disabling_all_but(about: &[&str]) -> Vec<String> {
    let kept = ["tcp_state", "process"];
    let names = ALL
        .iter()
        .flat_map(|chain| chain.links.first())
        .map(|(probe, ..)| *probe);
    names
        .filter(|name| *name != "socket" && !kept.contains(name) && !about.contains(name))
        .map(|name| format!("--probes.disable={name}"))
        .collect()
}

/// Alternatives of a probe, the best first.
pub fn alternatives(probe: &str) -> Vec<&'static str> {
    let links = ALL.iter().chain(OPTIONAL).flat_map(|chain| chain.links);
    links
        .filter(|(name, ..)| *name == probe)
        .map(|(_, alternative, _)| *alternative)
        .collect()
}

/// What `ONLOOKER_TEST_REFUSE` wants, to refuse so many alternatives of each of these probes, the best ones; the last is never.
pub fn refusing(probes: &[&str], count: usize) -> String {
    let names = probes.iter().flat_map(|probe| {
        let all = alternatives(probe);
        let refused = count.min(all.len() - 1);
        all.into_iter().take(refused).map(move |name| format!("{probe}:{name}"))
    });
    names.collect::<Vec<_>>().join(",")
}

/// Version of the kernel: major, minor.
pub fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split('.').map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Does this kernel preempt programs? Then there are second copies of them, and alternatives for it alone (`tp/…`).
pub fn preempts_programs() -> bool {
    release() >= (7, 0)
}

/// Names of all probes.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = ALL
        .iter()
        .chain(OPTIONAL)
        .flat_map(|chain| chain.links)
        .map(|(name, ..)| *name)
        .collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_has_its_alternatives_in_their_order() {
        assert_eq!(
            names(),
            [
                "socket",
                "syscall",
                "tcp_state",
                "process",
                "errors",
                "dns",
                "udp_drops",
                "block",
                "reclaim",
                "usage",
                "oom",
                "tcp_open",
                "tcp",
                "latency",
                "sync",
                "faults",
                "runqueue",
                "offcpu",
                "tcp_accept",
                "writes"
            ]
        );
        assert_eq!(
            alternatives("syscall"),
            [
                "tp/sys_exit",
                "tp_btf+cast/sys_exit",
                "tp_btf/sys_exit",
                "raw_tp/sys_exit"
            ]
        );
    }
}
