use super::*;

const STARTED: Time = 1_000;
const BOOT: Time = 100;

fn streams(limit: usize) -> Streams {
    Streams::new(limit, STARTED, Some(BOOT))
}

/// Collections one after the other, each with what is told in it.
fn rounds(
    streams: &mut Streams,
    origin: Origin,
    delta: bool,
    values: &[(Time, Option<f64>)],
) -> Vec<Option<(Time, f64)>> {
    values
        .iter()
        .map(|(now, value)| {
            streams.begin();
            let told = value.map(|value| streams.number(1, origin, *now, value, delta));
            streams.end(*now, true);
            told.and_then(Result::ok).map(|told| (told.start, told.value))
        })
        .collect()
}

#[test]
fn a_counter_that_fell_starts_anew_at_its_last_point() {
    let values = [
        (2_000, Some(5.0)),
        (3_000, Some(8.0)),
        (4_000, Some(2.0)),
        (5_000, Some(3.0)),
    ];
    let told = rounds(&mut streams(10), Origin::Agent, false, &values);
    assert_eq!(
        told,
        [
            Some((STARTED, 5.0)),
            Some((STARTED, 8.0)),
            Some((3_000, 2.0)),
            Some((3_000, 3.0))
        ]
    );
    let told = rounds(&mut streams(10), Origin::Agent, true, &values);
    assert_eq!(
        told,
        [
            Some((STARTED, 5.0)),
            Some((2_000, 3.0)),
            Some((3_000, 2.0)),
            Some((4_000, 1.0))
        ]
    );
}

#[test]
fn the_agents_series_that_is_gone_begins_with_the_collection_before() {
    let values = [
        (2_000, Some(5.0)),
        (3_000, None),
        (4_000, Some(7.0)),
        (5_000, Some(9.0)),
    ];
    let told = rounds(&mut streams(10), Origin::Agent, false, &values);
    assert_eq!(
        told,
        [Some((STARTED, 5.0)), None, Some((3_000, 7.0)), Some((3_000, 9.0))]
    );
    let told = rounds(&mut streams(10), Origin::Agent, true, &values);
    assert_eq!(
        told,
        [Some((STARTED, 5.0)), None, Some((3_000, 7.0)), Some((4_000, 2.0))]
    );
}

/// A collector that fails once does not make its counters new.
#[test]
fn the_hosts_series_that_was_not_read_goes_on() {
    let values = [
        (2_000, Some(5.0)),
        (3_000, None),
        (4_000, Some(7.0)),
        (5_000, Some(1.0)),
    ];
    let told = rounds(&mut streams(10), Origin::Host, false, &values);
    assert_eq!(told, [Some((BOOT, 5.0)), None, Some((BOOT, 7.0)), Some((4_000, 1.0))]);
    // Of what came before the agent no difference is told, and none is lost to the collection that failed.
    let told = rounds(&mut streams(10), Origin::Host, true, &values);
    assert_eq!(told, [None, None, Some((2_000, 2.0)), Some((4_000, 1.0))]);
}

#[test]
fn the_hosts_series_is_forgotten_in_the_end() {
    let mut streams = streams(10);
    rounds(&mut streams, Origin::Host, false, &[(2_000, Some(5.0))]);
    for round in 0..u64::from(MISSED) {
        streams.begin();
        streams.end(3_000 + round, true);
        assert_eq!(streams.len(), 1);
    }
    streams.begin();
    streams.end(4_000, true);
    assert_eq!(streams.len(), 0);
}

/// A source that panics has not told of its series; they are not gone for that.
#[test]
fn nothing_is_gone_after_a_collection_that_was_not_whole() {
    let mut streams = streams(10);
    rounds(&mut streams, Origin::Agent, false, &[(2_000, Some(5.0))]);
    streams.begin();
    streams.end(3_000, false);
    let told = rounds(&mut streams, Origin::Agent, false, &[(4_000, Some(6.0))]);
    assert_eq!(told, [Some((STARTED, 6.0))]);
}

#[test]
fn of_unknown_beginning_the_first_interval_has_no_length() {
    let mut streams = Streams::new(10, STARTED, None);
    let told = rounds(
        &mut streams,
        Origin::Host,
        false,
        &[(2_000, Some(5.0)), (3_000, Some(6.0))],
    );
    assert_eq!(told, [Some((2_000, 5.0)), Some((2_000, 6.0))]);
    assert_eq!(
        (streams.since(Origin::Host), streams.since(Origin::Agent)),
        (0, STARTED)
    );
}

#[test]
fn there_is_no_more_room_than_the_limit() {
    let mut streams = streams(3);
    streams.begin();
    let tell = |streams: &mut Streams, key| streams.number(key, Origin::Host, 2_000, 1.0, false);
    for key in 0..3 {
        assert!(tell(&mut streams, key).is_ok());
    }
    assert_eq!(tell(&mut streams, 3), Err(Nothing::Full));
    assert!(tell(&mut streams, 2).is_ok(), "those that are known go on");
    assert_eq!(streams.len(), 3);
    streams.end(2_000, true);
    // What was not there in the collection before makes room.
    for now in [3_000, 4_000] {
        streams.begin();
        assert!(tell(&mut streams, 0).is_ok());
        streams.end(now, true);
    }
    streams.begin();
    assert!(tell(&mut streams, 3).is_ok());
    assert_eq!(streams.len(), 2);
}

#[test]
fn histograms_fall_by_bucket() {
    let tell = |streams: &mut Streams, now, counts: &[u64], sum, delta| {
        streams.begin();
        let told = streams.histogram(1, Origin::Agent, now, (counts, sum), delta);
        streams.end(now, true);
        told.map(|told| told.map(|told| (told.start, told.value.counts, told.value.sum)))
    };
    let mut delta = streams(10);
    assert_eq!(
        tell(&mut delta, 2_000, &[1, 2], 3.0, true),
        Ok(Some((STARTED, vec![1, 2], 3.0)))
    );
    assert_eq!(
        tell(&mut delta, 3_000, &[1, 5], 7.0, true),
        Ok(Some((2_000, vec![0, 3], 4.0)))
    );
    // Nothing was observed: nothing is told, and the next interval begins where this one ended.
    assert_eq!(tell(&mut delta, 4_000, &[1, 5], 7.0, true), Ok(None));
    // More in all, and less in one: it was reset.
    assert_eq!(
        tell(&mut delta, 5_000, &[0, 9], 9.0, true),
        Ok(Some((4_000, vec![0, 9], 9.0)))
    );
    let mut whole = streams(10);
    assert_eq!(
        tell(&mut whole, 2_000, &[1, 2], 3.0, false),
        Ok(Some((STARTED, vec![1, 2], 3.0)))
    );
    assert_eq!(
        tell(&mut whole, 3_000, &[1, 0], 1.0, false),
        Ok(Some((2_000, vec![1, 0], 1.0)))
    );
}
