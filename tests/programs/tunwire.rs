//! A wire between two network namespaces: a TUN device in each, and this program between them, which delays what goes by, drops and swaps
//! some of it, and counts what it did. `tunwire NAMESPACE NAMESPACE`: the devices are called `wire`, the first end is the near one.
//!
//! Each line of standard input is an order, and is answered with one line of JSON:
//! - `delay US`: each way
//! - `drop N`, `swap N`: of the packets with data from the near to the far end each Nth is dropped, or goes behind the next; 0: none
//! - `hole 0|1`: nothing passes from the near to the far end
//! - `count`: what went by since the beginning, by direction
//!
//! It ends when standard input does.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// `linux/if_tun.h`: packets without any head of their own.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TUN: i16 = 0x0001;
const IFF_NO_PI: i16 = 0x1000;
/// How long a packet waits for the one that is to overtake it.
const PATIENCE: Duration = Duration::from_millis(20);
/// Packets under way, each direction.
const QUEUE: usize = 20_000;

/// A device of a namespace.
fn tun(namespace: &str) -> File {
    let net = File::open(format!("/run/netns/{namespace}")).unwrap();
    // SAFETY: no memory is touched.
    assert_eq!(unsafe { libc::setns(net.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
    let mut open = OpenOptions::new();
    open.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let file = open.open("/dev/net/tun").unwrap();
    // SAFETY: plain data; the name is shorter than its place.
    unsafe {
        let mut request: libc::ifreq = zeroed();
        let name = CString::new("wire").unwrap();
        for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = IFF_TUN | IFF_NO_PI;
        let result = libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, &request);
        assert_eq!(result, 0, "{}", Error::last_os_error());
    }
    file
}

/// Payload of a TCP segment; none when the packet is something else.
fn segment(packet: &[u8]) -> Option<usize> {
    let (at, end) = match packet.first()? >> 4 {
        4 if packet.get(9) == Some(&6) => {
            let total = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
            (usize::from(packet[0] & 15) * 4, usize::from(total))
        }
        6 if packet.get(6) == Some(&6) => {
            let payload = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
            (40, 40 + usize::from(payload))
        }
        _ => return None,
    };
    let head = usize::from(packet.get(at + 12)? >> 4) * 4;
    Some(end.saturating_sub(at + head))
}

#[derive(Default)]
struct Rules {
    delay: Duration,
    drop: u64,
    swap: u64,
    hole: bool,
}

/// One direction.
#[derive(Default)]
struct Way {
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// The one that waits for the next, and how long.
    held: Option<(Instant, Vec<u8>)>,
    /// Segments that came, and of them those with data.
    segments: u64,
    data: u64,
    dropped: u64,
    swapped: u64,
    /// Packets that were no TCP, and all that were written.
    other: u64,
    passed: u64,
    refused: u64,
}

impl Way {
    fn take(&mut self, packet: &[u8], rules: &Rules, ruled: bool) {
        let due = Instant::now() + rules.delay;
        let mut swap = false;
        match segment(packet) {
            Some(length) => {
                self.segments += 1;
                if length > 0 {
                    self.data += 1;
                    let nth = |n: u64| ruled && n > 0 && self.data.is_multiple_of(n);
                    if nth(rules.drop) {
                        self.dropped += 1;
                        return;
                    }
                    swap = nth(rules.swap) && self.held.is_none();
                    if !swap && let Some((_, held)) = self.held.take() {
                        self.swapped += 1;
                        self.queue.push_back((due, packet.to_vec()));
                        self.queue.push_back((due, held));
                        return;
                    }
                }
            }
            None => self.other += 1,
        }
        if ruled && rules.hole || self.queue.len() >= QUEUE {
            self.dropped += 1;
        } else if swap {
            self.held = Some((Instant::now() + PATIENCE, packet.to_vec()));
        } else {
            self.queue.push_back((due, packet.to_vec()));
        }
    }

    /// Writes what is due.
    fn pass(&mut self, to: &mut File, rules: &Rules) {
        let now = Instant::now();
        if self.held.as_ref().is_some_and(|(until, _)| *until <= now) {
            let (_, packet) = self.held.take().unwrap();
            self.queue.push_back((now + rules.delay, packet));
        }
        while let Some((due, packet)) = self.queue.front() {
            if *due > now {
                return;
            }
            match to.write(packet) {
                Ok(_) => self.passed += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // A device that is down, or a packet that its host does not want.
                Err(_) => self.refused += 1,
            }
            self.queue.pop_front();
        }
    }

    fn next(&self) -> Option<Instant> {
        let held = self.held.as_ref().map(|(until, _)| *until);
        self.queue.front().map(|(due, _)| *due).into_iter().chain(held).min()
    }

    fn json(&self) -> Value {
        json!({
            "segments": self.segments, "data": self.data, "dropped": self.dropped, "swapped": self.swapped,
            "other": self.other, "passed": self.passed, "refused": self.refused,
            "waiting": self.queue.len() + usize::from(self.held.is_some()),
        })
    }
}

fn obey(line: &str, rules: &mut Rules, ways: &[Way; 2]) -> Value {
    let (word, number) = line.split_once(' ').unwrap_or((line, "0"));
    let number: u64 = number.parse().unwrap_or(0);
    match word {
        "delay" => rules.delay = Duration::from_micros(number),
        "drop" => rules.drop = number,
        "swap" => rules.swap = number,
        "hole" => rules.hole = number > 0,
        "count" => {}
        _ => return json!({ "error": format!("{word}?") }),
    }
    json!({ "out": ways[0].json(), "back": ways[1].json() })
}

/// Waits until something can be read or the time has come. True: there is an order.
fn wait(devices: &[File; 2], next: Option<Instant>) -> bool {
    let mut polled = [devices[0].as_raw_fd(), devices[1].as_raw_fd(), 0].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let left = next.map(|next| next.saturating_duration_since(Instant::now()));
    let left = left.map(|left| libc::timespec {
        tv_sec: left.as_secs() as libc::time_t,
        tv_nsec: left.subsec_nanos().into(),
    });
    let left = left.as_ref().map_or(std::ptr::null(), |left| left as *const _);
    // SAFETY: the places are valid for the length that is given.
    unsafe { libc::ppoll(polled.as_mut_ptr(), 3, left, std::ptr::null()) };
    polled[2].revents != 0
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut devices = [tun(&args[1]), tun(&args[2])];
    // A wait ends when it is due, not some 50 us later.
    // SAFETY: no memory is touched.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut rules = Rules::default();
    let mut ways = [Way::default(), Way::default()];
    let mut room = vec![0; 1 << 16];
    loop {
        let next = ways.iter().filter_map(Way::next).min();
        if wait(&devices, next) {
            // One line each: the other side waits for its answer.
            let mut line = String::new();
            if std::io::stdin().read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            println!("{}", obey(line.trim(), &mut rules, &ways));
        }
        for end in 0..2 {
            while let Ok(length) = devices[end].read(&mut room) {
                ways[end].take(&room[..length], &rules, end == 0);
                ways[end].pass(&mut devices[1 - end], &rules);
            }
            ways[end].pass(&mut devices[1 - end], &rules);
        }
    }
}
