//! What a process moves over UDP, against its own numbers and the kernel's. Each way to see it that this kernel has is compared.

use anyhow::ensure;
use onlooker_tests::agent::{Agent, Options};
use onlooker_tests::need;
use onlooker_tests::netns::NetNs;
use onlooker_tests::process::{Program, output, unique};
use onlooker_tests::require::{Need, own_program, say};
use onlooker_tests::wait;
use onlooker_tests::ways::of_dns as agents;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// The test that fills the tables runs without the others: every agent's tables are as full as those of its own.
static ALONE: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// What `/proc/net/snmp` and `snmp6` of a namespace say: datagrams sent, datagrams received.
fn kernel(ns: &NetNs) -> (u64, u64) {
    let mut cat = ns.command("cat");
    cat.args(["/proc/net/snmp", "/proc/net/snmp6"]);
    let text = output(cat).unwrap();
    let mut four = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (four.next().unwrap(), four.next().unwrap());
    let four = names
        .split(' ')
        .zip(values.split(' '))
        .map(|(name, value)| (format!("Udp{name}"), value));
    let six = text.lines().filter_map(|line| line.strip_prefix("Udp6"));
    let six = six.filter_map(|line| line.split_once(char::is_whitespace));
    let all: Vec<(String, &str)> = four
        .chain(six.map(|(name, value)| (format!("Udp{name}"), value)))
        .collect();
    let sum = |name: &str| {
        let values = all.iter().filter(|(other, _)| other == name);
        values.map(|(_, value)| value.trim().parse::<u64>().unwrap()).sum()
    };
    (sum("UdpOutDatagrams"), sum("UdpInDatagrams"))
}

fn udp(address: &str, family: &str) {
    let _beside = beside_others();
    agents();
    let ns = NetNs::new("udp", "127.0.0.1").unwrap();
    let service = unique("udp");
    let mut command = ns.command(own_program("udp"));
    command
        .args([address, "500"])
        .env("OTEL_SERVICE_NAME", &service)
        .stdout(Stdio::piped());
    let mut program = Program::start("udp", command).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut program.stdout().unwrap(), &mut text).unwrap();
    program.wait(wait::SOON).unwrap();
    let done: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [sent_bytes, sent, received_bytes, received, too_long, refused] = done.try_into().unwrap();
    assert_eq!(kernel(&ns), (sent, received), "the program's numbers and the kernel's");
    assert!(refused > 0 && too_long == 500);
    for (way, agent) in agents() {
        wait::until(&format!("{way}: UDP of {service}"), wait::SOON, || {
            let scrape = agent.scrape()?;
            let of = [("service_name", &*service), ("network_type", family)];
            let found = ["sent_bytes", "sent_datagrams", "received_bytes", "received_datagrams"]
                .map(|name| scrape.sum(&format!("onlooker_udp_{name}_total"), &of) as u64);
            ensure!(
                found == [sent_bytes, sent, received_bytes, received],
                "{found:?}, not {text}"
            );
            let errors: BTreeMap<String, f64> = scrape
                .select("onlooker_udp_errors_total", &of)
                .map(|sample| {
                    assert_eq!(sample.label("network_io_direction"), "transmit");
                    (sample.label("error_type").to_owned(), sample.value)
                })
                .collect();
            let expect = [("ECONNREFUSED", refused), ("EMSGSIZE", too_long)];
            let expect: BTreeMap<String, f64> = expect
                .into_iter()
                .map(|(name, n)| (name.to_owned(), n as f64))
                .collect();
            ensure!(errors == expect, "{errors:?}, not {expect:?}");
            Ok(())
        })
        .unwrap();
    }
    say(&format!(
        "{sent} datagrams, {sent_bytes} bytes, {} errors: difference 0",
        too_long + refused
    ));
}

/// Every call that moves datagrams, over IPv4.
#[test]
fn udp4() {
    need!(Need::Agent, Need::Program("ip"));
    udp("127.0.0.1:0", "ipv4");
}

/// The same over IPv6.
#[test]
fn udp6() {
    need!(Need::Agent, Need::Program("ip"), Need::Ipv6);
    udp("[::1]:0", "ipv6");
}

