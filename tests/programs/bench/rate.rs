//! Requests at a fixed rate over keep-alive connections, in an open loop: each is due at a moment that does not depend on the
//! answers before it, and its latency counts from that moment. A request that waits for a free connection, or for this
//! process, has waited; so nothing is hidden by what came before it (no coordinated omission).
//!
//! Own code because what Debian packages does not do this: wrk has no rate, and `hey -q` paces each worker and counts from
//! the moment of sending.

use anyhow::{Context, Result, bail, ensure};
use onlooker_tests::http::{Head, request};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Latencies are kept one by one, 8 bytes each.
const MOST_REQUESTS: f64 = 20e6;

/// Nothing waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Server.
    pub(crate) address: SocketAddr,
    /// Requests a second, evenly spaced.
    pub(crate) per_second: f64,
    /// For so long.
    pub(crate) seconds: f64,
    /// Keep-alive connections; a request takes the one that has been free for longest.
    pub(crate) connections: usize,
    /// Different paths, in turn.
    pub(crate) paths: usize,
    /// Instead of them: `/seq/N` with N from this one on.
    pub(crate) numbered: Option<u64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Latencies of all requests, shortest first.
    latencies: Vec<Duration>,
    /// From the first due moment to the last answer.
    took: Duration,
    /// When the first one was due.
    started: SystemTime,
}

impl Outcome {
    /// Latency that this share of the requests had at most.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.latencies.len() as f64 * share).ceil() as usize;
        let at = rank.clamp(1, self.latencies.len().max(1)) - 1;
        self.latencies.get(at).copied().unwrap_or_default()
    }

    /// One line; times in microseconds.
    pub(crate) fn json(&self) -> Value {
        let micros = |share| self.quantile(share).as_nanos() as f64 / 1e3;
        json!({
            "requests": self.latencies.len(),
            "seconds": self.took.as_secs_f64(),
            "started": self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64,
            "p50": micros(0.5),
            "p99": micros(0.99),
            "p999": micros(0.999),
            "most": micros(1.0),
        })
    }
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    due: Instant,
}

/// Sends and waits for every answer.
///
/// # Errors
/// A connection that fails or ends, an answer that is not 200 or does not come, numbers that make no plan.
pub(crate) fn run(plan: &Plan) -> Result<Outcome> {
    run_until(plan, &AtomicBool::new(false))
}

/// Requests with numbers until standard input ends; then tells what came of them.
pub(crate) fn numbered(plan: &Plan) -> Result<()> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = scope.spawn(|| run_until(plan, &over));
        let held = crate::hold(&json!({ "from": plan.numbered }));
        over.store(true, Ordering::Release);
        let outcome = work.join().map_err(|_| anyhow::anyhow!("the driver panicked"))??;
        println!("{}", outcome.json());
        held
    })
}

/// The same; once it is over nothing more is sent.
fn run_until(plan: &Plan, over: &AtomicBool) -> Result<Outcome> {
    let total = plan.per_second * plan.seconds;
    ensure!(
        (1.0..MOST_REQUESTS).contains(&total) && plan.connections > 0 && plan.paths > 0,
        "{plan:?} makes no sense"
    );
    let mut total = total as usize;
    // The default lets every wait end 50 us late.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let paths = plan.numbered.map_or(plan.paths.min(total), |_| 0);
    let requests: Vec<Vec<u8>> = (0..paths).map(|n| request("GET", &path(n), &[], b"")).collect();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(plan.connections);
    for n in 0..plan.connections {
        let stream = TcpStream::connect(plan.address).with_context(|| format!("connection {n}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(
            &epoll,
            &stream,
            epoll::EventData::new_u64(n as u64),
            epoll::EventFlags::IN,
        )?;
        connections.push(Connection {
            stream,
            read: Vec::with_capacity(1024),
            due: Instant::now(),
        });
    }
    let mut free: VecDeque<usize> = (0..plan.connections).collect();
    let mut latencies = Vec::with_capacity(total);
    let mut events = Vec::with_capacity(plan.connections);
    let (started, started_at) = (Instant::now(), SystemTime::now());
    let due = |n: usize| started + Duration::from_secs_f64(n as f64 / plan.per_second);
    let mut sent = 0;
    let mut last_answer = started;
    while latencies.len() < total {
        if over.load(Ordering::Acquire) {
            total = sent;
            if latencies.len() == total {
                break;
            }
        }
        let now = Instant::now();
        while sent < total
            && due(sent) <= now
            && let Some(index) = free.pop_front()
        {
            let connection = &mut connections[index];
            connection.due = due(sent);
            match plan.numbered {
                Some(first) => {
                    let path = format!("/seq/{}", first + sent as u64);
                    connection.stream.write_all(&request("GET", &path, &[], b""))?;
                }
                None => connection.stream.write_all(&requests[sent % requests.len()])?,
            }
            sent += 1;
        }
        let next = match free.is_empty() || sent == total {
            true => PATIENCE,
            false => due(sent).saturating_duration_since(Instant::now()),
        };
        wait(&epoll, next)?;
        events.clear();
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&zero))?;
        for event in &events {
            let index = event.data.u64() as usize;
            let connection = &mut connections[index];
            if connection.answered()? {
                last_answer = Instant::now();
                latencies.push(last_answer - connection.due);
                free.push_back(index);
            }
        }
        if events.is_empty() && last_answer.max(due(sent)) + PATIENCE < Instant::now() {
            bail!("{} of {sent} requests were answered", latencies.len());
        }
    }
    latencies.sort_unstable();
    Ok(Outcome {
        latencies,
        took: last_answer - started,
        started: started_at,
    })
}

