//! TCP over a wire that delays, drops and swaps packets (`tests/tuns.rs`), against the programs' own clocks, `TCP_INFO` and the kernel's
//! counts of the network namespace. First the wire itself: what it says that it did is what the kernel noticed.

use anyhow::ensure;
use onlooker_tests::need;
use onlooker_tests::netns::{NetNs, ip};
use onlooker_tests::process::{Program, output};
use onlooker_tests::require::{Need, own_program, say};
use onlooker_tests::snmp::counters;
use onlooker_tests::tcp::{Driver, each, errors, exactly, near, number, sum, times};
use onlooker_tests::tuns::{FAR, Wire};
use onlooker_tests::wait;
use onlooker_tests::ways::of_tcp;
use serde_json::Value;

/// Each way.
const DELAY_US: u64 = 20_000;

/// The far end's addresses, as an address with a port wants them.
const FAR_HOSTS: [&str; 2] = ["10.9.0.2", "[fd09::2]"];

/// The wire delays as it is told, by the clock of a program and by what `ss` says; and every packet that it drops or swaps is one that
/// the kernel sends again or finds out of order.
#[test]
fn the_wire_itself() {
    need!(Need::AgentProgram, Need::Program("ip"), Need::Tun, Need::Program("ss"));
    let mut wire = Wire::new().unwrap();
    wire.tell(&format!("delay {DELAY_US}")).unwrap();
    let (mut server, mut client) = (Driver::start(&wire.far, "server"), Driver::start(&wire.near, "client"));
    for host in FAR_HOSTS {
        let (to, _) = server.listen(host, 128, "serve");
        let before = counters(&wire.near).unwrap();
        let far_before = counters(&wire.far).unwrap();
        let wire_before = wire.tell("count").unwrap();
        let done = client.ask(&format!("connect {to} 5 100 100 keep"));
        let mean = number(&done, "connect_ns") / 5000;
        // Never sooner; and later only by what the machine is busy with.
        assert!(mean >= 2 * DELAY_US, "{mean} us");
        for info in client.ask("info").as_array().unwrap() {
            assert!(number(info, "rtt") >= 2 * DELAY_US, "{info}");
        }
        let rtts = ss(&wire.near);
        assert!(
            rtts.len() == 5 && rtts.iter().all(|[rtt, _]| *rtt >= 2e-3 * DELAY_US as f64),
            "{rtts:?}"
        );

        wire.tell("swap 10").unwrap();
        client.ask("exchange 200000 1 2");
        let wire_swapped = wire.tell("swap 0").unwrap();
        let far_after = counters(&wire.far).unwrap();
        wire.tell("drop 20").unwrap();
        client.ask("exchange 200000 1 5");
        let wire_now = wire.tell("drop 0").unwrap();
        client.ask("end close");
        let diff =
            |after: &Value, before: &Value, name: &str| number(&after["out"], name) - number(&before["out"], name);
        let after = counters(&wire.near).unwrap();
        let of = |name: &str| after[name] - before[name];
        let far_of = |name: &str| far_after[name] - far_before[name];
        say(&format!(
            "connects of {mean} us, {rtts:?} ms; {} swapped, {} out of order; {} dropped, {} sent again; {}",
            diff(&wire_swapped, &wire_before, "swapped"),
            far_of("TcpExtTCPOFOQueue"),
            diff(&wire_now, &wire_before, "dropped"),
            of("TcpRetransSegs"),
            wire_now,
        ));
        let dropped = diff(&wire_now, &wire_before, "dropped");
        assert!(dropped > 100 && of("TcpRetransSegs") >= dropped);
        let swaps = diff(&wire_swapped, &wire_before, "swapped");
        assert!(swaps > 50 && far_of("TcpExtTCPOFOQueue") == swaps);
    }
}

/// What TCP's own timers measure, over a wire that delays: against the driver's clock, its `TCP_INFO`, and `ss` for the other end.
#[test]
fn a_delay() {
    need!(Need::Agent, Need::Program("ip"), Need::Tun, Need::Program("ss"));
    of_tcp();
    let mut wire = Wire::new().unwrap();
    wire.tell(&format!("delay {DELAY_US}")).unwrap();
    for (at, family) in [(0, "ipv4"), (1, "ipv6")] {
        // The agent looks at open connections now and then; what it sees of them then is an observation more. Once more, then.
        let exact = (0..4).any(|_| delayed(&mut wire, at, family));
        assert!(exact, "never one observation a connection");
    }
}