/// Datagrams for which a socket has no room, against the kernel's own count.
#[test]
fn drops() {
    need!(Need::Agent, Need::Program("ip"), Need::Program("python3"));
    const PORT: &str = "4053";
    let _beside = beside_others();
    let before: Vec<f64> = agents().iter().map(|(_, agent)| dropped(agent, PORT)).collect();
    let ns = NetNs::new("drops", "127.0.0.1").unwrap();
    let text = format!(
        "import socket\n\
         to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         to.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\n\
         to.bind(('127.0.0.1', {PORT}))\n\
         out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         for _ in range(1000): out.sendto(b'x' * 100, to.getsockname())\n\
         print(open('/proc/net/snmp').read())\n"
    );
    let mut command = ns.command("python3");
    command.args(["-c", &text]);
    let text = output(command).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut numbers = names.split(' ').zip(values.split(' '));
    let truth: f64 = numbers
        .find(|(name, _)| *name == "RcvbufErrors")
        .unwrap()
        .1
        .parse()
        .unwrap();
    assert!(truth > 900.0, "{text}");
    for ((way, agent), before) in agents().iter().zip(before) {
        wait::until(&format!("{way}: drops"), wait::SOON, || {
            let found = dropped(agent, PORT) - before;
            ensure!(found == truth, "{found}, not {truth}");
            Ok(())
        })
        .unwrap();
    }
    say(&format!("{truth} datagrams dropped: difference 0"));
}

fn dropped(agent: &Agent, port: &str) -> f64 {
    let of = [
        ("network_local_port", port),
        ("error_type", "ENOMEM"),
        ("network_type", "ipv4"),
    ];
    agent.scrape().unwrap().sum("onlooker_udp_receive_drops_total", &of)
}

/// More processes than the kernel's table has entries: what finds none is counted all the same, without its service.
#[test]
fn a_full_table() {
    need!(Need::Agent);
    const PROCESSES: u32 = 3000;
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let agent = Agent::start(&Options {
        about: &["dns", "udp_drops"],
        ..Options::default()
    })
    .unwrap();
    let service = unique("crowd");
    // Nobody reads the table meanwhile.
    agent.pause().unwrap();
    let mut command = Command::new(own_program("udp"));
    command
        .args(["many", &PROCESSES.to_string()])
        .env("OTEL_SERVICE_NAME", &service);
    output(command).unwrap();
    agent.resume();
    let sent = |service: &str| {
        let of = [("service_name", service)];
        let scrape = agent.scrape().unwrap();
        scrape.sum("onlooker_udp_sent_datagrams_total", &of)
    };
    wait::until("all of them", wait::SOON, || {
        let scrape = agent.scrape()?;
        let all = scrape.sum("onlooker_udp_sent_datagrams_total", &[]);
        ensure!(all >= f64::from(PROCESSES), "{all}");
        Ok(())
    })
    .unwrap();
    let scrape = agent.scrape().unwrap();
    let rest = scrape.select("onlooker_udp_sent_datagrams_total", &[]);
    let rest: f64 = rest
        .filter(|sample| sample.label("service_name").is_empty())
        .map(|sample| sample.value)
        .sum();
    let named = scrape.sum("onlooker_udp_sent_datagrams_total", &[]) - rest;
    say(&format!(
        "{PROCESSES} processes: {named} datagrams with a service, {rest} without"
    ));
    assert!(
        named <= 1024.0 + 100.0 && rest >= f64::from(PROCESSES) - 1024.0,
        "{named} and {rest}"
    );
    assert!(sent(&service) <= 1024.0);
    drop(agent);
    room_again();
}

/// The agents of the other tests saw that crowd too: waits until each has room for a service again.
fn room_again() {
    wait::until("room in all tables", 3 * wait::SOON, || {
        let service = unique("room");
        let mut command = Command::new(own_program("udp"));
        command.args(["many", "1"]).env("OTEL_SERVICE_NAME", &service);
        output(command)?;
        for (_, agent) in agents() {
            wait::until("one more", wait::SOON / 4, || {
                let of = [("service_name", &*service)];
                let sent = agent.scrape()?.sum("onlooker_udp_sent_datagrams_total", &of);
                ensure!(sent > 0.0, "{sent}");
                Ok(())
            })?;
        }
        Ok(())
    })
    .unwrap();
}
