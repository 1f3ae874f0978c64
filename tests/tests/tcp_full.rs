//! Tables of TCP that are full: what found no room is counted. An agent's tables are as full as those of its own, whoever filled them:
//! these tests have a binary to themselves, and run one after the other.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options, alone};
use onlooker_tests::metrics::Scrape;
use onlooker_tests::need;
use onlooker_tests::netns::NetNs;
use onlooker_tests::require::{Need, say};
use onlooker_tests::tcp::{Driver, errors, number, of, one};
use onlooker_tests::wait;

/// More connections than there is room for: those that are not followed are counted as lost. Other programs of the host have connections
/// too, and what is lost of them is among it: an agent with room for all tells how many those may be.
#[test]
fn a_full_table() {
    need!(Need::Agent, Need::Program("ip"));
    const ROOM: u64 = 64;
    const N: u64 = 200;
    let _alone = alone();
    let roomy = &Agent::start(&Options {
        about: &["tcp", "tcp_open", "tcp_accept"],
        ..Options::default()
    })
    .unwrap();
    let agent = Agent::start(&Options {
        args: vec![format!("--limits.tcp-connections={ROOM}")],
        about: &["tcp", "tcp_open", "tcp_accept"],
        ..Options::default()
    })
    .unwrap();
    let all = |scrape: &Scrape| {
        let lost = [("kind", "tcp_connection"), ("reason", "table_full")];
        let opened = scrape.sum("onlooker_tcp_opened_total", &[]) as u64;
        (opened, scrape.sum("onlooker_events_lost_total", &lost) as u64)
    };
    let attempts = |scrape: &Scrape| all(scrape).0 + scrape.sum("onlooker_tcp_connect_errors_total", &[]) as u64;
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut client) = (Driver::start(&ns, "server"), Driver::start(&ns, "client"));
    let both = |scrape: &Scrape, name: &str, ends: [&Driver; 2]| ends.map(|end| of(scrape, name, &end.service));
    let (to, _) = server.listen("127.0.0.1", 512, "serve");
    let roomy_before = roomy.scrape().unwrap();
    // When this one is told, so is all that the other one had told.
    client.ask(&format!("connect {to} 1 10 10 close"));
    let before = one(&agent, "the first connection", |scrape| {
        let found = both(scrape, "opened_total", [&client, &server]);
        ensure!(found == [1, 1], "{found:?}");
        Ok(scrape.clone())
    });
    let done = client.ask(&format!("connect {to} {N} 10 10 keep"));
    assert_eq!(number(&done, "connected"), N);
    let now = one(&agent, "all of them", |scrape| {
        let ((opened, lost), (opened_before, lost_before)) = (all(scrape), all(&before));
        ensure!(
            opened + lost - opened_before - lost_before >= 2 * N,
            "{opened} + {lost}"
        );
        Ok(scrape.clone())
    });
    let found = all(&now).0 + all(&now).1 - all(&before).0 - all(&before).1;
    let truth = one(roomy, "not one more than there were", |scrape| {
        let ours = both(scrape, "opened_total", [&client, &server]);
        ensure!(ours == [N + 1; 2], "{ours:?}");
        let truth = attempts(scrape) - attempts(&roomy_before);
        ensure!(found <= truth, "{found} of {truth}");
        Ok(truth)
    });
    let [clients, servers] = both(&now, "opened_total", [&client, &server]).map(|opened| opened - 1);
    let lost = all(&now).1 - all(&before).1;
    say(&format!(
        "{N} connections: {clients} and {servers} ends followed; of the host {found} followed or lost, {truth} there were"
    ));
    assert!(clients + servers <= ROOM && lost >= 2 * N - ROOM, "{lost} lost");
    let open = both(&now, "connections", [&client, &server]);
    assert!(open.iter().sum::<u64>() <= ROOM, "{open:?}");
    client.ask("end close");
    // Those that were followed give their room back, and others are followed again.
    one(&agent, "room", |scrape| {
        let [opened, closed, open] = ["opened_total", "closed_total", "connections"]
            .map(|name| both(scrape, name, [&client, &server]).iter().sum::<u64>());
        ensure!(
            opened == closed && open == 0,
            "{opened} opened, {closed} closed, {open} open"
        );
        Ok(())
    });
    client.ask(&format!("connect {to} 10 10 10 close"));
    one(&agent, "connections after it was full", |scrape| {
        let found = both(scrape, "opened_total", [&client, &server]);
        ensure!(found == [clients + 11, servers + 11], "{found:?}");
        Ok(())
    });
}