fn delayed(wire: &mut Wire, at: usize, family: &str) -> bool {
    const N: u64 = 8;
    let (mut server, mut client) = (Driver::start(&wire.far, "server"), Driver::start(&wire.near, "client"));
    let (to, port) = server.listen(FAR_HOSTS[at], 128, "serve");
    let done = client.ask(&format!("connect {to} {N} 100 100 keep"));
    let info = client.ask("info");
    let rtts = ss(&wire.far);
    assert_eq!(rtts.len() as u64, N);
    // Without a FIN, whose acknowledgement were one more measurement.
    let ended = client.ask("end reset");
    let served = server.served(N);
    let lives = (number(&ended, "ended_at") as f64 - number(&done, "connected_at") as f64) / 1e9;
    let connects = number(&done, "connect_ns") as f64 / 1e9;
    // When the SYN-ACK was sent nobody here saw: after the SYN's way to the server, and before its own way to the client. No way is shorter
    // than the wire's delay.
    let after = (number(&served, "accepted_at") as f64 - number(&done, "connected_at") as f64) / 1e9;
    let way = N as f64 * DELAY_US as f64 / 1e6;
    let accepts = after + way..=after + connects - way;
    each("delayed connections", |scrape| {
        let found = times(scrape, "connect_duration", &client.service)?;
        ensure!(found.count == N as f64, "{found:?}");
        near("connects", found.sum, connects, N)?;
        let found = times(scrape, "accept_duration", &server.service)?;
        ensure!(found.count == N as f64, "{found:?}");
        // The kernel tells the round trip of the handshake in whole microseconds.
        let (least, most) = (accepts.start() - N as f64 * 50e-6, accepts.end() + N as f64 * 50e-6);
        ensure!(
            (least..=most).contains(&found.sum),
            "accepts: {} s, not {accepts:?}",
            found.sum
        );
        for end in [&client, &server] {
            // The server's end begins and ends half a round trip later.
            let found = times(scrape, "connection_duration", &end.service)?;
            ensure!(found.count == N as f64, "{found:?}");
            near("lives", found.sum, lives, N)?;
            ensure!(times(scrape, "rtt", &end.service)?.count >= N as f64);
            exactly(scrape, &end.service, &[("opened_total", N), ("closed_total", N)])?;
            let of = [
                ("service_name", &*end.service),
                ("network_type", family),
                ("server_port", &*port),
                ("onlooker_peer_class", "private"),
            ];
            ensure!(scrape.sum("onlooker_tcp_opened_total", &of) as u64 == N, "other labels");
        }
        Ok(())
    });
    let truth = |name: &str| sum(&info, name) as f64 / 1e6;
    let far = |which: usize| rtts.iter().map(|both| both[which]).sum::<f64>() / 1e3;
    let mut exact = true;
    for (way, agent) in of_tcp() {
        let scrape = agent.scrape().unwrap();
        for (end, rtt, variation) in [(&client, truth("rtt"), truth("rttvar")), (&server, far(0), far(1))] {
            let found = ["rtt", "rtt_variation"].map(|name| times(&scrape, name, &end.service).unwrap());
            if found[0].count as u64 != N {
                say(&format!("{way}: {} observations of {N} connections", found[0].count));
                exact = false;
                continue;
            }
            near("RTT", found[0].sum, rtt, N).unwrap();
            near("its variation", found[1].sum, variation, N).unwrap();
            say(&format!(
                "{way} {family}: RTT {} and variation {} s, not {rtt} and {variation}",
                found[0].sum, found[1].sum
            ));
        }
    }
    exact
}

/// RTT and its variation, milliseconds, of the connections of a namespace.
fn ss(ns: &NetNs) -> Vec<[f64; 2]> {
    let text = wait::until("all acknowledged", wait::SOON, || {
        let mut ss = ns.command("ss");
        ss.args(["-tinH", "state", "established"]);
        let text = output(ss)?;
        ensure!(!text.contains("unacked:"), "{text}");
        Ok(text)
    })
    .unwrap();
    let words = text.split_whitespace().filter_map(|word| word.strip_prefix("rtt:"));
    words
        .map(|word| {
            let (rtt, variation) = word.split_once('/').unwrap();
            [rtt, variation].map(|number| number.parse().unwrap())
        })
        .collect()
}

