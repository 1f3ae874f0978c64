//! Messages out of a TCP stream: each behind its length in two bytes (RFC 1035, 4.2.2; RFC 7766). Of a long message its start.

/// Bytes of a message that are kept.
const KEPT: usize = 512;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Length and start of the message at hand.
    start: Vec<u8>,
    /// Bytes of it that are still to come, once its length is known.
    left: usize,
    /// Some of its bytes were not captured: what follows does not follow what was kept.
    cut: bool,
    /// A place in the stream was lost: nothing that follows can be told apart.
    lost: bool,
}

impl Stream {
    /// Takes the bytes of a call, `total` of which the first were captured, and shows each message whose end was reached.
    pub(super) fn take(&mut self, mut bytes: &[u8], total: usize, each: &mut dyn FnMut(&[u8])) {
        let mut unseen = total.saturating_sub(bytes.len());
        while !self.lost {
            if self.start.len() < 2 {
                let Some((byte, rest)) = bytes.split_first() else {
                    // Its length was not captured.
                    self.lost = unseen > 0;
                    break;
                };
                bytes = rest;
                self.start.push(*byte);
                if let [high, low] = *self.start {
                    self.left = usize::from(u16::from_be_bytes([high, low]));
                }
                continue;
            }
            let n = self.left.min(bytes.len());
            let (now, rest) = bytes.split_at(n);
            let room = if self.cut {
                0
            } else {
                (2 + KEPT).saturating_sub(self.start.len())
            };
            self.start.extend_from_slice(&now[..n.min(room)]);
            self.left -= n;
            bytes = rest;
            if self.left > 0 {
                let passed = self.left.min(unseen);
                self.left -= passed;
                unseen -= passed;
                self.cut |= passed > 0;
            }
            if self.left > 0 {
                break;
            }
            each(&self.start[2..]);
            self.start.clear();
            self.cut = false;
            if bytes.is_empty() && unseen == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(stream: &mut Stream, bytes: &[u8], total: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        stream.take(bytes, total, &mut |message| found.push(message.to_vec()));
        found
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let bytes = b"\x00\x03abc\x00\x00\x00\x01d";
        for size in 1..=bytes.len() {
            let mut stream = Stream::default();
            let found: Vec<_> = bytes
                .chunks(size)
                .flat_map(|part| take(&mut stream, part, part.len()))
                .collect();
            assert_eq!(found, [&b"abc"[..], b"", b"d"], "{size}");
        }
    }

    #[test]
    fn of_a_long_message_the_start_is_shown() {
        let mut stream = Stream::default();
        let prefixed = [&2000u16.to_be_bytes()[..], &[b'a'; 510]].concat();
        assert!(take(&mut stream, &prefixed, 1002).is_empty());
        let found = take(&mut stream, &[b'b'; 512], 1000);
        assert_eq!(found, [vec![b'a'; 510]]);
        let length = 2000u16.to_be_bytes();
        assert!(take(&mut stream, &length, 2).is_empty());
        assert!(take(&mut stream, &[b'a'; 512], 1500).is_empty());
        let found = take(&mut stream, &[b'b'; 500], 500);
        assert_eq!(found, [vec![b'a'; 512]]);
        assert_eq!(take(&mut stream, b"\x00\x01x", 3), [b"x"]);
    }

    #[test]
    fn a_place_that_was_lost_is_not_guessed() {
        let mut stream = Stream::default();
        assert_eq!(take(&mut stream, b"\x00\x01x", 20), [b"x"]);
        assert!(take(&mut stream, b"\x00\x01y", 3).is_empty());
    }
}