/// Attempts at more ports than there is room for in the tables of counts: what finds no entry is counted without its service.
#[test]
fn full_tables_of_counts() {
    need!(Need::Agent, Need::Program("ip"));
    const PORTS: u64 = 3000;
    let _alone = alone();
    let agent = Agent::start(&Options {
        about: &["tcp", "tcp_open", "tcp_accept"],
        ..Options::default()
    })
    .unwrap();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let mut client = Driver::start(&ns, "client");
    let all = |scrape: &Scrape, service: &str| {
        let ours = errors(scrape, service).iter().map(|(_, n)| n).sum::<u64>();
        let of = [("service_name", "")];
        let rest = scrape.sum("onlooker_tcp_connect_errors_total", &of) as u64;
        (ours, rest)
    };
    let rest_before = all(&agent.scrape().unwrap(), &client.service).1;
    // Nobody reads the tables meanwhile.
    agent.pause().unwrap();
    let done = client.ask(&format!("sweep 127.0.0.1:21300 {PORTS}"));
    assert_eq!(number(&done["errors"], "ECONNREFUSED"), PORTS);
    agent.resume();
    let (ours, rest) = one(&agent, "all attempts", |scrape| {
        let (ours, rest) = all(scrape, &client.service);
        ensure!(ours + rest - rest_before >= PORTS, "{ours} and {rest}");
        Ok((ours, rest - rest_before))
    });
    say(&format!("{PORTS} attempts: {ours} with their service, {rest} without"));
    assert!((200..=256).contains(&ours), "{ours}");
    assert!(rest < PORTS - ours + 100, "{rest}");
}

/// More sockets that listen than there is room for: those that are not followed are counted as lost.
#[test]
fn a_full_table_of_listeners() {
    need!(Need::Agent, Need::Program("ip"));
    const SOCKETS: u64 = 700;
    let _alone = alone();
    let agent = Agent::start(&Options {
        about: &["tcp", "tcp_open", "tcp_accept"],
        ..Options::default()
    })
    .unwrap();
    let ns = NetNs::new("tcp", "127.0.0.1").unwrap();
    let (mut server, mut other) = (Driver::start(&ns, "server"), Driver::start(&ns, "other"));
    // Its socket is left by its owner to a child while nobody looks: then all open files are looked over for the new owner, and those
    // that found no room are not lost once more.
    agent.pause().unwrap();
    other.ask("daemon 127.0.0.1:0 5");
    other.talker.program.wait(wait::SOON).unwrap();
    let listening = |scrape: &Scrape, end: &Driver| of(scrape, "listening_sockets", &end.service);
    server.ask(&format!("listeners 127.0.0.1:0 {SOCKETS}"));
    agent.resume();
    let all = |scrape: &Scrape| {
        let lost = [("kind", "tcp_listener"), ("reason", "table_full")];
        (
            listening(scrape, &server),
            scrape.sum("onlooker_events_lost_total", &lost) as u64,
        )
    };
    let first = one(&agent, "all listeners", |scrape| {
        let (open, lost) = all(scrape);
        ensure!(
            open <= 512 && lost > 0 && open + lost >= SOCKETS,
            "{open} open, {lost} lost"
        );
        Ok((open, lost))
    });
    let then = one(&agent, "the new owner", |scrape| {
        ensure!(listening(scrape, &other) == 1);
        Ok(all(scrape))
    });
    say(&format!("{SOCKETS} sockets: open and lost {first:?}, later {then:?}"));
    // Some listeners of other programs are among them.
    let few = SOCKETS..SOCKETS + 50;
    for (open, lost) in [first, then] {
        assert!(few.contains(&(open + lost)), "{open} open, {lost} lost, of {SOCKETS}");
    }
    server.ask("unlisten");
    one(&agent, "no listeners", |scrape| {
        let open = of(scrape, "listening_sockets", &server.service);
        ensure!(open == 0, "{open}");
        Ok(())
    });
    // There is room again.
    let (_, port) = server.listen("127.0.0.1", 5, "hold");
    one(&agent, "one more", |scrape| {
        let of = [("service_name", &*server.service), ("server_port", &*port)];
        ensure!(scrape.sum("onlooker_tcp_listening_sockets", &of) == 1.0);
        Ok(())
    });
}