/// Until a connection can be read or the time is over. epoll's own time-out has milliseconds on old kernels.
fn wait(epoll: &impl AsFd, time: Duration) -> Result<()> {
    let time = Timespec::try_from(time)?;
    match poll(&mut [PollFd::new(epoll, PollFlags::IN)], Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Connection {
    /// Takes what arrived; whether the answer is whole.
    fn answered(&mut self) -> Result<bool> {
        let mut scratch = [0; 16_384];
        match self.stream.read(&mut scratch) {
            Ok(0) => bail!("the server ended a connection"),
            Ok(got) => self.read.extend_from_slice(&scratch[..got]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let Some(head) = Head::parse(&self.read) else {
            return Ok(false);
        };
        ensure!(head.word(1) == "200", "{}", head.line);
        let body = head.content_length().context("an answer without Content-Length")?;
        if self.read.len() < head.bytes + body {
            return Ok(false);
        }
        self.read.clear();
        Ok(true)
    }
}

/// The n-th of at most 10,000 paths. Ten words in each of four places: what an application's own routes look like, so that
/// none of them is taken for a value.
fn path(n: usize) -> String {
    const WORDS: [&str; 10] = [
        "users", "orders", "items", "carts", "stock", "prices", "offers", "labels", "events", "teams",
    ];
    [1, 10, 100, 1000]
        .map(|place| format!("/{}", WORDS[n / place % 10]))
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::TcpListener;

    /// A server that answers every request on one connection after a pause before the first.
    fn server(pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut pause = Some(pause);
            let mut scratch = [0; 1000];
            while let Ok(1..) = stream.read(&mut scratch) {
                if let Some(pause) = pause.take() {
                    std::thread::sleep(pause);
                }
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .unwrap();
            }
        });
        address
    }

    fn plan(address: SocketAddr, per_second: f64, seconds: f64) -> Plan {
        Plan {
            address,
            per_second,
            seconds,
            connections: 1,
            paths: 3,
            numbered: None,
        }
    }

    #[test]
    fn a_slow_answer_counts_for_all_that_waited_behind_it() {
        let pause = Duration::from_millis(50);
        let outcome = run(&plan(server(pause), 1000.0, 0.1)).unwrap();
        assert_eq!(outcome.latencies.len(), 100);
        assert!(outcome.quantile(1.0) >= pause);
        // About 50 requests were due in the pause, and the half of them waited for the half of it.
        assert!(outcome.quantile(0.8) >= pause / 4, "{:?}", outcome.quantile(0.8));
        assert!(outcome.took >= Duration::from_millis(99));
    }

    #[test]
    fn quantiles_are_of_the_requests() {
        let outcome = Outcome {
            latencies: (1..=1000).map(Duration::from_micros).collect(),
            took: Duration::from_secs(1),
            started: SystemTime::UNIX_EPOCH,
        };
        for (share, micros) in [(0.0, 1), (0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000)] {
            assert_eq!(outcome.quantile(share), Duration::from_micros(micros), "{share}");
        }
    }

    #[test]
    fn what_makes_no_plan_is_refused_and_a_lost_server_is_told() {
        let address = server(Duration::ZERO);
        assert!(run(&plan(address, 0.0, 1.0)).is_err());
        assert!(run(&plan(address, 1e9, 1e9)).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || drop(listener.accept()));
        assert!(run(&plan(address, 100.0, 1.0)).is_err());
    }

    #[test]
    fn ten_thousand_paths_differ() {
        let paths: HashSet<String> = (0..10_000).map(path).collect();
        assert_eq!(paths.len(), 10_000);
        assert_eq!(path(0), path(10_000));
    }
}
