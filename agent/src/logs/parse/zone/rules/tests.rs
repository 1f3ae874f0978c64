use super::*;
use proptest::prelude::*;

/// A file of version 2: changes as (Unix time, kind), kinds as offsets, and a rule.
fn file(changes: &[(i64, u8)], offsets: &[i32], rule: &str) -> Vec<u8> {
    let header = |times: usize, types: usize| {
        let mut out = b"TZif2".to_vec();
        out.extend([0; 15]);
        for count in [0, 0, 0, times, types, 4] {
            out.extend((count as u32).to_be_bytes());
        }
        out
    };
    let types = |offsets: &[i32]| -> Vec<u8> {
        offsets
            .iter()
            .flat_map(|offset| offset.to_be_bytes().into_iter().chain([0, 0]))
            .collect()
    };
    let mut out = header(0, 1);
    out.extend(types(&[0]));
    out.extend(b"ABC\0");
    out.extend(header(changes.len(), offsets.len()));
    out.extend(changes.iter().flat_map(|(time, _)| time.to_be_bytes()));
    out.extend(changes.iter().map(|(_, kind)| kind));
    out.extend(types(offsets));
    out.extend(b"ABC\0\n");
    out.extend(rule.as_bytes());
    out.push(b'\n');
    out
}

fn at(rules: &Rules, year: i32, month: u32, day: u32, hour: i64) -> Option<i32> {
    rules.offset_at_local(days(year, month, day).expect("a day") * DAY + hour * 3600 + 1800)
}

#[test]
fn summer_time_is_followed_for_ever() {
    let rules = Rules::read(&file(&[(0, 1)], &[3600, 3600], "CET-1CEST,M3.5.0,M10.5.0/3")).expect("a file");
    assert_eq!(at(&rules, 2026, 1, 2, 3), Some(3600));
    assert_eq!(at(&rules, 2026, 7, 2, 3), Some(7200));
    // The 29th of March: no clock shows half past two. The 25th of October: half past two is twice.
    let march = [1, 2, 3].map(|hour| at(&rules, 2026, 3, 29, hour));
    assert_eq!(march, [Some(3600), None, Some(7200)]);
    let october = [1, 2, 3].map(|hour| at(&rules, 2026, 10, 25, hour));
    assert_eq!(october, [Some(7200), None, Some(3600)]);
}

#[test]
fn other_rules_are_read() {
    let of = |rule: &str| Rules::read(&file(&[], &[0], rule)).expect("a file");
    // The southern half of the year, in New York's way and Sydney's.
    let sydney = of("AEST-10AEDT,M10.1.0,M4.1.0/3");
    assert_eq!(
        [at(&sydney, 2026, 1, 2, 3), at(&sydney, 2026, 7, 2, 3)],
        [Some(39_600), Some(36_000)]
    );
    assert_eq!(at(&of("EST5EDT,M3.2.0,M11.1.0"), 2026, 7, 2, 3), Some(-14_400));
    assert_eq!(at(&of("<+0530>-5:30"), 2026, 7, 2, 3), Some(19_800));
    assert_eq!(at(&of("<-02>2<-01>,M3.5.0/-1,M10.5.0/0"), 2026, 7, 2, 3), Some(-3600));
    assert_eq!(
        at(&of("A1ABB,J60,J300"), 2026, 7, 2, 3),
        Some(0),
        "a name has three letters: the table counts"
    );
    assert_eq!(at(&of("AAA1ABB,J60,J300"), 2026, 7, 2, 3), Some(0));
    assert_eq!(at(&of("AAA1ABB,59,299/1:30"), 2026, 1, 2, 3), Some(-3600));
}

#[test]
fn the_table_counts_where_there_is_no_rule() {
    let rules = Rules::read(&file(&[(1000, 1), (2_000_000_000, 0)], &[60, 120], "")).expect("a file");
    assert_eq!(
        [0, 1000, 1_999_999_999, 2_000_000_000].map(|unix| rules.offset_at(unix)),
        [60, 120, 120, 60]
    );
    for cut in 0..60 {
        let file = file(&[(1000, 1)], &[60, 120], "UTC0");
        assert_eq!(Rules::read(&file[..file.len() - 1 - cut]), None, "{cut} bytes less");
    }
    assert_eq!(Rules::read(&file(&[(2, 0), (1, 0)], &[60], "")), None, "out of order");
    assert_eq!(Rules::read(&file(&[(2, 7)], &[60], "")), None, "no such kind");
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), rule in "[A-Z<>0-9,./MJ:+-]{0,40}", local in any::<i64>()) {
        let mut whole = file(&[(5, 0)], &[60], &rule);
        whole.extend(&bytes);
        for file in [[b"TZif2".as_slice(), &bytes].concat(), whole] {
            if let Some(rules) = Rules::read(&file) {
                rules.offset_at_local(local);
            }
        }
    }
}
