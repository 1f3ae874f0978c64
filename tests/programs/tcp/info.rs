//! `TCP_INFO` (`struct tcp_info` of `linux/tcp.h`; the kernel appends members and moves none).

use serde_json::{Value, json};
use std::os::fd::AsRawFd;

/// What the kernel says of a connection.
pub(crate) struct Info([u8; 256]);

impl Info {
    pub(crate) fn of(socket: &impl AsRawFd) -> Result<Info, String> {
        let mut info = Info([0; 256]);
        let mut length = info.0.len() as libc::socklen_t;
        // SAFETY: the place is valid for the length that is given.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.0.as_mut_ptr().cast(),
                &mut length,
            )
        };
        // Up to `tcpi_snd_wnd`, of Linux 5.4.
        if result != 0 || length < 232 {
            return Err(format!("TCP_INFO: {result}, {length} bytes"));
        }
        Ok(info)
    }

    fn word(&self, at: usize) -> u64 {
        u64::from(u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap()))
    }

    fn double(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    /// Segments that nobody has acknowledged.
    pub(crate) fn unacked(&self) -> u64 {
        self.word(24)
    }

    /// Bytes that the peer has room for.
    pub(crate) fn send_window(&self) -> u64 {
        self.word(228)
    }

    /// Those that a test compares, by their names without `tcpi_`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "rtt": self.word(68),
            "rttvar": self.word(72),
            "total_retrans": self.word(100),
            "bytes_acked": self.double(120),
            "bytes_received": self.double(128),
            "segs_out": self.word(136),
            "segs_in": self.word(140),
            "rcv_ooopack": self.word(224),
            "snd_wnd": self.send_window(),
            "unacked": self.unacked(),
        })
    }
}
