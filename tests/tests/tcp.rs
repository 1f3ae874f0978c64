//! TCP connections over loopback, against the numbers of the programs at both ends and the kernel's counts of their network namespace.
//! Each way to see them that this kernel has is compared.

use anyhow::{Context, Result, ensure};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::netns::{NetNs, ip};
use onlooker_tests::process::output;
use onlooker_tests::require::{Need, say};
use onlooker_tests::snmp::counters;
use onlooker_tests::tcp::{Driver, each, errors, exactly, number, of, sum, times};
use onlooker_tests::wait;
use onlooker_tests::ways::of_tcp;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The one series that a service has of a counter has these labels and no others.
fn labels(scrape: &Scrape, name: &str, service: &str, expect: &[(&str, &str)]) -> Result<()> {
    let one = [("service_name", service)];
    let series: Vec<_> = scrape.select(name, &one).map(|sample| &sample.labels).collect();
    ensure!(series.len() == 1, "{name}: {series:?}");
    let mut found: Vec<_> = series[0]
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut expect = [expect, &one].concat();
    found.sort_unstable();
    expect.sort_unstable();
    ensure!(found == expect, "{name}: {found:?}, not {expect:?}");
    Ok(())
}

/// Short connections, closed by either end: how many, how long, what they moved, and who was at the other end.
fn short(listen: &str, connect: &str, family: &str) {
    of_tcp();
    let n = u64::from(wait::eased(1500));
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (_, port) = server.listen(listen, 128, "serve");
    let before = counters(&ns).unwrap();
    let closed = client.ask(&format!("connect {connect}:{port} {n} 100 3000 close"));
    let left = client.ask(&format!("connect {connect}:{port} {n} 20000 10 server"));
    let both = |name: &str| number(&closed, name) + number(&left, name);
    let served = server.served(2 * n);
    let after = counters(&ns).unwrap();
    assert_eq!([both("connected"), number(&served, "failed")], [2 * n, 0]);
    assert_eq!(
        (both("sent"), both("received")),
        (number(&served, "received"), number(&served, "sent"))
    );
    for name in ["TcpActiveOpens", "TcpPassiveOpens"] {
        assert_eq!(after[name] - before[name], 2 * n, "{name}");
    }
    // A machine that stands still for long sends again what was only late.
    let again = after["TcpRetransSegs"] - before["TcpRetransSegs"];
    each("short connections", |scrape| {
        let found = of(scrape, "retransmits_total", &client.service) + of(scrape, "retransmits_total", &server.service);
        ensure!(found == again, "{found} retransmits, the kernel has {again}");
        for (end, sent, received) in [(&client, "sent", "received"), (&server, "received", "sent")] {
            exactly(
                scrape,
                &end.service,
                &[
                    ("opened_total", 2 * n),
                    ("closed_total", 2 * n),
                    ("connections", 0),
                    ("sent_bytes_total", both(sent)),
                    ("received_bytes_total", both(received)),
                    ("resets_total", 0),
                ],
            )?;
            let lives = times(scrape, "connection_duration", &end.service)?;
            ensure!(lives.count == 2.0 * n as f64 && lives.sum > 0.0, "{lives:?}");
            let rtt = times(scrape, "rtt", &end.service)?;
            ensure!(rtt.count >= 2.0 * n as f64 && rtt.sum > 0.0, "{rtt:?}");
        }
        let connects = times(scrape, "connect_duration", &client.service)?;
        ensure!(connects.count == 2.0 * n as f64, "{connects:?}");
        // The program sees more of it: when it is scheduled again. How exact it is the tests over a wire tell.
        let seen = both("connect_ns") as f64 / 1e9;
        ensure!(
            connects.sum > 0.0 && connects.sum <= seen,
            "{} s, the program {seen} s",
            connects.sum
        );
        for (end, peer, role) in [(&client, &server, "client"), (&server, &client, "server")] {
            let expect = [
                ("onlooker_role", role),
                ("network_type", family),
                ("server_port", &*port),
                ("peer_service", &*peer.service),
                ("onlooker_peer_class", "loopback"),
            ];
            labels(scrape, "onlooker_tcp_opened_total", &end.service, &expect)?;
            labels(scrape, "onlooker_tcp_sent_bytes_total", &end.service, &expect)?;
        }
        Ok(())
    });
    say(&format!(
        "{family}: {} connections, {} bytes: difference 0; {} ns a connect",
        2 * n,
        both("sent") + both("received"),
        both("connect_ns") / (2 * n)
    ));
}

#[test]
fn short_connections_of_ipv4() {
    need!(Need::Agent, Need::Program("ip"));
    short("127.0.0.1", "127.0.0.1", "ipv4");
}

