use super::*;
use crate::collectors::node::flags::Settings;
use crate::collectors::node::testing::Fixture;
use std::thread;

/// A server that answers one question with these first bytes, after an answer to something else.
fn server(first: [u8; 2], ahead: Duration) -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut question = [0; packet::LENGTH];
        let (_, from) = socket.recv_from(&mut question).unwrap();
        let now = Time::of(SystemTime::now()).after(ahead);
        let mut answer = [0; packet::LENGTH];
        answer[..2].copy_from_slice(&first);
        answer[7] = 1;
        answer[16..24].copy_from_slice(&now.0.to_be_bytes());
        answer[32..40].copy_from_slice(&now.0.to_be_bytes());
        answer[40..48].copy_from_slice(&now.0.to_be_bytes());
        socket.send_to(&answer, from).unwrap();
        answer[24..32].copy_from_slice(&question[40..48]);
        socket.send_to(&answer, from).unwrap();
    });
    port
}

fn value(text: &str, name: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("node_ntp_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn a_server_that_is_ahead() {
    let port = server([0x24, 2], Duration::from_secs(100)).to_string();
    let text = Fixture::new(&[]).set(PORT.name, &port).text(&COLLECTOR);
    assert_eq!((value(&text, "stratum"), value(&text, "leap")), (2.0, 0.0));
    assert!((value(&text, "offset_seconds") - 100.0).abs() < 1.0, "{text}");
    assert!((0.0..1.0).contains(&value(&text, "rtt_seconds")), "{text}");
    assert_eq!(value(&text, "root_delay_seconds"), 1.0 / 65_536.0);
    assert!(value(&text, "reference_timestamp_seconds") > 1.7e9);
    assert_eq!(value(&text, "sanity"), 0.0, "by more than the tolerance");
}

#[test]
fn a_leap_second_is_tolerated_around_its_midnight() {
    let host = Fixture::new(&[]).host();
    let settings = Settings::default();
    let mut ntp = Ntp::new(&Setup {
        host: &host,
        settings: &settings,
    })
    .unwrap();
    let noon = Time(3_900_052_800 << 32);
    let mut answer = Answer {
        leap: 0,
        stratum: 1,
        root_delay: 0.0,
        root_dispersion: 0.0,
        reference: noon,
        origin: noon,
        received: noon,
        sent: noon,
    };
    let mut sanity = |answer: &Answer| {
        // The host is half a second ahead.
        let asked = answer.sent.after(Duration::from_millis(500));
        ntp.values(answer, asked, asked)[7]
    };
    assert_eq!(sanity(&answer), 0.0);
    answer.leap = 1;
    assert_eq!(sanity(&answer), 1.0);
    answer.leap = 0;
    answer.sent = noon.after(Duration::from_secs(86_400));
    answer.received = answer.sent;
    assert_eq!(sanity(&answer), 1.0, "the day after");
    answer.sent = noon.after(Duration::from_secs(3 * 86_400));
    answer.received = answer.sent;
    assert_eq!(sanity(&answer), 0.0);
}

#[test]
fn servers_that_do_not_answer_or_are_of_others() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let error = Fixture::new(&[]).set(PORT.name, &port).error(&COLLECTOR);
    assert!(
        error.ends_with(&format!("time server 127.0.0.1 port {port}: no answer within 900ms")),
        "{error}"
    );
    let host = Fixture::new(&[]).host();
    let settings = Settings {
        given: [(SERVER.name, vec!["pool.ntp.org".to_owned()])].into(),
        ..Settings::default()
    };
    let made = Ntp::new(&Setup {
        host: &host,
        settings: &settings,
    });
    assert!(made.err().unwrap().contains("is no loopback address"));
}
