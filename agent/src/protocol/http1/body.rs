//! Where a message's body ends (RFC 9112 section 6), followed through bytes that were captured and bytes that were not.

/// How a body that is under way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunk),
    /// With the connection.
    UntilClose,
    /// Not known: with the last byte before the next message of this direction.
    Unknown,
}

/// Place in the chunked coding (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the digits of a size line.
    Size {
        /// So far.
        value: u64,
        /// Digits seen.
        digits: u8,
    },
    /// After the digits, before the end of the line.
    Extension(u64),
    /// In the data, so many bytes to go.
    Data(u64),
    /// In the line end behind the data.
    DataEnd,
    /// In the trailer section; true once the current line has something in it.
    Trailer(bool),
    /// The place is not known: framing bytes were not captured, or make no sense.
    Lost,
}

/// What a step through a body found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes that belong to the body's coding; all of them unless `done`.
    pub(super) used: u64,
    /// Bytes of payload among them.
    pub(super) payload: u64,
    /// The body is complete.
    pub(super) done: bool,
}

impl Body {
    /// Chunked, at its first byte.
    pub(super) const CHUNKED: Body = Body::Chunked(Chunk::Size { value: 0, digits: 0 });

    /// Goes through captured bytes.
    pub(super) fn captured(&mut self, bytes: &[u8]) -> Step {
        match self {
            Body::Chunked(chunk) if *chunk != Chunk::Lost => chunk.captured(bytes),
            _ => self.missing(bytes.len() as u64),
        }
    }

    /// Goes over bytes that were not captured.
    pub(super) fn missing(&mut self, n: u64) -> Step {
        match self {
            Body::Length(left) => {
                let used = n.min(*left);
                *left -= used;
                Step {
                    used,
                    payload: used,
                    done: *left == 0,
                }
            }
            Body::Chunked(Chunk::Data(left)) if n <= *left => {
                *left -= n;
                if *left == 0 {
                    *self = Body::Chunked(Chunk::DataEnd);
                }
                Step::inside(n)
            }
            Body::Chunked(chunk) => {
                *chunk = Chunk::Lost;
                Step::inside(n)
            }
            Body::UntilClose | Body::Unknown => Step::inside(n),
        }
    }

    /// Whether its end cannot be computed.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Body::Unknown | Body::Chunked(Chunk::Lost))
    }

    /// Whether a call that ends in `end` ends this body although the place in the coding was lost.
    pub(super) fn ends_with(&self, end: &[u8]) -> bool {
        *self == Body::Chunked(Chunk::Lost) && (end == b"0\r\n\r\n" || end.ends_with(b"\r\n0\r\n\r\n"))
    }
}

impl Step {
    fn inside(n: u64) -> Step {
        Step {
            used: n,
            payload: n,
            done: false,
        }
    }
}

impl Chunk {
    fn captured(&mut self, bytes: &[u8]) -> Step {
        let mut payload = 0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Chunk::Data(left) = self {
                let used = (*left).min((bytes.len() - at) as u64);
                *left -= used;
                payload += used;
                at += used as usize;
                if *left == 0 {
                    *self = Chunk::DataEnd;
                }
                continue;
            }
            at += 1;
            if self.framing(byte) {
                return Step {
                    used: at as u64,
                    payload,
                    done: true,
                };
            }
            if *self == Chunk::Lost {
                break;
            }
        }
        Step {
            used: bytes.len() as u64,
            payload,
            done: false,
        }
    }

    /// Takes one byte outside of the data; true at the end of the body.
    fn framing(&mut self, byte: u8) -> bool {
        *self = match (*self, byte) {
            (Chunk::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                Chunk::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Chunk::Size { value, digits: 1.. }, b'\n') | (Chunk::Extension(value), b'\n') => match value {
                0 => Chunk::Trailer(false),
                _ => Chunk::Data(value),
            },
            (Chunk::Size { value, digits: 1.. }, b'\r' | b';' | b' ' | b'\t') => Chunk::Extension(value),
            (Chunk::Extension(value), _) => Chunk::Extension(value),
            (Chunk::DataEnd, b'\r') => Chunk::DataEnd,
            (Chunk::DataEnd, b'\n') => Chunk::Size { value: 0, digits: 0 },
            (Chunk::Trailer(false), b'\n') => return true,
            (Chunk::Trailer(_), b'\n') => Chunk::Trailer(false),
            (Chunk::Trailer(filled), b'\r') => Chunk::Trailer(filled),
            (Chunk::Trailer(_), _) => Chunk::Trailer(true),
            _ => Chunk::Lost,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (bytes used, payload, done) of a chunked body, whole and byte by byte.
    fn check(bytes: &[u8], expect: (u64, u64, bool)) {
        let mut body = Body::CHUNKED;
        let step = body.captured(bytes);
        assert_eq!(
            (step.used, step.payload, step.done),
            expect,
            "{:?}",
            bytes.escape_ascii()
        );
        let mut body = Body::CHUNKED;
        let mut sum = (0, 0, false);
        for byte in bytes {
            let step = body.captured(&[*byte]);
            sum = (sum.0 + step.used, sum.1 + step.payload, step.done);
            if step.done {
                break;
            }
        }
        assert_eq!(sum, expect, "bytewise {:?}", bytes.escape_ascii());
    }

    #[test]
    fn chunked() {
        check(b"0\r\n\r\n", (5, 0, true));
        check(b"3\r\nabc\r\n0\r\n\r\nGET", (13, 3, true));
        check(b"A;name=\"v\"\r\n0123456789\r\n000\r\n\r\n", (31, 10, true));
        check(b"2 \r\nab\r\n0\r\nExpires: 0\r\nX: y\r\n\r\n", (31, 2, true));
        check(b"2\nab\n0\n\n", (8, 2, true));
        check(b"f\r\nabc", (6, 3, false));
    }

    #[test]
    fn chunked_nonsense_loses_the_place() {
        for bytes in [&b"xyz"[..], b"\r\n", b"2\r\nabc\r\n", b"11112222333344445\r\n"] {
            let mut body = Body::CHUNKED;
            assert!(!body.captured(bytes).done);
            assert!(body.is_unknown(), "{:?}", bytes.escape_ascii());
        }
    }

    #[test]
    fn missing_inside_a_chunk_keeps_the_place() {
        let mut body = Body::CHUNKED;
        body.captured(b"64\r\nab");
        assert_eq!(body.missing(98), Step::inside(98));
        assert!(body.captured(b"\r\n0\r\n\r\n").done);
    }

    #[test]
    fn missing_beyond_a_chunk_waits_for_the_terminator() {
        let mut body = Body::CHUNKED;
        body.captured(b"4\r\nab");
        body.missing(3);
        assert!(body.is_unknown());
        assert!(!body.captured(b"abc\r\n0\r\n\r\n").done);
        assert!(body.ends_with(b"abc\r\n0\r\n\r\n"));
        assert!(body.ends_with(b"0\r\n\r\n"));
        assert!(!body.ends_with(b"10\r\n\r\n"));
        assert!(!body.ends_with(b"0\r\n"));
    }

    #[test]
    fn length() {
        let mut body = Body::Length(5);
        assert!(!body.missing(2).done);
        assert_eq!(
            body.captured(b"abcGET"),
            Step {
                used: 3,
                payload: 3,
                done: true
            }
        );
    }
}
