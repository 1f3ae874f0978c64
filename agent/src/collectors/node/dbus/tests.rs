use super::mock::{Manner, Mock};
use super::*;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

const OBJECT: Object<'static> = Object {
    service: "org.example",
    path: "/org/example",
};

/// A bus, its folder, and a time until which it may take.
fn bus(manner: Manner, patience: Duration) -> (Result<Bus, CollectError>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    let mut mock = Mock::new(manner);
    mock.put("/org/example", "Count", 42u32);
    for (name, value) in [
        ("Text", Variant::from("words")),
        ("Switch", true.into()),
        ("Ratio", 0.5.into()),
    ] {
        mock.property("/org/example", &format!("Thing.{name}"), value);
    }
    for n in 0..200u64 {
        mock.property("/org/example", &format!("Thing.N{n}"), n);
    }
    mock.serve(&socket);
    let made = Bus::connect(&[Address::Path(socket)], Instant::now() + patience);
    let made = made.and_then(|mut bus| bus.hello().map(|()| bus));
    (made, dir)
}

fn error(manner: Manner) -> String {
    let start = Instant::now();
    let error = bus(manner, Duration::from_millis(100)).0.unwrap_err();
    assert!(!error.is_no_data() && start.elapsed() < PATIENCE, "{error}");
    error.to_string()
}

#[test]
fn calls_and_properties() {
    let (bus, _dir) = bus(Manner::Proper, PATIENCE);
    let mut bus = bus.unwrap();
    let answer = bus.call(OBJECT, "org.example.Thing", "Count").unwrap();
    assert_eq!(answer.read::<u32>().unwrap(), 42);
    let error = answer.read::<&str>().unwrap_err().to_string();
    assert_eq!(error, "D-Bus: an answer of type \"u\" instead of \"s\"");
    let error = bus
        .call(OBJECT, "org.example.Thing", "Nothing")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "Nothing: there is none (org.freedesktop.DBus.Error.UnknownProperty)"
    );
    let mut values = Vec::new();
    let wanted = ["Text", "Missing", "Switch", "Ratio"].map(|name| (OBJECT, "org.example.Thing", name));
    bus.properties(&wanted, &mut values).unwrap();
    let text = Property::Text("words".to_owned());
    assert_eq!(values, [Some(text), None, Some(Property::Switch(true)), None]);
}

#[test]
fn many_properties_are_in_order() {
    let (bus, _dir) = bus(Manner::Proper, PATIENCE);
    let names: Vec<String> = (0..200).map(|n| format!("N{n}")).collect();
    let wanted: Vec<_> = names
        .iter()
        .map(|name| (OBJECT, "org.example.Thing", name.as_str()))
        .collect();
    let mut values = Vec::new();
    bus.unwrap().properties(&wanted, &mut values).unwrap();
    let numbers: Vec<u64> = values.iter().filter_map(|value| value.as_ref()?.number()).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<u64>>());
}

#[test]
fn what_came_before_it_hung_up_is_kept() {
    let (bus, _dir) = bus(Manner::Short(3), PATIENCE);
    let wanted = ["N0", "N1", "N2"].map(|name| (OBJECT, "org.example.Thing", name));
    let mut values = Vec::new();
    let error = bus.unwrap().properties(&wanted, &mut values).unwrap_err().to_string();
    assert!(
        error.ends_with("/bus: it hung up") || error.contains("reset"),
        "{error}"
    );
    assert_eq!(values, [Some(Property::Number(0)), Some(Property::Number(1)), None]);
}

#[test]
fn one_that_does_not_answer_is_not_waited_for() {
    assert!(error(Manner::Deaf).ends_with("/bus: no answer in time"));
    assert!(error(Manner::Mute).ends_with("/bus: no answer in time"));
}

#[test]
fn a_full_queue_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let until = Instant::now() + Duration::from_millis(100);
    let error = Bus::connect(&[Address::Path(path)], until).unwrap_err().to_string();
    assert!(error.ends_with("/bus: no answer in time"), "{error}");
}

#[test]
fn strange_ones_are_told() {
    let shut = error(Manner::Shut);
    assert!(
        shut.ends_with("/bus: it does not let us in: \"REJECTED KERBEROS_V4\""),
        "{shut}"
    );
    let noisy = error(Manner::Noisy);
    assert!(
        noisy.ends_with("/bus: it sends something else than messages"),
        "{noisy}"
    );
}

#[test]
fn none_is_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Address::Path(dir.path().join("bus"));
    let unix = Address::Abstract(b"onlooker-there-is-no-such-bus".to_vec());
    for addresses in [&[][..], &[missing], &[unix]] {
        let error = Bus::connect(addresses, Instant::now() + PATIENCE).unwrap_err();
        assert!(error.is_no_data(), "{error}");
    }
}

#[test]
fn addresses_of_the_environment() {
    let text = "tcp:host=x,port=1;unix:path=/run/a%20b,guid=00;unix:abstract=/tmp/x;unix:;;nonsense";
    let expected = [Address::Path("/run/a b".into()), Address::Abstract(b"/tmp/x".to_vec())];
    assert_eq!(Address::parse(text), expected);
    assert_eq!(expected[1].to_string(), "@/tmp/x");
}
