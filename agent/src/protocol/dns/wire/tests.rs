use super::*;

/// `\x07example\x03com\x00` of a dotted name.
pub(crate) fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A message with one question.
pub(crate) fn message(id: u16, flags: u16, name: &str, kind: u16, answers: &[Vec<u8>], more: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, flags, 1, answers.len() as u16, 0, more.len() as u16] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(wire_name(name));
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1u16.to_be_bytes());
    bytes.extend(answers.concat());
    bytes.extend(more.concat());
    bytes
}

/// A record.
pub(crate) fn record(name: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn addresses(message: &Message<'_>) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    message.addresses(&mut |address, ttl| found.push((address.to_string(), ttl)));
    found
}

const QUESTION: [u8; 2] = [0xc0, 12];

#[test]
fn a_question_is_read() {
    let bytes = message(7, 0x0100, "Www.Example.COM", AAAA, &[], &[]);
    let read = Message::read(&bytes).unwrap();
    assert_eq!((read.id, read.response, read.kind, read.class), (7, false, AAAA, 1));
    assert_eq!(read.name, "www.example.com");
    assert_eq!(Message::read(&message(7, 0, "", 2, &[], &[])).unwrap().name, ".");
    for cut in 0..bytes.len() {
        assert_eq!(Message::read(&bytes[..cut]).unwrap_err(), WireError::Short, "{cut}");
    }
}

#[test]
fn what_is_no_query_is_refused() {
    let mut two = message(7, 0, "a", A, &[], &[]);
    two[5] = 2;
    assert_eq!(Message::read(&two).unwrap_err(), WireError::Other);
    // An update.
    assert_eq!(
        Message::read(&message(7, 0x2800, "a", A, &[], &[])).unwrap_err(),
        WireError::Other
    );
}

#[test]
fn aliases_are_followed_to_the_addresses_of_the_question() {
    let other = wire_name("other.net");
    let answers = [
        record(&QUESTION, CNAME, 30, &other),
        record(&other, A, 300, &[192, 0, 2, 1]),
        record(&other, A, 10, &[192, 0, 2, 2]),
        record(&wire_name("stranger.org"), A, 300, &[192, 0, 2, 3]),
        record(&other, A, 300, &[192, 0, 2]),
    ];
    let bytes = message(7, 0x8180, "example.com", A, &answers, &[]);
    let read = Message::read(&bytes).unwrap();
    assert!(read.response && read.code == 0);
    assert_eq!(addresses(&read), [("192.0.2.1".into(), 30), ("192.0.2.2".into(), 10)]);
    // Of a message that is cut short what is there.
    let cut = &bytes[..bytes.len() - 70];
    assert_eq!(addresses(&Message::read(cut).unwrap()).len(), 1);
}

#[test]
fn the_code_has_the_upper_bits_of_edns() {
    let option = [vec![0], OPT.to_be_bytes().to_vec(), vec![4, 208, 1, 0, 0, 0, 0, 0]].concat();
    let bytes = message(7, 0x8180, "example.com", A, &[], &[option]);
    let read = Message::read(&bytes).unwrap();
    assert_eq!((read.code, code_name(read.code)), (16, "BADVERS"));
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    let with = |name: &[u8]| {
        let mut bytes = message(7, 0, "", A, &[], &[]);
        bytes.truncate(HEADER);
        bytes.extend(name);
        bytes.extend([0, 1, 0, 1]);
        Message::read(&bytes).unwrap_err()
    };
    // To itself, to behind itself, and a label of a reserved kind.
    assert_eq!(with(&[0xc0, 12]), WireError::Name);
    assert_eq!(with(&[0xc0, 14, 1, b'a', 0]), WireError::Name);
    assert_eq!(with(&[0x40, 0]), WireError::Name);
    assert_eq!(with(&[&[63u8][..], &[b'a'; 63]].concat().repeat(5)), WireError::Name);
}

#[test]
fn a_loop_of_pointers_ends() {
    // A label and a pointer back to it, over and over.
    let mut bytes = message(7, 0x8000, "a", A, &[], &[]);
    bytes[7] = 1;
    let at = bytes.len() as u8;
    bytes.extend([1, b'x', 0xc0, at, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(addresses(&Message::read(&bytes).unwrap()), []);
}
