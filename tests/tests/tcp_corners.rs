//! TCP where it is not plain: several that listen on one port, sockets that are gone before anybody looks, programs that are killed,
//! many connections at a time.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::need;
use onlooker_tests::netns::NetNs;
use onlooker_tests::require::{Need, say};
use onlooker_tests::snmp::counters;
use onlooker_tests::tcp::{Driver, each, exactly, number, of, one};
use onlooker_tests::wait;
use onlooker_tests::ways::of_tcp;

/// Two services listen on one port, each at an address of its own: a connection is theirs whose address was asked for. A service whose it
/// is not must not have it.
fn one_port(hosts: [&str; 2]) {
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let mut servers = [Driver::start(&ns, "one"), Driver::start(&ns, "other")];
    let mut client = Driver::start(&ns, "client");
    let (_, port) = servers[0].listen(hosts[0], 128, "serve");
    servers[1].ask(&format!("listen {}:{port} 128 serve", hosts[1]));
    let counts = [30, 50];
    for (host, n) in hosts.iter().zip(counts) {
        client.ask(&format!("connect {host}:{port} {n} 10 10 close"));
    }
    for (server, n) in servers.iter_mut().zip(counts) {
        server.served(n);
    }
    each("connections of two servers", |scrape| {
        let peer = |server: &Driver| {
            let of = [("service_name", &*client.service), ("peer_service", &*server.service)];
            scrape.sum("onlooker_tcp_opened_total", &of) as u64
        };
        let accepted = |server: &Driver| of(scrape, "opened_total", &server.service);
        let found = [
            accepted(&servers[0]),
            accepted(&servers[1]),
            peer(&servers[0]),
            peer(&servers[1]),
        ];
        ensure!(
            found == [30, 50, 30, 50],
            "accepted by both, and as peers of the client: {found:?}"
        );
        Ok(())
    });
}

#[test]
fn one_port_at_two_addresses() {
    need!(Need::Agent, Need::Program("ip"));
    one_port(["127.0.0.1", "127.0.0.2"]);
}

#[test]
fn one_port_of_two_families() {
    need!(Need::Agent, Need::Program("ip"), Need::Ipv6);
    one_port(["127.0.0.1", "[::1]"]);
}

/// Two processes of one service share a port, then the one that came last ends.
#[test]
fn a_shared_port() {
    need!(Need::Agent, Need::Program("ip"));
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut first, mut last, mut client) = (
        Driver::start(&ns, "first"),
        Driver::start(&ns, "last"),
        Driver::start(&ns, "client"),
    );
    let (to, port) = first.listen("127.0.0.1", 128, "shared");
    last.ask(&format!("listen {to} 128 shared"));
    client.ask(&format!("connect {to} 100 10 10 close"));
    let both = |first: &mut Driver, last: &mut Driver| [first, last].map(|end| number(&end.ask("served"), "accepted"));
    let accepted = both(&mut first, &mut last);
    assert_eq!(accepted.iter().sum::<u64>(), 100);
    // Whose of the two a connection is nothing tells before it is accepted; that it is one of them does.
    each("connections of both", |scrape| {
        let found = [&first, &last].map(|end| of(scrape, "opened_total", &end.service));
        ensure!(found.iter().sum::<u64>() == 100, "{found:?}, not {accepted:?}");
        Ok(())
    });
    say(&format!("accepted by the two that share port {port}: {accepted:?}"));
    last.ask("unlisten");
    let before = of_tcp()
        .iter()
        .map(|(_, agent)| of(&agent.scrape().unwrap(), "opened_total", &first.service));
    let before: Vec<u64> = before.collect();
    client.ask(&format!("connect {to} 40 10 10 close"));
    assert_eq!(both(&mut first, &mut last)[0], accepted[0] + 40);
    for ((way, agent), before) in of_tcp().iter().zip(before) {
        one(
            agent,
            &format!("{way}: connections of the one that is left"),
            |scrape| {
                let found = of(scrape, "opened_total", &first.service) - before;
                ensure!(found == 40, "{found} of 40");
                Ok(())
            },
        );
    }
}

/// A socket that listens for a moment and drops connections meanwhile: it is gone before anybody looks at it, its drops are not.
#[test]
fn drops_of_a_moment() {
    need!(Need::Agent, Need::Program("ip"));
    let agent = Agent::start(&Options {
        about: &["tcp", "tcp_open", "tcp_accept"],
        ..Options::default()
    })
    .unwrap();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    agent.pause().unwrap();
    let (to, _) = server.listen("127.0.0.1", 1, "hold");
    client.overflow(&ns, &to);
    server.ask("unlisten");
    let drops = counters(&ns).unwrap()["TcpExtListenDrops"];
    agent.resume();
    one(&agent, "drops", |scrape| {
        let found = of(scrape, "listen_drops_total", &server.service);
        ensure!(found == drops, "{found} of {drops}");
        Ok(())
    });
}