#[test]
fn short_connections_of_ipv6() {
    need!(Need::Agent, Need::Program("ip"), Need::Ipv6);
    short("[::1]", "[::1]", "ipv6");
}

/// A server of both families, whose client's address is an IPv4 one; then a client that says so in IPv6.
#[test]
fn short_connections_of_both_families() {
    need!(Need::Agent, Need::Program("ip"), Need::Ipv6);
    short("[::]", "127.0.0.1", "ipv4");
    short("[::]", "[::ffff:127.0.0.1]", "ipv4");
}

/// Connections that end with a reset: by a program that wants it, and by one that leaves what it was sent unread.
#[test]
fn resets() {
    need!(Need::Agent, Need::Program("ip"));
    of_tcp();
    let n = u64::from(wait::eased(300));
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, _) = server.listen("127.0.0.1", 128, "serve");
    let before = counters(&ns).unwrap();
    let reset = client.ask(&format!("connect {to} {n} 100 100 reset"));
    let unread = client.ask(&format!("connect {to} {n} 100 5000 unread"));
    let served = server.served(2 * n);
    let after = counters(&ns).unwrap();
    let both = |name: &str| number(&reset, name) + number(&unread, name);
    assert_eq!([both("connected"), number(&served, "failed")], [2 * n; 2]);
    assert_eq!(after["TcpOutRsts"] - before["TcpOutRsts"], 2 * n);
    assert_eq!(after["TcpEstabResets"] - before["TcpEstabResets"], 4 * n);
    each("resets", |scrape| {
        exactly(
            scrape,
            &client.service,
            &[
                ("opened_total", 2 * n),
                ("closed_total", 2 * n),
                ("sent_bytes_total", both("sent")),
                ("received_bytes_total", both("received")),
            ],
        )?;
        exactly(
            scrape,
            &server.service,
            &[
                ("opened_total", 2 * n),
                ("closed_total", 2 * n),
                ("received_bytes_total", number(&served, "received")),
            ],
        )?;
        for (end, direction, other) in [(&client, "transmit", "receive"), (&server, "receive", "transmit")] {
            let resets = |direction| {
                let of = [("service_name", &*end.service), ("network_io_direction", direction)];
                scrape.sum("onlooker_tcp_resets_total", &of) as u64
            };
            let found = [resets(direction), resets(other)];
            ensure!(
                found == [2 * n, 0],
                "{}: {direction} {found:?}, not {}",
                end.service,
                2 * n
            );
        }
        Ok(())
    });
    say(&format!("{} resets: difference 0", 2 * n));
}

/// What is open, and what it moved, against `TCP_INFO` of each connection. What is told while it is open is not told again at its end.
#[test]
fn open_connections() {
    need!(Need::Agent, Need::Program("ip"), Need::Ipv6);
    const N: u64 = 40;
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, _) = server.listen("[::1]", 128, "serve");
    let first = client.ask(&format!("connect {to} {N} 1000 2000 keep"));
    let (mut sent, mut received) = (number(&first, "sent"), number(&first, "received"));
    for round in 0..3 {
        let info = client.ask("info");
        assert_eq!(
            (sum(&info, "bytes_acked"), sum(&info, "bytes_received")),
            (sent + N, received)
        );
        each("open connections", |scrape| {
            // Acknowledgements may have been sent since.
            let info = client.ask("info");
            let expect = [
                ("opened_total", N),
                ("closed_total", 0),
                ("connections", N),
                ("sent_bytes_total", sent),
                ("received_bytes_total", received),
                ("sent_segments_total", sum(&info, "segs_out")),
                ("received_segments_total", sum(&info, "segs_in")),
                ("retransmits_total", sum(&info, "total_retrans")),
                ("out_of_order_segments_total", sum(&info, "rcv_ooopack")),
                ("zero_windows", 0),
            ];
            exactly(scrape, &client.service, &expect)?;
            let expect = [
                ("connections", N),
                ("sent_bytes_total", received),
                ("received_bytes_total", sent),
            ];
            exactly(scrape, &server.service, &expect)
        });
        say(&format!(
            "round {round}: {sent} and {received} bytes, {} segments",
            sum(&info, "segs_out")
        ));
        let more = client.ask("exchange 30000 70000 3");
        sent += number(&more, "sent");
        received += number(&more, "received");
    }
    client.ask("end close");
    server.served(N);
    each("closed connections", |scrape| {
        for (end, sent, received) in [(&client, sent, received), (&server, received, sent)] {
            let expect = [
                ("opened_total", N),
                ("closed_total", N),
                ("connections", 0),
                ("sent_bytes_total", sent),
                ("received_bytes_total", received),
            ];
            exactly(scrape, &end.service, &expect)?;
        }
        // Both ends of each: what one sent the other received, but for the SYNs, which no connection received. What the kernel leaves of a
        // connection in TIME_WAIT sends too: an acknowledgement of each FIN, of one whose time stamp is older than it may be, and so on.
        // It is what the namespace sent and neither end did.
        let [client_sent, server_sent, received, again] = [
            ("sent_segments_total", &client),
            ("sent_segments_total", &server),
            ("received_segments_total", &server),
            ("retransmits_total", &client),
        ]
        .map(|(name, end)| of(scrape, name, &end.service));
        let counters = counters(&ns)?;
        let (all, of_all) = (counters["TcpOutSegs"], counters["TcpInSegs"]);
        let client_received = of(scrape, "received_segments_total", &client.service);
        let left = all.checked_sub(client_sent + server_sent);
        let left = left.with_context(|| format!("{client_sent} and {server_sent} sent of {all}"))?;
        // Now and then the kernel receives one that it does not count as sent (5.10 and 6.1, where time goes slowly).
        let uncounted = of_all.saturating_sub(all);
        let expect = client_sent - N + left + uncounted;
        // A SYN that is sent again, no connection received either.
        ensure!(
            (expect - again..=expect).contains(&received),
            "{received} received by the server, not {expect}: {client_sent} and {server_sent} sent of {all}, {again} again; \
             {client_received} received by the client, {of_all} in all"
        );
        Ok(())
    });
}

