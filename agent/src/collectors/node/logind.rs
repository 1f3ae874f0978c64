//! Sessions of users, as logind counts them (org.freedesktop.login1(5)), by D-Bus.

use super::dbus::{Address, Bus, Object, PATIENCE, Property};
use super::flags::Setup;
use super::rows::gauge;
use super::{Collect, CollectError, Collector};
use crate::metric::{Encoder, Family};
use std::collections::HashMap;
use std::time::Instant;
use zbus::ObjectPath;

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "logind",
    about: "sessions of users, by logind",
    default: false,
    make: |setup| Ok(Box::new(Logind::new(setup))),
    ..Collector::BASE
};

static SESSIONS: Family = gauge(
    "node_logind_sessions",
    "Sessions of users by seat (empty: none, as over the network), type and class.",
);

const SERVICE: &str = "org.freedesktop.login1";
const MANAGER: Object<'static> = Object {
    service: SERVICE,
    path: "/org/freedesktop/login1",
};
const OF_MANAGER: &str = "org.freedesktop.login1.Manager";
const OF_SESSION: &str = "org.freedesktop.login1.Session";

/// Every pair of these is told, with those that nobody is in. What newer versions of logind have is `other`.
const TYPES: [&str; 7] = ["other", "unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES: [&str; 5] = ["other", "user", "greeter", "lock-screen", "background"];

/// Name and path of a seat.
type Seat<'a> = (&'a str, ObjectPath<'a>);
/// Name, number and name of the user, seat, path.
type Session<'a> = (&'a str, u32, &'a str, &'a str, ObjectPath<'a>);

struct Logind(Vec<Address>);

impl Logind {
    fn new(setup: &Setup<'_>) -> Logind {
        Logind(Address::system(setup.host))
    }
}

impl Collect for Logind {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut bus = Bus::connect(&self.0, Instant::now() + PATIENCE)?;
        bus.hello()?;
        let answer = bus.call(MANAGER, OF_MANAGER, "ListSeats")?;
        let seats: Vec<Seat<'_>> = answer.read()?;
        let answer = bus.call(MANAGER, OF_MANAGER, "ListSessions")?;
        let sessions: Vec<Session<'_>> = answer.read()?;
        let mut wanted = Vec::with_capacity(3 * sessions.len());
        for session in &sessions {
            let object = Object {
                service: SERVICE,
                path: session.4.as_str(),
            };
            wanted.extend(["Remote", "Type", "Class"].map(|name| (object, OF_SESSION, name)));
        }
        let mut values = Vec::new();
        bus.properties(&wanted, &mut values)?;
        let mut counts: HashMap<(&str, bool, &str, &str), u32> = HashMap::new();
        for (session, values) in sessions.iter().zip(values.chunks(3)) {
            // One that ended meanwhile has none.
            if let [
                Some(Property::Switch(remote)),
                Some(Property::Text(kind)),
                Some(Property::Text(class)),
            ] = values
            {
                let key = (session.3, *remote, known(&TYPES, kind), known(&CLASSES, class));
                *counts.entry(key).or_default() += 1;
            }
        }
        tell(&seats, &counts, out);
        Ok(())
    }
}

fn known(names: &[&'static str], name: &str) -> &'static str {
    names.iter().find(|known| **known == name).copied().unwrap_or("other")
}

fn tell(seats: &[Seat<'_>], counts: &HashMap<(&str, bool, &str, &str), u32>, out: &mut dyn Encoder) {
    out.family(&SESSIONS);
    for seat in seats.iter().map(|seat| seat.0).chain([""]) {
        for (remote, text) in [(true, "true"), (false, "false")] {
            for kind in TYPES {
                for class in CLASSES {
                    let count = counts.get(&(seat, remote, kind, class)).copied().unwrap_or_default();
                    let labels = [("class", class), ("remote", text), ("seat", seat), ("type", kind)];
                    out.number(&labels, count.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::dbus::mock::{Manner, Mock};
    use crate::collectors::node::testing::Fixture;

    type Row = (String, u32, String, String, ObjectPath<'static>);

    fn path(text: &str) -> ObjectPath<'static> {
        ObjectPath::try_from(text.to_owned()).unwrap()
    }

    fn logind(manner: Manner) -> Fixture {
        let mut mock = Mock::new(manner);
        mock.put(MANAGER.path, "ListSeats", vec![("seat0".to_owned(), path("/seat0"))]);
        let sessions = [
            ("seat0", Some(false), "wayland", "user"),
            ("", Some(true), "tty", "user"),
            ("", Some(true), "tty", "user"),
            ("", Some(false), "telepathy", "manager"),
            // Of a seat that nobody has, and one that ended meanwhile.
            ("seat9", Some(false), "tty", "user"),
            ("seat0", None, "tty", "user"),
        ];
        let mut rows: Vec<Row> = Vec::new();
        for (number, (seat, remote, kind, class)) in sessions.into_iter().enumerate() {
            let at = format!("/session/_{number}");
            rows.push((number.to_string(), 1000, "ann".to_owned(), seat.to_owned(), path(&at)));
            if let Some(remote) = remote {
                mock.property(&at, "Session.Remote", remote);
            }
            mock.property(&at, "Session.Type", kind);
            mock.property(&at, "Session.Class", class);
        }
        mock.put(MANAGER.path, "ListSessions", rows);
        let fixture = Fixture::new(&[]);
        mock.serve(&fixture.host().root.join("run/dbus/system_bus_socket"));
        fixture
    }

    #[test]
    fn sessions_are_counted() {
        let text = logind(Manner::Proper).text(&COLLECTOR);
        assert_eq!(text.lines().count(), 2 * 2 * 7 * 5);
        let some: Vec<&str> = text.lines().filter(|line| !line.ends_with(" 0")).collect();
        let expected = [
            r#"node_logind_sessions{class="user",remote="false",seat="seat0",type="wayland"} 1"#,
            r#"node_logind_sessions{class="user",remote="true",seat="",type="tty"} 2"#,
            r#"node_logind_sessions{class="other",remote="false",seat="",type="other"} 1"#,
        ];
        assert_eq!(some, expected);
    }

    #[test]
    fn one_that_does_not_answer_is_told() {
        let error = logind(Manner::Mute).error(&COLLECTOR);
        assert!(error.ends_with("no answer in time"), "{error}");
    }

    #[test]
    fn a_bus_without_it_is_told() {
        let fixture = Fixture::new(&[]);
        Mock::new(Manner::Proper).serve(&fixture.host().root.join("run/dbus/system_bus_socket"));
        let error = fixture.error(&COLLECTOR);
        assert!(error.starts_with("ListSeats: there is none"), "{error}");
    }
}
