use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A file of these bodies, each with its place in the list as number of items, and where each record begins.
fn file(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
    let mut bytes = file_head().to_vec();
    let mut places = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        places.push(bytes.len() as u64);
        bytes.extend(Record::of(1, body, index as u32 + 1, 7).to_bytes());
        bytes.extend(body);
    }
    (bytes, places)
}

/// Items and bodies of the records that are whole.
fn read(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut out = Vec::new();
    let mut offset = FILE_HEAD;
    while let Some(record) = Record::read(&bytes, offset, bytes.len() as u64).unwrap() {
        out.extend(record.body(&bytes, offset).unwrap().map(|body| (record.items, body)));
        offset += record.size();
    }
    out
}

#[test]
fn as_the_table_says() {
    let record = Record::of(b'l', b"body", 3, 0x0102_0304_0506_0708);
    let bytes = record.to_bytes();
    assert_eq!(bytes[..16], [0, 0, 0, 0, b'l', 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(bytes[16..24], [8, 7, 6, 5, 4, 3, 2, 1]);
    // CRC-32 of "body" and of the bytes before, by another implementation (zlib's).
    assert_eq!(bytes[24..28], 0xdba8_0bb2_u32.to_le_bytes());
    assert_eq!(bytes[28..], 0xc6a0_ad41_u32.to_le_bytes());
    assert_eq!(file_head()[..12], *b"onlookrq\x01\0\0\0");
}

#[test]
fn heads_of_files() {
    let check = |bytes: &[u8], expect| assert_eq!(read_file_head(&bytes).unwrap(), expect, "{bytes:?}");
    check(&file_head(), FileHead::Known);
    check(b"onlookrq\x02\0\0\0\0\0\0\0", FileHead::Other(2));
    check(&file_head()[..15], FileHead::Broken);
    check(&[0; 64], FileHead::Broken);
    check(b"", FileHead::Broken);
}

#[test]
fn a_walk_tells_what_waits() {
    let (mut bytes, places) = file(&[b"a".to_vec(), b"bb".to_vec(), vec![]]);
    let at = places[0] as usize;
    bytes[at..at + 4].copy_from_slice(&DONE.to_le_bytes());
    bytes.extend([0; 40]);
    let found = walk(&bytes.as_slice()).unwrap();
    let expect = Found {
        batches: 2,
        items: 5,
        oldest: Some(7),
        end: bytes.len() as u64 - 40,
        torn: 40,
    };
    assert_eq!(found, expect);
}

#[test]
fn a_length_beyond_the_file_is_no_record() {
    let mut record = Record::of(1, b"x", 1, 1);
    for length in [2, LONGEST, LONGEST + 1, u32::MAX] {
        record.length = length;
        let bytes = [&file_head()[..], &record.to_bytes(), b"x"].concat();
        assert_eq!(read(&bytes), []);
    }
}

proptest! {
    #[test]
    fn what_is_whole_before_a_cut_is_read(bodies in vec(vec(any::<u8>(), 0..40), 0..6), cut in any::<prop::sample::Index>()) {
        let (bytes, places) = file(&bodies);
        let cut = cut.index(bytes.len() + 1);
        let ends = places.iter().skip(1).copied().chain([bytes.len() as u64]);
        let whole = ends.filter(|end| *end <= cut as u64).count().min(bodies.len());
        let expect: Vec<_> = (1..).zip(bodies).take(whole).collect();
        prop_assert_eq!(read(&bytes[..cut]), expect);
    }

    #[test]
    fn a_spoilt_byte_invents_nothing(
        bodies in vec(vec(any::<u8>(), 0..40), 1..6),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let (mut bytes, places) = file(&bodies);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let hit = places.iter().rposition(|place| *place <= at as u64);
        let got = read(&bytes);
        let all: Vec<_> = (1..).zip(bodies.clone()).collect();
        let before = hit.unwrap_or(0);
        prop_assert_eq!(got.iter().take(before).collect::<Vec<_>>(), all.iter().take(before).collect::<Vec<_>>());
        prop_assert!(got.iter().all(|found| all.contains(found)), "{:?}", got);
        // A spoilt body, or mark, costs no other record.
        if let Some(hit) = hit {
            let within = at as u64 - places[hit];
            if within >= RECORD_HEAD {
                prop_assert_eq!(got.len(), bodies.len() - 1);
            } else if within < 4 {
                prop_assert_eq!(got.len(), bodies.len());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = [&file_head()[..], &bytes].concat();
        let found = walk(&bytes.as_slice()).unwrap();
        prop_assert_eq!(found.end + found.torn, bytes.len() as u64);
    }
}
