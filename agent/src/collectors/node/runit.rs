//! Services of runit: `SERVICE/supervise/status`, twenty bytes that `runsv(8)` writes for each (`sv_status` in its `runsv.c`).

use super::flags::{Flag, Form, Setup};
use super::rows::{Rows, gauge};
use super::{Collect, CollectError, Collector, files};
use crate::metric::{Encoder, Family};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) static COLLECTOR: Collector = Collector {
    name: "runit",
    about: "services of runit: what they do and what they should",
    default: false,
    flags: &[&SERVICES],
    make: |setup| Ok(Box::new(Runit::new(setup))),
};

static SERVICES: Flag = Flag {
    name: "collector.runit.servicedir",
    form: Form::Path,
    help: "Folder of the services.",
    default: &["/etc/service"],
    ..Flag::BASE
};

static STATE: Family = gauge("node_service_state", "State of a service: 0 down, 1 up, 2 finishing.");
static DESIRED: Family = gauge(
    "node_service_desired_state",
    "State that a service was told: 0 down, 1 up.",
);
static NORMAL: Family = gauge(
    "node_service_normal_state",
    "Whether a service is up when nobody says anything.",
);
static SINCE: Family = gauge(
    "node_service_state_last_change_timestamp_seconds",
    "Unix time at which the state of a service changed.",
);

/// Bytes of a status.
const LENGTH: usize = 20;
/// Unix time 0 as TAI64 has it, with the ten leap seconds that runit counts.
const EPOCH: u64 = (1 << 62) + 10;

struct Runit(PathBuf);

/// What a service's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    /// Unix time.
    since: i64,
    wanted: u8,
    state: u8,
}

struct Service {
    name: String,
    status: Status,
    /// It is not started when nobody says so.
    down: bool,
}

impl Runit {
    fn new(setup: &Setup<'_>) -> Runit {
        Runit(setup.text(&SERVICES).into())
    }
}

impl Collect for Runit {
    fn collect(&mut self, out: &mut dyn Encoder) -> Result<(), CollectError> {
        let mut services = Vec::new();
        let mut result = Ok(());
        for name in files::names(&self.0)? {
            let folder = self.0.join(&name);
            match status(&folder.join("supervise/status")) {
                // The second is where node_exporter looks.
                Ok(Some(status)) => services.push(Service {
                    name,
                    status,
                    down: folder.join("down").exists() || folder.join("supervise/down").exists(),
                }),
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
        }
        type Value = fn(&Service) -> f64;
        let families: [(&Family, Value); 4] = [
            (&STATE, |service| service.status.state.into()),
            (&DESIRED, |service| service.status.wanted.into()),
            (&NORMAL, |service| f64::from(u8::from(!service.down))),
            (&SINCE, |service| service.status.since as f64),
        ];
        for (family, value) in families {
            let mut rows = Rows::new(out, family);
            for service in &services {
                rows.number(&[("service", &service.name), ("supervisor", "runit")], value(service));
            }
        }
        result
    }
}

/// The status in a file; `None`: nobody supervises this service, or it is none.
fn status(path: &Path) -> Result<Option<Status>, CollectError> {
    let mut bytes = [0; LENGTH];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    match read {
        Ok(()) => Ok(Some(parse(bytes))),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            io::ErrorKind::UnexpectedEof => Err(CollectError::malformed(path, format!("less than {LENGTH} bytes"))),
            _ => Err(CollectError::read(path, error)),
        },
    }
}

/// Time (8 bytes, 4 more for nanoseconds), process (4), whether it is paused, what is wanted (`u` or `d`), whether it was told to
/// end, state.
fn parse(bytes: [u8; LENGTH]) -> Status {
    let [a, b, c, d, e, f, g, h, .., wanted, _, state] = bytes;
    let seconds = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    Status {
        since: seconds.wrapping_sub(EPOCH) as i64,
        wanted: u8::from(wanted == b'u'),
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::node::testing::Fixture;
    use std::fs;

    fn bytes(since: u64, wanted: u8, state: u8) -> Vec<u8> {
        let mut bytes = (EPOCH + since).to_be_bytes().to_vec();
        bytes.extend([0, 0, 0, 5, 0xd2, 4, 0, 0, 0, wanted, 0, state]);
        bytes
    }

    /// A host with these services.
    fn services(services: &[(&str, Vec<u8>)]) -> Fixture {
        let fixture = Fixture::new(&[("root/etc/service/", ""), ("root/etc/service/file", "")]);
        let folder = fixture.host().root.join("etc/service");
        for (name, status) in services {
            let supervise = folder.join(name).join("supervise");
            fs::create_dir_all(&supervise).unwrap();
            fs::write(supervise.join("status"), status).unwrap();
        }
        fs::create_dir(folder.join("bare")).unwrap();
        let text = folder.to_str().unwrap().to_owned();
        fixture.set(SERVICES.name, &text)
    }

    #[test]
    fn services_up_and_down() {
        let fixture = services(&[
            ("down", bytes(1_700_000_000, b'd', 0)),
            ("shop", bytes(1_700_000_001, b'u', 1)),
        ]);
        fixture.put(&[("root/etc/service/down/down", "")]);
        let expected = "node_service_state{service=\"down\",supervisor=\"runit\"} 0
node_service_state{service=\"shop\",supervisor=\"runit\"} 1
node_service_desired_state{service=\"down\",supervisor=\"runit\"} 0
node_service_desired_state{service=\"shop\",supervisor=\"runit\"} 1
node_service_normal_state{service=\"down\",supervisor=\"runit\"} 0
node_service_normal_state{service=\"shop\",supervisor=\"runit\"} 1
node_service_state_last_change_timestamp_seconds{service=\"down\",supervisor=\"runit\"} 1.7e+09
node_service_state_last_change_timestamp_seconds{service=\"shop\",supervisor=\"runit\"} 1.700000001e+09
";
        assert_eq!(fixture.text(&COLLECTOR), expected);
    }

    #[test]
    fn a_short_status_is_told_and_the_rest_stays() {
        let fixture = services(&[("cut", vec![0; 18]), ("shop", bytes(0, b'u', 2))]);
        let (text, result) = fixture.collect(&COLLECTOR);
        let error = result.unwrap_err().to_string();
        assert!(error.ends_with("cut/supervise/status: less than 20 bytes"), "{error}");
        assert!(
            text.starts_with("node_service_state{service=\"shop\",supervisor=\"runit\"} 2\n"),
            "{text}"
        );
    }

    #[test]
    fn without_runit_there_is_nothing() {
        let fixture = Fixture::new(&[]);
        let folder = fixture.host().root.join("etc/service");
        let fixture = fixture.set(SERVICES.name, folder.to_str().unwrap());
        assert!(fixture.collect(&COLLECTOR).1.unwrap_err().is_no_data());
    }

    #[test]
    fn times_of_all_sorts() {
        let mut bytes = [0; LENGTH];
        assert_eq!(parse(bytes).since, -(1 << 62) - 10);
        bytes[..8].copy_from_slice(&EPOCH.to_be_bytes());
        assert_eq!(parse(bytes).since, 0);
        assert_eq!(parse([0xff; LENGTH]).wanted, 0);
    }
}
