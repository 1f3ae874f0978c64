//! Any calls in any order, beside a model; files cut off and spoilt at any byte.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Call {
    Append { claim: bool },
    Next,
    NextNew,
    Takes(bool),
    Done(prop::sample::Index),
    ReleaseNew,
    Restart,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => any::<bool>().prop_map(|claim| Call::Append { claim }),
        6 => Just(Call::Next),
        4 => Just(Call::NextNew),
        2 => prop::bool::weighted(0.8).prop_map(Call::Takes),
        6 => any::<prop::sample::Index>().prop_map(Call::Done),
        2 => Just(Call::ReleaseNew),
        1 => Just(Call::Restart),
    ]
}

/// What is to be: number of each batch that waits, its place when it is claimed, and whether it came back from the disk.
#[derive(Default)]
struct Model {
    pending: BTreeMap<u32, Option<(Place, bool)>>,
    /// The last that came back.
    read: u32,
    /// The last of those that came back ahead of the others.
    newer: Option<u32>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn behaves_as_its_model(calls in vec(call(), 1..120)) {
        let folder = folder();
        let mut disk = open(folder.path(), LARGE).0;
        // Small, so that there are many.
        disk.segment_size = 1000;
        let mut model = Model::default();
        let mut number = 0;
        for call in calls {
            match call {
                Call::Append { claim } => {
                    number += 1;
                    let place = append(&mut disk, number, claim);
                    model.pending.insert(number, claim.then_some((place, false)));
                }
                Call::Next => {
                    let next = model.pending.range(model.read + 1..).next();
                    let expect = next.filter(|(_, claimed)| claimed.is_none()).map(|(number, _)| *number);
                    if model.newer.is_some_and(|newer| next.is_none_or(|(number, _)| *number > newer)) {
                        model.newer = None;
                    }
                    let got = disk.next();
                    prop_assert_eq!(got.as_ref().map(|batch| batch.items), expect);
                    if let Some(batch) = got {
                        prop_assert_eq!(&batch.body, &body(batch.items));
                        model.pending.insert(batch.items, Some((batch.place, true)));
                        model.read = batch.items;
                    }
                }
                Call::NextNew => {
                    let newer = model.newer.unwrap_or(u32::MAX - 1);
                    let next = model.pending.range(newer + 1..).next();
                    let expect = next.filter(|(_, claimed)| claimed.is_none()).map(|(number, _)| *number);
                    let got = disk.next_new();
                    prop_assert_eq!(got.as_ref().map(|batch| batch.items), expect);
                    if let Some(batch) = got {
                        prop_assert_eq!(&batch.body, &body(batch.items));
                        model.pending.insert(batch.items, Some((batch.place, true)));
                        model.newer = Some(batch.items);
                    }
                }
                Call::Takes(takes) => {
                    match takes {
                        true => disk.takes(),
                        false => disk.refuses(),
                    }
                    model.newer = takes.then_some(number);
                }
                Call::Done(index) => {
                    let claimed: Vec<_> = model.pending.iter().filter_map(|(n, c)| Some((*n, c.as_ref()?.0))).collect();
                    if !claimed.is_empty() {
                        let (number, place) = claimed[index.index(claimed.len())];
                        disk.done(place);
                        model.pending.remove(&number);
                    }
                }
                Call::ReleaseNew => {
                    let new = model.pending.values_mut().filter(|claimed| matches!(claimed, Some((_, false))));
                    let places: Vec<_> = new.filter_map(Option::take).map(|(place, _)| place).collect();
                    disk.release(&places);
                }
                Call::Restart => {
                    drop(disk);
                    let found;
                    (disk, found) = open(folder.path(), LARGE);
                    disk.segment_size = 1000;
                    prop_assert_eq!(found.batches, model.pending.len() as u64);
                    prop_assert_eq!(found.torn_bytes, 0);
                    model.pending.values_mut().for_each(|claimed| *claimed = None);
                    (model.read, model.newer) = (0, None);
                }
            }
            let view = disk.view();
            prop_assert_eq!(view.batches, model.pending.len() as u64);
            prop_assert_eq!(view.waiting, model.pending.values().filter(|claimed| claimed.is_none()).count() as u64);
            prop_assert_eq!(disk.take_lost(), vec![]);
            let free = disk.segments.iter().rev().skip(1).filter(|segment| segment.batches == 0).count();
            prop_assert_eq!(free, 0);
        }
    }

    /// A loss of power may leave any part of what was not synced; a medium may spoil any byte.
    #[test]
    fn damage_costs_what_it_hits(
        count in 1u32..60,
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        damage in prop_oneof![Just(None), (1u8..).prop_map(Some)],
    ) {
        let folder = folder();
        let mut disk = open(folder.path(), LARGE).0;
        disk.segment_size = 1500;
        let places: Vec<_> = (1..=count).map(|number| (number, append(&mut disk, number, false))).collect();
        drop(disk);
        let paths = segments(folder.path());
        let file = file.index(paths.len());
        let mut bytes = std::fs::read(&paths[file]).unwrap();
        let at = at.index(bytes.len());
        match damage {
            None => bytes.truncate(at),
            Some(flip) => bytes[at] ^= flip,
        }
        std::fs::write(&paths[file], bytes).unwrap();
        let (mut disk, found) = open(folder.path(), LARGE);
        prop_assert!(found.other_versions.is_none() || (8..12).contains(&at));
        let got = drain(&mut disk);
        let lost: u64 = disk.take_lost().iter().map(|lost| lost.items).sum();
        prop_assert_eq!(got.iter().map(|number| u64::from(*number)).sum::<u64>() + lost, found.items);
        // In order, each once, and with its own bytes (`drain`).
        prop_assert!(got.is_sorted_by(|a, b| a < b));
        let whole = |(number, place): &(u32, Place)| {
            let end = place.offset + RECORD_HEAD + body(*number).len() as u64;
            place.segment != file as u64 + 1 || (at as u64 >= FILE_HEAD && end <= at as u64)
        };
        for (number, _) in places.iter().filter(|place| whole(place)) {
            prop_assert!(got.contains(number), "{} of {:?}", number, got);
        }
    }
}
