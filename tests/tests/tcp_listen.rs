//! Listening sockets, the queues before them, and what the agent tells of those that overflow.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::netns::NetNs;
use onlooker_tests::require::{Need, say};
use onlooker_tests::snmp::counters;
use onlooker_tests::tcp::{Driver, REFRESHED, each, exactly, near, number, one, times};
use onlooker_tests::wait;
use onlooker_tests::ways::of_tcp;

/// A listener's number.
fn listener(scrape: &Scrape, name: &str, service: &str, port: &str, family: &str) -> Option<u64> {
    let of = [
        ("service_name", service),
        ("server_port", port),
        ("network_type", family),
    ];
    let name = format!("onlooker_tcp_{name}");
    let mut samples = scrape.select(&name, &of).map(|sample| sample.value as u64);
    let value = samples.next();
    assert!(samples.next().is_none(), "{name} twice");
    value
}

/// How many wait for `accept`, how many may, and how many were dropped because there were more, against `TcpExt ListenDrops`.
fn queue(host: &str, family: &str) {
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, port) = server.listen(host, 7, "hold");
    let expect = |what: &str, expect: [u64; 3]| {
        each(what, |scrape| {
            let found = ["listening_sockets", "accept_queue_length", "accept_queue_limit"]
                .map(|name| listener(scrape, name, &server.service, &port, family));
            ensure!(found == expect.map(Some), "{found:?}, not {expect:?}");
            Ok(())
        });
    };
    expect("an empty queue", [1, 0, 7]);
    client.ask(&format!("connect {to} 5 0 0 keep"));
    expect("a queue of five", [1, 5, 7]);
    // The queue takes one more than its limit.
    client.ask(&format!("connect {to} 3 0 0 keep"));
    assert_eq!(number(&client.ask(&format!("pending {to} 40")), "begun"), 40);
    wait::until("drops", wait::SOON, || {
        let drops = counters(&ns)?["TcpExtListenDrops"];
        ensure!(drops >= 40, "{drops}");
        Ok(())
    })
    .unwrap();
    expect("a full queue", [1, 8, 7]);
    client.ask("end reset"); // no SYN is sent again
    let drops = counters(&ns).unwrap()["TcpExtListenDrops"];
    let dropped = |what: &str| {
        each(what, |scrape| {
            let found = listener(scrape, "listen_drops_total", &server.service, &port, family);
            ensure!(found == Some(drops), "{found:?}, not {drops}");
            Ok(())
        });
    };
    dropped("drops of an open socket");
    let mut answer = server.talker.ask("accept 3").unwrap();
    assert_eq!(number(&answer, "accepted"), 3);
    each("a shorter queue", |scrape| {
        let found = listener(scrape, "accept_queue_length", &server.service, &port, family);
        ensure!(found == Some(5), "{found:?}");
        Ok(())
    });
    answer = server.talker.ask("unlisten").unwrap();
    assert_eq!(number(&answer, "accepted"), 3);
    each("no listener", |scrape| {
        for name in ["listening_sockets", "accept_queue_length", "accept_queue_limit"] {
            let found = listener(scrape, name, &server.service, &port, family).unwrap_or(0);
            ensure!(found == 0, "{name} {found}");
        }
        Ok(())
    });
    dropped("drops of a closed socket");
    say(&format!("{family}: queue of 0, 5, 8, 5; {drops} drops: difference 0"));
}

#[test]
fn the_accept_queue_of_ipv4() {
    need!(Need::Agent, Need::Program("ip"));
    queue("127.0.0.1", "ipv4");
}

#[test]
fn the_accept_queue_of_ipv6() {
    need!(Need::Agent, Need::Program("ip"), Need::Ipv6);
    queue("[::1]", "ipv6");
}

