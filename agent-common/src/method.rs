//! Methods of requests as the kernel side tells them apart (RFC 9110, section 9; RFC 5789).

/// Names by index. 0: any other.
pub const NAMES: [&str; 11] = [
    "_OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
];

/// Index of the method that a request begins with, from its first eight bytes in memory order (little endian).
#[inline(always)]
pub const fn of(first: u64) -> u8 {
    const fn word(text: &[u8]) -> u64 {
        let mut bytes = [0; 8];
        let mut i = 0;
        while i < text.len() {
            bytes[i] = text[i];
            i += 1;
        }
        u64::from_le_bytes(bytes)
    }
    let four = first & 0xffff_ffff;
    let five = first & 0xff_ffff_ffff;
    let six = first & 0xffff_ffff_ffff;
    let seven = first & 0xff_ffff_ffff_ffff;
    if four == word(b"GET ") {
        1
    } else if five == word(b"HEAD ") {
        2
    } else if five == word(b"POST ") {
        3
    } else if four == word(b"PUT ") {
        4
    } else if seven == word(b"DELETE ") {
        5
    } else if first == word(b"CONNECT ") {
        6
    } else if first == word(b"OPTIONS ") {
        7
    } else if six == word(b"TRACE ") {
        8
    } else if six == word(b"PATCH ") {
        9
    } else if six == word(b"QUERY ") {
        10
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_index() {
        for (index, name) in NAMES.iter().enumerate() {
            let mut bytes = [b'/'; 8];
            let line = format!("{name} /");
            let n = line.len().min(8);
            bytes[..n].copy_from_slice(&line.as_bytes()[..n]);
            assert_eq!(usize::from(of(u64::from_le_bytes(bytes))), index, "{name}");
        }
        assert_eq!(of(u64::from_le_bytes(*b"get / HT")), 0);
        assert_eq!(of(u64::from_le_bytes(*b"GETX / H")), 0);
    }
}
