use super::*;
use crate::collectors::node::testing::Fixture;

const WINTER: i64 = 1_767_225_600; // 2026-01-01
const SUMMER: i64 = 1_782_864_000; // 2026-07-01

fn kind(offset: i64, name: &str) -> Kind {
    Kind {
        offset,
        name: name.to_owned(),
    }
}

/// A block of a file: changes and the kinds they lead to, kinds (offset, place of their name) and names.
fn block(wide: usize, changes: &[(i64, u8)], kinds: &[(i32, u8)], names: &[u8]) -> Vec<u8> {
    let mut bytes = b"TZif2".to_vec();
    bytes.extend([0; 15]);
    for count in [0, 0, 0, changes.len(), kinds.len(), names.len()] {
        bytes.extend((count as u32).to_be_bytes());
    }
    for (time, _) in changes {
        bytes.extend(&time.to_be_bytes()[8 - wide..]);
    }
    bytes.extend(changes.iter().map(|(_, kind)| *kind));
    for (offset, name) in kinds {
        bytes.extend(offset.to_be_bytes());
        bytes.extend([0, *name]);
    }
    bytes.extend(names);
    bytes
}

fn berlin() -> Vec<u8> {
    let names = b"LMT\0CET\0CEST\0";
    let mut bytes = block(4, &[(-7, 0)], &[(1, 0)], b"OLD\0");
    bytes.extend(block(
        8,
        &[(0, 1), (SUMMER - 9, 2)],
        &[(3208, 0), (3600, 4), (7200, 8)],
        names,
    ));
    bytes.extend(b"\nCET-1CEST,M3.5.0,M10.5.0/3\n");
    bytes
}

#[test]
fn changes_hold_and_the_rule_after_the_last_one() {
    let zone = Zone::parse(&berlin()).unwrap();
    assert_eq!(zone.at(-1), kind(3208, "LMT"));
    assert_eq!(zone.at(0), kind(3600, "CET"));
    assert_eq!(zone.at(SUMMER - 10), kind(3600, "CET"), "not the rule yet");
    assert_eq!(zone.at(SUMMER), kind(7200, "CEST"));
    assert_eq!(zone.at(1_792_889_999), kind(7200, "CEST"), "2026-10-25T00:59:59Z");
    assert_eq!(zone.at(1_792_890_000), kind(3600, "CET"));
    assert_eq!(zone.at(4_110_134_400), kind(7200, "CEST"), "in 2100");
}

#[test]
fn rules_of_other_zones() {
    let at = |rule, time| Rule::parse(rule).unwrap().at(time);
    assert_eq!(at("<+0545>-5:45", WINTER), kind(20_700, "+0545"));
    assert_eq!(at("EST5EDT,M3.2.0,M11.1.0", SUMMER), kind(-14_400, "EDT"));
    assert_eq!(
        at("AEST-10AEDT,M10.1.0,M4.1.0/3", WINTER),
        kind(39_600, "AEDT"),
        "south"
    );
    assert_eq!(at("AEST-10AEDT,M10.1.0,M4.1.0/3", SUMMER), kind(36_000, "AEST"));
    assert_eq!(
        at("IST-1GMT0,M10.5.0,M3.5.0/1", WINTER),
        kind(0, "GMT"),
        "Dublin's winter is its exception"
    );
    assert_eq!(at("IST-1GMT0,M10.5.0,M3.5.0/1", SUMMER), kind(3600, "IST"));
    assert_eq!(at("X0Y,J60,J300", 1_709_251_199), kind(0, "X"), "2024-02-29T23:59:59Z");
    assert_eq!(at("X0Y,J60/0,J300", 1_709_251_200), kind(3600, "Y"));
    assert_eq!(at("X0Y,59/0,300", 1_709_164_800), kind(3600, "Y"), "2024-02-29");
    for wrong in [
        "",
        "CET",
        "-1",
        "CET-1CEST",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.5.0,x",
        "<CET-1",
    ] {
        assert_eq!(Rule::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn the_file_is_the_hosts_and_garbage_is_utc() {
    let fixture = Fixture::new(&[
        ("root/etc/localtime", "-> /usr/share/zoneinfo/Europe/Berlin"),
        ("root/usr/share/zoneinfo/Europe/x", ""),
    ]);
    let host = fixture.host();
    let utc = kind(0, "UTC");
    assert_eq!(Zone::of(&host, None).at(WINTER), utc, "there is no such file");
    let path = host.root.join("usr/share/zoneinfo/Europe/Berlin");
    fs::write(&path, berlin()).unwrap();
    assert_eq!(Zone::of(&host, None).at(WINTER), kind(3600, "CET"));
    assert_eq!(
        Zone::of(&host, Some(OsStr::new("Europe/Berlin"))).at(WINTER),
        kind(3600, "CET")
    );
    assert_eq!(Zone::of(&host, Some(path.as_os_str())).at(WINTER), kind(3600, "CET"));
    for other in ["", "Mars", "../zoneinfo/Europe/Berlin"] {
        assert_eq!(Zone::of(&host, Some(OsStr::new(other))).at(WINTER), utc, "{other}");
    }
    let whole = berlin();
    for length in 0..whole.len() {
        let _ = Zone::parse(&whole[..length]);
        let mut torn = whole.clone();
        torn[length] ^= 0xff;
        let _ = Zone::parse(&torn).map(|zone| zone.at(WINTER));
    }
}
