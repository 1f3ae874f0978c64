//! What a time server of this host says (NTP, RFC 5905): a question and an answer each scrape.

mod packet;

use super::flags::{Flag, Form, Setup};
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use packet::{Answer, Time};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "ntp",
    about: "what a time server of this host says",
    default: false,
    flags: &[&SERVER, &PORT, &VERSION, &IS_LOCAL, &TTL, &DISTANCE, &TOLERANCE],
    make: |setup| Ok(Box::new(Ntp::new(setup)?)),
};

static SERVER: Flag = Flag {
    name: "collector.ntp.server",
    form: Form::Text,
    help: "Time server to ask: a loopback address, unless collector.ntp.server-is-local is on.",
    default: &["127.0.0.1"],
    ..Flag::BASE
};
static PORT: Flag = Flag {
    name: "collector.ntp.server-port",
    form: Form::Number(1, 65_535),
    help: "UDP port of the time server.",
    default: &["123"],
    ..Flag::BASE
};
static VERSION: Flag = Flag {
    name: "collector.ntp.protocol-version",
    form: Form::Number(2, 4),
    help: "Version of the protocol.",
    default: &["4"],
    ..Flag::BASE
};
static IS_LOCAL: Flag = Flag {
    name: "collector.ntp.server-is-local",
    form: Form::Switch,
    help: "The time server is one of yours: public ones are not to be asked each scrape.",
    ..Flag::BASE
};
static TTL: Flag = Flag {
    name: "collector.ntp.ip-ttl",
    form: Form::Number(1, 255),
    help: "Hops that the question may take.",
    default: &["1"],
    ..Flag::BASE
};
static DISTANCE: Flag = Flag {
    name: "collector.ntp.max-distance",
    form: Form::Duration,
    help: "Distance to the root of time up to which the server is sane.",
    default: &["3.46608s"],
    ..Flag::BASE
};
static TOLERANCE: Flag = Flag {
    name: "collector.ntp.local-offset-tolerance",
    form: Form::Duration,
    help: "Offset between the clocks of host and server up to which the server is sane.",
    default: &["1ms"],
    ..Flag::BASE
};

static FAMILIES: [Family; 8] = [
    gauge("node_ntp_stratum", "Steps between the server and a reference clock."),
    gauge(
        "node_ntp_leap",
        "Notice of a leap second, two bits; 3 is a clock that is not set.",
    ),
    gauge("node_ntp_rtt_seconds", "Time of question and answer on their way."),
    gauge("node_ntp_offset_seconds", "How far the server's clock is ahead."),
    gauge(
        "node_ntp_reference_timestamp_seconds",
        "Unix time when the server's clock was last set.",
    ),
    gauge(
        "node_ntp_root_delay_seconds",
        "Time from the server to its reference clock and back.",
    ),
    gauge(
        "node_ntp_root_dispersion_seconds",
        "Error of the server's clock, as it has it.",
    ),
    gauge(
        "node_ntp_sanity",
        "Whether the answer is within the limits of the protocol and of the flags.",
    ),
];

/// Time for an answer: less than a collector has.
const TIMEOUT: Duration = Duration::from_millis(900);
const DAY: f64 = 86_400.0;

struct Ntp {
    server: String,
    port: u16,
    version: u8,
    ttl: u32,
    distance: f64,
    tolerance: f64,
    /// Midnight of the last leap second that was announced. Servers spread it over hours before and after.
    leap: Option<f64>,
}

impl Ntp {
    fn new(setup: &Setup<'_>) -> Result<Ntp, String> {
        let server = setup.text(&SERVER);
        let is_loopback = server.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if !is_loopback && !setup.is_on(&IS_LOCAL) {
            return Err(format!(
                "--{}: {server:?} is no loopback address: if it is a server of yours, give --{}",
                SERVER.name, IS_LOCAL.name
            ));
        }
        Ok(Ntp {
            server,
            port: setup.number(&PORT).try_into().unwrap_or_default(),
            version: setup.number(&VERSION).try_into().unwrap_or_default(),
            ttl: setup.number(&TTL).try_into().unwrap_or_default(),
            distance: setup.duration(&DISTANCE).as_secs_f64(),
            tolerance: setup.duration(&TOLERANCE).as_secs_f64(),
            leap: None,
        })
    }

    /// Asks; gives the answer, and the times of the question and the answer by this host's clock.
    fn ask(&self) -> io::Result<(Answer, Time, Time)> {
        let mut addresses = (self.server.as_str(), self.port).to_socket_addrs()?;
        let address = addresses.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        if address.is_ipv4() {
            socket.set_ttl(self.ttl)?;
        }
        socket.connect(address)?;
        let (asked, start) = (Time::of(SystemTime::now()), Instant::now());
        socket.send(&packet::question(self.version, asked))?;
        let mut bytes = [0; packet::LENGTH];
        loop {
            let left = TIMEOUT.checked_sub(start.elapsed()).filter(|left| !left.is_zero());
            socket.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
            let length = socket.recv(&mut bytes)?;
            let heard = asked.after(start.elapsed());
            // What answers something else is not for us.
            match Answer::parse(bytes.get(..length).unwrap_or_default()) {
                Some(answer) if answer.origin == asked => return Ok((answer, asked, heard)),
                _ => {}
            }
        }
    }

    /// Values in the order of [`FAMILIES`].
    fn values(&mut self, answer: &Answer, asked: Time, heard: Time) -> [f64; FAMILIES.len()] {
        let there = answer.received.since(asked);
        let back = heard.since(answer.sent);
        let rtt = (there + back).max(0.0);
        let now = answer.sent.unix();
        if matches!(answer.leap, 1 | 2) {
            self.leap = Some((now / DAY).floor() * DAY + DAY);
        }
        let smeared = self.leap.is_some_and(|midnight| (now - midnight).abs() < DAY);
        let tolerance = self.tolerance + if smeared { 1.0 } else { 0.0 };
        let distance = (rtt + answer.root_delay) / 2.0 + answer.root_dispersion;
        // One clock is behind the other by at least what an answer is earlier than its question.
        let error = (-there).max(-back).max(0.0);
        let sane = answer.is_valid() && distance <= self.distance && error <= tolerance;
        [
            f64::from(answer.stratum),
            f64::from(answer.leap),
            rtt,
            (there - back) / 2.0,
            answer.reference.unix().max(0.0),
            answer.root_delay,
            answer.root_dispersion,
            f64::from(u8::from(sane)),
        ]
    }
}

impl Collect for Ntp {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let asked = self.ask();
        let (answer, asked, heard) = asked.map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer within {TIMEOUT:?}"),
                _ => error.to_string(),
            };
            CollectError::Other(format!("time server {} port {}: {what}", self.server, self.port))
        })?;
        let values = self.values(&answer, asked, heard);
        for (family, value) in FAMILIES.iter().zip(values) {
            out.family(family);
            out.number(&[], value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