/// Peers that have no room for a byte more.
#[test]
fn zero_windows() {
    need!(Need::Agent, Need::Program("ip"));
    const N: u64 = 3;
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, _) = server.listen("127.0.0.1", 128, "hold");
    client.ask(&format!("connect {to} {N} 0 0 keep"));
    let filled = number(&client.ask("fill"), "sent");
    each("closed windows", |scrape| {
        exactly(scrape, &client.service, &[("zero_windows", N), ("connections", N)])?;
        exactly(scrape, &server.service, &[("zero_windows", 0)])
    });
    server.ask(&format!("accept {N}"));
    each("open windows", |scrape| {
        exactly(
            scrape,
            &client.service,
            &[("zero_windows", 0), ("sent_bytes_total", filled)],
        )?;
        exactly(scrape, &server.service, &[("received_bytes_total", filled)])
    });
    say(&format!("{N} windows closed by {filled} bytes"));
}

/// Attempts that fail, by their errors; and calls that fail without an attempt.
#[test]
fn failed_connects() {
    need!(Need::Agent, Need::Program("ip"));
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    // What is sent there comes back, is for nobody here, and is dropped without a word.
    ip(&["-n", &ns.name, "route", "add", "10.7.0.0/24", "dev", "lo"]).unwrap();
    ip(&["-n", &ns.name, "route", "add", "unreachable", "10.8.0.0/24"]).unwrap();
    let mut set = ns.command("sh");
    // A second after the other, and ports for one connection.
    let text = "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/tcp_syn_retries; \
                echo 0 > /proc/sys/net/ipv4/tcp_syn_linear_timeouts; true";
    set.args(["-c", text]);
    output(set).unwrap();
    let refused = u64::from(wait::eased(500));
    let mut client = Driver::start(&ns, "client");
    let before = counters(&ns).unwrap();
    let done = client.ask(&format!("connect 127.0.0.1:9 {refused} 0 0 close"));
    assert_eq!(number(&done["errors"], "ECONNREFUSED"), refused);
    assert_eq!(number(&client.ask("cancel 10.7.0.1:9 30"), "begun"), 30);
    let done = client.ask("connect 10.7.0.1:9 2 0 0 close");
    assert_eq!(number(&done["errors"], "ETIMEDOUT"), 2, "{done}");
    let done = client.ask("connect 10.8.0.1:9 7 0 0 close");
    assert_eq!(number(&done["errors"], "EHOSTUNREACH"), 7, "{done}");
    let after = counters(&ns).unwrap();
    let retransmits = after["TcpRetransSegs"] - before["TcpRetransSegs"];
    assert!(retransmits >= 2);
    let expect = [("ECONNREFUSED", refused), ("ETIMEDOUT", 2), ("cancelled", 30)];
    let expect = expect.map(|(name, n)| (name.to_owned(), n));
    each("failed connects", |scrape| {
        let found = errors(scrape, &client.service);
        ensure!(found == expect, "{found:?}, not {expect:?}");
        exactly(
            scrape,
            &client.service,
            &[
                ("opened_total", 0),
                ("closed_total", 0),
                ("connections", 0),
                ("retransmits_total", retransmits),
            ],
        )?;
        let direction = [("service_name", &*client.service), ("network_io_direction", "receive")];
        let resets = scrape.sum("onlooker_tcp_resets_total", &direction) as u64;
        ensure!(resets == refused, "{resets} resets received");
        ensure!(times(scrape, "connect_duration", &client.service)?.count == 0.0);
        let loopback = [("service_name", &*client.service), ("error_type", "ECONNREFUSED")];
        let samples: Vec<_> = scrape.select("onlooker_tcp_connect_errors_total", &loopback).collect();
        ensure!(samples.len() == 1, "{samples:?}");
        let labels = [
            "network_type",
            "server_port",
            "onlooker_peer_class",
            "peer_service",
            "onlooker_role",
        ];
        let found = labels.map(|name| samples[0].label(name));
        ensure!(found == ["ipv4", "9", "loopback", "", "client"], "{found:?}");
        Ok(())
    });
    say(&format!("{expect:?}, {retransmits} SYNs sent again: difference 0"));
}

