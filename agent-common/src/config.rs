//! What the user side tells the kernel side at load time: the read-only global `CONFIG`.

/// Settings of the probes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The agent's own process, whose connections are not reported (0: none).
    pub self_tgid: u32,
    /// Half of the ring, bytes: from there on it takes no more of what comes by itself (lines, messages).
    pub ring_half: u32,
    /// 1: a short request waits in the kernel for its answer. Not while somebody wants to know of requests as they begin.
    pub hold: u32,
    /// Roles whose ends of connections are followed: bit `1 << role` (see [`crate::record::role`]).
    pub roles: u32,
    /// 1: second copies of programs are attached behind the first (see the kernel side's `again`).
    pub again: u32,
}

const _: () = assert!(core::mem::size_of::<ProbeConfig>() == 20);

#[cfg(feature = "user")]
// SAFETY: repr(C), no padding, every bit pattern is a value.
unsafe impl aya::Pod for ProbeConfig {}