/// Sockets listen before the agent starts: they and their owners are found. Connections that were there are the gauge's, not counts'.
#[test]
fn what_was_there_before() {
    need!(Need::Agent, Need::Program("ip"));
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, port) = server.listen("127.0.0.1", 50, "serve");
    client.ask(&format!("connect {to} 9 1000 1000 keep"));
    let agent = Agent::start(&Options {
        about: &["tcp", "tcp_open", "tcp_accept"],
        ..Options::default()
    })
    .unwrap();
    one(&agent, "open connections", |scrape| {
        for end in [&client, &server] {
            exactly(
                scrape,
                &end.service,
                &[("opened_total", 0), ("closed_total", 0), ("connections", 9)],
            )?;
        }
        let found = listener(scrape, "listening_sockets", &server.service, &port, "ipv4");
        ensure!(found == Some(1), "{found:?}");
        Ok(())
    });
    let more = client.ask("exchange 500 700 10");
    one(&agent, "bytes since then", |scrape| {
        let (sent, received) = (number(&more, "sent"), number(&more, "received"));
        for (end, sent, received) in [(&client, sent, received), (&server, received, sent)] {
            exactly(
                scrape,
                &end.service,
                &[("sent_bytes_total", sent), ("received_bytes_total", received)],
            )?;
        }
        Ok(())
    });
    client.ask(&format!("connect {to} 5 10 10 close"));
    client.ask("end close");
    server.served(14);
    one(&agent, "all closed", |scrape| {
        for (end, role) in [(&client, "client"), (&server, "server")] {
            exactly(
                scrape,
                &end.service,
                &[("opened_total", 5), ("closed_total", 14), ("connections", 0)],
            )?;
            let of = [("service_name", &*end.service), ("onlooker_role", role)];
            let closed = scrape.sum("onlooker_tcp_closed_total", &of) as u64;
            ensure!(closed == 14, "{closed} closed as {role}");
        }
        Ok(())
    });
}

/// From the SYN-ACK to the return of `accept`, by the clock that both programs have.
#[test]
fn accepts() {
    need!(Need::Agent, Need::Program("ip"));
    const N: u64 = 25;
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, _) = server.listen("127.0.0.1", 100, "hold");
    let connected = client.ask(&format!("connect {to} {N} 0 0 keep"));
    let accepted = server.ask(&format!("accept {N}"));
    // And those that are waited for.
    server.talker.tell(&format!("accept {N}")).unwrap();
    let then = client.ask(&format!("connect {to} {N} 0 0 keep"));
    let now = server.talker.answer().unwrap();
    assert_eq!(number(&accepted, "accepted") + N, number(&now, "accepted"));
    let truth = number(&now, "accepted_at") as f64
        - number(&connected, "connected_at") as f64
        - number(&then, "connected_at") as f64;
    each("accepts", |scrape| {
        let accepts = times(scrape, "accept_duration", &server.service)?;
        ensure!(accepts.count == 2.0 * N as f64, "{} of {}", accepts.count, 2 * N);
        near("accepts", accepts.sum, truth / 1e9, 2 * N)?;
        ensure!(times(scrape, "accept_duration", &client.service)?.count == 0.0);
        Ok(())
    });
    say(&format!("{} accepts, {} us each", 2 * N, truth / 2e3 / N as f64));
}

/// Connects that fail and queues that overflow are events, with who, where and how many.
#[test]
fn events() {
    need!(Need::Agent, Need::Program("ip"));
    let agent = Agent::start(&Options {
        events: true,
        about: &["tcp", "tcp_open", "tcp_accept"],
        ..Options::default()
    })
    .unwrap();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    client.ask("connect 127.0.0.1:9 60 0 0 close");
    let (to, port) = server.listen("127.0.0.1", 1, "hold");
    client.overflow(&ns, &to);
    let drops = counters(&ns).unwrap()["TcpExtListenDrops"];
    let told = |end: &Driver, name: &str| -> (u64, Vec<String>) {
        let events = agent.events(&end.service);
        let of = events.iter().filter(|event| event["event"] == name);
        let count = |event: &serde_json::Value| event["attributes"]["onlooker.event.count"].as_u64().unwrap_or(1);
        let bodies = of.clone().filter_map(|event| event["body"].as_str().map(str::to_owned));
        (of.map(count).sum(), bodies.collect())
    };
    let what = wait::until("events of connects", REFRESHED, || {
        let (count, bodies) = told(&client, "onlooker.tcp.connect_failed");
        ensure!(
            count == 60,
            "{count} of 60: {bodies:?}, all: {:?}",
            agent.events(&client.service)
        );
        Ok(bodies)
    })
    .unwrap();
    let text = "connect 127.0.0.1:9: ECONNREFUSED";
    assert!(what.iter().all(|body| body.contains(text)), "{what:?}");
    say(&format!("60 connects in vain: {what:?}"));
    let what = wait::until("events of overflows", REFRESHED, || {
        let (count, bodies) = told(&server, "onlooker.tcp.listen_overflow");
        ensure!(
            count == drops,
            "{count} of {drops}: {bodies:?}, all: {:?}",
            agent.events(&server.service)
        );
        Ok(bodies)
    })
    .unwrap();
    assert!(what.iter().all(|body| body.contains(&port)), "{what:?}");
    say(&format!("{drops} SYNs dropped: {what:?}"));
}