/// A program that has no port left fails after the kernel had begun: an attempt, of another error.
#[test]
fn no_port_is_left() {
    need!(Need::Agent, Need::Program("ip"));
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, _) = server.listen("127.0.0.1", 128, "serve");
    let mut set = ns.command("sh");
    set.args(["-c", "echo 21200 21201 > /proc/sys/net/ipv4/ip_local_port_range"]);
    output(set).unwrap();
    let done = client.ask(&format!("connect {to} 7 1 1 keep"));
    let connected = number(&done, "connected");
    assert!((1..=2).contains(&connected), "{done}");
    each("no port", |scrape| {
        exactly(
            scrape,
            &client.service,
            &[("opened_total", connected), ("connections", connected)],
        )?;
        let found = errors(scrape, &client.service);
        let all: u64 = found.iter().map(|(_, n)| n).sum();
        say(&format!("no port: {found:?}"));
        // Some kernels look for a port before they begin; then there is no attempt.
        ensure!(all == 0 || found == [("_OTHER".to_owned(), 7 - connected)], "{found:?}");
        Ok(())
    });
    say(&format!("{connected} of 7 connected"));
}

/// A daemon listens, forks, and ends: what is accepted is its child's, when the agent has found it and when it has forgotten the parent.
/// What is accepted before is told too, as of whom the agent knew then.
#[test]
fn a_daemon() {
    need!(Need::Agent, Need::Program("ip"));
    const FORGOTTEN: Duration = Duration::from_secs(40);
    const N: u64 = 20;
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut daemon, mut client) = (Driver::start(&ns, "daemon"), Driver::start(&ns, "client"));
    let answer = daemon.ask("daemon 127.0.0.1:0 128");
    let port = number(&answer, "port").to_string();
    daemon.talker.program.wait(wait::SOON).unwrap();
    assert_ne!(number(&answer, "pid"), u64::from(daemon.talker.program.pid()));
    let parted = Instant::now();
    let (service, peer) = (daemon.service.clone(), client.service.clone());
    let mut more = |n: u64| {
        client.ask(&format!("connect 127.0.0.1:{port} {N} 10 10 close"));
        daemon.served(n);
    };
    more(N);
    // By service, how many were accepted on the port.
    let accepted = |scrape: &Scrape| -> BTreeMap<String, u64> {
        let of = [
            ("server_port", &*port),
            ("onlooker_role", "server"),
            ("peer_service", &*peer),
        ];
        let samples = scrape.select("onlooker_tcp_opened_total", &of);
        samples
            .map(|sample| (sample.label("service_name").to_owned(), sample.value as u64))
            .collect()
    };
    let all = |scrape: &Scrape, n: u64| -> Result<u64> {
        let found = accepted(scrape);
        ensure!(found.values().sum::<u64>() == n, "{found:?}, not {n}");
        Ok(found.get(&service).copied().unwrap_or_default())
    };
    let mut first = Vec::new();
    each("the child's socket", |scrape| {
        let of = [("service_name", &*service), ("server_port", &*port)];
        ensure!(scrape.sum("onlooker_tcp_listening_sockets", &of) == 1.0, "no socket");
        first.push(all(scrape, N)?);
        say(&format!("accepted before it was found: {:?}", accepted(scrape)));
        Ok(())
    });
    more(2 * N);
    let expect = |what: &str, n: u64| {
        let mut first = first.iter();
        each(what, |scrape| {
            let found = all(scrape, n)?;
            let before = first.clone().next().copied().unwrap_or_default();
            ensure!(
                found == before + n - N,
                "{found} of {}: {:?}",
                before + n - N,
                accepted(scrape)
            );
            first.next();
            Ok(())
        });
    };
    expect("connections of the child", 2 * N);
    wait::until_true("the agent has forgotten the parent", 2 * FORGOTTEN, || {
        parted.elapsed() > FORGOTTEN
    })
    .unwrap();
    more(3 * N);
    expect("connections of the child alone", 3 * N);
}