/// Packets are dropped and overtaken: each that was sent again and each that came out of order, against the kernel's counts of both
/// namespaces, while the connections are open and when they are closed.
#[test]
fn loss_and_disorder() {
    need!(Need::Agent, Need::Program("ip"), Need::Tun, Need::Program("ss"));
    of_tcp();
    let mut wire = Wire::new().unwrap();
    wire.tell("delay 2000").unwrap();
    for (at, rule) in [(0, "drop 15"), (1, "drop 15"), (0, "swap 10"), (1, "swap 10")] {
        let (mut server, mut client) = (Driver::start(&wire.far, "server"), Driver::start(&wire.near, "client"));
        let (to, _) = server.listen(FAR_HOSTS[at], 128, "serve");
        let before = [&wire.near, &wire.far].map(|ns| counters(ns).unwrap());
        let first = wire.tell("count").unwrap();
        let mut done = [client.ask(&format!("connect {to} 3 100 100 keep")), Value::Null];
        wire.tell(rule).unwrap();
        done[1] = client.ask("exchange 400000 50000 2");
        wire.tell("drop 0").unwrap();
        wire.tell("swap 0").unwrap();
        let info = client.ask("info");
        let now = [&wire.near, &wire.far].map(|ns| counters(ns).unwrap());
        let counted = |end: usize, name: &str| now[end][name] - before[end][name];
        let moved = |name: &str| done.iter().map(|done| number(done, name)).sum::<u64>();
        let [again, disorder] =
            ["TcpRetransSegs", "TcpExtTCPOFOQueue"].map(|name| [0, 1].map(|end| counted(end, name)));
        assert_eq!(
            [sum(&info, "total_retrans"), sum(&info, "rcv_ooopack")],
            [again[0], disorder[0]]
        );
        assert!(
            if rule == "drop 15" {
                again[0] > 50
            } else {
                disorder[1] > 50
            },
            "{again:?} {disorder:?}"
        );
        let services = [client.service.clone(), server.service.clone()];
        let expect = |what: &str, more: [Vec<(&str, u64)>; 2]| {
            each(&format!("{rule}, {what}"), |scrape| {
                for (at, service) in services.iter().enumerate() {
                    let same = [
                        ("retransmits_total", again[at]),
                        ("out_of_order_segments_total", disorder[at]),
                        ("sent_bytes_total", moved(["sent", "received"][at])),
                        ("received_bytes_total", moved(["received", "sent"][at])),
                        ("opened_total", 3),
                    ];
                    exactly(scrape, service, &[&same[..], &more[at]].concat())?;
                }
                Ok(())
            });
        };
        expect("open", [vec![("connections", 3)], vec![("connections", 3)]]);
        // Every packet on the wire is a segment of a connection, but for the SYN-ACKs. Acknowledgements go by now and then.
        let mut all = [0, 0];
        each("segments", |scrape| {
            let last = wire.tell("count")?;
            all = ["out", "back"].map(|way| number(&last[way], "segments") - number(&first[way], "segments"));
            exactly(scrape, &services[0], &[("sent_segments_total", all[0])])?;
            exactly(scrape, &services[1], &[("sent_segments_total", all[1] - 3)])
        });
        client.ask("end close");
        server.served(3);
        expect(
            "closed",
            [
                vec![("connections", 0), ("closed_total", 3)],
                vec![("connections", 0), ("closed_total", 3)],
            ],
        );
        say(&format!(
            "{} {rule}: {again:?} segments sent again, {disorder:?} out of order, {} and {} in all: difference 0",
            FAR[at], all[0], all[1]
        ));
    }
}

/// Connects that are answered by nothing, and by a router that knows no way.
#[test]
fn no_answer() {
    need!(Need::Agent, Need::Program("ip"), Need::Tun);
    of_tcp();
    let mut wire = Wire::new().unwrap();
    ip(&["-n", &wire.near.name, "route", "add", "10.10.0.0/24", "dev", "wire"]).unwrap();
    ip(&["-n", &wire.far.name, "route", "add", "unreachable", "10.10.0.0/24"]).unwrap();
    for (ns, text) in [
        (
            &wire.far,
            "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/icmp_ratelimit",
        ),
        (
            &wire.near,
            "echo 1 > /proc/sys/net/ipv4/tcp_syn_retries; echo 0 > /proc/sys/net/ipv4/tcp_syn_linear_timeouts; true",
        ),
    ] {
        let mut set = ns.command("sh");
        set.args(["-c", text]);
        output(set).unwrap();
    }
    let (mut server, mut client) = (Driver::start(&wire.far, "server"), Driver::start(&wire.near, "client"));
    let (to, port) = server.listen("10.9.0.2", 128, "serve");
    let before = counters(&wire.near).unwrap();
    let done = client.ask("connect 10.10.0.7:80 5 0 0 close");
    assert_eq!(number(&done["errors"], "EHOSTUNREACH"), 5, "{done}");
    wire.tell("hole 1").unwrap();
    let done = client.ask(&format!("connect {to} 2 0 0 close 500"));
    assert_eq!(number(&done["errors"], "ETIMEDOUT"), 2, "{done}");
    // One that gives up before the kernel does.
    client.ask(&format!("pending {to} 4"));
    client.ask("end close");
    wire.tell("hole 0").unwrap();
    let after = counters(&wire.near).unwrap();
    let again = after["TcpRetransSegs"] - before["TcpRetransSegs"];
    let expect = [("EHOSTUNREACH", 5), ("ETIMEDOUT", 2), ("cancelled", 4)].map(|(name, n)| (name.to_owned(), n));
    each("no answer", |scrape| {
        let found = errors(scrape, &client.service);
        ensure!(found == expect, "{found:?}, not {expect:?}");
        exactly(
            scrape,
            &client.service,
            &[("opened_total", 0), ("retransmits_total", again), ("connections", 0)],
        )?;
        exactly(scrape, &server.service, &[("opened_total", 0)])?;
        let of = [
            ("service_name", &*client.service),
            ("server_port", &*port),
            ("onlooker_peer_class", "private"),
        ];
        ensure!(
            scrape.sum("onlooker_tcp_connect_errors_total", &of) == 6.0,
            "other labels"
        );
        Ok(())
    });
    say(&format!("{expect:?}, {again} SYNs sent again: difference 0"));
}

