//! Scrapes while a collector does not answer.

use super::*;
use crate::collectors::node::flags::Settings;
use crate::collectors::node::runner::Runner;
use crate::collectors::node::{Collect, CollectError, Collector};
use crate::host::Host;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static FREE: AtomicBool = AtomicBool::new(false);

/// Does not answer until it is freed.
struct Hangs;
impl Collect for Hangs {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        ASKED.fetch_add(1, Ordering::Relaxed);
        while !FREE.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        out.family(&NUMBER);
        out.number(&[], 1.0);
        Ok(())
    }
}

static HANGS: Collector = Collector {
    name: "hangs",
    make: |_| Ok(Box::new(Hangs)),
    ..Collector::BASE
};

/// Whoever asked may be gone by the time that a collector is late: the next one is answered all the same.
#[test]
fn a_peer_that_goes_away_leaves_no_late_collector_unwatched() {
    let deadline = Duration::from_millis(300);
    let runner = Runner::with(&[&HANGS], &Host::default(), &Settings::default(), deadline);
    let sources = Sources {
        collectors: Arc::new(runner),
        ..Sources::default()
    };
    let web = Running::start_with(|_| (), sources);
    let mut gone = web.connect();
    gone.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    while ASKED.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    drop(gone);
    let late = "node_scrape_collector_success{collector=\"hangs\"} 0\n";
    for _ in 0..3 {
        web.check("GET", "/metrics", 200, late);
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 1, "it is asked no more while it hangs");
    FREE.store(true, Ordering::Relaxed);
    let told = || String::from_utf8_lossy(&web.request("GET", "/metrics", "").1).contains("test_number 1\n");
    while !told() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
