//! Spans and records of logs together under load: neither drives out the other, both are accounted for, and memory is bounded
//! whatever the receiver does.

use onlooker_tests::agent::{Agent, Options, alone, env};
use onlooker_tests::case::{Role, expect_metrics};
use onlooker_tests::load::get_many;
use onlooker_tests::need;
use onlooker_tests::otlp::{Receiver, attribute};
use onlooker_tests::require::{Need, say};
use onlooker_tests::servers::{Nginx, NginxOptions};
use onlooker_tests::sleeper::Sleeper;
use onlooker_tests::wait;
use std::net::TcpListener;

/// Requests to nginx, and processes ended by a signal meanwhile; returns how many of each there were.
fn load(nginx: &Nginx, sleeper: &Sleeper, requests: u32, kills: u32) -> (u64, u64) {
    let (requests, kills) = (wait::eased(requests).into(), wait::eased(kills) as usize);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| sleeper.killed(libc::SIGKILL, kills).unwrap().len());
        get_many(&nginx.server.target, 16, requests, &["/ok"]).unwrap();
        (requests, killer.join().unwrap() as u64)
    })
}

/// Of a service's exchanges every one is a span at the receiver, or the agent says that it is none; of its events every one is in the
/// count of a record.
#[test]
fn spans_and_records_arrive() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("sleep"));
    let _alone = alone();
    let receiver = Receiver::start(&[503]).unwrap();
    let options = Options {
        env: env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]),
        args: vec!["--events.rate=1000".into()],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let nginx = Nginx::start("exports", &NginxOptions::default()).unwrap();
    let sleeper = Sleeper::new().unwrap();
    // Spans of both ends find room in the queue while the receiver refuses.
    let (requests, kills) = load(&nginx, &sleeper, 3000, 200);
    let log = nginx.server.log.wait(requests as usize).unwrap();
    expect_metrics(&agent, &nginx.server.service, Role::Server, &log).unwrap();
    agent.balanced().unwrap();
    let scrape = agent.scrape().unwrap();
    let lost = |kind| scrape.sum("onlooker_events_lost_total", &[("kind", kind)]);
    let without = lost("span_otlp") + scrape.sum("onlooker_exchanges_counted_by_kernel_total", &[]);
    let spans = receiver.spans(&nginx.server.service).len() as u64;
    let records = receiver.logs(&sleeper.name, "process.exit");
    let told: u64 = records
        .iter()
        .filter_map(|(_, record)| {
            attribute(&record.attributes, "onlooker.event.count")?
                .parse::<u64>()
                .ok()
        })
        .sum();
    say(&format!(
        "{requests} requests: {spans} spans, {without} without; {kills} ends: {told} told in {} records, {} events and {} records lost",
        records.len(),
        lost("event"),
        lost("log_otlp")
    ));
    assert!(spans <= requests && spans as f64 + without >= requests as f64);
    assert!(told <= kills && told as f64 + lost("event") + lost("log_otlp") >= kills as f64);
    assert!(receiver.received().errors.is_empty());
    assert!(agent.terminate().unwrap().success());
}

/// A receiver that takes connections and never answers: counts stay exact, both queues keep their limits, what finds no room is
/// counted, memory does not grow beyond the queues, and the agent ends in time.
#[test]
fn silent_receiver_costs_bounded_memory() {
    need!(Need::Agent, Need::Program("nginx"), Need::Program("sleep"));
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let options = Options {
        env: env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]),
        args: vec!["--events.rate=1000".into()],
        ..Options::default()
    };
    let agent = Agent::start(&options).unwrap();
    let nginx = Nginx::start("silent", &NginxOptions::default()).unwrap();
    let sleeper = Sleeper::new().unwrap();
    let (first, _) = load(&nginx, &sleeper, 1000, 20);
    let before = agent.program.resident_bytes().unwrap();
    let (second, _) = load(&nginx, &sleeper, 40_000, 200);
    let log = nginx.server.log.wait((first + second) as usize).unwrap();
    expect_metrics(&agent, &nginx.server.service, Role::Server, &log).unwrap();
    let grown = agent.program.resident_bytes().unwrap().saturating_sub(before);
    let scrape = agent.scrape().unwrap();
    let queue = |kind| scrape.sum("onlooker_export_queue_bytes", &[("kind", kind)]);
    let lost = scrape.sum(
        "onlooker_events_lost_total",
        &[("kind", "span_otlp"), ("reason", "queue_full")],
    );
    say(&format!(
        "{} KiB more; queues: {} and {} bytes; {lost} spans found no room",
        grown >> 10,
        queue("span_otlp"),
        queue("log_otlp")
    ));
    // What is 8 MiB by the queue's own count is more to the allocator: lists grow by doubling, small texts are rounded up.
    let limit = 8u64 << 20;
    assert!(queue("span_otlp") <= limit as f64 && queue("log_otlp") <= limit as f64);
    assert!(grown <= 3 * limit, "{grown}");
    if wait::slow() == 1 {
        assert!(lost > 0.0);
    }
    assert!(agent.terminate_now().unwrap().success());
}