/// A server elsewhere has the name that its client asked for, and none when nobody asked.
#[test]
fn named_servers() {
    need!(Need::Agent, Need::Program("ip"), Need::Tun);
    const N: u64 = 12;
    of_tcp();
    let wire = Wire::new().unwrap();
    ip(&[
        "-n",
        &wire.far.name,
        "route",
        "add",
        "local",
        "192.0.2.0/24",
        "dev",
        "lo",
    ])
    .unwrap();
    ip(&["-n", &wire.near.name, "route", "add", "192.0.2.0/24", "dev", "wire"]).unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let mut nameserver = wire.near.command(own_program("nameserver"));
    nameserver.arg("127.0.0.1:53").arg(dir.path().join("log"));
    let _nameserver = Program::start("nameserver", nameserver).unwrap();
    let (mut server, mut client) = (Driver::start(&wire.far, "server"), Driver::start(&wire.near, "client"));
    let (_, port) = server.listen("0.0.0.0", 128, "serve");
    let name = onlooker_tests::process::unique("shop") + ".example";
    let found = wait::until("an answer", wait::SOON, || {
        client.talker.ask(&format!("resolve {name}"))
    })
    .unwrap();
    let address = found["address"].as_str().unwrap().to_owned();
    let unasked = if address == "192.0.2.7" {
        "192.0.2.8"
    } else {
        "192.0.2.7"
    };
    let mut other = Driver::start(&wire.near, "other");
    client.ask(&format!("connect {address}:{port} {N} 10 10 close"));
    other.ask(&format!("connect {unasked}:{port} {N} 10 10 close"));
    server.served(2 * N);
    each("named servers", |scrape| {
        for (end, role, name) in [
            (&client, "client", &*name),
            (&other, "client", ""),
            (&server, "server", ""),
        ] {
            let of = [
                ("service_name", &*end.service),
                ("onlooker_role", role),
                ("server_port", &*port),
                ("server_address", name),
                ("peer_service", ""),
            ];
            let found = scrape.sum("onlooker_tcp_opened_total", &of) as u64;
            let truth = if role == "server" { 2 * N } else { N };
            let all: Vec<_> = scrape
                .select("onlooker_tcp_opened_total", &of[..1])
                .map(|sample| &sample.labels)
                .collect();
            ensure!(found == truth, "{found} of {truth} with {name:?}: {all:?}");
        }
        let public = [("service_name", &*client.service), ("onlooker_peer_class", "public")];
        ensure!(
            scrape.sum("onlooker_tcp_opened_total", &public) as u64 == N,
            "another class"
        );
        Ok(())
    });
    say(&format!("{N} connections to {name} ({address}), {N} to {unasked}"));
}

/// A program is killed whose connections end only when the other end has answered, when it is gone.
#[test]
fn killed_far_away() {
    need!(Need::Agent, Need::Program("ip"), Need::Tun);
    const N: u64 = 6;
    of_tcp();
    let mut wire = Wire::new().unwrap();
    wire.tell("delay 100000").unwrap();
    let (mut server, mut client) = (Driver::start(&wire.far, "server"), Driver::start(&wire.near, "client"));
    let (to, _) = server.listen(FAR_HOSTS[0], 128, "serve");
    let done = client.ask(&format!("connect {to} {N} 5000 100 keep"));
    client.talker.program.signal(libc::SIGKILL);
    client.talker.program.wait(wait::SOON).unwrap();
    server.served(N);
    each("connections of the dead", |scrape| {
        for (end, sent, received) in [(&client, "sent", "received"), (&server, "received", "sent")] {
            let expect = [
                ("opened_total", N),
                ("closed_total", N),
                ("connections", 0),
                ("sent_bytes_total", number(&done, sent)),
                ("received_bytes_total", number(&done, received)),
            ];
            exactly(scrape, &end.service, &expect)?;
        }
        Ok(())
    });
}
