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
    loses: "names of processes that end before they are looked at",
};

/// What the best alternatives of [`CAPTURE`] do not lose on kernels that preempt programs, and the others do.
pub const DIVIDED: &str = "now and then a call of a task that runs while another is preempted in a program";

/// All of them.
pub const ALL: [&Chain; 3] = [&CAPTURE, &TCP_STATE, &PROCESS];

/// Alternatives of a probe, the best first.
pub fn alternatives(probe: &str) -> Vec<&'static str> {
    let links = ALL.iter().flat_map(|chain| chain.links);
    links
        .filter(|(name, ..)| *name == probe)
        .map(|(_, alternative, _)| *alternative)
        .collect()
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
        assert_eq!(names(), ["socket", "syscall", "tcp_state", "process"]);
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