/// A program is killed that has connections: they end, with what they moved, and are still its own.
#[test]
fn killed() {
    need!(Need::Agent, Need::Program("ip"));
    of_tcp();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, _) = server.listen("127.0.0.1", 128, "serve");
    let done = client.ask(&format!("connect {to} 25 3000 7000 keep"));
    client.talker.program.signal(libc::SIGKILL);
    client.talker.program.wait(wait::SOON).unwrap();
    server.served(25);
    let (sent, received) = (number(&done, "sent"), number(&done, "received"));
    let expect = |end: &Driver, sent: u64, received: u64| {
        each("connections of the dead", |scrape| {
            let expect = [
                ("opened_total", 25),
                ("closed_total", 25),
                ("connections", 0),
                ("sent_bytes_total", sent),
                ("received_bytes_total", received),
            ];
            exactly(scrape, &end.service, &expect)
        });
    };
    expect(&client, sent, received);
    expect(&server, received, sent);
}

/// Many clients at a time, and an agent that looks at what is open meanwhile: no byte is counted twice, and none before it was sent.
#[test]
fn many_at_a_time() {
    need!(Need::Agent, Need::Program("ip"), Need::Ipv6);
    of_tcp();
    let n = u64::from(wait::eased(1000));
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let mut server = Driver::start(&ns, "server");
    let (to, _) = server.listen("[::1]", 1024, "serve");
    let mut clients: Vec<Driver> = (0..4).map(|_| Driver::start(&ns, "client")).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let ending = ["close", "server"][at % 2];
        client
            .talker
            .tell(&format!("connect {to} {n} 20000 50000 {ending}"))
            .unwrap();
    }
    let sent = n * 20_008;
    // They look each time that they are asked.
    let mut looks = 0;
    while number(&server.ask("served"), "closed") < 3 * n {
        for (way, agent) in of_tcp() {
            let scrape = agent.scrape().unwrap();
            for client in &clients {
                let found = of(&scrape, "sent_bytes_total", &client.service);
                assert!(found <= sent, "{way}: {found} bytes of {sent}");
            }
            looks += 1;
        }
    }
    let done: Vec<_> = clients
        .iter_mut()
        .map(|client| client.talker.answer().unwrap())
        .collect();
    let served = server.served(4 * n);
    each("many at a time", |scrape| {
        for (client, done) in clients.iter().zip(&done) {
            let expect = [
                ("opened_total", n),
                ("closed_total", n),
                ("sent_bytes_total", number(done, "sent")),
                ("received_bytes_total", number(done, "received")),
            ];
            exactly(scrape, &client.service, &expect)?;
        }
        let expect = [
            ("opened_total", 4 * n),
            ("closed_total", 4 * n),
            ("connections", 0),
            ("sent_bytes_total", number(&served, "sent")),
            ("received_bytes_total", number(&served, "received")),
        ];
        exactly(scrape, &server.service, &expect)
    });
    say(&format!(
        "{} connections at a time, {looks} looks meanwhile: difference 0",
        4 * n
    ));
}

/// So many open connections that the agent looks at them more seldom: what is told of them is older, and as exact.
#[test]
fn many_that_stay_open() {
    need!(Need::Agent, Need::Program("ip"));
    of_tcp();
    let n = u64::from(wait::eased(1200));
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let (to, _) = server.listen("127.0.0.1", 1024, "serve");
    let first = client.ask(&format!("connect {to} {n} 100 200 keep"));
    let more = client.ask("exchange 300 400 1");
    let both = |name: &str| number(&first, name) + number(&more, name);
    let services = [client.service.clone(), server.service.clone()];
    let expect = |what: &str, open: u64, closed: u64| {
        each(what, |scrape| {
            for (service, sent, received) in [(&services[0], "sent", "received"), (&services[1], "received", "sent")] {
                let expect = [
                    ("opened_total", n),
                    ("closed_total", closed),
                    ("connections", open),
                    ("sent_bytes_total", both(sent)),
                    ("received_bytes_total", both(received)),
                ];
                exactly(scrape, service, &expect)?;
            }
            Ok(())
        });
    };
    expect("many open connections", n, 0);
    client.ask("end close");
    server.served(n);
    expect("many closed connections", 0, n);
    say(&format!(
        "{n} open connections, {} bytes: difference 0",
        both("sent") + both("received")
    ));
}
